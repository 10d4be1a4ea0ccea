"""A second catalogue: few ratings are few and earlier than the test's, and all arms are tested on the same rows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.transfer import catalogues
from benchmarks.transfer.catalogues import AFTER, BESIDE, NOTHING, compared, few, measure


def ratings(seed, users=30):
    """20 ratings of each user."""
    random = np.random.default_rng(seed)
    events = pd.DataFrame({"user": np.repeat(np.arange(users), 20), "item": random.integers(0, 9, 20 * users)})
    events = events.assign(rating=5.0, time=random.permutation(20 * users).astype(float))
    return {"items": pd.DataFrame({"item": np.arange(9), "text": [f"w{n}" for n in range(9)]}), "events": events}


def test_few_ratings_of_whole_users_before_the_test():
    found, events = few(ratings(0), 100, 0), ratings(0)["events"]
    of = found["tweeted_events"]
    test, known = of[of["split"] == "test"], of[of["split"] != "test"]
    assert sorted(test["time"]) == list(range(480, 600)) and 80 < len(known) <= 100 and known["time"].max() < 480
    users = events[events["user"].isin(known["user"]) & (events["time"] < 480)]
    assert sorted(users["time"]) == sorted(known["time"])
    valid = known["split"] == "valid"
    assert known[valid]["time"].min() > known[~valid]["time"].max() and 8 <= valid.sum() <= 10
    again = few(ratings(0), 100, 1)["tweeted_events"]
    assert {*again["user"][again["split"] != "test"]} != {*known["user"]}


def test_gains_are_paired_by_draw():
    table = pd.DataFrame({NOTHING: [0.5, 0.7, 0.6], AFTER: [0.6, 0.81, 0.72], BESIDE: [0.5, 0.7, 0.6], "prior": 0.4})
    found = compared(table.to_dict("records"))
    assert (found[NOTHING], found["prior"]) == pytest.approx((0.6, 0.4))
    low, high = stats.t.interval(0.95, 2, loc=0.11, scale=stats.sem([0.1, 0.11, 0.12]))
    assert found["gains"][AFTER]["by"] == pytest.approx(0.11)
    assert found["gains"][AFTER]["interval"] == pytest.approx([low, high])
    assert found["gains"][BESIDE] == {"by": 0, "interval": [0, 0]}


def test_every_arm_is_trained_on_what_it_says(tmp_path, monkeypatch):
    seen = []

    def trained(run, frames, backbone, recipe, **more):
        seen.append((run.name, set(frames), set(recipe["tables"]), list(recipe["tasks"]), more.get("init_from")))
        run.mkdir(parents=True)
        report = {"metrics": {"auc": len(more) / 10}, "priors": {"a": {"auc": 0.4}, "b": {"auc": 0.5}, "c": {}}}
        (run / "report.json").write_text(json.dumps({"tasks": {"like": report}}))
        return run

    for name, seed in (("ml_latest", 0), ("movietweetings", 1)):
        monkeypatch.setattr(catalogues, name, lambda data, rows, seed=seed: ratings(seed))
    monkeypatch.setattr(catalogues, "trained", trained)
    monkeypatch.setattr(catalogues, "SIZES", (100,))
    found = measure(tmp_path, 2)
    films, tweeted = {"films", "films_events"}, {"tweeted", "tweeted_events"}
    assert seen[0] == ("films", films, films, ["like"], None) and len(seen) == 7
    assert seen[1] == (NOTHING, tweeted, tweeted, ["like"], None)
    assert seen[2][:4] == (AFTER, tweeted, tweeted, ["like"]) and Path(seen[2][4]).name == "films"
    assert seen[3] == (BESIDE, tweeted | films, tweeted | films, ["like", "like_films"], None)
    assert list(found) == ["100"] and found["100"]["prior"] == 0.5
    assert found["100"]["gains"][AFTER]["by"] == pytest.approx(0.1)
