"""Trivial predictions that a model must beat: rates, medians, word overlap. Printed beside every result.

A prior sees the train rows, and of the evaluated rows only what was known before each of them: a user's own labels at
times strictly before the example's. A label of `next-gap` is known when the next event happens, which is no later than
the user's next example, so the same rule holds for it.
"""

from bisect import insort
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING

import numpy as np

from peftrec.data.examples import Dataset, Examples, TaskData
from peftrec.data.rates import PSEUDO
from peftrec.data.texts import TextTable
from peftrec.recipe.names import find

if TYPE_CHECKING:  # scikit-learn takes 90 MB and a second, which training does not need
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

Prior = Callable[[Dataset, str, Examples], np.ndarray]  # dataset, task name, rows to predict -> as a model's prediction

MANY_CLASSES = 1000
_TOKEN = r"\w+|[^\w\s]"  # words and single signs, so that no text is without a token


def uninformed(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Equal probabilities (N, C), or the middle of the train labels' range (N,), which is 0.5 for liked or not.

    Each class is as likely as not for rows with several labels.
    """
    data = dataset.tasks[task]
    if data.train.label.ndim == 2:
        return np.full((len(examples), len(data.classes)), 0.5)
    if data.classes:
        return np.full((len(examples), len(data.classes)), 1 / len(data.classes))
    return np.full(len(examples), (float(data.train.label.min()) + float(data.train.label.max())) / 2)


def train_mean(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The train rows' class frequencies (N, C), or their mean label (N,), the same for every row."""
    data = dataset.tasks[task]
    if data.classes:
        several = data.train.label.ndim == 2
        count = data.train.label.sum(0) if several else np.bincount(data.train.label, minlength=len(data.classes))
        return np.tile(count / len(data.train), (len(examples), 1))
    return np.full(len(examples), data.train.label.mean(dtype=np.float64))


def item_rate(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Mean label of the item's train rows (its like-rate when labels are 0 and 1), with 5 pseudo-rows of the mean."""
    return _item_rate(dataset.tasks[task], examples, seen=False)


def user_rate(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Mean of the user's own labels strictly before the example, with 5 pseudo-rows of the train mean."""
    data = dataset.tasks[task]
    labels, begin, end = _own_past(data, examples)
    total = np.concatenate([[0.0], np.cumsum(labels, dtype=np.float64)])
    base = data.train.label.mean(dtype=np.float64)
    return (total[end] - total[begin] + PSEUDO * base) / (end - begin + PSEUDO)


def item_and_user(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Both rates together: logistic regression on their logits for 0/1 labels, least squares on the rates for others.

    The item's rate of a train row leaves that row out; otherwise the fit would trust it too much.
    """
    data = dataset.tasks[task]
    binary = bool(np.isin(data.train.label, (0, 1)).all())

    def columns(rows: Examples, seen: bool) -> np.ndarray:
        rates = np.stack([_item_rate(data, rows, seen), user_rate(dataset, task, rows)], 1)
        return np.log(rates / (1 - rates)) if binary else rates

    model = _regression(binary).fit(columns(data.train, True), data.train.label)
    known = columns(examples, False)
    return model.predict_proba(known)[:, 1] if binary else model.predict(known)


def rates_so_far(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The like rates of item and user as they stood at each row's time, through logistic regression: what a model that
    reads such rates starts from. Linear regression where labels are not 0 and 1."""
    train = dataset.tasks[task].train
    binary = bool(np.isin(train.label, (0, 1)).all())

    def columns(rows: Examples) -> np.ndarray:
        rates = rows.inputs()[:, [-4, -2]].astype(np.float64)  # the means of RATE_FEATURES
        return np.log(rates / (1 - rates)) if binary else rates

    model = _regression(binary).fit(columns(train), train.label)
    return model.predict_proba(columns(examples))[:, 1] if binary else model.predict(columns(examples))


def train_median(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Median label of the train rows, the same for every row."""
    return np.full(len(examples), np.median(dataset.tasks[task].train.label))


def user_median(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Median of the user's own labels strictly before the example; the train median where there is none."""
    labels, begin, end = _own_past(dataset.tasks[task], examples)
    prediction = train_median(dataset, task, examples).astype(np.float64)
    past: list[float] = []
    done, user = 0, -1
    for row in np.lexsort((end, begin)):  # every user's rows in time order, so that `past` only grows
        if begin[row] != user:
            past, done, user = [], begin[row], begin[row]
        for label in labels[done : end[row]].tolist():
            insort(past, label)
        done = end[row]
        if past:
            prediction[row] = (past[(len(past) - 1) // 2] + past[len(past) // 2]) / 2
    return prediction


def lexical(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Grade probabilities (N, C) from shared words of query and item: logistic regression on two overlaps.

    The overlaps are the TF-IDF cosine, and the TF-IDF share of the query's words that the item has; the words and
    their weights come from the train rows' texts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    data = dataset.tasks[task]
    left, _, right, _ = _sides(dataset.texts, data.train)
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=_TOKEN).fit({*left, *right})

    def columns(rows: Examples) -> np.ndarray:
        left, left_row, right, right_row = _sides(dataset.texts, rows)
        query, item = vectorizer.transform(left)[left_row], vectorizer.transform(right)[right_row]
        cosine, shared, total = query.multiply(item).sum(1), query.multiply(item > 0).sum(1), query.sum(1)
        return np.asarray(np.concatenate([cosine, shared / np.maximum(total, 1e-9)], 1))

    model = LogisticRegression(max_iter=1000).fit(columns(data.train), data.train.label)
    return _spread(model, model.predict_proba(columns(examples)), data)


def tfidf(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Class probabilities (N, C): logistic regression on TF-IDF of the text's words, naive Bayes for many classes.

    On CLINC150 pairs of words made it slower and worse; the saga solver is three times as fast as the default one. It
    takes a step of C numbers a row, half a minute for 9,000 rows of 3,000 classes, where naive Bayes counts once.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB

    data, texts = dataset.tasks[task], dataset.texts.texts
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=_TOKEN)
    known = vectorizer.fit_transform([texts[row] for row in data.train.slots["text"]])
    if len(data.classes) > MANY_CLASSES:
        model = MultinomialNB(alpha=1e-3)
    else:
        model = LogisticRegression(C=10, solver="saga", tol=1e-2, random_state=0)
    model.fit(known, data.train.label)
    found = vectorizer.transform([texts[row] for row in examples.slots["text"]])
    return _spread(model, model.predict_proba(found), data)


def popularity(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """log1p of every item's train rows: scores (N, I) for ranking the catalogue."""
    count = np.bincount(dataset.tasks[task].train.item, minlength=len(dataset.items_of(task)))
    return np.tile(np.log1p(count), (len(examples), 1))


def popularity_so_far(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The same count of all choices before the example, (N, I): what a model with a retrieval head starts from."""
    assert examples.catalogue is not None
    return examples.catalogue.popularity(examples.time)


def shuffled(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Random scores (N, I) for ranking the catalogue: a hash of user and item, so that no batching changes them."""
    items = np.arange(len(dataset.items_of(task)), dtype=np.uint64)
    mixed = examples.users.astype(np.uint64)[:, None] << np.uint64(32) ^ items
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finaliser of SplitMix64 (Steele et al. 2014)
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(factor)
    return (mixed >> np.uint64(11)) / 2.0**53


PRIORS: dict[str, Prior] = {
    "random": uninformed,
    "majority": train_mean,
    "item_rate": item_rate,
    "user_rate": user_rate,
    "item_and_user": item_and_user,
    "rates_so_far": rates_so_far,
    "median": train_median,
    "user_median": user_median,
    "lexical": lexical,
    "tfidf": tfidf,
}

# Scores (N, I) of the whole catalogue for each row.
RANKING_PRIORS: dict[str, Prior] = {
    "random": shuffled,
    "popularity": popularity,
    "popularity_so_far": popularity_so_far,
}


def find_prior(table: dict[str, Prior], name: str) -> Prior:
    """The prior of a table, or a function of one's own as `package.module:name`. Raises UserError."""
    return find(table, name, "prior", FunctionType)


def _item_rate(data: TaskData, rows: Examples, seen: bool) -> np.ndarray:
    """Smoothed mean label of the rows' items over train; `seen` rows are train rows and are left out of their own."""
    train, base = data.train, data.train.label.mean(dtype=np.float64)
    items = 1 + int(max(train.item.max(initial=0), rows.item.max(initial=0)))
    total = np.bincount(train.item, train.label, items)[rows.item] + PSEUDO * base
    count = np.bincount(train.item, minlength=items)[rows.item] + PSEUDO
    return (total - seen * rows.label) / (count - seen)


def _own_past(data: TaskData, rows: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All labels ordered by (user, time), and for each row the window [begin, end) of its user's before its time."""
    parts = (data.train, data.valid, data.test)
    group, time, label = (np.concatenate([getattr(p, name) for p in parts]) for name in ("users", "time", "label"))
    order = np.lexsort((time, group))
    group, time, label = group[order], time[order], label[order]
    moments = np.unique(time)
    key = group * (len(moments) + 1) + np.searchsorted(moments, time)  # orders like (group, time)
    begin = np.searchsorted(group, rows.users)
    end = np.searchsorted(key, rows.users * (len(moments) + 1) + np.searchsorted(moments, rows.time))
    return label, begin, end


def _sides(texts: TextTable, rows: Examples) -> tuple[list[str], np.ndarray, list[str], np.ndarray]:
    """Distinct query texts and each row's number among them (N,), then the same of the item texts."""
    if "pair" in rows.slots:
        pairs, row = np.unique(rows.slots["pair"], return_inverse=True)
        return [texts.texts[p] for p in pairs], row, [texts.pairs[p] or "" for p in pairs], row
    queries, query_row = np.unique(rows.slots["query"], return_inverse=True)
    items, item_row = np.unique(rows.slots["item"], return_inverse=True)
    return [texts.texts[q] for q in queries], query_row, [texts.texts[i] for i in items], item_row


def _regression(binary: bool) -> "LogisticRegression | LinearRegression":
    from sklearn.linear_model import LinearRegression, LogisticRegression

    return LogisticRegression() if binary else LinearRegression()


def _spread(model: "LogisticRegression | MultinomialNB", probability: np.ndarray, data: TaskData) -> np.ndarray:
    """Probabilities of the classes seen in training, spread over all classes (N, C)."""
    full = np.zeros((len(probability), len(data.classes)))
    full[:, model.classes_] = probability
    return full
