"""Data sets from their tables to the lines of the card, with a tiny backbone: every kind once."""

import numpy as np
import pandas as pd
import pytest
from tiny import make_tiny_shop

from benchmarks.card import one, sets
from benchmarks.card.sets import SETS, CardSet

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def words(count, seed=0):
    return [" ".join(f"w{w}" for w in of) for of in np.random.default_rng(seed).integers(0, 120, (count, 3))]


def texts(data, rows):
    said = words(120)
    return {"texts": pd.DataFrame({"text": said, "topic": ["a", "b", "c"] * 40, "price": np.arange(1.0, 121)})}


def queries(data, rows):
    items = pd.DataFrame({"item": [f"i{n}" for n in range(40)], "text": words(40, 1)})
    return {"items": items, "queries": pd.DataFrame({"query": words(80, 2), "item": items["item"].tolist() * 2})}


def graded(data, rows):
    of = queries(data, rows)
    return of | {"queries": of["queries"].assign(grade=[0.0, 1.0, 10.0, 100.0] * 20)}


def events(data, rows):
    shop = pd.read_csv(data / "events.csv").assign(stars=lambda of: of["stars"].astype(float))
    items = pd.read_csv(data / "items.csv").rename(columns={"id": "item", "title": "text"})
    return {"items": items, "events": shop}


TINY = {
    "texts": CardSet("", texts, SETS["bitext"].data, {
        "topic": {"kind": "classification", "label": "topic"},
        "price": {"kind": "regression", "label": "price"},
    }),
    "queries": CardSet("", queries, SETS["xquad-en"].data, SETS["xquad-en"].tasks),
    "graded": CardSet("", graded, SETS["esci"].data, SETS["esci"].tasks),
    "events": CardSet("", events, {"items": sets.ITEMS, "events": sets.TIMED | {"columns": ["stars"]}}, {
        "like": {"kind": "interest", "column": "stars", "threshold": 4},
        "next": {"kind": "next-item"},
        "stars": {"kind": "regression", "column": "stars"},
        "return": {"kind": "next-gap"},
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", TINY)
def test_every_task_has_its_line(folder, tmp_path, monkeypatch, name):
    monkeypatch.setitem(SETS, name, TINY[name])
    monkeypatch.setattr(sets, "ENGLISH", str(folder / "model"))
    spec = {
        "set": name,
        "data": str(folder),
        "rows": 100,
        "keys": ["adapter.method=head_only", "train.max_steps=12", *(["train.refit=true"] if name == "events" else [])],
        "chinese": "",
    }
    found = one.work(spec, tmp_path)
    assert list(found["tasks"]) == list(TINY[name].tasks)
    for of in found["tasks"].values():
        assert of["n"] > 5 and of["baseline"]["name"] in of["baseline"]["all"]
        assert all(np.isfinite(value) for value in (of["result"], of["chance"], *of["baseline"]["all"].values()))
        assert of["verdict"] in ("win", "level", "loss") and of["rival"] in (
            of["prior"]["name"],
            of["baseline"]["name"],
        )
        assert sorted(path.stem for path in (tmp_path / "tables").iterdir()) == sorted(TINY[name].data)
    if name == "events":  # the same popularity, by other code, on the same rows
        known = found["tasks"]["next"]
        report = one.read_json(tmp_path / "run/report.json")["tasks"]["next"]
        assert known["baseline"]["all"]["popularity"] == pytest.approx(report["priors"]["popularity"]["ndcg@10"])


def test_vectors_are_of_length_one_and_as_they_are_alone(folder):
    vectors, said = one.frozen_vectors(str(folder / "model")), words(70)
    found = vectors(said)
    np.testing.assert_allclose((found**2).sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found[[3]], vectors([said[3]]), atol=1e-5)
