"""The logs, thinned as the score card thins them, with the tasks that are measured."""

from pathlib import Path
from typing import Any

from benchmarks.card.sets import SETS, recipe_of
from benchmarks.card.tables import Frames

LOGS = ("movielens-100k", "ml-latest-small", "movietweetings", "online-retail")
RATED = ("movielens-100k", "ml-latest-small")  # of which interest is measured too, on the whole log
WHOLE = 1 << 30  # rows
METRICS = ("hr@10", "ndcg@10", "mrr@10")


def written(name: str, data: Path, rows: int, folder: Path) -> Frames:
    """The tables of a log, written into `folder`."""
    frames = SETS[name].tables(data, rows)
    folder.mkdir()
    for table, frame in frames.items():
        frame.to_parquet(folder / f"{table}.parquet", index=False)
    return frames


def recipe_for(name: str, folder: Path, task: str, seed: int, items: bool) -> dict[str, Any]:
    """Backbone, data and one task, all else by default; `items`: with what is learned of each item."""
    raw = recipe_of(name, folder)
    return raw | {"tasks": {task: raw["tasks"][task]}, "train": {"seed": seed}, "fusion": {"items": items}}
