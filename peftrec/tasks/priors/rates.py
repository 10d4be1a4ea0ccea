"""Priors of events: constants, and the rates and medians of items and users."""

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

import numpy as np

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import FITTED, Examples
from peftrec.data.log import places_between
from peftrec.data.rates import PSEUDO

if TYPE_CHECKING:  # scikit-learn takes 90 MB and a second, which training does not need
    from sklearn.linear_model import LinearRegression, LogisticRegression


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
    """Mean of the user's own labels strictly before the example, with 5 pseudo-rows of the train mean.

    Here and in `user_median`: without times of all that is known, but for the example itself."""
    data = dataset.tasks[task]
    labels, begin, end, own = _own_past(data, examples)
    total = np.concatenate([[0.0], np.cumsum(labels, dtype=np.float64)])
    base, inside = data.train.label.mean(dtype=np.float64), own >= 0
    known = total[end] - total[begin] - np.where(inside, np.append(labels, 0)[own], 0)
    return (known + PSEUDO * base) / (end - begin - inside + PSEUDO)


def item_and_user(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Both rates together: logistic regression on their logits for 0/1 labels, least squares on the rates for others.

    The item's rate of a train row leaves that row out; otherwise the fit would trust it too much.
    """
    data = dataset.tasks[task]
    train = data.train.thinned(FITTED)
    binary = bool(np.isin(train.label, (0, 1)).all())

    def columns(rows: Examples, seen: bool) -> np.ndarray:
        rates = np.stack([_item_rate(data, rows, seen), user_rate(dataset, task, rows)], 1)
        return np.log(rates / (1 - rates)) if binary else rates

    model = _regression(binary).fit(columns(train, True), train.label)
    known = columns(examples, False)
    return model.predict_proba(known)[:, 1] if binary else model.predict(known)


def rates_so_far(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The like rates of item and user as they stood at each row's time, through logistic regression: what a model that
    reads such rates starts from. Linear regression where labels are not 0 and 1."""
    train = dataset.tasks[task].train.thinned(FITTED)
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
    labels, begin, end, own = _own_past(dataset.tasks[task], examples)
    prediction = train_median(dataset, task, examples).astype(np.float64)
    past: list[float] = []
    done, user = 0, -1
    for row in np.lexsort((end, begin)):  # every user's rows in time order, so that `past` only grows
        if begin[row] != user:
            past, done, user = [], begin[row], begin[row]
        for label in labels[done : end[row]].tolist():
            insort(past, label)
        done = end[row]
        known = past if own[row] < 0 else _without(past, float(labels[own[row]]))
        if known:
            prediction[row] = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    return prediction


def _item_rate(data: TaskData, rows: Examples, seen: bool) -> np.ndarray:
    """Smoothed mean label of the rows' items over train; `seen` rows are train rows and are left out of their own."""
    train, base = data.train, data.train.label.mean(dtype=np.float64)
    items = 1 + int(max(train.item.max(initial=0), rows.item.max(initial=0)))
    total = np.bincount(train.item, train.label, items)[rows.item] + PSEUDO * base
    count = np.bincount(train.item, minlength=items)[rows.item] + PSEUDO
    return (total - seen * rows.label) / (count - seen)


def _without(past: list[float], label: float) -> list[float]:
    """Sorted labels without one that is among them."""
    place = bisect_left(past, label)
    return past[:place] + past[place + 1 :]


def _own_past(data: TaskData, rows: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All labels ordered by (user, time), for each row the window [begin, end) of its user's before its time, and which
    of these is its own, -1: none. Without times those that are known to the row, which may be among them."""
    if rows.rated is not None:
        assert rows.rates is not None and rows.seen is not None
        (centre, spread), log = data.scale, rows.rates.log
        known = centre + spread * np.asarray(log.feedback, np.float64)
        return known, log.user_start[rows.users], np.asarray(rows.seen), np.asarray(rows.rated)
    asked = np.unique(rows.users)
    parts = [(part, np.flatnonzero(np.isin(part.users, asked))) for part in (data.train, data.valid, data.test)]
    group, time, label = (
        np.concatenate([getattr(part, name)[some] for part, some in parts]) for name in ("users", "time", "label")
    )
    order = np.lexsort((time, group))
    group, time, label = group[order], time[order], label[order]
    begin, end = (np.searchsorted(group, asked, side)[np.searchsorted(asked, rows.users)] for side in ("left", "right"))
    return label, begin, places_between(time, begin, end, rows.time), np.full(len(rows), -1)


def _regression(binary: bool) -> "LogisticRegression | LinearRegression":
    from sklearn.linear_model import LinearRegression, LogisticRegression

    return LogisticRegression() if binary else LinearRegression()
