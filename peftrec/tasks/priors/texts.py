"""The prior `tfidf`: a linear model on a text's n-grams, chosen on the validation rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from peftrec.data.examples import Dataset, Examples
from peftrec.tasks.priors.choice import best, held_out, judge, learn, predicted, spread, thinned
from peftrec.tasks.priors.grams import TfIdf, characters, words

COUNTERS = {"words": words(2), "characters": characters(1, 4)}
SORTS = (("words",), ("characters",), ("words", "characters"))
MOST_CHARACTERS = 4_000_000  # of the train rows that are read: 30,000 tweets
# Non-zero numbers of the train rows times classes: 20 million take about a second of one core.
TRY_WORK, FIT_WORK = 100_000_000, 500_000_000
FEWEST_ROWS = 10  # a class, below which thinning the train rows costs more than a simpler model
PREDICTED_ROWS = 16_384  # at once

Counts = dict[str, sparse.csr_matrix]
Way = tuple[tuple[str, ...], Callable[[], Any]]  # sorts of n-grams, and a model to fit


def tfidf(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Class probabilities (N, C), or numbers (N,), from TF-IDF of the text's words, its characters, or both.

    First the n-grams are chosen, then the model: linear support vectors of two strengths or logistic regression, made
    probabilities by one factor; ridge regression of three strengths for numbers. Where that would take minutes it sees
    every so many of the train rows, and where that leaves few rows a class, complement naive Bayes takes its place,
    which counts once.
    """
    data, texts = dataset.tasks[task], dataset.texts.texts
    classes = len(data.classes)

    def count(rows: Examples) -> Counts:
        read = [texts[row] for row in rows.slots["text"]]
        return {sort: counter(read) for sort, counter in COUNTERS.items()}

    def fit(way: Way, rows: Examples, counts: Counts) -> Callable[[Counts], np.ndarray]:
        sorts, make = way
        weigh = TfIdf([counts[sort] for sort in sorts])
        model = learn(make(), weigh([counts[sort] for sort in sorts]), rows.label)
        return lambda of: _scores(model, weigh([of[sort] for sort in sorts]), classes)

    def attempt(way: Way) -> Any:
        return judge(way, fit(way, some, some_counts)(check_counts), check.label)

    fitted, check = held_out(data)
    fitted = thinned(fitted, _affordable(fitted, texts))
    counts, check_counts = count(fitted), count(check)
    per_row = sum(of.nnz for of in counts.values()) / len(fitted) * max(1, classes)
    simple = FIT_WORK / per_row < min(len(fitted), FEWEST_ROWS * classes)
    models = _NUMBERS if not classes else _SIMPLE if simple else _CLASSES
    some = fitted if simple else thinned(fitted, int(TRY_WORK / per_row))
    some_counts = counts if some is fitted else count(some)
    tried = [attempt((sorts, models[0])) for sorts in SORTS]
    sorts = best(tried).way[0]
    tried += [attempt((sorts, model)) for model in models[1:]]
    chosen = best(tried)
    whole = thinned(data.train, _affordable(data.train, texts))
    whole = whole if simple else thinned(whole, int(FIT_WORK / per_row))
    score = fit(chosen.way, whole, count(whole))
    blocks = [np.arange(a, min(a + PREDICTED_ROWS, len(examples))) for a in range(0, len(examples), PREDICTED_ROWS)]
    return np.concatenate([predicted(score(count(examples.take(rows))), chosen, data.train) for rows in blocks])


def _affordable(rows: Examples, texts: list[str]) -> int:
    """How many of the rows may be read."""
    read = sum(len(texts[row]) for row in rows.slots["text"])
    return int(len(rows) * min(1, MOST_CHARACTERS / max(1, read)))


def _scores(model: Any, features: sparse.csr_matrix, classes: int) -> np.ndarray:
    """Log-scores (N, C) that softmax, or the sigmoid of each, makes probabilities of; or numbers (N,)."""
    if not classes:
        numbers: np.ndarray = model.predict(features)
        return numbers
    if hasattr(model, "decision_function"):
        return spread(model.decision_function(features), model.classes_, classes)
    return spread(model.predict_log_proba(features), model.classes_, classes)


def _support_vectors(strength: float) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(C=strength, tol=0.1, random_state=0)

    return make


def _logistic(strength: float) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=strength, solver="saga", tol=1e-2, random_state=0)

    return make


def _bayes(alpha: float) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn.naive_bayes import ComplementNB

        return ComplementNB(alpha=alpha)

    return make


def _ridge(alpha: float) -> Callable[[], Any]:
    def make() -> Any:
        from sklearn.linear_model import Ridge

        return Ridge(alpha=alpha, solver="sparse_cg", tol=1e-3)

    return make


_CLASSES = (_support_vectors(1), _support_vectors(10), _logistic(10))
_SIMPLE = (_bayes(0.3), _bayes(0.05), _bayes(2))
_NUMBERS = (_ridge(1), _ridge(0.1), _ridge(10))
