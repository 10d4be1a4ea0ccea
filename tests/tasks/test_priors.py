from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from peftrec.data.catalogue import Catalogue
from peftrec.data.examples import Dataset, Examples, ItemTexts, TaskData
from peftrec.data.log import Log
from peftrec.data.rates import Rates
from peftrec.data.texts import TextTable
from peftrec.tasks import priors
from peftrec.tasks.priors import PRIORS, RANKING_PRIORS

ON_LABELS = ["random", "majority", "item_rate", "user_rate", "item_and_user", "median", "user_median"]


def test_every_prior_is_covered_here():
    assert sorted(PRIORS) == sorted([*ON_LABELS, "rates_so_far", "lexical", "tfidf"])
    assert sorted(RANKING_PRIORS) == ["popularity", "popularity_so_far", "random"]


def rows(label, group, item, time, slots=None):
    """Examples out of columns; columns left None are as the builders leave them."""
    count = len(label)
    return Examples(
        slots={name: np.asarray(column, np.int32) for name, column in (slots or {}).items()},
        label=np.asarray(label),
        features=np.zeros((count, 0), np.float32),
        group=np.asarray(group, np.int64),
        item=np.full(count, -1) if item is None else np.asarray(item, np.int64),
        time=np.full(count, np.nan) if time is None else np.asarray(time, np.float64),
    )


def events(seed=0, binary=True, count=600):
    """A data set of events: users and items with tastes and qualities of their own, many equal times, split by time."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(12, size=count), rng.integers(30, size=count)
    time = np.sort(rng.integers(0, 80, size=count)).astype(np.float64)
    value = rng.normal(size=12)[user] + rng.normal(size=30)[item] + 0.5 * rng.normal(size=count)
    label = (value > 0 if binary else value.round(1)).astype(np.float32)
    everything = rows(label, user, item, time)
    parts = np.searchsorted([50, 60], time, side="right")
    task = TaskData(*(everything.take(np.flatnonzero(parts == part)) for part in range(3)), items="items")
    names = [str(number) for number in range(30)]
    return Dataset(TextTable(), {"items": ItemTexts(names, np.arange(30, dtype=np.int32))}, [], {"task": task})


def predict(name, dataset, examples=None):
    return PRIORS[name](dataset, "task", dataset.tasks["task"].test if examples is None else examples)


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


WORDS = [f"word{number}" for number in range(40)]


def queries(joint, count=300):
    """Queries of two words; a match has both, others have neither. Grade 2 never occurs in training."""
    rng, texts = np.random.default_rng(0), TextTable()
    label = rng.integers(2, size=count)
    asked, answered = [], []
    for match in label:
        words = rng.permutation(WORDS)
        asked.append(" ".join(words[:2]))
        answered.append(" ".join(words[0:6] if match else words[2:8]))
    if joint:
        slots = {"pair": [texts.add(q, a) for q, a in zip(asked, answered, strict=True)]}
    else:
        slots = {"query": [texts.add(q) for q in asked], "item": [texts.add(a) for a in answered]}
    everything = rows(label.astype(np.int64), np.arange(count), None, None, slots)
    train, test = everything.take(np.arange(200)), everything.take(np.arange(200, count))
    data = TaskData(train, test.take(np.arange(0)), test, classes=["0", "1", "2"])
    return Dataset(texts, {}, [], {"task": data})


@pytest.mark.parametrize("joint", [False, True])
def test_lexical_prior_finds_shared_words(joint):
    dataset = queries(joint)
    prediction, label = predict("lexical", dataset), dataset.tasks["task"].test.label
    assert prediction.shape == (100, 3) and prediction.sum(1) == pytest.approx(1)
    assert (prediction.argmax(1) == label).mean() > 0.98
    assert (prediction[:, 2] == 0).all()


def test_lexical_prior_is_the_same_for_towers_and_pairs():
    assert predict("lexical", queries(False)) == pytest.approx(predict("lexical", queries(True)), abs=1e-6)


def texts_of_classes():
    """Texts whose class is their first word; one text of signs only, and an unseen one in test."""
    texts = TextTable()
    train = [f"{name} {other}" for name in ("pay", "fly", "sleep") for other in WORDS[:10]]
    test = ["pay now", "we fly", "sleep well", "👍 !"]
    columns = [
        rows(np.array(label, np.int64), np.arange(len(label)), None, None, {"text": [texts.add(text) for text in part]})
        for part, label in ((train, np.repeat([0, 1, 3], 10)), (test, [0, 1, 3, 0]))
    ]
    data = TaskData(columns[0], columns[1].take(np.arange(0)), columns[1], classes=["pay", "fly", "spare", "sleep"])
    return Dataset(texts, {}, [], {"task": data})


@pytest.mark.parametrize("many", [1000, 3])
def test_tfidf_prior_learns_words(many, monkeypatch):
    monkeypatch.setattr(priors, "MANY_CLASSES", many)
    prediction = predict("tfidf", texts_of_classes())
    assert prediction.shape == (4, 4) and prediction.sum(1) == pytest.approx(1)
    assert prediction.argmax(1)[:3].tolist() == [0, 1, 3]
    assert (prediction[:, 2] == 0).all()


def test_constant_priors_of_classes():
    dataset = texts_of_classes()
    assert predict("majority", dataset) == pytest.approx(np.tile([1 / 3, 1 / 3, 0, 1 / 3], (4, 1)))
    assert predict("random", dataset) == pytest.approx(np.full((4, 4), 0.25))


def test_popularity_counts_train_rows():
    dataset = events()
    data = dataset.tasks["task"]
    expected = np.log1p([(data.train.item == item).sum() for item in range(30)])
    score = RANKING_PRIORS["popularity"](dataset, "task", data.test)
    assert score == pytest.approx(np.tile(expected, (len(data.test), 1)))


def test_popularity_so_far_counts_what_was_chosen_before():
    dataset = events()
    data = dataset.tasks["task"]
    item, time = (
        np.concatenate([getattr(p, n) for p in (data.train, data.valid, data.test)]) for n in ("item", "time")
    )
    test = replace(data.test, catalogue=Catalogue(dataset.items["items"].rows, item, time))
    score = RANKING_PRIORS["popularity_so_far"](dataset, "task", test)
    for row, moment in enumerate(data.test.time):  # 80 moments, so that every one has its snapshot
        assert score[row] == pytest.approx(np.log1p(np.bincount(item[time < moment], minlength=30)))


def test_random_ranking_is_uniform_and_needs_no_order():
    dataset = events()
    every = rows(np.zeros(100, np.float32), np.arange(100), None, None)
    score = RANKING_PRIORS["random"](dataset, "task", every)
    assert score.shape == (100, 30) and len(np.unique(score)) == 3000 and score.min() >= 0 and score.max() < 1
    assert np.abs(np.quantile(score, [0.1, 0.5, 0.9]) - [0.1, 0.5, 0.9]).max() < 0.04
    assert RANKING_PRIORS["random"](dataset, "task", every.take(np.array([7, 3]))).tolist() == score[[7, 3]].tolist()
    place = score.argsort(1).argsort(1)  # of item 0 among users: anywhere
    assert len(set(place[:, 0])) > 20
