"""Films learned first, or beside: what they do for another catalogue that has few ratings.

The log of ml-latest-small is learned whole; of MovieTweetings' train rows so many are drawn anew for every draw, whole
users, and its latest ratings are the test, the same ones for all.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.card.sets import ENGLISH
from benchmarks.card.tables import Frames, ml_latest, movietweetings
from benchmarks.transfer.trained import trained
from peftrec.machine.files import read_json

SIZES = (250, 1000)  # ratings of the other catalogue, those for validation among them
ROWS = 5_000  # of each log at most
TEST, VALID = 0.2, 0.1
NOTHING, AFTER, BESIDE = ARMS = ("nothing", "after", "beside")
METRIC = "auc"
BACKBONE = {"name": ENGLISH}


def liked(threshold: float, table: str) -> dict[str, Any]:
    """What users of a log will like."""
    return {"kind": "interest", "table": table, "column": "rating", "threshold": threshold}


def log(name: str, **keys: Any) -> dict[str, Any]:
    """The keys of a catalogue and its ratings."""
    events = {"kind": "events", "user": "user", "item": "item", "time": "time", "columns": ["rating"], "items": name}
    return {name: {"kind": "items", "id": "item", "text": "{text}"}, f"{name}_events": events | keys}


FILMS = {"tables": log("films"), "tasks": {"like": liked(4, "films_events")}}
TWEETED = {"tables": log("tweeted", split="split"), "tasks": {"like": liked(8, "tweeted_events")}}
BOTH = {
    "tables": FILMS["tables"] | TWEETED["tables"],
    "tasks": TWEETED["tasks"] | {"like_films": liked(4, "films_events")},
}


def few(found: Frames, size: int, draw: int) -> Frames:
    """The catalogue with few of the ratings that are not the latest."""
    events = found["events"].sort_values("time", kind="stable")
    last = int((1 - TEST) * len(events))
    known, test = events.iloc[:last], events.iloc[last:].assign(split="test")
    counts = known.groupby("user").size().sample(frac=1, random_state=draw)
    known = known[known["user"].isin(counts.index[counts.cumsum() <= size])]
    place = np.arange(len(known))
    known = known.assign(split=np.where(place < (1 - VALID) * len(known), "train", "valid"))
    return {"tweeted": found["items"], "tweeted_events": pd.concat([known, test])}


def measure(data: Path, draws: int) -> dict[str, Any]:
    """Size -> {arm: its mean, "prior": the best prior's, "gains": {arm: {"by", "interval"}}}; gains are over `nothing`,
    paired by draw, with intervals of a t distribution over draws."""
    source = {("films" if name == "items" else "films_events"): of for name, of in ml_latest(data, ROWS).items()}
    target = movietweetings(data, ROWS)
    with tempfile.TemporaryDirectory() as folder:
        films, cells = trained(Path(folder) / "films", source, BACKBONE, FILMS), {}
        for size in SIZES:
            drawn = partial(_drawn, Path(folder), source, target, films, size)
            cells[str(size)] = compared([drawn(draw) for draw in range(draws)])
    return cells


def _drawn(folder: Path, source: Frames, target: Frames, films: Path, size: int, draw: int) -> dict[str, float]:
    """Arm, and "prior" -> the metric on the test rows."""
    rows, train, folder = few(target, size, draw), {"seed": draw}, folder / f"{size}-{draw}"
    runs = {
        NOTHING: trained(folder / NOTHING, rows, BACKBONE, TWEETED, train=train),
        AFTER: trained(folder / AFTER, rows, BACKBONE, TWEETED, train=train, init_from=str(films)),
        BESIDE: trained(folder / BESIDE, rows | source, BACKBONE, BOTH, train=train),
    }
    found = {arm: read_json(run / "report.json")["tasks"]["like"] for arm, run in runs.items()}
    values = {arm: of["metrics"][METRIC] for arm, of in found.items()}
    return values | {"prior": max(of[METRIC] for of in found[NOTHING]["priors"].values() if METRIC in of)}


def compared(found: list[dict[str, float]]) -> dict[str, Any]:
    """What `measure` says of a size, from two draws or more."""
    table, gains = pd.DataFrame(found), {}
    for arm in (AFTER, BESIDE):
        gain = (table[arm] - table[NOTHING]).to_numpy()
        half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
        gains[arm] = {"by": float(gain.mean()), "interval": [float(gain.mean() - half), float(gain.mean() + half)]}
    return {name: float(table[name].mean()) for name in table} | {"gains": gains}
