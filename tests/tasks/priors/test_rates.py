"""Rates and medians: right by hand and by slow loops, and blind to what they predict."""

from dataclasses import replace

import numpy as np
import pytest
from columns import events, predict, rows, texts_of_classes
from sklearn.metrics import roc_auc_score

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.log import Log
from peftrec.data.rates import Rates
from peftrec.data.texts import TextTable
from peftrec.tasks.priors import PRIORS, RANKING_PRIORS

ON_LABELS = ["random", "majority", "item_rate", "user_rate", "item_and_user", "median", "user_median"]


def test_every_prior_is_covered_here():
    of_texts = ["lexical", "class_names", "tfidf", "frozen_lr", "layers_lr", "other_tasks", "cosine"]
    assert sorted(PRIORS) == sorted([*ON_LABELS, *of_texts, "rates_so_far", "boosted"])
    of_pasts = ["item_item", "own_frequency", "recent_popularity"]
    assert sorted(RANKING_PRIORS) == sorted(["bm25", "cosine", "popularity", "popularity_so_far", "random", *of_pasts])


def own_past(data, example):
    """The user's labels strictly before one example, the slow way."""
    return [
        float(label)
        for part in (data.train, data.valid, data.test)
        for label, group, time in zip(part.label, part.group, part.time, strict=True)
        if group == example.group[0] and time < example.time[0]
    ]


@pytest.mark.parametrize("binary", [True, False])
def test_user_priors_equal_a_loop_over_the_past(binary):
    dataset = events(binary=binary)
    data = dataset.tasks["task"]
    base, middle = data.train.label.mean(dtype=np.float64), float(np.median(data.train.label))
    for part in (data.train, data.test):
        rate, median = predict("user_rate", dataset, part), predict("user_median", dataset, part)
        for row in range(len(part)):
            past = own_past(data, part.take(np.array([row])))
            assert rate[row] == pytest.approx((sum(past) + 5 * base) / (len(past) + 5))
            assert median[row] == pytest.approx(np.median(past) if past else middle)


@pytest.mark.parametrize("name", ON_LABELS)
@pytest.mark.parametrize("binary", [True, False])
def test_no_prior_sees_the_labels_it_predicts_or_later_ones(name, binary):
    dataset = events(binary=binary)
    data = dataset.tasks["task"]
    before = predict(name, dataset)
    row = len(data.test) // 2
    hidden = np.where(data.test.time >= data.test.time[row], 1 - data.test.label, data.test.label)
    changed = replace(data, test=replace(data.test, label=hidden))
    after = predict(name, replace(dataset, tasks={"task": changed}))
    assert before.shape == (len(data.test),) and np.isfinite(before).all()
    assert after[: row + 1] == pytest.approx(before[: row + 1])


@pytest.mark.parametrize("name", ON_LABELS)
def test_priors_of_liked_or_not_are_probabilities(name):
    prediction = predict(name, events())
    assert ((prediction >= 0) & (prediction <= 1)).all()


def test_users_and_items_never_seen_get_the_train_mean():
    dataset = events()
    data = dataset.tasks["task"]
    stranger = replace(data.test.take(np.arange(3)), group=np.full(3, 999), item=np.full(3, 29))
    without = replace(data, train=data.train.take(np.flatnonzero(data.train.item != 29)))
    dataset = replace(dataset, tasks={"task": without})
    base = without.train.label.mean(dtype=np.float64)
    for name in ("item_rate", "user_rate", "majority"):
        assert predict(name, dataset, stranger) == pytest.approx(base)
    assert predict("user_median", dataset, stranger) == pytest.approx(np.median(without.train.label))


def test_item_rate_by_hand():
    train = rows(np.array([1, 1, 0, 0], np.float32), [0, 1, 2, 3], [0, 0, 0, 1], [1, 2, 3, 4])
    test = rows(np.array([1], np.float32), [0], [0], [9])
    dataset = Dataset(TextTable(), {}, [], {"task": TaskData(train, test, test)})
    assert predict("item_rate", dataset) == pytest.approx([(2 + 5 * 0.5) / (3 + 5)])


def test_rates_so_far_beat_a_constant_and_know_nothing_of_the_future():
    data = events(count=6000).tasks["task"]
    log_like = [np.concatenate([getattr(p, n) for p in (data.train, data.test)]) for n in ("group", "item", "time")]
    label = np.concatenate([data.train.label, data.test.label]).astype(np.float32)
    user, item, time = log_like
    order = np.lexsort((time, user))
    users = int(user.max()) + 1
    start = np.searchsorted(user[order], np.arange(users + 1))
    log = Log(item[order].astype(np.int32), item[order].astype(np.int32), time[order], start, label[order])
    rates = Rates(log, float(data.train.label.mean()))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))

    def with_rates(rows, first):
        return replace(rows, log=log, stop=place[first : first + len(rows)]).with_rates(rates)

    train, test = with_rates(data.train, 0), with_rates(data.test, len(data.train))
    dataset = Dataset(TextTable(), {}, [], {"task": TaskData(train, test.take([]), test)})
    assert roc_auc_score(test.label, predict("rates_so_far", dataset)) > 0.6


@pytest.mark.parametrize("binary", [True, False])
def test_both_rates_together_beat_each(binary):
    dataset = events(binary=binary, count=6000)
    label = dataset.tasks["task"].test.label
    if binary:
        auc = {name: roc_auc_score(label, predict(name, dataset)) for name in ON_LABELS}
        assert auc["item_and_user"] > max(auc["item_rate"], auc["user_rate"]) + 0.05
        assert auc["random"] == auc["majority"] == 0.5
    else:
        error = {name: np.mean((label - predict(name, dataset)) ** 2) for name in ON_LABELS}
        assert error["item_and_user"] < 0.8 * min(error["item_rate"], error["user_rate"], error["majority"])


def test_random_is_the_middle_of_the_labels_and_majority_the_mean():
    dataset = events(binary=False)
    label = dataset.tasks["task"].train.label
    assert predict("random", dataset) == pytest.approx((label.min() + label.max()) / 2)
    assert predict("majority", dataset) == pytest.approx(label.mean(dtype=np.float64))
    assert predict("median", dataset) == pytest.approx(np.median(label))


def test_user_median_of_100000_rows():
    rng = np.random.default_rng(0)
    count = 100_000
    everything = rows(rng.random(count).astype(np.float32), rng.integers(900, size=count), None, np.arange(count))
    train, test = everything.take(np.arange(80_000)), everything.take(np.arange(80_000, count))
    dataset = Dataset(TextTable(), {}, [], {"task": TaskData(train, test.take([]), test)})
    found = predict("user_median", dataset)
    row = 19_999  # by hand for the last row: all of its user's labels before it
    past = everything.label[:-1][everything.group[:-1] == everything.group[-1]]
    assert found[row] == pytest.approx(np.median(past))


def test_constant_priors_of_classes():
    dataset = texts_of_classes()
    assert predict("majority", dataset) == pytest.approx(np.tile([1 / 3, 1 / 3, 0, 1 / 3], (4, 1)))
    assert predict("random", dataset) == pytest.approx(np.full((4, 4), 0.25))
