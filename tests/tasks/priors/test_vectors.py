"""`frozen_lr`, `layers_lr`: linear models on given vectors, of texts and of pairs, for classes, grades and numbers."""

import numpy as np
import pytest
from columns import predict, split, without_valid
from layered import Layers, noise

from peftrec.data.joined import train_on_all
from peftrec.data.texts import TextTable
from peftrec.tasks.priors import PRIORS, reads_vectors
from peftrec.tasks.priors import vectors as module

DIRECTIONS = np.random.default_rng(3).normal(size=(8, 16))


def made(kind, count=500):
    """A data set, and the vectors of its texts."""
    random, texts = np.random.default_rng(0), TextTable()
    if kind == "pairs":
        label = random.integers(0, 2, count)
        query = random.normal(size=(count, 16))
        item = np.where(label[:, None], query, random.normal(size=(count, 16))) + 0.3 * random.normal(size=(count, 16))
        slots = {
            "query": [texts.add(f"q{n}") for n in range(count)],
            "item": [texts.add(f"i{n}") for n in range(count)],
        }
        held = np.concatenate([query, item])
    else:
        held = random.normal(size=(count, 16))
        label = (held @ DIRECTIONS.T).argmax(1) if kind == "classes" else held @ DIRECTIONS[0]
        slots = {"pair" if kind == "joint" else "text": [texts.add(f"t{n}") for n in range(count)]}
    classes = [] if kind == "numbers" else [str(n) for n in range(label.max() + 1)]
    label = label.astype(np.float32 if kind == "numbers" else np.int64)
    return split(texts, slots, label, classes), (5 + 2 * held).astype(np.float32)


def found(dataset, held):
    return predict("frozen_lr", dataset, vectors=lambda rows: held[rows])


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize(("kind", "least"), [("classes", 0.8), ("pairs", 0.95)])
def test_it_learns_classes_and_grades(kind, least, valid):
    dataset, held = made(kind)
    dataset = dataset if valid else without_valid(dataset)
    prediction, data = found(dataset, held), dataset.tasks["task"]
    assert prediction.shape == (100, len(data.classes)) and prediction.sum(1) == pytest.approx(1)
    assert (prediction.argmax(1) == data.test.label).mean() > least
    assert np.array_equal(prediction, found(dataset, held))


@pytest.mark.parametrize("valid", [True, False])
def test_it_learns_numbers(valid):
    dataset, held = made("numbers")
    data = dataset.tasks["task"]
    error = found(dataset if valid else without_valid(dataset), held) - data.test.label
    assert np.mean(error**2) < 0.05 * np.var(data.test.label)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_fitted_to_validation_rows_too_it_is_what_they_chose_before(kind):
    dataset, held = made(kind)
    joined = train_on_all(dataset)
    given = (lambda rows: held[rows],)
    before, after = (module.choose_vectors(of, "task", *given) for of in (dataset, joined))
    assert after.tried.way == before.tried.way and np.array_equal(after.tried.scores, before.tried.scores)
    again = before.fit(joined.tasks["task"].train)
    assert np.array_equal(after.whole.model.weight, again.model.weight)
    assert not np.array_equal(after.whole.model.weight, before.whole.model.weight)


def test_they_the_names_other_tasks_and_the_cosine_read_vectors():
    wanted = ["class_names", "frozen_lr", "layers_lr", "other_tasks", "cosine"]
    assert [name for name, prior in PRIORS.items() if reads_vectors(prior)] == wanted


def test_the_cosine_knows_nothing_but_likeness():
    random, texts = np.random.default_rng(0), TextTable()
    slots = {name: [texts.add(f"{name} {n}") for n in range(300)] for name in ("query", "item")}
    label = random.integers(0, 2, 300)
    found = random.normal(size=(600, 8)).astype(np.float32)
    found[300:] = np.where(label[:, None], found[:300] + 0.3 * random.normal(size=(300, 8)), found[300:])
    dataset = split(texts, slots, label, ["0", "1"])
    test = dataset.tasks["task"].test
    said = predict("cosine", dataset, vectors=lambda rows: found[rows])
    assert ((said.argmax(1) == test.label).mean() > 0.9) and said.sum(1) == pytest.approx(1)
    turned = np.linalg.qr(random.normal(size=(8, 8)))[0].astype(np.float32)  # keeps cosines and distances
    assert predict("cosine", dataset, vectors=lambda rows: found[rows] @ turned) == pytest.approx(said, abs=1e-3)


def test_of_many_classes_the_mean_vectors_are_compared(monkeypatch):
    dataset, held = made("classes")
    monkeypatch.setattr(module, "MOST_WORK", 16 * 8 * 20)
    monkeypatch.setattr(module.ClassMeans, "used", 0, raising=False)
    fit = module.ClassMeans.fit

    def counted(self, features, label):
        module.ClassMeans.used += 1
        return fit(self, features, label)

    monkeypatch.setattr(module.ClassMeans, "fit", counted)
    assert (found(dataset, held).argmax(1) == dataset.tasks["task"].test.label).mean() > 0.6
    assert module.ClassMeans.used
    monkeypatch.setattr(module, "FEWEST_ROWS", 1)
    module.ClassMeans.used = 0
    assert (found(dataset, held).argmax(1) == dataset.tasks["task"].test.label).mean() > 0.2
    assert not module.ClassMeans.used


def test_no_more_train_rows_are_asked_for_than_stated(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 50)
    dataset, held = made("classes")
    asked = set()

    def vectors(rows):
        asked.update(rows.tolist())
        return held[rows]

    predict("frozen_lr", dataset, vectors=vectors)
    assert len(asked & set(dataset.tasks["task"].train.slots["text"].tolist())) == 50
    assert len(asked) == 50 + 50 + 100


def test_a_column_that_hardly_differs_is_not_everything_to_a_row_that_does(monkeypatch):
    monkeypatch.setattr(module, "SCALES", ("standardised",))
    random, texts = np.random.default_rng(0), TextTable()
    held = random.normal(size=(301, 8)).astype(np.float32)
    held[:, 7] *= 1e-30
    held[300] = held[299]
    held[300, 7] = 1e-3
    label = (held[:, 0] > 0).astype(np.int64)
    dataset = split(texts, {"text": [texts.add(f"text {n}") for n in range(301)]}, label, ["a", "b"])
    found = module.choose_vectors(dataset, "task", lambda rows: held[rows]).whole
    same, other = found(dataset.tasks["task"].test.take(np.array([-2, -1])))
    assert other == pytest.approx(same, rel=0.01)
    assert np.abs(found.model.weight).max() < 1e7


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_of_a_text_layers_tell_what_its_vector_does_not(kind):
    dataset, below = made(kind)
    vectors = Layers(noise(below), below)
    prediction, data = predict("layers_lr", dataset, vectors=vectors), dataset.tasks["task"]
    if kind == "classes":
        assert prediction.sum(1) == pytest.approx(1)
        assert (prediction.argmax(1) == data.test.label).mean() > 0.65
    else:
        assert np.mean((prediction - data.test.label) ** 2) < 0.1 * np.var(data.test.label)
    chosen = module.choose_layers(dataset, "task", vectors).whole
    assert chosen.settings() == {"shape": "layers", "unit": False}
    kept = (chosen.settings(), chosen.tensors())
    again = module.read_vectors(*kept, vectors, 16, ("text",), len(data.classes))
    assert np.array_equal(again(data.test), chosen(data.test)) and vectors.asked[-1] == 100
    with pytest.raises(ValueError, match="shape: of concatenated, and unit"):  # vectors that come without layers
        module.read_vectors(*kept, lambda rows: below[rows], 16, ("text",), len(data.classes))


@pytest.mark.parametrize("limit", ["MOST_WORK", "MOST_NUMBERS"])
def test_layers_are_not_read_where_rows_would_have_to_be_left_out(limit, monkeypatch):
    dataset, below = made("classes")
    vectors, data = Layers(noise(below), below), dataset.tasks["task"]
    most = len(data.train) * vectors.columns * (len(data.classes) if limit == "MOST_WORK" else 1)
    monkeypatch.setattr(module, limit, most)
    assert module.choose_layers(dataset, "task", vectors) is not None
    data.fitted.clear()
    vectors.asked.clear()
    monkeypatch.setattr(module, limit, most - 1)
    assert predict("layers_lr", dataset, vectors=vectors) is None and not vectors.asked


def test_of_pairs_and_of_vectors_alone_no_layers_are_read():
    dataset, held = made("pairs")
    vectors = Layers(held, held)
    assert predict("layers_lr", dataset, vectors=vectors) is None and not vectors.asked
    dataset, held = made("classes")
    assert predict("layers_lr", dataset, vectors=lambda rows: held[rows]) is None
