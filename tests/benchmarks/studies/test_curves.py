"""Learning curves: what is gained is paired by draw and test row; the few rows are as few as they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, mean_absolute_error
from tiny import make_tiny_shop, tiny_recipe

from benchmarks.studies import curves
from benchmarks.studies.curves import Draw, compared
from benchmarks.studies.pairs import EventPair, TextPair
from peftrec.training.prepare import prepare


def drawn(seed, good):
    """A draw whose predictions together are right on a share `good` of the rows, and alone on half of them: 90 of 100
    test rows."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, 90)

    def predicted(share):
        told = np.where(random.random(90) < share, label, (label + 1) % 3)
        return np.eye(3)[told] * 0.8 + 0.1

    rows = np.sort(random.permutation(100)[:90])  # of draws not the same ones
    priors = {"log_loss": {"frozen_lr": 1.0}, "macro_f1": {"frozen_lr": seed / 10}}
    return Draw(60, rows, {"alone": predicted(0.5), "together": predicted(good)}, label, priors)


def test_gains_are_means_over_draws_with_an_interval_around_them():
    found = [drawn(seed, 0.9) for seed in range(3)]
    said = compared(found, "macro_f1")
    alone, together = (
        np.mean([f1_score(d.label, d.arms[arm].argmax(1), average="macro") for d in found])
        for arm in ("alone", "together")
    )
    arm = said["arms"]["together"]
    assert (said["alone"], arm["value"], said["draws"]) == pytest.approx((alone, together, 3))
    assert arm["gain"] == pytest.approx(together - alone)
    assert 0 < arm["interval"][0] < arm["gain"] < arm["interval"][1]
    assert said["priors"] == {"frozen_lr": pytest.approx(0.1)}
    low, high = compared([drawn(seed, 0.5) for seed in range(3)], "macro_f1")["arms"]["together"]["interval"]
    assert low < 0 < high


def test_of_an_error_less_is_a_gain():
    label = np.arange(20.0)
    draws = [Draw(20, np.arange(20), {"alone": label + 2, "after": label + 1}, label, {"mae": {}}) for _ in range(2)]
    said = compared(draws, "mae")
    assert said["alone"] == mean_absolute_error(label, label + 2)
    assert said["arms"]["after"] == {"value": 1.0, "gain": 1.0, "interval": [1.0, 1.0]}


def test_what_is_less_than_is_shown_is_no_gain():
    label = np.zeros(20)
    draws = [
        Draw(20, np.arange(20), {"alone": label + 1, "after": label + 1 - less}, label, {"mae": {}})
        for less in (1e-6, 0.5)
    ]
    low, high = compared(draws, "mae")["arms"]["after"]["interval"]
    assert (low, high) == (0, 0.5)


def test_what_the_other_task_adds_is_gained_over_reading():
    label = np.arange(20.0)
    arms = {"alone": label + 4, "reading": label + 2, "together": label + 3}
    said = compared([Draw(20, np.arange(20), arms, label, {"mae": {}}) for _ in range(2)], "mae")["arms"]
    assert said["together"] == {"value": 3.0, "gain": 1.0, "interval": [1.0, 1.0]}
    assert said["co-training"] == {"value": 3.0, "gain": -1.0, "interval": [-1.0, -1.0]}


def test_rows_of_one_group_are_drawn_together():
    label, good = np.zeros(40), np.repeat([1.0, 0.0], 20)  # all rows of one user are better, those of the other not
    arms = {"alone": label + 1, "together": label + 1 - good}

    def ends(group):
        return compared([Draw(40, group, arms, label, {"mae": {}}) for _ in range(2)], "mae")["arms"]["together"][
            "interval"
        ]

    assert ends(np.repeat([0, 1], 20)) == [0.0, 1.0]
    low, high = ends(np.arange(40))
    assert 0.2 < low < 0.5 < high < 0.8


def test_a_draw_is_read_as_it_was_written(tmp_path):
    draw = drawn(0, 0.9)
    draw.write(tmp_path / "draw.npz")
    again = Draw.read(tmp_path / "draw.npz")
    assert (again.group == draw.group).all() and (again.label == draw.label).all() and again.priors == draw.priors
    assert all((again.arms[arm] == of).all() for arm, of in draw.arms.items())
    assert np.isnan(again.forecast) and again.rows == 60
    replace(draw, forecast=0.25).write(tmp_path / "draw.npz")
    assert Draw.read(tmp_path / "draw.npz").forecast == 0.25


def test_a_forecast_is_the_mean_of_the_draws_that_have_one():
    draws = [replace(drawn(seed, 0.9), forecast=forecast) for seed, forecast in enumerate((0.1, 0.3, np.nan))]
    assert compared(draws, "log_loss")["forecast"] == pytest.approx(0.2)
    assert compared(draws[2:], "log_loss")["forecast"] is None


def test_the_first_draw_has_what_affinity_says_of_the_other_task_s_effect(tmp_path, monkeypatch, quick):
    words = [" ".join(f"w{n % 11}" for n in range(place, place + 3)) + f" x{place}" for place in range(260)]
    target, other = table_of(words[:200]), table_of(words[200:]).assign(split=["train"] * 40 + ["test"] * 20)
    monkeypatch.setattr(curves, "ENGLISH", str(make_tiny_shop(tmp_path) / "model"))
    monkeypatch.setattr(curves, "fit", lambda setup: None)
    asked = []

    def affinity_of(setup, *plan):
        asked.append((sorted(setup.trained), setup.begun, plan))
        return {"pairs": [{"of": "few", "on": "many", "effect": {"value": 9}}, {"on": "few", "effect": {"value": 0.5}}]}

    monkeypatch.setattr(curves, "affinity_of", affinity_of)
    pair, tables = TextPair("one beside another", "field", None), {"few": target, "many": other}
    assert curves._draw(pair, tables, "side", 60, 0).forecast == 0.5
    assert asked == [(["few", "many"], False, (curves.ROUNDS, curves.STEPS, curves.ROWS))]
    for method, draw in (("side", curves.FORETOLD["side"]), ("lora", 0)):
        assert np.isnan(curves._draw(pair, tables, method, 60, draw).forecast)


def table_of(texts):
    split = np.where(np.arange(len(texts)) < 100, "test", "train")
    return pd.DataFrame({"text": texts, "label": [f"c{n % 7}" for n in range(len(texts))], "split": split})


def test_a_draw_has_every_arm_and_the_priors_of_the_target_alone(tmp_path, monkeypatch, quick):
    words = [" ".join(f"w{n % 11}" for n in range(place, place + 3)) + f" x{place}" for place in range(260)]
    target, other = table_of(words[:200]), table_of(words[200:]).assign(split=["train"] * 40 + ["test"] * 20)
    monkeypatch.setattr(curves, "ENGLISH", str(make_tiny_shop(tmp_path) / "model"))
    draw = curves._draw(
        TextPair("one beside another", "field", None), {"few": target, "many": other}, "head_only", 60, 0
    )
    assert list(draw.arms) == ["alone", "begun", "together", "after"]
    assert all(of.shape == (100, 7) for of in draw.arms.values()) and len(draw.group) == 100
    assert draw.priors.keys() == {"log_loss", "macro_f1"}
    assert all({"majority", "tfidf", "frozen_lr"} <= of.keys() for of in draw.priors.values())
    assert "other_tasks" not in draw.priors["log_loss"]  # it would not be alone
    told = np.bincount(draw.label.astype(int), minlength=7)
    share = np.bincount([n % 7 for n in range(100)], minlength=7)
    assert sorted(told) == sorted(share)


def test_of_events_there_is_an_arm_that_reads_and_rows_stand_as_in_the_table(tmp_path, monkeypatch, quick):
    shop = make_tiny_shop(tmp_path, users=40)
    items = pd.read_csv(shop / "items.csv").rename(columns={"id": "item", "title": "text"})
    events = pd.read_csv(shop / "events.csv").sample(frac=1, random_state=0)  # not by user, nor by time
    late = events["time"] > events["time"].quantile(0.8)
    tables = {"items": items, "known": events[~late], "test": events[late]}
    monkeypatch.setattr(curves, "ENGLISH", str(shop / "model"))
    pair = EventPair("one beside another", "field", None, column="stars", threshold=4)
    draw = curves._draw(pair, tables, "head_only", 40, 0)
    assert list(draw.arms) == ["alone", "reading", "begun", "together", "after"]
    assert all(of.shape == (len(tables["test"]),) for of in draw.arms.values())
    assert (draw.label == (tables["test"]["stars"] >= 4)).all()
    assert len(set(draw.group)) == tables["test"]["user"].nunique()
    assert draw.priors.keys() == {"log_loss", "auc"}
    assert all({"item_rate", "rates_so_far"} <= of.keys() for of in draw.priors.values())
    said = compared([draw, draw], "log_loss")
    assert said["arms"].keys() == {"reading", "begun", "together", "after", "co-training"}


def test_what_is_there_is_not_measured_again_and_a_cell_has_two_draws_or_more(tmp_path, monkeypatch):
    made = []

    def one(pair, tables, method, size, draw):
        made.append((pair.said, method, size, draw))
        return drawn(draw, 0.9)

    monkeypatch.setattr(curves, "_draw", one)
    monkeypatch.setattr(curves, "PAIRS", {"a": TextPair("a beside b", "field", lambda data: None)})
    monkeypatch.setattr(curves, "commit", lambda: "abc")
    for draws in (1, 2, 3):
        found = curves.measure(Path(), tmp_path, draws, [60], ["a"], ["lora"], 10)
        assert made == [("a beside b", "lora", 60, draw) for draw in range(draws)]
        assert (found["methods"] == {}) == (draws == 1)
    found = curves.measure(Path(), tmp_path, 9, [60], ["a"], ["side"], 0)["methods"]
    assert found.keys() == {"lora"} and found["lora"]["a"]["metrics"].keys() == {"log_loss", "macro_f1"}
    assert (found["lora"]["a"]["commit"], found["lora"]["a"]["over"]) == ("abc", "100 test rows")
    cells = [of["60"] for of in found["lora"]["a"]["metrics"].values()]
    assert [of["draws"] for of in cells] == [3, 3]
    assert [of["priors"]["frozen_lr"] for of in cells] == pytest.approx([1.0, 0.1])
    assert all(of["arms"]["together"]["gain"] > 0 for of in cells)  # of the loss what is less


def test_of_all_rows_a_cell_says_how_many_and_events_have_none_of_them(tmp_path, monkeypatch):
    made = []

    def one(pair, tables, method, size, draw):
        made.append((pair.said, size))
        return replace(drawn(draw, 0.9), rows=min(size, 1600))

    monkeypatch.setattr(curves, "_draw", one)
    text = TextPair("a beside b", "field", lambda data: None)
    events = EventPair("c beside d", "field", lambda data: None, metrics=("log_loss",))
    monkeypatch.setattr(curves, "PAIRS", {"a": text, "c": events})
    sizes = [250, curves.ALL]
    found = curves.measure(Path(), tmp_path, 2, sizes, ["a", "c"], ["side"], 10)["methods"]["side"]
    assert sorted(set(made)) == [("a beside b", 250), ("a beside b", curves.ALL), ("c beside d", 250)]
    assert list(found["a"]["metrics"]["log_loss"]) == ["250", "1600"]
    assert list(found["c"]["metrics"]["log_loss"]) == ["250"]


def test_every_arm_begins_at_the_same_weights_and_alone_is_the_training_of_one_task(tmp_path, monkeypatch, quick):
    shop, trained = make_tiny_shop(tmp_path), []

    def fit(setup):
        trained.append((sorted(setup.trained), {n: p.detach().clone() for n, p in setup.model.trainable().items()}))
        with torch.no_grad():
            for parameter in setup.model.trainable().values():
                parameter += 1.0

    monkeypatch.setattr(curves, "fit", fit)
    monkeypatch.setattr(curves, "TARGET", "query")
    monkeypatch.setattr(curves, "OTHER", "interest")
    whole = tiny_recipe(shop, adapter={"method": "side", "options": {"rank": 4}})
    asked = []

    def made(tables, tasks):
        asked.append((tables, tasks))
        return prepare(whole.model_copy(update={"tasks": {name: whole.tasks[name] for name in tasks}}))

    pair = EventPair("one beside another", "field", None)
    assert [arm for arm, _ in curves._arms(pair, made)] == ["alone", "reading", "begun", "together", "after"]
    both = ["query", "interest"]
    assert asked == [(["query"], ["query"]), (both, ["query"]), (both, both)]
    alone = [["query"], ["query"]]
    assert [tasks for tasks, _ in trained] == [*alone, ["interest", "query"], ["interest"], ["query"]]
    first = trained[2][1]
    assert all(torch.equal(p, first[name]) for of in trained[:2] for name, p in of[1].items())
    for number, moved in ((3, 0), (4, 1)):  # what the training before left
        assert all(torch.equal(p, first[name] + moved) for name, p in trained[number][1].items())
