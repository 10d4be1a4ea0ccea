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


def test_of_a_text_in_another_language_as_little_is_said_as_is_known_of_it():
    """Texts whose words are all new are given the bias alone, in a run that was kept as well."""
    dataset = texts_of_classes()
    chosen = module.choose_grams(dataset, "task")
    assert 0 < min(chosen.whole.weigh.usual) <= 1
    strange = dataset.texts.add("\u043d\u043e\u0432\u043e\u0435 \u0441\u043b\u043e\u0432\u043e")
    asked = replace(dataset.tasks["task"].test.take(np.array([0])), slots={"text": np.array([strange], np.int32)})
    assert chosen.whole(asked)[0] == pytest.approx(chosen.whole.model.bias, abs=1e-3)
    again = module.read_grams(chosen.whole.settings(), chosen.whole.tensors(), dataset.texts)
    assert np.array_equal(again(asked), chosen.whole(asked))
    settings = {key: of for key, of in chosen.whole.settings().items() if key != "usual"}
    assert module.read_grams(settings, chosen.whole.tensors(), dataset.texts).weigh.usual == (0.0,) * len(again.sorts)
    with pytest.raises(ValueError, match="usual: 3 numbers of"):
        module.read_grams(settings | {"usual": [1, 1, 1]}, chosen.whole.tensors(), dataset.texts)
