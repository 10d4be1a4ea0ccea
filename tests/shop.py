"""Recipes on the small shop that `conftest.py` makes."""

import csv
from pathlib import Path

from minimal import QUICK

from peftrec.recipe import Recipe, make_recipe

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
HISTORY = [{"item": "i0", "value": 5, "time": 1_600_000_000}, {"item": "i1", "value": 2, "time": "2020-09-14T10:00:00"}]


def write_csv(path: Path, rows: list[dict]) -> Path:
    """Write dicts as csv."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def shop_recipe(shop: Path, **changes: object) -> Recipe:
    """Three tasks on the shop, two quick epochs; `changes` replace whole top-level groups or merge into dict ones."""
    raw: dict = {
        "backbone": {"name": MINILM, "dtype": "fp32"},
        "adapter": {"method": "side", "sharing": "shared+private"},
        "data": {
            "items": {"path": str(shop / "items.csv"), "id": "id", "text": "{title}"},
            "events": {
                "path": str(shop / "events.csv"),
                "user": "user",
                "item": "item",
                "time": "time",
                "columns": ["stars"],
            },
            "queries": {"path": str(shop / "queries.csv"), "text": "{query}", "item": "item", "label": "match"},
            "split": {"kind": "global-time", "test": 0.2, "valid": 0.2},
        },
        "tasks": {
            "query": {"kind": "match-query"},
            "interest": {"kind": "interest", "column": "stars", "threshold": 4, "weight": 0.5},
            "time": {"kind": "next-gap", "weight": 0.3},
        },
        "train": {**QUICK, "epochs": 2, "batch_size": 128, "lr": 1e-3, "dropout": 0.0},
    }
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if isinstance(value, dict) and key in ("data", "train", "backbone") else value
    return make_recipe(raw)
