"""The start of numbers of events: kept and read again, honest about the rows it was fitted on."""

import json
from dataclasses import replace

import numpy as np
import pytest
from eventful import chaotic, rated, two_tables
from kept import asked_of
from safetensors.numpy import load as read
from safetensors.numpy import save as write

from peftrec.errors import UserError
from peftrec.machine.files import to_json
from peftrec.recipe import TaskConfig
from peftrec.tasks.columns import columns
from peftrec.tasks.starts import numbers
from peftrec.tasks.starts.events import fit_events
from peftrec.tasks.starts.numbers import fit, load, renumber
from peftrec.tasks.starts.others import of_others

TOLD = TaskConfig(kind="regression", loss="mae")


@pytest.fixture(scope="module")
def started():
    return fit(chaotic(), "task", TOLD, None)


def test_it_begins_better_than_medians_and_a_run_keeps_it(started):
    of = chaotic()
    data = of.tasks["task"]
    assert started.start.name == "boosted + past"
    said = started.start(data.test)
    assert said.dtype == np.float32 and np.abs(said - data.test.label).mean() < 0.4 * np.abs(data.test.label).mean()
    kept = load(json.loads(to_json(started.start.settings())), read(write(started.start.tensors())), asked_of(of))
    np.testing.assert_array_equal(kept(data.test), said)


def test_train_rows_are_told_by_what_did_not_see_them(started, monkeypatch):
    """Labels that nothing tells."""
    of = rated(lambda user, n, random: random.normal())
    train = of.tasks["task"].train
    random = fit(of, "task", TOLD, None)
    if random.train is not None:
        assert np.abs(random.train - train.label).mean() > 0.95 * np.abs(train.label - np.median(train.label)).mean()
    assert started.train.shape == (len(chaotic().tasks["task"].train),)
    monkeypatch.setattr(numbers, "SEEN", 0)  # as if there were far more rows than it is fitted to
    assert fit(chaotic(), "task", TOLD, None).train is None


def test_where_nothing_tells_more_it_is_the_median():
    """Of a coin that mostly falls on one side, a tree says nothing that holds on other rows."""
    of = rated(lambda user, n, random: float(random.random() < 0.1))
    constant = fit(of, "task", TOLD, None)
    assert constant.train is None and constant.start.name == "constant"
    assert constant.start(of.tasks["task"].test).tolist() == [0.0] * len(of.tasks["task"].test)
    kept = load(constant.start.settings(), read(write(constant.start.tensors())), asked_of(of))
    assert kept(of.tasks["task"].test).tolist() == [0.0] * len(of.tasks["task"].test)


@pytest.mark.parametrize(("train", "valid"), [(1, 0), (1, 1), (2, 0), (3, 2), (6, 1)])
def test_of_a_handful_of_rows_something_is_said(train, valid):
    of = chaotic()
    data = of.tasks["task"]
    few = replace(data, train=data.train.take(np.arange(train)), valid=data.valid.take(np.arange(valid)))
    said = fit(replace(of, tasks={"task": few}), "task", TOLD, None).start(data.test)
    label = few.train.label
    assert ((said >= label.min() - 1e-6) & (said <= label.max() + 1e-6)).all()
    numbers = fit_events(replace(few, fitted={}), None, False).whole(data.test)
    assert np.isfinite(numbers).all()


def test_a_loss_of_ones_own_begins_at_its_own_constant():
    assert fit(chaotic(), "task", TaskConfig(kind="regression", loss="own:QUANTILE"), None) is None


DAMAGED = {
    "a loop": ({"left": 0}, "followed by none, or by one before it"),
    "a node that is none": ({"right": 10_000}, "followed by none, or by one before it"),
    "a column that is none": ({"feature": 99}, "feature: columns of 10"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_trees_that_lead_nowhere_are_refused(case, started):
    change, message = DAMAGED[case]
    tensors = started.start.tensors()
    for name, value in change.items():
        tensors[f"0.{name}"] = np.where(tensors["0.feature"] >= 0, value, tensors[f"0.{name}"]).astype(np.int32)
    with pytest.raises(ValueError, match=message):
        load(started.start.settings(), tensors, asked_of(chaotic()))


def test_trees_of_several_sizes_and_a_base_of_no_column_are_refused(started):
    settings, tensors = started.start.settings(), started.start.tensors()
    with pytest.raises(ValueError, match=r"left: \d+ x \d+ whole numbers; found int32"):
        load(settings, {**tensors, "0.left": tensors["0.left"][:, 1:]}, asked_of(chaotic()))
    first, *others = settings["bases"]
    with pytest.raises(ValueError, match="own: two columns of 10; found 0 and 10"):
        load({**settings, "bases": [{**first, "own": [0, 10]}, *others]}, tensors, asked_of(chaotic()))
    with pytest.raises(ValueError, match="bases: one at least"):
        load({**settings, "bases": []}, tensors, asked_of(chaotic()))
    with pytest.raises(ValueError, match="it reads 10 columns, and a row has 8"):  # none received alike
        load(settings, {}, asked_of(chaotic()))
    with pytest.raises(KeyError, match="feature"):
        load({**settings, "columns": 8}, {}, asked_of(chaotic()))


@pytest.mark.parametrize("texts", [True, False])
def test_two_columns_more_are_what_the_past_lets_foresee_and_what_the_linear_model_says(texts):
    of = rated(lambda user, n, random: random.normal(user % 2))
    held = np.random.default_rng(1).normal(size=(len(of.texts), 5)).astype(np.float32)
    start = fit(of, "task", TOLD, (lambda rows: held[rows]) if texts else None).start
    test = of.tasks["task"].test
    said, read_by = start.told.known.said(test), start.told(test)
    assert np.array_equal(read_by[:, :-2], columns(test))
    assert np.array_equal(read_by[:, -1], start.told.linear(test))
    mean, count = test.inputs()[:, 0], np.expm1(test.inputs()[:, 1])
    expected = mean + said["expected"] * 5 / (count + 5) + said["leaning"] + said["akin"] + said["together"]
    assert read_by[:, -2] == pytest.approx(expected, abs=1e-5)
    assert said["leaning"].any() and said["akin"].any() == said["expected"].any() == texts
    kept = load(start.settings(), start.tensors(), asked_of(of, (lambda rows: held[rows]) if texts else None))
    assert np.array_equal(kept(test), start(test)) and kept.name == start.name
    assert np.array_equal(renumber(start, np.arange(6))(test), start(test))


def test_of_several_tables_the_others_are_read_too_but_in_a_run_of_before():
    config = TaskConfig(kind="regression", column="rating", loss="mse")
    _, of = two_tables(config=config)
    start, test = fit(of, "task", config, None).start, of.tasks["task"].test
    assert start.model.read(test)[:, -3:-1] == pytest.approx(of_others(test), abs=1e-5)
    asked, width = asked_of(of), columns(test).shape[1]
    assert start.settings()["columns"] == width + 4
    for again in (load(start.settings(), start.tensors(), asked), renumber(start, np.arange(6))):
        assert np.array_equal(again(test), start(test))
    tensors = of_one_base(start.tensors())
    tensors["feature"] = np.minimum(tensors["feature"], width)
    settings = {**start.settings(), "base": {**start.settings()["bases"][0], "weight": []}}
    of_before = {name: of for name, of in settings.items() if name != "linear"}
    for kept, more in ((settings, 2), (of_before, 1), (of_before, 3)):  # without others, or without a linear model
        before = load({**kept, "columns": width + more}, tensors, asked)
        assert before.model.read(test).shape[1] == width + more and np.isfinite(before(test)).all()
    with pytest.raises(ValueError, match=r"weight: 13 numbers; found float32 \(15,\)"):
        load(start.settings(), start.tensors(), replace(asked, several=False))


def of_one_base(tensors):
    """As a run of before has them."""
    return {name.removeprefix("0."): of for name, of in tensors.items()}


def test_a_run_of_before_has_one_base(started):
    start, test = started.start, chaotic().tasks["task"].test
    first = start.settings()["bases"][0]
    settings = {**{name: of for name, of in start.settings().items() if name != "bases"}, "base": first}
    kept = load(settings, of_one_base(start.tensors()), asked_of(chaotic()))
    part, model = start.model.parts[0], start.model
    right = part(model.read(test)).clip(model.low, model.high)
    assert np.array_equal(kept(test), right.astype(np.float32))


def test_rows_of_other_columns_are_refused(started):
    rows = chaotic().tasks["task"].test
    with pytest.raises(UserError, match="the trees read 10 columns, and these rows have 13"):
        started.start(replace(rows, features=np.zeros((len(rows), 3), np.float32)))
