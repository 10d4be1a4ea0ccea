"""Short trainings: from the same weights, on the same rows, parts of the validation rows."""

import numpy as np
import pytest
import torch
from tiny import make_tiny_shop, tiny_recipe

import peftrec.training.affinity.short
from peftrec.training.affinity.short import LOOKS, Short, shared_by, thin, valid_parts
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    return prepare(tiny_recipe(make_tiny_shop(tmp_path_factory.mktemp("tiny")), adapter={"method": "side"}))


def test_every_training_begins_at_the_same_weights_and_sees_the_rows_of_its_draw(setup, monkeypatch):
    short, steps, begun = Short(setup, 9), [], []
    kept = peftrec.training.affinity.short.one_step

    def one_step(given, number):
        steps[-1].append(kept(given, number).rows)

    monkeypatch.setattr(peftrec.training.affinity.short, "one_step", one_step)

    def look():
        begun[-1].append({name: p.detach().clone() for name, p in setup.model.trainable().items()})

    for tasks, draw in ((("query",), 0), (("query", "interest"), 0), (("query",), 1), (("query",), 0)):
        steps.append([])
        begun.append([])
        short.train(short.beginning(tasks), draw, look)
        assert len(begun[-1]) == 1 + LOOKS and len(steps[-1]) == 9
    alone, beside, other, _ = steps
    for one, two in zip(alone, beside, strict=True):
        assert list(one) == ["query"] and list(two) == ["query", "interest"]
        assert one["query"].tolist() == two["query"].tolist()
    assert [of["query"].tolist() for of in alone] != [of["query"].tolist() for of in other]
    for weights in begun[2:]:
        torch.testing.assert_close(weights[0], begun[0][0], rtol=0, atol=0)
    there = {name for name in begun[0][0] if name.split("/")[1] != "interest"}  # a head that is there begins at zero
    for name in there:
        torch.testing.assert_close(begun[1][0][name], begun[0][0][name], rtol=0, atol=0)
    assert len(there) > len(begun[0][0]) / 2
    torch.testing.assert_close(begun[3][-1], begun[0][-1], rtol=0, atol=0)
    moved = {name for name, of in begun[0][-1].items() if not torch.equal(of, begun[0][0][name])}
    assert moved and not any(name.split("/")[1] == "interest" for name in moved)


def test_a_task_alone_begins_at_nothing_that_the_others_know(tmp_path):
    """A category that few texts have, beside an intent that all have, of which it follows: most words are new to it."""
    shop = make_tiny_shop(tmp_path)
    lines = [f"w{n % 40},{n % 40 % 4},{n % 40 % 4 // 2 if n % 40 % 3 == 0 and n < 160 else ''}" for n in range(600)]
    lines += [f"w{n % 40},,{n % 40 % 4 // 2}" for n in range(600, 640)]
    (shop / "both.csv").write_text("\n".join(["text,intent,category", *lines]) + "\n")
    texts = {"path": str(shop / "both.csv"), "text": "{text}", "split": "random"}

    def prepared(*tasks):
        of = {name: {"kind": "classification", "label": name} for name in tasks}
        return prepare(tiny_recipe(shop, adapter={"method": "side"}, data={"texts": texts}, tasks=of))

    def begun_by_itself(*tasks):
        setup = prepared(*tasks)
        begin(setup)
        return setup.dataset.tasks["category"].valid

    short = Short(prepared("category", "intent"), 4)
    both, alone = (short.beginning(tasks) for tasks in (("category", "intent"), ("category",)))
    for made, expected in ((both, begun_by_itself("category", "intent")), (alone, begun_by_itself("category"))):
        assert made.valid["category"].offsets.name == expected.offsets.name
        np.testing.assert_array_equal(made.valid["category"].offset, expected.offset)
    assert "other_tasks" in both.valid["category"].offsets.name
    assert "other_tasks" not in alone.valid["category"].offsets.name


def test_the_learning_rate_rises_and_falls_within_the_short_training(setup, monkeypatch):
    rates, kept = [], peftrec.training.step.set_learning_rates
    monkeypatch.setattr(
        peftrec.training.step, "set_learning_rates", lambda of, factor: (rates.append(factor), kept(of, factor))
    )
    short = Short(setup, 4)
    short.train(short.beginning(("query",)), 0, lambda: None)
    assert rates == [1.0, 0.75, 0.5, 0.25]


def test_validation_rows_are_parted_by_whole_users(setup):
    group = np.asarray(setup.dataset.tasks["interest"].valid.group)
    parts = valid_parts(setup, "interest", 3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(group)))
    users = [set(group[part].tolist()) for part in parts]
    assert all(users) and not (users[0] & users[1] or users[1] & users[2] or users[0] & users[2])


def test_what_two_tasks_share_are_the_shared_parts(setup):
    shared = {id(p) for p in shared_by(setup, ("query", "interest"))}
    assert shared == {id(p) for p in setup.model.encoder.parameters_by_owner()["shared"].values()}


def test_few_rows_are_left_and_batch_and_rates_follow_them(tmp_path):
    tasks = {"query": {"kind": "match-query", "train": {"lr": 8e-3}}, "time": {"kind": "next-gap"}}
    rates = {"batch_size": 64, "lr": 4e-3, "head_lr": 2e-3}
    setup = prepare(tiny_recipe(make_tiny_shop(tmp_path), tasks=tasks, train=rates))
    thin(setup, 9)
    for data in setup.dataset.tasks.values():
        assert len(data.train) == 9 and len(data.valid) <= 9
    config = setup.config
    assert (config.batch_size, config.lr, config.head_lr) == (16, 2e-3, 1e-3)  # half the rates: a quarter of the batch
    assert setup.recipe.tasks["query"].train.model_dump() == {"lr": 4e-3, "head_lr": None, "weight_decay": None}
    assert setup.recipe.tasks["time"].train is None
    before = config.model_copy(update={"batch_size": 8})
    setup.config = before
    thin(setup, 9)
    assert setup.config == before  # never larger than the recipe's
