"""The prior `tfidf`: a linear model on a text's n-grams, chosen on the validation rows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.choice import Chosen, Tried, best, held_out, judge, learn, once, predicted
from peftrec.tasks.priors.grams import TfIdf, characters, read_columns, tf_idf, words
from peftrec.tasks.priors.linear import Linear, linear, read_linear
from peftrec.tasks.priors.stored import FLOATS, number, sorts, stored

COUNTERS = {"words": words(2), "characters": characters(1, 4)}
SORTS = (("words",), ("characters",), ("words", "characters"))
MOST_CHARACTERS = 4_000_000  # of the train rows that are read: 30,000 tweets
# Non-zero numbers of the train rows times classes: 20 million take about a second of one core.
TRY_WORK, FIT_WORK = 100_000_000, 500_000_000
FEWEST_ROWS = 10  # a class, below which thinning the train rows costs more than a simpler model
PREDICTED_ROWS = 16_384  # at once

MOST_WEIGHTS = 1 << 25  # that a model may keep: 64 MB at two bytes each

Counts = dict[str, sparse.csr_matrix]
Way = tuple[tuple[str, ...], Callable[[], Any]]  # sorts of n-grams, and a model to fit


@dataclass(frozen=True)
class GramScores:
    """A linear model on a text's n-grams, of a text of which less is known than usual so much nearer to `base`.

    base  float32 (C,) or (1,): what is said of a text of which nothing is known
    """

    sorts: tuple[str, ...]
    weigh: TfIdf
    model: Linear
    texts: TextTable
    base: np.ndarray

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-scores (N, C), up to one factor, or numbers (N,); every text is counted once."""
        if not len(rows):
            return self.model.of_none()
        used, place = np.unique(rows.slots["text"], return_inverse=True)
        blocks = [used[first : first + PREDICTED_ROWS] for first in range(0, len(used), PREDICTED_ROWS)]
        return np.concatenate([self.of_counts(count(self.texts, block, self.sorts)) for block in blocks])[place]

    def of_counts(self, counts: Counts) -> np.ndarray:
        """The same of texts whose n-grams are counted."""
        of = [counts[sort] for sort in self.sorts]
        said, known = self.model(self.weigh(of)), self.weigh.known(of)
        if self.model.numbers:
            return self.base[0] + known * (said - self.base[0])
        seen = np.isfinite(self.model.bias)  # classes never seen stay so
        said[:, seen] = self.base[seen] + known[:, None] * (said[:, seen] - self.base[seen])
        return said

    def settings(self) -> dict[str, Any]:
        """What a run keeps of it beside its tensors."""
        return {"sorts": list(self.sorts), "usual": list(self.weigh.usual)}

    def tensors(self) -> dict[str, np.ndarray]:
        """The linear model, in 16 bits, and what it counts."""
        kept = self.model.tensors() | {"weight": self.model.weight.astype(np.float16), "base": self.base}
        for sort, columns, rarity in zip(self.sorts, self.weigh.columns, self.weigh.rarity, strict=True):
            kept |= {f"{sort}.columns": columns, f"{sort}.rarity": rarity}
        return kept


def read_grams(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], texts: TextTable, classes: int
) -> GramScores:
    """What was kept so. Raises KeyError, TypeError or ValueError for what is none."""
    found = sorts("sorts", settings["sorts"], COUNTERS)
    columns, rarity = zip(*(read_columns(tensors, sort) for sort in found), strict=True)
    model = read_linear(tensors, sum(map(len, columns)), classes)
    usual = tuple(number("usual", of) for of in settings.get("usual", [0] * len(found)))  # 0: of an earlier peftrec
    if len(usual) != len(found) or not all(0 <= of <= 1 for of in usual):
        raise ValueError(f"usual: a share of each of {', '.join(found)}; found {settings['usual']}")
    base = stored(tensors, "base", FLOATS, classes or 1) if "base" in tensors else np.zeros_like(model.bias)
    return GramScores(found, TfIdf(columns, rarity, usual), model, texts, base)


def count(texts: TextTable, rows: np.ndarray, sorts: Iterable[str]) -> Counts:
    """The n-grams of text rows (N,), at least one."""
    read = [texts.texts[row] for row in rows]
    return {sort: COUNTERS[sort](read) for sort in sorts}


def tfidf(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Class probabilities (N, C), or numbers (N,), from TF-IDF of the text's words, its characters, or both.

    First the n-grams are chosen, then the model: linear support vectors of two strengths or logistic regression, made
    probabilities by one factor; ridge regression of three strengths for numbers. Where that would take minutes it sees
    every so many of the train rows, and where that leaves few rows a class, complement naive Bayes takes its place,
    which counts once.
    """
    chosen = choose_grams(dataset, task)
    return predicted(chosen, dataset.tasks[task], examples)


@once
def choose_grams(dataset: Dataset, task: str) -> Chosen[GramScores]:
    """The n-grams and the model that the validation rows choose; see `tfidf`."""
    data, texts = dataset.tasks[task], dataset.texts
    classes = len(data.classes)

    def counted(rows: Examples) -> Counts:
        return count(texts, rows.slots["text"], COUNTERS)

    def fit(way: Way, rows: Examples, counts: Counts) -> GramScores:
        sorts, make = way
        weigh = tf_idf([counts[sort] for sort in sorts], MOST_WEIGHTS // max(1, classes) // len(sorts))
        model = linear(learn(make(), weigh([counts[sort] for sort in sorts]), rows.label), classes)
        kept = model.weight.astype(np.float16).astype(np.float32)  # as a run keeps it, so that it says the same again
        return GramScores(sorts, weigh, replace(model, weight=kept), texts, model.bias)

    def attempt(way: Way) -> Tried:
        found = fit(way, some, some_counts)
        if check is data.train:  # of what it was made of all is known
            careful[way] = lambda scores, rows: scores
        else:
            asked = found.weigh.asked([check_counts[sort] for sort in found.sorts])
            sharpness = judge(way, found.of_counts(check_counts), check.label).sharpness
            careful[way] = partial(_careful, asked.usual, sharpness)
        return judge(way, careful[way](found, some).of_counts(check_counts), check.label)

    careful: dict[Way, Callable[[GramScores, Examples], GramScores]] = {}
    fitted, check = held_out(data)
    fitted = fitted.thinned(_affordable(fitted, texts.texts))
    counts, check_counts = counted(fitted), counted(check)
    per_row = sum(of.nnz for of in counts.values()) / len(fitted) * max(1, classes)
    simple = FIT_WORK / per_row < min(len(fitted), FEWEST_ROWS * classes)
    models = _NUMBERS if not classes else _SIMPLE if simple else _CLASSES
    some = fitted if simple else fitted.thinned(int(TRY_WORK / per_row))
    some_counts = counts if some is fitted else counted(some)
    tried = [attempt((sorts, models[0])) for sorts in SORTS]
    sorts = best(tried).way[0]
    tried += [attempt((sorts, model)) for model in models[1:]]
    chosen = best(tried)

    def again(rows: Examples) -> GramScores:
        rows = rows.thinned(_affordable(rows, texts.texts))
        rows = rows if simple else rows.thinned(int(FIT_WORK / per_row))
        return careful[chosen.way](fit(chosen.way, rows, counted(rows)), rows)

    return Chosen(chosen, check, again, again(data.train))


def _careful(usual: tuple[float, ...], sharpness: float, scores: GramScores, rows: Examples) -> GramScores:
    """Where less than `usual` is known of a text, a class is as frequent, or a number as large, as in these rows."""
    base = scores.base
    if not scores.model.numbers and rows.label.ndim == 1:
        count = np.bincount(rows.label, minlength=len(base)) + 1
        base = (np.log(count / count.sum()) / sharpness).astype(np.float32)
    return replace(scores, weigh=replace(scores.weigh, usual=usual), base=base)


def _affordable(rows: Examples, texts: list[str]) -> int:
    """How many of the rows may be read."""
    read = sum(len(texts[row]) for row in rows.slots["text"])
    return int(len(rows) * min(1, MOST_CHARACTERS / max(1, read)))


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
