"""One log with one arm, with a tiny backbone."""

import numpy as np
import pandas as pd
import pytest
from tiny import make_tiny_shop

from benchmarks.ablation import arms, one
from benchmarks.card import sets
from benchmarks.card.sets import SETS, CardSet

TASKS = {"like": {"kind": "interest", "column": "stars", "threshold": 4}, "next": {"kind": "next-item"}}


def events(data, rows):
    """Of one user and one item nothing but the last events."""
    shop = pd.read_csv(data / "events.csv").assign(stars=lambda of: of["stars"].astype(float))
    late = shop["time"] > shop["time"].quantile(0.85)
    shop = shop[late | ~(shop["item"].isin(["i3"]) | shop["user"].isin(["u0"]))]
    items = pd.read_csv(data / "items.csv").rename(columns={"id": "item", "title": "text"})
    return {"items": items, "events": shop}


def priced(data, frames):
    frames["items"]["price"] = np.arange(float(len(frames["items"])))
    return {"items": {"price": "number"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("arm", ["id", "joined"])
def test_every_test_row_is_kept(folder, tmp_path, monkeypatch, arm):
    tables = {"items": sets.ITEMS, "events": sets.TIMED | {"columns": ["stars"]}}
    monkeypatch.setitem(SETS, "shop", CardSet("", events, tables, TASKS))
    monkeypatch.setitem(arms.LOGS, "shop", priced)
    monkeypatch.setattr(sets, "ENGLISH", str(folder / "model"))
    keys = ["adapter.method=head_only", "train.epochs=2", "fusion.least=2"]
    spec = {"set": "shop", "data": str(folder), "rows": 100, "keys": keys, "arm": arm, "seed": 0}
    result = one.work(spec, tmp_path)
    assert result["kinds"] == {"like": "interest", "next": "next-item"} and result["arm"] == arm
    log = events(folder, 100)["events"].sort_values("time")
    train = log.head(round(0.7 * len(log)))
    for task in TASKS:
        found = pd.read_parquet(tmp_path / f"{task}.parquet")
        assert list(found) == ["user", "label", "prediction", "cold_item", "cold_user"] and len(found) > 20
        assert set(found["user"]) <= set(log["user"])
    # By other code: what train rows lack, of the last rows.
    liked = pd.read_parquet(tmp_path / "like.parquet")
    late = log.tail(len(liked))
    assert liked["cold_item"].sum() == (~late["item"].isin(train["item"])).sum() > 0
    assert liked["cold_user"].sum() == (~late["user"].isin(train["user"])).sum() > 0
    assert set(liked["user"][liked["cold_user"]]) == {"u0"}
    ranks = pd.read_parquet(tmp_path / "next.parquet")["prediction"]
    assert ranks.between(1, 20).all()
    stored = pd.read_parquet(tmp_path / "tables/items.parquet")
    assert stored["text"].str.startswith("item ").all() == (arm == "id")
    assert ("price" in stored) == (arm == "joined")
