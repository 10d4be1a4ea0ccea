"""`other_tasks`: what other tasks on texts have learnt is read by a task of few labels; alone, and in the start."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from columns import rows
from kept import asked_of
from layered import Layers, noise
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors import PRIORS, others
from peftrec.tasks.priors.others import choose_others, read_others
from peftrec.tasks.priors.vectors import choose_vectors, folds_of_layers, folds_of_vectors
from peftrec.tasks.starts.texts import fit, load

WIDTH, FEW, MANY = 40, 40, 400
TOLD = TaskConfig(kind="classification")


def task(texts, label, classes, parts):
    """A task on texts whose first rows are to train, and so on."""
    said = rows(label, np.arange(len(label)), None, None, {"text": texts})
    ends = np.cumsum((0, *parts))
    cut = (said.take(np.arange(first, last)) for first, last in pairwise(ends))
    return TaskData(*cut, classes=classes)


def made(label_of_other=None, classes_of_other=("w", "x", "y", "z")):
    """A task of two classes and few rows, and one of many whose four classes are what these two are made of; they lie
    in two of many directions. Returns the data set and its vectors."""
    random = np.random.default_rng(0)
    texts = TextTable()
    written = [texts.add(f"text {n}") for n in range(FEW + MANY + 600)]
    held = random.normal(size=(len(written), WIDTH)).astype(np.float32)
    fine = 2 * (held[:, 0] > 0) + (held[:, 1] > 0)
    coarse = (fine % 3 == 0).astype(np.int64)  # the same sign in both: no direction tells it
    few = task(written[:FEW] + written[-500:], np.append(coarse[:FEW], coarse[-500:]), ["a", "b"], (FEW - 8, 8, 500))
    known = fine[FEW:-500] if label_of_other is None else label_of_other(held[FEW:-500], fine[FEW:-500])
    many = task(written[FEW:-500], known, list(classes_of_other), (MANY, 50, 50))
    return Dataset(texts, {}, [], {"few": few, "many": many}), lambda of: held[of]


def loss(raw, label):
    return -float(log_softmax(raw.astype(float), axis=1)[np.arange(len(label)), label].mean())


def test_it_is_a_linear_model_on_the_vector_and_on_what_the_other_says_each_standardised():
    dataset, vectors = made()
    data = dataset.tasks["few"]
    chosen = choose_others(dataset, "few", vectors)
    other = choose_vectors(dataset, "many", vectors).whole

    def read(of):
        unit = vectors(of.slots["text"])
        return [unit / np.linalg.norm(unit, axis=1, keepdims=True), other(of)]

    blocks, asked = read(data.train), read(data.test)
    spread = [np.sqrt(block.var(0).mean() * block.shape[1]) for block in blocks]
    seen, asked = (
        np.hstack([(b - a.mean(0)) / s for a, b, s in zip(blocks, found, spread, strict=True)])
        for found in (blocks, asked)
    )
    model = LogisticRegression(C=chosen.tried.way / np.mean(seen**2), max_iter=200).fit(seen, data.train.label)
    wanted = model.decision_function(asked)
    found = chosen.whole(data.test)
    assert found[:, 1] - found[:, 0] == pytest.approx(wanted, abs=1e-3)
    chances = PRIORS["other_tasks"](dataset, "few", data.test, vectors=vectors)
    assert chances[:, 1] == pytest.approx(1 / (1 + np.exp(-chosen.tried.sharpness * wanted)), abs=1e-3)


@pytest.mark.parametrize(
    "alone", ["no other task", "the other has no texts of its own", "too many classes", "many rows"]
)
def test_without_another_task_on_texts_there_is_no_such_prior(alone, monkeypatch):
    dataset, vectors = made()
    few, many = dataset.tasks["few"], dataset.tasks["many"]
    if alone == "no other task":
        dataset = replace(dataset, tasks={"few": few})
    elif alone == "many rows":
        monkeypatch.setattr(others, "FEW_ROWS", len(few.train) - 1)
    elif alone == "too many classes":
        monkeypatch.setattr(others, "MOST_COLUMNS", 3)
    else:
        item = replace(many.train, slots={"item": many.train.slots["text"]})
        dataset = replace(dataset, tasks={"few": few, "many": replace(many, train=item)})
    assert PRIORS["other_tasks"](dataset, "few", few.test, vectors=vectors) is None
    assert "other_tasks" not in fit(dataset, "few", TOLD, vectors).start.parts


def test_of_few_rows_the_start_knows_more_beside_another_task_and_says_the_same_when_it_is_read_again():
    dataset, vectors = made(lambda held, fine: (held[:, 0] * held[:, 1] > 0).astype(np.int64), ["x", "y"])
    # What no linear model finds, another task's numbers may say: its classes are told by the sign of one direction.
    held = vectors(np.arange(len(dataset.texts)))
    few = dataset.tasks["few"]
    label = (held[:, 0] + 0.5 * held[:, 1] > 0).astype(np.int64)
    few = TaskData(*(replace(of, label=label[of.slots["text"]]) for of in (few.train, few.valid, few.test)), ["a", "b"])
    numbers = dataset.tasks["many"]
    said = (held[:, 0] + 0.5 * held[:, 1]).astype(np.float32)
    numbers = TaskData(
        *(replace(of, label=said[of.slots["text"]]) for of in (numbers.train, numbers.valid, numbers.test))
    )
    dataset = replace(dataset, tasks={"few": few, "many": numbers})
    start = fit(dataset, "few", TOLD, vectors).start
    assert "other_tasks" in start.parts
    alone = fit(replace(dataset, tasks={"few": few}), "few", TOLD, vectors).start  # nothing is remembered of company
    assert "other_tasks" not in alone.parts
    assert loss(start(few.test), few.test.label) < 0.8 * loss(alone(few.test), few.test.label)
    again = load(start.settings(), start.tensors(), asked_of(dataset, vectors, "few"))
    assert np.array_equal(again(few.test), start(few.test)) and again.name == start.name


def test_of_texts_that_another_task_was_fitted_on_is_read_what_such_say_as_were_not():
    """Both tasks have the same texts and labels that nothing tells: the other knows its own rows by heart."""
    random, texts = np.random.default_rng(0), TextTable()
    held = random.normal(size=(400, 200)).astype(np.float32)
    label = random.integers(0, 2, 400)
    written = [texts.add(f"text {n}") for n in range(400)]
    both = {name: task(written, label, ["a", "b"], (100, 50, 250)) for name in ("few", "many")}
    dataset = Dataset(texts, {}, [], both)
    chosen = choose_others(dataset, "few", lambda of: held[of])
    train = both["few"].train
    heart = choose_vectors(dataset, "many", lambda of: held[of]).whole(train)
    held_back = folds_of_vectors(dataset, "many", lambda of: held[of])
    assert (heart.argmax(1) == train.label).mean() > 0.95 > 0.65 > (held_back.argmax(1) == train.label).mean()
    known = chosen.fit(train).known["many"]
    assert np.array_equal(known[0], train.slots["text"]) and np.array_equal(known[1], [held_back])
    start = fit(dataset, "few", TOLD, lambda of: held[of])
    said = np.zeros((250, 2)) if start is None else start.start(both["few"].test)
    assert loss(said, both["few"].test.label) < np.log(2) + 0.05


def told_by_layers():
    """A class of few rows is the sign of a number of many, of which vectors say nothing and layers all."""
    dataset, vectors = made(lambda held, fine: held[:, 0], [])
    below = vectors(np.arange(len(dataset.texts)))
    few = dataset.tasks["few"]
    parts = (
        replace(of, label=(below[of.slots["text"], 0] > 0).astype(np.int64)) for of in (few.train, few.valid, few.test)
    )
    return replace(dataset, tasks={**dataset.tasks, "few": TaskData(*parts, ["a", "b"])}), Layers(noise(below), below)


def test_what_another_reads_of_layers_is_read_beside_what_it_reads_of_vectors():
    dataset, layered = told_by_layers()
    few = dataset.tasks["few"]
    whole = choose_others(dataset, "few", layered).whole
    assert [of.shape for of in whole.others["many"]] == ["concatenated", "layers"]
    chances = PRIORS["other_tasks"](dataset, "few", few.test, vectors=layered)
    for task in dataset.tasks.values():
        task.fitted.clear()
    without = PRIORS["other_tasks"](dataset, "few", few.test, vectors=lambda rows: layered(rows))
    assert loss(np.log(chances), few.test.label) < 0.9 * loss(np.log(without), few.test.label)
    again = read_others(whole.settings(), whole.tensors(), layered, WIDTH, 2)
    layered.asked.clear()
    assert np.array_equal(again(few.test), whole(few.test)) and layered.asked[0] == len(few.test)
    with pytest.raises(ValueError, match="shape: of concatenated, and unit, true or false; found 'layers'"):
        read_others(whole.settings(), whole.tensors(), lambda rows: layered(rows), WIDTH, 2)


def test_of_more_columns_than_are_read_layers_are_left_out_first(monkeypatch):
    dataset, layered = told_by_layers()
    monkeypatch.setattr(others, "MOST_COLUMNS", 1)  # a number, twice
    fitted = choose_others(dataset, "few", layered).whole.others["many"]
    assert [of.shape for of in fitted] == ["concatenated"]


def test_of_common_texts_each_says_what_it_was_not_fitted_on():
    random, texts = np.random.default_rng(0), TextTable()
    held, below = (random.normal(size=(400, 200)).astype(np.float32) for _ in range(2))
    label, written = random.integers(0, 2, 400), [texts.add(f"text {n}") for n in range(400)]
    both = {name: task(written, label, ["a", "b"], (100, 50, 250)) for name in ("few", "many")}
    dataset, layered = Dataset(texts, {}, [], both), Layers(held, below)
    chosen = choose_others(dataset, "few", layered)
    rows, said = chosen.fit(both["few"].train).known["many"]
    assert np.array_equal(rows, both["few"].train.slots["text"]) and len(said) == 2
    for of, folds in zip(said, (folds_of_vectors, folds_of_layers), strict=True):
        assert np.array_equal(of, folds(dataset, "many", layered))
    assert not np.array_equal(*said)


@pytest.mark.parametrize("several", [True, False])
def test_tags_and_numbers_are_read_and_told_likewise(several):
    dataset, vectors = made(lambda held, fine: held[:, 0].astype(np.float32), [])
    few = dataset.tasks["few"]
    parts = (few.train, few.valid, few.test)
    signs = [(vectors(of.slots["text"])[:, :2] > 0).astype(np.float32) for of in parts]
    if several:
        few = TaskData(*(replace(of, label=sign) for of, sign in zip(parts, signs, strict=True)), ["a", "b"])
    else:
        few = TaskData(*(replace(of, label=sign[:, 0]) for of, sign in zip(parts, signs, strict=True)))
    dataset = replace(dataset, tasks={**dataset.tasks, "few": few})
    found = PRIORS["other_tasks"](dataset, "few", few.test, vectors=vectors)
    assert found.shape == few.test.label.shape
    first = (found[:, 0] if several else found) > 0.5
    assert (first == (few.test.label[:, 0] if several else few.test.label)).mean() > 0.8
    # The other way about: a number beside what has several classes.
    found = PRIORS["other_tasks"](dataset, "many", dataset.tasks["many"].test, vectors=vectors)
    assert np.corrcoef(found, dataset.tasks["many"].test.label)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("weight", r"weight: 44 x 2 numbers; found float32 \(40, 2\)"),
        ("others.0.weight", r"weight: 40 x 4 numbers; found float32 \(39, 4\)"),
        ("others.0.bias", r"bias: any numbers; found float32 \(2, 2\)"),
        ("shape", "shape: of concatenated"),
    ],
)
def test_what_does_not_go_together_is_refused(what, said):
    dataset, vectors = made()
    whole = choose_others(dataset, "few", vectors).whole
    settings, tensors = whole.settings(), whole.tensors()
    if what == "shape":
        settings["others"]["many"][0]["shape"] = "pair"
    elif what == "weight":
        tensors[what] = tensors[what][:WIDTH]
    else:
        tensors[what] = tensors[what].reshape(2, 2) if tensors[what].ndim == 1 else tensors[what][1:]
    with pytest.raises(ValueError, match=said):
        read_others(settings, tensors, vectors, WIDTH, 2)
