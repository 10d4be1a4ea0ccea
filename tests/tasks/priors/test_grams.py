"""n-grams counted by numpy are those that scikit-learn counts."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from peftrec.tasks.priors import grams
from peftrec.tasks.priors.grams import characters, tf_idf, words

TEXTS = ["Ab  ba\tab", "", "\u4f60\u597d\u4f60\u597d", "a", "ab ba ab", "\U0001f44d !", "x" * 50, "\ud800 y"]


def counted(matrix):
    """Each row's counts, sorted, whatever their columns."""
    return [sorted(matrix[row].data.tolist()) for row in range(matrix.shape[0])]


@pytest.mark.parametrize("at_once", [1 << 20, 10])
def test_runs_of_characters_are_those_of_scikit_learn(at_once, monkeypatch):
    monkeypatch.setattr(grams, "AT_ONCE", at_once)
    found = characters(2, 4)(TEXTS)
    plain = [" ".join(["", *text.lower().split(), ""]) for text in TEXTS]
    expected = CountVectorizer(analyzer="char", ngram_range=(2, 4)).fit_transform(plain)
    assert counted(found) == counted(expected.tocsr())
    assert found.dtype == np.float32 and found.shape == (len(TEXTS), 1 << grams.BITS)
    assert (found[0] != found[4]).nnz == 0  # case and blanks do not count


def test_single_characters_are_counted_without_blanks():
    assert counted(characters(1, 1)(["a b a", ""])) == [[1, 2], []]


def test_words_and_signs():
    assert counted(words(2)(["yes, yes", "", "!"])) == [[1, 1, 1, 2], [], [1]]


def test_tf_idf_is_that_of_scikit_learn_side_by_side():
    texts = ["one two", "two three", "three three three"]
    counts = [words(1)(texts), characters(1, 2)(texts)]
    weigh = tf_idf([of[:2] for of in counts], 1 << 20)
    found = weigh(counts)
    halves = []
    for of in counts:
        seen = np.unique(of[:2].indices)
        halves.append(TfidfTransformer(sublinear_tf=True).fit(of[:2][:, seen]).transform(of[:, seen]).toarray())
    assert found.toarray() == pytest.approx(np.concatenate(halves, 1))
    assert found.shape[1] == len(np.unique(counts[0][:2].indices)) + len(np.unique(counts[1][:2].indices))


def test_of_a_text_of_which_less_is_known_than_of_others_less_is_said(monkeypatch):
    known, asked = ["a b", "c d", "a d"], ["a b c d", "a x b d", "a b c x", "b x y z"]  # of four words 4, 3, 3, 1 known
    count = words(1)
    weigh = tf_idf([count(known)], 1 << 20)
    assert weigh.usual == (0.0,)
    monkeypatch.setattr(grams, "UNUSUAL", 0.5)
    careful = weigh.asked([count(asked)])
    assert careful.usual == (0.75,)
    found, plain = (of([count(asked)]).toarray() for of in (careful, weigh))
    assert np.linalg.norm(plain, axis=1) == pytest.approx([1, 1, 1, 1])
    assert found == pytest.approx(plain * np.array([1, 1, 1, 0.25 / 0.75])[:, None])
    assert not careful([count(["x y", "\u4f60\u597d"])]).toarray().any()
