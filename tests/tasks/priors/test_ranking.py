"""Priors of the whole catalogue."""

from dataclasses import replace

import numpy as np
import pytest
from columns import events, rows
from habits import ITEMS, habits, load, past_of

from peftrec.data.catalogue import Catalogue
from peftrec.data.signals import of_every_item
from peftrec.tasks.priors import RANKING_PRIORS


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


def test_own_frequency_is_the_users_counts_then_recency_then_popularity(shop, tmp_path):
    dataset = load(shop, habits(shop, tmp_path, 0.4), repeats="allow")
    test = dataset.tasks["next"].test.take(np.arange(20))
    score = RANKING_PRIORS["own_frequency"](dataset, "next", test)
    popular = RANKING_PRIORS["popularity_so_far"](dataset, "next", test)
    for row in range(20):
        past = past_of(test, row)
        last = {item: place for place, item in enumerate(past)}
        wanted = sorted(
            range(ITEMS), key=lambda i, p=past, at=last, n=row: (-p.count(i), -at.get(i, -1), -popular[n, i], i)
        )
        assert sorted(range(ITEMS), key=lambda i, n=row: (-score[n, i], i)) == wanted
    excluded = replace(test, repeats=False)
    assert RANKING_PRIORS["own_frequency"](dataset, "next", excluded) is None


def test_item_item_and_recent_popularity_leave_ties_to_popularity(shop, tmp_path):
    dataset = load(shop, habits(shop, tmp_path, 0.4), repeats="allow")
    test = dataset.tasks["next"].test.take(np.arange(20))
    popular = RANKING_PRIORS["popularity_so_far"](dataset, "next", test)
    lately = test.catalogue.popularity(test.time, lately=True)
    for name, of in (("item_item", of_every_item(test)[:, :, 2]), ("recent_popularity", lately)):
        score = RANKING_PRIORS[name](dataset, "next", test)
        assert score == pytest.approx(of.astype(float) + 1e-6 * popular.astype(float), abs=1e-9) and score.shape == (
            20,
            ITEMS,
        )
