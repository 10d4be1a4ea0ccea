"""`class_names`: what texts and the names of classes have in common, without labels; alone, and in the start."""

from dataclasses import replace

import numpy as np
import pytest
from columns import split, without_valid
from kept import asked_of
from scipy.special import log_softmax

from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors import PRIORS
from peftrec.tasks.priors.names import name_rows
from peftrec.tasks.starts.texts import fit, load

CLASSES = ["card_arrival", "lostCard", "top-up failed", "Wechselkurs"]
TOLD = TaskConfig(kind="classification")


def made(count=300, noise=1.0):
    """Texts whose vectors lie about those of their classes' names; all names have a direction in common, and all texts
    another."""
    random, texts = np.random.default_rng(0), TextTable()
    label = random.integers(0, len(CLASSES), count)
    of_class, common = random.normal(size=(len(CLASSES), 12)), random.normal(size=(2, 12))
    written = [texts.add(f"text {n}") for n in range(count)]
    names = name_rows(CLASSES, texts)
    held = np.concatenate([of_class[label] + noise * random.normal(size=(count, 12)) + 5 * common[0]])
    held = np.concatenate([held, of_class + 5 * common[1]]).astype(np.float32)
    dataset = split(texts, {"text": written}, label, CLASSES)
    data = replace(dataset.tasks["task"], names=names)
    return replace(dataset, tasks={"task": data}), lambda rows: held[rows]


def loss(raw, label):
    return -float(log_softmax(raw.astype(float), axis=1)[np.arange(len(label)), label].mean())


def test_names_are_read_as_words():
    texts = TextTable()
    rows = name_rows(CLASSES, texts)
    assert [texts.texts[row] for row in rows] == ["card arrival", "lost Card", "top up failed", "Wechselkurs"]
    assert [texts.texts[row] for row in name_rows(["衣", "食_住"], texts)] == ["衣", "食 住"]
    assert [texts.texts[row] for row in name_rows(["--", "rent", "pay"], texts)] == ["--", "rent", "pay"]


@pytest.mark.parametrize(
    "classes",
    [
        ["0", "1"],
        ["A", "B"],
        ["rent", "7"],
        ["rent", "7", "8"],
        ["a_b", "a-b"],
        ["a_card", "a card"],
        [f"w{n}" for n in range(9)],
    ],
)
def test_names_that_say_nothing_or_the_same_are_no_texts(classes):
    texts = TextTable()
    assert name_rows(classes, texts).shape == (0,) and len(texts) == 0


@pytest.mark.parametrize("valid", [True, False])
def test_no_label_is_needed_to_find_the_class(valid):
    dataset, vectors = made()
    names = dataset.tasks["task"].names
    dataset = dataset if valid else without_valid(dataset)
    data = replace(dataset.tasks["task"], names=names)
    dataset = replace(dataset, tasks={"task": data})
    chances = PRIORS["class_names"](dataset, "task", data.test, vectors=vectors)
    assert chances.shape == (len(data.test), 4) and chances.sum(1) == pytest.approx(1)
    assert (chances.argmax(1) == data.test.label).mean() > 0.8  # of four
    texts, names = vectors(data.train.slots["text"]), vectors(data.names)
    unit = [of / np.linalg.norm(of, axis=1, keepdims=True) for of in (vectors(data.test.slots["text"]), texts, names)]
    query, named = unit[0] - unit[1].mean(0), unit[2] - unit[2].mean(0)
    cosines = (query @ named.T) / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(named, axis=1)
    order = np.argsort(cosines.ravel())
    logs = np.log(chances) - np.log(chances).mean(1, keepdims=True)
    centred = cosines - cosines.mean(1, keepdims=True)
    assert logs.ravel()[order] == pytest.approx((centred * (logs.std() / centred.std())).ravel()[order], abs=1e-3)


def test_without_names_there_is_no_such_prior():
    dataset, vectors = made()
    dataset = replace(dataset, tasks={"task": replace(dataset.tasks["task"], names=np.zeros(0, np.int64))})
    assert PRIORS["class_names"](dataset, "task", dataset.tasks["task"].test, vectors=vectors) is None


def test_of_few_rows_the_start_knows_more_with_names_and_says_the_same_when_it_is_read_again():
    dataset, vectors = made(noise=1.5)
    data = dataset.tasks["task"]
    few = replace(data, train=data.train.take(np.arange(24)), valid=data.valid.take(np.arange(4)), fitted={})
    dataset = replace(dataset, tasks={"task": few})
    start = fit(dataset, "task", TOLD, vectors).start
    assert "class_names" in start.parts
    nameless = replace(dataset, tasks={"task": replace(few, names=np.zeros(0, np.int64), fitted={})})
    without = fit(nameless, "task", TOLD, vectors).start
    assert loss(start(data.test), data.test.label) < 0.9 * loss(without(data.test), data.test.label)
    again = load(start.settings(), start.tensors(), asked_of(dataset, vectors))
    assert np.array_equal(again(data.test), start(data.test)) and again.name == start.name


def test_names_of_another_width_are_refused():
    dataset, vectors = made()
    start = fit(dataset, "task", TOLD, vectors).start
    wrong = start.tensors() | {"class_names.centre": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=r"class_names: centre: 12 numbers; found float32 \(3,\)"):
        load(start.settings(), wrong, asked_of(dataset, vectors))


def test_names_that_tell_nothing_have_no_say():
    """Names whose vectors have nothing to do with the texts."""
    dataset, vectors = made(count=1200)
    data = dataset.tasks["task"]
    random = np.random.default_rng(1).normal(size=(4, 12)).astype(np.float32)

    def other(rows):
        return np.where(rows[:, None] >= 1200, random[np.maximum(rows - 1200, 0)], vectors(np.minimum(rows, 1199)))

    start = fit(dataset, "task", TOLD, other).start
    nameless = replace(dataset, tasks={"task": replace(data, names=np.zeros(0, np.int64), fitted={})})
    without = fit(nameless, "task", TOLD, vectors).start
    assert loss(start(data.test), data.test.label) < loss(without(data.test), data.test.label) + 0.01
