"""A fitted model as arrays says what scikit-learn's own says, of every sort that priors are fitted as."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import ComplementNB
from sklearn.svm import LinearSVC

from peftrec.tasks.priors.choice import learn
from peftrec.tasks.priors.linear import linear
from peftrec.tasks.priors.several import EachClass
from peftrec.tasks.priors.vectors import ClassMeans

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.random((60, 5))
THREE = RANDOM.integers(0, 3, 60)


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC(), ComplementNB(), ClassMeans()])
def test_classes_of_which_one_is_never_seen(model):
    label = THREE * 2 - (THREE == 2)  # 0, 2, 3: class 1 has no rows
    found = linear(model.fit(FEATURES, label), 4)
    scores = found(sparse.csr_matrix(FEATURES))
    own = model.predict_log_proba(FEATURES) if isinstance(model, ComplementNB) else model.decision_function(FEATURES)
    assert (scores[:, 1] == -np.inf).all()
    apart = scores[:, [0, 2, 3]] - own  # naive Bayes's are brought to sum to one: a constant of each row
    assert apart - apart[:, :1] == pytest.approx(np.zeros((60, 3)), abs=1e-5)


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC()])
def test_two_classes_share_what_the_model_says(model):
    label = (THREE > 0).astype(np.int64)
    scores = linear(model.fit(FEATURES, label), 2)(FEATURES)
    assert scores[:, 1] - scores[:, 0] == pytest.approx(model.decision_function(FEATURES), abs=1e-6)


@pytest.mark.parametrize("model", [LogisticRegression(), LinearSVC(), ComplementNB(), ClassMeans()])
def test_rows_of_one_class_know_of_no_other(model):
    scores = linear(learn(model, FEATURES, np.full(60, 2)), 4)(FEATURES)
    assert np.isfinite(scores[:, 2]).all() and (scores[:, [0, 1, 3]] == -np.inf).all()


def test_numbers():
    model = Ridge().fit(FEATURES, FEATURES @ np.arange(5) + 3)
    assert linear(model, 0)(FEATURES) == pytest.approx(model.predict(FEATURES), abs=1e-5)


@pytest.mark.parametrize("model", [LogisticRegression(), ComplementNB()])
def test_several_labels_one_of_which_all_rows_have(model):
    label = np.stack([THREE == 0, THREE == 1, THREE < 9, THREE > 9], 1).astype(np.float32)
    fitted = EachClass(model).fit(FEATURES, label)
    assert linear(fitted, 4)(FEATURES) == pytest.approx(fitted.decision_function(FEATURES), abs=1e-5)
