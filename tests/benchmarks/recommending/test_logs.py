"""Recipes of the logs."""

import pandas as pd

from benchmarks.card.sets import SETS
from benchmarks.recommending import logs
from benchmarks.recommending.logs import LOGS, RATED, recipe_for, written


def test_a_recipe_has_one_task_and_all_else_by_default(tmp_path):
    for name in LOGS:
        raw = recipe_for(name, tmp_path, "next", 2, True)
        assert raw["tasks"] == {"next": {"kind": "next-item"}}
        assert raw["train"] == {"seed": 2} and raw["fusion"] == {"items": True}
        assert set(raw) == {"backbone", "data", "tasks", "train", "fusion"}
    for name in RATED:
        assert recipe_for(name, tmp_path, "like", 0, False)["tasks"]["like"]["kind"] == "interest"


def test_tables_are_written(tmp_path, monkeypatch):
    frame = pd.DataFrame({"item": ["a"], "text": ["b"]})
    shop = SETS["lastfm"]
    monkeypatch.setitem(logs.SETS, "lastfm", type(shop)("", lambda data, rows: {"items": frame}, {}))
    assert list(written("lastfm", tmp_path, 5, tmp_path / "tables")) == ["items"]
    assert pd.read_parquet(tmp_path / "tables/items.parquet").equals(frame)
