"""One log by peftrec and by references, with a tiny backbone: the same rows, each ranked."""

import json

import numpy as np
import pandas as pd
import pytest
from tiny import make_tiny_shop

from benchmarks.card import sets
from benchmarks.card.sets import SETS, CardSet
from benchmarks.recommending import one
from benchmarks.recommending.references import OwnFrequency, Popularity
from benchmarks.recommending.run import folder_of, run_recommending

TASKS = {"like": {"kind": "interest", "column": "stars", "threshold": 4}, "next": {"kind": "next-item"}}
COLUMNS = ["user", "label", "prediction", "cold_item", "cold_user", "repeat"]


def shop(data, rows):
    items = pd.read_csv(data / "items.csv").rename(columns={"id": "item", "title": "text"})
    events = pd.read_csv(data / "events.csv").assign(stars=lambda of: of["stars"].astype(float))
    return {"items": items, "events": events}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def spec(folder, monkeypatch):
    tables = {"items": sets.ITEMS, "events": sets.TIMED | {"columns": ["stars"]}}
    monkeypatch.setitem(SETS, "online-retail", CardSet("a shop", shop, tables, TASKS))
    monkeypatch.setattr(sets, "ENGLISH", str(folder / "model"))
    monkeypatch.setattr(one, "REFERENCES", {"popularity": Popularity, "own frequency": OwnFrequency})
    keys = ["adapter.method=head_only", "train.epochs=2"]
    return {"set": "online-retail", "data": str(folder), "rows": 100, "keys": keys, "seed": 0}


def test_the_same_rows_are_ranked_by_peftrec_and_by_references(spec, tmp_path, folder):
    for what in (one.PEFTREC, one.ITEMS, one.REFERENCES_OF):
        (tmp_path / what).mkdir()
        found = one.work(spec | {"what": what, "first": ""}, tmp_path / what)
        assert (found["what"], found["rows"]) == (what, 100) and found["cpu_seconds"] > 0
    popular = found["references"]["popularity"]
    assert list(found["references"]) == ["popularity"]  # nobody bought twice
    assert popular["chosen"] == {"days": popular["tried"][0]["days"]} and 2 < len(popular["tried"]) <= 12
    files = [tmp_path / what / f"{what}.parquet" for what in (one.PEFTREC, one.ITEMS)]
    rows = [pd.read_parquet(file) for file in [*files, tmp_path / "references/popularity.parquet"]]
    for frame in rows:
        assert list(frame) == COLUMNS and frame["prediction"].between(1, 20).all()
        assert frame.drop(columns="prediction").equals(rows[0].drop(columns="prediction"))
    events = shop(folder, 100)["events"].sort_values("time")
    assert sorted(rows[0]["user"]) == sorted(events["user"].tail(len(rows[0])))


def test_other_seeds_take_the_constants_of_the_first(spec, tmp_path, monkeypatch):
    (tmp_path / "result.json").write_text(json.dumps({"references": {"popularity": {"tried": [{"days": 8}]}}}))
    monkeypatch.setattr(Popularity, "seeded", True)
    (tmp_path / "out").mkdir()
    found = one.work(spec | {"what": one.REFERENCES_OF, "seed": 1, "first": str(tmp_path)}, tmp_path / "out")
    assert found["references"]["popularity"]["chosen"] == {"days": 8}
    monkeypatch.setattr(Popularity, "seeded", False)
    (tmp_path / "other").mkdir()
    again = one.work(spec | {"what": one.REFERENCES_OF, "seed": 1, "first": str(tmp_path)}, tmp_path / "other")
    assert again["references"] == {}


def test_interest_is_reported(spec, tmp_path):
    found = one.work(spec | {"what": one.INTEREST, "first": ""}, tmp_path)
    assert 0 <= found["report"]["metrics"]["auc"] <= 1 and "rates_so_far" in found["report"]["priors"]
    assert np.isfinite(found["report"]["gains"]["auc"]["by"])


def test_a_name_is_one_of_the_logs(tmp_path):
    with pytest.raises(SystemExit, match="no log lastfm; there are movielens-100k, ml-latest-small"):
        run_recommending(tmp_path, tmp_path, ["lastfm"], 100, 1, [])
    assert folder_of(tmp_path, "a", "b", 1) == tmp_path / "a/b-1"
