"""The start of texts: better than each part alone, kept and read again, honest about the rows it was fitted on."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from columns import WORDS, queries, split, without_valid
from kept import asked_of
from layered import Layers, noise
from scipy.special import log_softmax

from peftrec.data.joined import train_on_all
from peftrec.data.texts import TextTable
from peftrec.recipe import TaskConfig
from peftrec.tasks.priors import PRIORS
from peftrec.tasks.priors.pool import out_of_fold
from peftrec.tasks.priors.texts import choose_grams
from peftrec.tasks.priors.vectors import choose_vectors
from peftrec.tasks.starts import texts as module
from peftrec.tasks.starts.texts import fit, load

TOLD, MATCH = TaskConfig(kind="classification"), TaskConfig(kind="match-query")
NUMBER = TaskConfig(kind="regression")


def made(kind="classes", count=700):
    """Texts whose label is told half by a word and half by their vector."""
    random, texts = np.random.default_rng(0), TextTable()
    word, held = random.integers(0, 3, count), random.normal(size=(count, 6))
    raw = 1.5 * np.eye(3)[word] + held[:, :3] + 0.3 * random.normal(size=(count, 3))
    numbers = raw[:, 0].astype(np.float32)
    stars = np.ceil(2 * numbers + 3).clip(1, 5)  # mostly five
    label = {"classes": raw.argmax(1), "tags": (raw > 0.7).astype(np.float32), "numbers": numbers, "stars": stars}
    written = [texts.add(f"{WORDS[of]} {WORDS[5 + n % 30]} {n}") for n, of in enumerate(word)]
    vectors = held.astype(np.float32)
    dataset = split(texts, {"text": written}, label[kind], [] if kind in ("numbers", "stars") else list("abc"))
    if kind == "stars":
        dataset.tasks["task"] = replace(dataset.tasks["task"], levels=(1, 2, 3, 4, 5))
    return dataset, lambda rows: vectors[rows]


def loss(raw, label):
    if label.ndim == 2:
        return float((np.logaddexp(0, raw) - label * raw).mean())
    if raw.ndim == 1:
        return float(((raw - label) ** 2).mean())
    return -float(log_softmax(raw, axis=1)[np.arange(len(label)), label].mean())


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize("kind", ["classes", "tags", "numbers"])
def test_together_they_say_more_than_each(kind, valid):
    dataset, vectors = made(kind)
    dataset = dataset if valid else without_valid(dataset)
    data = dataset.tasks["task"]
    started = fit(dataset, "task", TOLD, vectors)
    assert started.start.name == "tfidf + frozen_lr"
    own = loss(started.start(data.test), data.test.label)
    for prior in ("tfidf", "frozen_lr"):
        said = PRIORS[prior](dataset, "task", data.test, **({"vectors": vectors} if prior == "frozen_lr" else {}))
        alone = said if kind == "numbers" else np.log(said / (1 - said)) if kind == "tags" else np.log(said)
        assert own < 0.9 * loss(alone, data.test.label)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_what_layers_say_is_weighed_beside_the_vectors(kind):
    dataset, vectors = made(kind)
    below = vectors(np.arange(len(dataset.texts)))
    test, layered = dataset.tasks["task"].test, Layers(noise(below), below)
    started = fit(dataset, "task", TOLD, layered)
    assert "layers_lr" in started.start.parts
    without = fit(made(kind)[0], "task", TOLD, lambda rows: layered(rows))
    assert "layers_lr" not in without.start.parts
    assert loss(started.start(test), test.label) < 0.9 * loss(without.start(test), test.label)


def test_validation_rows_and_train_rows_by_folds_choose_the_weights():
    """Of queries a tenth may be seven, too few to weigh anything by."""
    dataset, vectors = made()
    data = replace(dataset.tasks["task"], valid=dataset.tasks["task"].valid.take(np.arange(5)), fitted={})
    dataset = replace(dataset, tasks={"task": data})
    started = fit(dataset, "task", TOLD, vectors)
    chosen = {"tfidf": choose_grams(dataset, "task"), "frozen_lr": choose_vectors(dataset, "task", vectors)}
    said = {name: [of.tried.scores, out_of_fold(data.train, 3, of.fit)] for name, of in chosen.items()}
    label = np.concatenate([data.valid.label, data.train.label])

    def of_both(tfidf, frozen_lr):
        raw = tfidf * np.concatenate(said["tfidf"]) + frozen_lr * np.concatenate(said["frozen_lr"])
        return loss(raw, label)

    weight = started.start.weight
    best = of_both(**weight)
    for name, factor in product(weight, (0.8, 1.25)):
        assert of_both(**{**weight, name: factor * weight[name]}) > best
    folds = sum(weight[name] * of[1] for name, of in said.items())
    assert started.train == pytest.approx(folds, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", ["classes", "numbers", "stars"])
def test_a_second_training_weighs_as_the_first_and_fits_to_all(kind):
    dataset, vectors = made(kind)
    joined = train_on_all(dataset)
    first, second = (fit(of, "task", TOLD, vectors) for of in (dataset, joined))
    assert second.start.weight == first.start.weight and second.start.shift == first.start.shift
    every = choose_vectors(dataset, "task", vectors).fit(joined.tasks["task"].train)
    assert np.array_equal(second.start.parts["frozen_lr"].model.weight, every.model.weight)
    if kind == "stars":
        assert np.array_equal(second.start.cutpoints.at, first.start.cutpoints.at)
    assert len(second.train) == len(joined.tasks["task"].train) > len(first.train)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_second_training_has_a_start_though_it_says_nothing(kind, monkeypatch):
    """What was learned beside one is kept in shares of what it adds to it."""
    dataset, vectors = made(kind)
    monkeypatch.setattr(module, "pooled", lambda said, label, classes: np.zeros(len(said)))
    assert fit(dataset, "task", TOLD, vectors) is None
    started, data = fit(train_on_all(dataset), "task", TOLD, vectors), dataset.tasks["task"]
    constant = data.train.label.mean() if kind == "numbers" else 0
    assert started.start(data.test) == pytest.approx(
        np.full(data.test.label.shape + (3,) * (kind == "classes"), constant)
    )


def test_train_rows_are_told_by_what_did_not_see_them():
    """Labels that nothing tells: who was fitted on a row knows it by its number, who was not knows nothing."""
    dataset, vectors = made()
    data = dataset.tasks["task"]
    random = np.random.default_rng(1)
    for part in (data.train, data.valid, data.test):
        part.label[:] = random.integers(0, 3, len(part))
    started = fit(dataset, "task", TOLD, vectors)
    if started is not None:
        assert loss(started.train, data.train.label) > np.log(3) - 0.05


def test_of_stars_it_says_medians():
    dataset, vectors = made("stars")
    data, plain = dataset.tasks["task"], made("stars")[0]
    plain.tasks["task"] = replace(plain.tasks["task"], levels=())
    started, means = (fit(of, "task", NUMBER, vectors) for of in (dataset, plain))
    assert means.start.cutpoints is None
    assert np.array_equal(started.train, started.start.cutpoints(means.train).astype(np.float32))

    def error(start):
        return np.abs(np.round(start(data.test)).clip(1, 5) - data.test.label).mean()

    assert error(started.start) < 0.9 * error(means.start)


@pytest.mark.parametrize("kind", ["classes", "tags", "numbers", "stars"])
def test_what_is_kept_says_the_same(kind):
    dataset, vectors = made(kind)
    start = fit(dataset, "task", TOLD, vectors).start
    again = load(start.settings(), start.tensors(), asked_of(dataset, vectors))
    test = dataset.tasks["task"].test
    assert np.array_equal(again(test), start(test))  # weights of n-grams have 16 bits from the first
    assert again.name == start.name
    with pytest.raises(ValueError, match="needs the frozen backbone's vectors"):
        load(start.settings(), start.tensors(), asked_of(dataset))


@pytest.mark.parametrize("rare", [1, 2])
def test_of_two_classes_one_may_be_so_rare_that_some_folds_lack_it(rare):
    dataset, vectors = made()
    data = dataset.tasks["task"]
    data.classes[:] = ["common", "rare"]
    for part in (data.train, data.valid, data.test):
        part.label[:] = 0
    data.train.label[:rare], data.valid.label[:1] = 1, 1
    started = fit(dataset, "task", TOLD, vectors)
    if started is not None:  # where what is known of so few rows weighs anything
        assert started.train.shape == (len(data.train), 2) and np.isfinite(started.train).all()
        assert (started.start(data.test).argmax(1) == 0).mean() > 0.9


def test_where_the_backbone_is_trained_only_n_grams_are_read():
    dataset, _ = made()
    assert fit(dataset, "task", TOLD, None).start.name == "tfidf"


@pytest.mark.parametrize("joint", [False, True])
def test_pairs_begin_at_what_they_share_and_it_is_the_same_when_it_is_read_again(joint):
    dataset = queries(joint)
    start = fit(dataset, "task", MATCH, None).start
    assert start.name == "lexical"
    test = dataset.tasks["task"].test
    said = start(test)
    assert said.shape == (100, 3) and (said.argmax(1) == test.label).mean() > 0.98
    again = load(start.settings(), start.tensors(), asked_of(dataset))
    assert again(test) == pytest.approx(said, rel=1e-4, abs=1e-4)
    random = np.random.default_rng(0).normal(size=(len(dataset.texts), 8)).astype(np.float32)
    both = fit(queries(joint), "task", MATCH, lambda rows: random[rows]).start
    assert both.name.startswith("lexical")


def test_what_is_no_start_of_pairs_is_refused():
    dataset = queries(False)
    start = fit(dataset, "task", MATCH, None).start
    tensors = start.tensors()
    sort = start.parts["lexical"].overlaps[0].sort
    for name, wrong in (
        (f"lexical.{sort}.rarity", np.zeros(1, np.float32)),
        (f"lexical.{sort}.columns", np.full_like(tensors[f"lexical.{sort}.columns"], -1)),
        (f"lexical.{sort}.constants", np.zeros(2, np.float32)),
        ("lexical.weight", np.zeros((2, 3), np.float32)),
    ):
        with pytest.raises(ValueError, match="lexical"):
            load(start.settings(), tensors | {name: wrong}, asked_of(dataset))
