"""Learning curves: what is gained is paired by draw and test row; the few rows are as few as they say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, mean_absolute_error
from tiny import make_tiny_shop, tiny_recipe

from benchmarks.studies import curves
from benchmarks.studies.curves import PAIRS, Draw, Pair, compared
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
    return Draw(rows, {"alone": predicted(0.5), "together": predicted(good)}, label, priors)


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
    draws = [Draw(np.arange(20), {"alone": label + 2, "after": label + 1}, label, {"mae": {}}) for _ in range(2)]
    said = compared(draws, "mae")
    assert said["alone"] == mean_absolute_error(label, label + 2)
    assert said["arms"]["after"] == {"value": 1.0, "gain": 1.0, "interval": [1.0, 1.0]}


def test_a_draw_is_read_as_it_was_written(tmp_path):
    draw = drawn(0, 0.9)
    draw.write(tmp_path / "draw.npz")
    again = Draw.read(tmp_path / "draw.npz")
    assert (again.rows == draw.rows).all() and (again.label == draw.label).all() and again.priors == draw.priors
    assert all((again.arms[arm] == of).all() for arm, of in draw.arms.items())


def table_of(texts):
    split = np.where(np.arange(len(texts)) < 100, "test", "train")
    return pd.DataFrame({"text": texts, "label": [f"c{n % 7}" for n in range(len(texts))], "split": split})


def test_a_draw_has_so_many_labelled_rows_and_test_rows_of_their_classes(monkeypatch):
    texts, seen = [f"w{n}" for n in range(300)], []
    target = table_of(texts)
    pair = Pair("one beside another", lambda data: (target, {"many": target.iloc[100:150]}))

    def prepared(pair, folder, method, names):
        seen.append({name: pd.read_parquet(f"{folder}/{name}.parquet") for name in ("few", "many")})
        raise InterruptedError

    monkeypatch.setattr(curves, "_prepared", prepared)
    for draw in (0, 0, 1):
        with pytest.raises(InterruptedError):
            curves._draw(pair, pair.tables(Path()), "side", 10, draw)
    few = seen[0]["few"]
    assert few["split"].value_counts().drop("test").to_dict() == {"train": 8, "valid": 2}
    assert set(few["label"][few["split"] == "test"]) <= set(few["label"][few["split"] == "train"])
    assert set(few["text"][few["split"] != "test"]) <= set(texts[100:])
    pd.testing.assert_frame_equal(few, seen[1]["few"])
    assert set(seen[2]["few"]["text"]) != set(few["text"])


def test_a_draw_has_every_arm_and_the_priors_of_the_target_alone(tmp_path, monkeypatch, quick):
    words = [" ".join(f"w{n % 11}" for n in range(place, place + 3)) + f" x{place}" for place in range(260)]
    target, other = table_of(words[:200]), table_of(words[200:]).assign(split=["train"] * 40 + ["test"] * 20)
    monkeypatch.setattr(curves, "ENGLISH", str(make_tiny_shop(tmp_path) / "model"))
    draw = curves._draw(Pair("one beside another", None), (target, {"many": other}), "head_only", 60, 0)
    assert list(draw.arms) == ["alone", "begun", "together", "after"]
    assert all(of.shape == (100, 7) for of in draw.arms.values()) and len(draw.rows) == 100
    assert draw.priors.keys() == {"log_loss", "macro_f1"}
    assert all({"majority", "tfidf", "frozen_lr"} <= of.keys() for of in draw.priors.values())
    assert "other_tasks" not in draw.priors["log_loss"]  # it would not be alone
    told = np.bincount(draw.label.astype(int), minlength=7)
    share = np.bincount([n % 7 for n in range(100)], minlength=7)
    assert sorted(told) == sorted(share)


def test_what_is_there_is_not_measured_again_and_a_cell_has_two_draws_or_more(tmp_path, monkeypatch):
    made = []

    def one(pair, tables, method, size, draw):
        made.append((pair.said, method, size, draw))
        return drawn(draw, 0.9)

    monkeypatch.setattr(curves, "_draw", one)
    monkeypatch.setattr(curves, "PAIRS", {"a": Pair("a beside b", lambda data: None)})
    for draws in (1, 2, 3):
        found = curves.measure(Path(), tmp_path, draws, [60], ["a"], ["lora"], 10)
        assert made == [("a beside b", "lora", 60, draw) for draw in range(draws)]
        assert (found["methods"] == {}) == (draws == 1)
    found = curves.measure(Path(), tmp_path, 9, [60], ["a"], ["side"], 0)["methods"]
    assert found.keys() == {"lora"} and found["lora"]["a"]["metrics"].keys() == {"log_loss", "macro_f1"}
    cells = [of["60"] for of in found["lora"]["a"]["metrics"].values()]
    assert [of["draws"] for of in cells] == [3, 3]
    assert [of["priors"]["frozen_lr"] for of in cells] == pytest.approx([1.0, 0.1])
    assert all(of["arms"]["together"]["gain"] > 0 for of in cells)  # of the loss what is less


def test_every_arm_begins_at_the_same_weights_and_alone_is_the_training_of_one_task(tmp_path, monkeypatch, quick):
    shop, trained = make_tiny_shop(tmp_path), []

    def fit(setup):
        trained.append((sorted(setup.trained), {n: p.detach().clone() for n, p in setup.model.trainable().items()}))
        with torch.no_grad():
            for parameter in setup.model.trainable().values():
                parameter += 1.0

    monkeypatch.setattr(curves, "fit", fit)
    monkeypatch.setattr(curves, "TARGET", "query")
    whole = tiny_recipe(shop, adapter={"method": "side", "options": {"rank": 4}})
    alone, both = (
        prepare(whole.model_copy(update={"tasks": {name: whole.tasks[name] for name in names}}))
        for names in (["query"], ["query", "interest"])
    )
    arms = list(curves._arms(alone, both))
    assert arms == [("alone", alone), ("begun", both), ("together", both), ("after", both)]
    assert [tasks for tasks, _ in trained] == [["query"], ["interest", "query"], ["interest"], ["query"]]
    first = trained[1][1]
    assert all(torch.equal(p, first[name]) for name, p in trained[0][1].items())
    for number, moved in ((2, 0), (3, 1)):  # what the training before left
        assert all(torch.equal(p, first[name] + moved) for name, p in trained[number][1].items())


def test_there_are_pairs_of_three_fields():
    assert len(PAIRS) == 6
