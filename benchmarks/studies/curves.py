"""Learning curves: a task of few labelled texts alone, and beside another task that has many.

Recipes leave `train` out. Of the target's train rows so many are drawn anew for every draw, a fifth of them for
validation; the other task's rows are the same ones each time, all of those that were thinned to. Test rows are the same
for all. What co-learning gains is paired by draw and by test row, and the interval is over both.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.card.sets import ENGLISH
from benchmarks.card.tables import clinc150, twitter_finance
from benchmarks.children import commit
from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.intervals import LEVEL
from peftrec.evaluation.metrics import find_metric
from peftrec.evaluation.outcomes import Outcome
from peftrec.recipe import make_recipe
from peftrec.training.loop import fit
from peftrec.training.prepare import prepare

SIZES = (60, 250, 1000)  # labelled texts of the target, those for validation among them
OTHERS = 10_000  # as `benchmarks.card.tables` counts: 2,000 texts of a task
TEST = 1000  # texts
VALID = 0.2
METRIC = "macro_f1"
METHOD = "side"
RESAMPLES = 500


@dataclass(frozen=True)
class Pair:
    """A target with few labels and the task beside it: what they are, and their tables with text, label and split."""

    said: str
    tables: Callable[[Path], tuple[pd.DataFrame, pd.DataFrame]]


def finance(target: str, data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of financial news: the table of the target, and the other one."""
    found = twitter_finance(data, OTHERS)
    return found.pop(target), next(iter(found.values()))


def support(data: Path) -> pd.DataFrame:
    """Support utterances, half for the one task and half for the other."""
    found = pd.read_csv(data / "bitext-support/support.csv.gz").rename(columns={"instruction": "text"})
    found = found[["text", "intent", "category"]].drop_duplicates("text").sample(frac=1, random_state=0)
    place = np.arange(len(found))
    return found.assign(split=np.where(place < TEST, "test", "train"), half=place % 2)


def intents_and_categories(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """27 intents of utterances; 11 categories, which these belong to, of others."""
    found = support(data)
    train = found["split"] == "train"
    other = found[train & (found["half"] == 1)].drop(columns="half").rename(columns={"category": "label"})
    place = np.arange(len(other)) % 10
    other = other.assign(split=np.select([place == 0, place == 1], ["test", "valid"], "train"))
    return found[~train | (found["half"] == 0)].rename(columns={"intent": "label"}), other


def intents_and_others(data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """27 intents of support; 151 of another source."""
    return (
        support(data).rename(columns={"intent": "label"}),
        clinc150(data, OTHERS)["texts"].rename(columns={"intent": "label"}),
    )


PAIRS = {
    "sentiment": Pair("sentiment of financial news beside their topics", partial(finance, "opinions")),
    "topic": Pair("topics of financial news beside their sentiment", partial(finance, "topics")),
    "intent and category": Pair("intents of support beside the categories of other texts", intents_and_categories),
    "intent and clinc150": Pair("intents of support beside those of CLINC150", intents_and_others),
}


def measure(data: Path, draws: int) -> dict[str, Any]:
    """Pair -> size -> what `compared` says; data: the folder that holds the data sets' folders."""
    found: dict[str, Any] = {}
    for name, pair in PAIRS.items():
        found[name] = {"said": pair.said, "sizes": {}}
        tables = pair.tables(data)
        for size in SIZES:
            print(f"{name}, {size} rows", file=sys.stderr, flush=True)
            found[name]["sizes"][str(size)] = compared([_draw(*tables, size, draw) for draw in range(draws)])
    return {"commit": commit(), "draws": draws, "metric": METRIC, "method": METHOD, "pairs": found}


@dataclass(frozen=True)
class Draw:
    """One draw: predictions (N, C) on test rows, alone and together, their labels (N,), and the priors' values. `rows`:
    which of the pair's test rows they are, int (N,), those of classes that the draw has rows of to train on."""

    rows: np.ndarray
    alone: np.ndarray
    together: np.ndarray
    label: np.ndarray
    priors: dict[str, float]


def compared(found: list[Draw]) -> dict[str, Any]:
    """{"alone", "together", "gain", "interval", "priors"}: means over draws, the interval over draws and test rows."""
    of = find_metric(METRIC)
    values = [[of.statistic(p, draw.label, draw.rows) for p in (draw.together, draw.alone)] for draw in found]
    tests = 1 + max(int(draw.rows.max()) for draw in found)

    def mean(which: int, weight: np.ndarray, drawn: np.ndarray) -> float:
        """Together (0) or alone (1), the test rows counted by the weight, over these draws."""
        return float(np.mean([values[n][which](weight[found[n].rows]) for n in drawn]))

    means = [mean(which, np.ones(tests), np.arange(len(found))) for which in (0, 1)]
    random, gains = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(tests, size=tests), minlength=tests).astype(float)
        drawn = random.integers(len(found), size=len(found))
        gains.append(mean(0, weight, drawn) - mean(1, weight, drawn))
    priors = {name: float(np.mean([draw.priors[name] for draw in found])) for name in found[0].priors}
    interval = [float(end) for end in np.percentile(gains, LEVEL)]
    return {
        "alone": means[1],
        "together": means[0],
        "gain": means[0] - means[1],
        "interval": interval,
        "priors": priors,
    }


def _draw(target: pd.DataFrame, other: pd.DataFrame, size: int, draw: int) -> Draw:
    """The target's task alone and beside the other, on as many of its labelled rows."""
    random = np.random.default_rng((draw, size))
    known, test = target[target["split"] != "test"], target[target["split"] == "test"].iloc[:TEST]
    known = known.iloc[random.permutation(len(known))[:size]]
    few = known.assign(split=np.where(np.arange(size) < VALID * size, "valid", "train"))
    taught = test["label"].isin(few["label"][few["split"] == "train"])  # no class that the target cannot know
    rows, test = np.flatnonzero(taught), test[taught]
    columns = ["text", "label", "split"]
    with tempfile.TemporaryDirectory() as folder:
        tables = {"few": pd.concat([few, test])[columns], "many": other[columns]}
        for name, table in tables.items():
            table.to_parquet(f"{folder}/{name}.parquet", index=False)
        alone, priors, label = _trained(folder, ["few"])
        together, _, _ = _trained(folder, ["few", "many"])
    return Draw(rows, alone, together, label, priors)


def _trained(folder: str, tasks: list[str]) -> tuple[np.ndarray, dict[str, float], np.ndarray]:
    """Predictions of the task `few` on its test rows, the priors' values there, and the labels."""
    texts = {"kind": "texts", "text": "{text}", "split": "split"}
    raw = {
        "backbone": {"name": ENGLISH},
        "adapter": {"method": METHOD},
        "data": {"tables": {name: {**texts, "path": f"{folder}/{name}.parquet"} for name in tasks}},
        "tasks": {name: {"kind": "classification", "table": name, "label": "label"} for name in tasks},
    }
    setup = prepare(make_recipe(raw))
    setup.model.encoder.disk = True  # the same texts again and again
    fit(setup)
    outcomes: dict[str, Outcome] = {}
    task, priors = {"few": setup.tasks["few"]}, tasks == ["few"]
    report = evaluate(setup.model, setup.dataset, task, "test", resamples=0, priors=priors, outcomes=outcomes)
    values = {name: of[METRIC] for name, of in report["tasks"]["few"].get("priors", {}).items()}
    return outcomes["few"].prediction, values, np.asarray(outcomes["few"].label)
