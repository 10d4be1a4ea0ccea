"""Rows with several labels: both priors on texts learn each class by itself, against what is true by construction."""

import numpy as np
import pytest
from columns import predict, split, without_valid

from peftrec.data.texts import TextTable
from peftrec.tasks.priors import texts as module
from peftrec.tasks.priors.several import EachClass


def several(count=500):
    """Texts with class c where the word `tag<c>` stands, all with the first, none with the last; and their vectors."""
    random, texts = np.random.default_rng(0), TextTable()
    label = (random.random((count, 5)) < (1.0, 0.5, 0.3, 0.2, 0.0)).astype(np.float32)
    written = [
        " ".join([f"word{n % 7}", *(f"tag{c}" for c in np.flatnonzero(of)), str(n)]) for n, of in enumerate(label)
    ]
    held = (label @ random.normal(size=(5, 16)) + 0.1 * random.normal(size=(count, 16))).astype(np.float32)
    return split(texts, {"text": [texts.add(text) for text in written]}, label, list("abcde")), held


def loss(chances, label):
    chances = chances.clip(1e-7, 1 - 1e-7)
    return -np.log(np.where(label == 1, chances, 1 - chances)).mean()


@pytest.mark.parametrize("valid", [True, False])
@pytest.mark.parametrize("prior", ["tfidf", "frozen_lr"])
def test_each_class_is_learnt_by_itself(prior, valid):
    dataset, held = several()
    dataset = dataset if valid else without_valid(dataset)
    given = {"vectors": lambda rows: held[rows]} if prior == "frozen_lr" else {}
    found, label = predict(prior, dataset, **given), dataset.tasks["task"].test.label
    assert found.shape == (100, 5) and ((found > 0.5) == label).mean() > 0.99
    assert loss(found, label) < 0.05 < 0.3 < loss(predict("majority", dataset), label)
    assert (found[:, 0] > 0.98).all() and (found[:, 4] < 0.02).all()  # alike in all rows
    assert np.array_equal(found, predict(prior, dataset, **given))


def test_where_rows_are_few_for_the_work_a_simpler_model_does(monkeypatch):
    monkeypatch.setattr(module, "FIT_WORK", 20_000)
    monkeypatch.setattr(module, "FEWEST_ROWS", 1_000_000)
    dataset, _ = several()
    assert ((predict("tfidf", dataset) > 0.5) == dataset.tasks["task"].test.label).mean() > 0.9


def test_a_model_a_class_has_the_log_odds_of_scikit_learn_s():
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(1)
    features = random.normal(size=(80, 3))
    label = (features + random.normal(size=(80, 3)) > 0).astype(np.float32)
    found = EachClass(LogisticRegression(C=2)).fit(features, label).decision_function(features)
    for number, own in enumerate(label.T):
        assert found[:, number] == pytest.approx(LogisticRegression(C=2).fit(features, own).decision_function(features))
