"""`lexical`: shared words and runs of characters, in languages with and without spaces."""

import numpy as np
import pytest
from columns import chinese, predict, queries, split, without_valid

from peftrec.data.texts import TextTable
from peftrec.tasks.priors import matching as module
from peftrec.tasks.priors.matching import overlaps_of


@pytest.mark.parametrize("joint", [False, True])
def test_lexical_prior_finds_shared_words(joint):
    dataset = queries(joint)
    prediction, label = predict("lexical", dataset), dataset.tasks["task"].test.label
    assert prediction.shape == (100, 3) and prediction.sum(1) == pytest.approx(1)
    assert (prediction.argmax(1) == label).mean() > 0.98
    assert (prediction[:, 2] == 0).all()


def test_lexical_prior_is_the_same_for_towers_and_pairs():
    assert predict("lexical", queries(False)) == pytest.approx(predict("lexical", queries(True)), abs=1e-6)


def spans(count=300):
    """A query is a run of six characters, of its item where the two match."""
    random, texts = np.random.default_rng(0), TextTable()
    label = random.integers(0, 2, count)
    items = [chinese(random, 40) for _ in label]
    asked = [(item if match else chinese(random, 40))[9:15] for item, match in zip(items, label, strict=True)]
    slots = {"query": [texts.add(text) for text in asked], "item": [texts.add(text) for text in items]}
    return split(texts, slots, label, ["0", "1"])


@pytest.mark.parametrize("valid", [True, False])
def test_runs_of_characters_are_found_where_words_are_not_written_apart(valid, monkeypatch):
    dataset = spans() if valid else without_valid(spans())
    label = dataset.tasks["task"].test.label
    assert (predict("lexical", dataset).argmax(1) == label).mean() > 0.98
    monkeypatch.setattr(module, "SORTS", (("words",),))
    assert (predict("lexical", dataset).argmax(1) == label).mean() < 0.7


def test_overlaps_by_hand():
    texts = TextTable()
    slots = {
        "query": [texts.add(text) for text in ("a b", "a b", "c")],
        "item": [texts.add(text) for text in ("a b", "a d", "d d")],
    }
    train = split(texts, slots, [0, 1, 0], ["0", "1"], (1.0, 0.0)).tasks["task"].train
    overlaps = overlaps_of("words", texts, train)
    # Of the four different texts two have a, one b, one c, two d; the mean length is 7 / 4.
    common, rare = np.log(1 + (4 - 2 + 0.5) / (2 + 0.5)), np.log(1 + (4 - 1 + 0.5) / (1 + 0.5))
    share = common / (common + rare)
    bm25 = 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / (7 / 4)))
    found = overlaps(train)
    assert found[0] == pytest.approx([1, 1, bm25])
    assert found[1] == pytest.approx([common / np.hypot(common, rare) / np.sqrt(2), share, share * bm25])
    assert found[2].tolist() == [0, 0, 0]


def test_long_catalogues_are_read_in_part(monkeypatch):
    dataset = queries(False)
    read = []
    real = module.overlaps_of

    def counted(sort, texts, train):
        read.append(len(train))
        return real(sort, texts, train)

    monkeypatch.setattr(module, "overlaps_of", counted)
    monkeypatch.setattr(module, "MOST_CHARACTERS", 5000)
    prediction = predict("lexical", dataset)
    assert set(read) == {read[0]} and 50 < read[0] < 150
    assert (prediction.argmax(1) == dataset.tasks["task"].test.label).mean() > 0.95
