"""`tfidf`: words, characters or both, whichever the validation rows want; classes and numbers."""

from dataclasses import replace

import numpy as np
import pytest
from columns import WORDS, chinese, predict, split, texts_of_classes, without_valid

from peftrec.data.texts import TextTable
from peftrec.tasks.priors import texts as module


@pytest.mark.parametrize("few", [10, 1_000_000])
def test_tfidf_prior_learns_words(few, monkeypatch):
    monkeypatch.setattr(module, "FIT_WORK", 20_000)
    monkeypatch.setattr(module, "FEWEST_ROWS", few)
    prediction = predict("tfidf", texts_of_classes())
    assert prediction.shape == (4, 4) and prediction.sum(1) == pytest.approx(1)
    assert prediction.argmax(1)[:3].tolist() == [0, 1, 3]
    assert (prediction[:, 2] == 0).all()


def signs(count=400):
    """Chinese texts whose class is a pair of characters somewhere in them."""
    random, texts = np.random.default_rng(0), TextTable()
    label = random.integers(0, 3, count)
    pairs = ("\u5fd6\u5fd7", "\u5fd8\u5fd9", "\u5fda\u5fdb")
    written = [chinese(random, 12) + pairs[of] + chinese(random, 12) for of in label]
    return split(texts, {"text": [texts.add(text) for text in written]}, label, list("abc"))


@pytest.mark.parametrize("valid", [True, False])
def test_characters_are_found_where_words_are_not_written_apart(valid, monkeypatch):
    dataset = signs() if valid else without_valid(signs())
    label = dataset.tasks["task"].test.label
    assert (predict("tfidf", dataset).argmax(1) == label).mean() > 0.95
    monkeypatch.setattr(module, "SORTS", (("words",),))
    assert (predict("tfidf", dataset).argmax(1) == label).mean() < 0.6


def test_it_is_as_sure_as_it_may_be():
    """Labels of which a third are wrong: the log-loss is near the best there is, and repeats to the digit."""
    random, texts = np.random.default_rng(1), TextTable()
    truth = random.integers(0, 2, 3000)
    label = np.where(random.random(3000) < 1 / 3, 1 - truth, truth)
    written = [f"{('yes', 'no')[of]} {WORDS[n % 40]} {n}" for n, of in enumerate(truth)]
    dataset = split(texts, {"text": [texts.add(text) for text in written]}, label, ["a", "b"])
    found, test = predict("tfidf", dataset), dataset.tasks["task"].test.label
    loss = -np.log(found[np.arange(len(test)), test]).mean()
    assert loss < -(np.log(2 / 3) * 2 / 3 + np.log(1 / 3) / 3) + 0.06
    assert np.array_equal(found, predict("tfidf", dataset))


def test_a_class_of_which_only_valid_has_rows_does_no_harm():
    dataset = signs()
    data = dataset.tasks["task"]
    data.valid.label[:5], data.classes[:] = 3, [*"abcd"]
    found = predict("tfidf", dataset)
    assert found.shape[1] == 4 and (found[:, 3] == 0).all()
    assert (found.argmax(1) == data.test.label).mean() > 0.95


@pytest.mark.parametrize("valid", [True, False])
def test_numbers_of_texts(valid):
    random, texts = np.random.default_rng(0), TextTable()
    worth = random.normal(size=40)
    chosen = [random.permutation(40)[:4] for _ in range(800)]
    label = np.array([worth[of].sum() for of in chosen], np.float32)
    rows = [texts.add(" ".join(WORDS[n] for n in of)) for of in chosen]
    dataset = split(texts, {"text": rows}, label, [])
    found = predict("tfidf", dataset if valid else without_valid(dataset))
    data = dataset.tasks["task"]
    assert found.shape == (160,) and found.min() >= data.train.label.min()
    assert np.mean((found - data.test.label) ** 2) < 0.1 * np.var(data.test.label)


STRANGE = "\u043d\u043e\u0432\u043e\u0435 \u0441\u043b\u043e\u0432\u043e"


def row_of(dataset, text):
    """A test row with this text."""
    return replace(dataset.tasks["task"].test.take([0]), slots={"text": np.array([dataset.texts.add(text)], np.int32)})


def test_of_a_text_of_which_nothing_is_known_classes_are_as_frequent_as_ever_in_a_run_that_was_kept_as_well():
    dataset = texts_of_classes()
    found = module.choose_grams(dataset, "task").whole
    assert 0 < min(found.weigh.usual) <= 1
    asked = row_of(dataset, STRANGE)
    said = found(asked)[0][[0, 1, 3]]
    assert said == pytest.approx(said[0], abs=1e-3) and found(asked)[0, 2] == -np.inf  # the last was never seen
    half = row_of(dataset, f"pay {STRANGE}")
    own, known = (np.ptp(found(of)[0][[0, 1, 3]]) for of in (half, row_of(dataset, "pay")))
    assert 0 < own < 0.9 * known
    again = module.read_grams(found.settings(), found.tensors(), dataset.texts, 4)
    assert np.array_equal(again(asked), found(asked)) and np.array_equal(again(half), found(half))
    with pytest.raises(ValueError, match="usual: a share of each of"):
        module.read_grams(found.settings() | {"usual": [1, 1, 1]}, found.tensors(), dataset.texts, 4)
    with pytest.raises(ValueError, match=r"base: 4 numbers; found float32 \(2,\)"):
        module.read_grams(found.settings(), found.tensors() | {"base": np.zeros(2, np.float32)}, dataset.texts, 4)


def test_a_run_of_before_says_of_such_a_text_what_it_said():
    dataset = texts_of_classes()
    found = module.choose_grams(dataset, "task").whole
    settings = {key: of for key, of in found.settings().items() if key != "usual"}
    tensors = {key: of for key, of in found.tensors().items() if key != "base"}
    before = module.read_grams(settings, tensors, dataset.texts, 4)
    asked = row_of(dataset, f"pay {STRANGE}")
    counts = module.count(dataset.texts, asked.slots["text"], found.sorts)
    wanted = before.model(before.weigh([counts[sort] for sort in found.sorts]))
    assert np.array_equal(before(asked), wanted) and not np.array_equal(found(asked), wanted)


@pytest.mark.parametrize("label", ["numbers", "several classes"])
def test_of_such_a_text_numbers_and_tags_are_as_ever(label):
    texts, random = TextTable(), np.random.default_rng(0)
    words = random.integers(0, 6, (200, 3))
    written = [texts.add(" ".join(f"word{w}" for w in of)) for of in words]
    tags = (words[:, :, None] == np.arange(2)).any(1).astype(np.float32)
    dataset = split(texts, {"text": written}, tags if label != "numbers" else 5 + tags.sum(1), ["a", "b"])
    if label == "numbers":
        dataset = replace(dataset, tasks={"task": replace(dataset.tasks["task"], classes=[])})
    found = module.choose_grams(dataset, "task").whole
    assert found(row_of(dataset, STRANGE))[0] == pytest.approx(
        found.model.bias[0] if label == "numbers" else found.model.bias, abs=0.05
    )
