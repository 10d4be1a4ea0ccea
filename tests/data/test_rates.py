"""Rates as they stood: only events strictly before the moment count."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.log import Log
from peftrec.data.rates import PSEUDO, RATE_FEATURES, Counts, Rates, counts_beside

events = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 6), st.integers(0, 1)), min_size=1, max_size=40
)


def log_of(rows):
    rows = sorted(rows, key=lambda r: (r[0], r[2]))
    user, item, time, liked = (np.array(column) for column in zip(*rows, strict=True))
    start = np.searchsorted(user, np.arange(5))
    return rows, Log(item.astype(np.int32), item.astype(np.int32), time.astype(float), start, liked.astype(np.float32))


def of_items(rates, item, time):
    items = np.array([item])
    return rates.of_items(items, rates.places(items, np.array([time])))[0]


@given(events, st.integers(-1, 5), st.integers(-1, 8))
def test_item_means_and_counts_are_those_of_the_events_before(rows, item, time):
    rows, log = log_of(rows)
    past = [liked for _, i, t, liked in rows if i == item and t < time]
    mean, count = of_items(Rates(log, 0.3), item, float(time))
    np.testing.assert_allclose(mean, (sum(past) + PSEUDO * 0.3) / (len(past) + PSEUDO), rtol=1e-6)
    np.testing.assert_allclose(count, np.log1p(len(past)), rtol=1e-6)


@given(events, st.integers(0, 3))
def test_user_means_end_where_the_window_ends(rows, user):
    rows, log = log_of(rows)
    begin, end = log.user_start[user : user + 2]
    for stop in range(begin, end + 1):
        past = [liked for *_, liked in rows[begin:stop]]
        mean, count = Rates(log, 0.3).of_users(np.array([user]), np.array([stop]))[0]
        np.testing.assert_allclose(mean, (sum(past) + PSEUDO * 0.3) / (len(past) + PSEUDO), rtol=1e-6)
        np.testing.assert_allclose(count, np.log1p(len(past)), rtol=1e-6)


@given(events)
def test_the_places_of_the_log_s_own_events_are_known(rows):
    _, log = log_of(rows)
    rates = Rates(log, 0.3)
    assert rates.places_of_log.tolist() == rates.places(log.items, log.times).tolist()


def test_without_a_time_every_event_counts():
    _, log = log_of([(0, 2, 5, 1), (1, 2, 6, 1)])
    assert of_items(Rates(log, 0.0), 2, np.nan)[1] == np.float32(np.log1p(2))
    assert len(RATE_FEATURES) == 4


@given(events, st.integers(-1, 6), st.integers(-1, 8))
def test_an_item_s_share_is_of_all_events_before(rows, item, time):
    _, log = log_of(rows)
    before = [i for _, i, t, _ in rows if t < time]
    counts, asked = Counts(log.items, log.times), np.array([item, item])
    now, always = counts.share(asked, np.array([time, np.nan]))
    np.testing.assert_allclose(now, np.log((1 + before.count(item)) / (1 + len(before))))
    np.testing.assert_allclose(always, np.log((1 + (log.items == item).sum()) / (1 + len(log))))


def test_what_is_beside_are_the_other_tables():
    _, log = log_of([(0, 2, 5, 1), (0, 3, 6, 1), (1, 2, 6, 1), (2, 1, 7, 0)])
    assert counts_beside(log, 0) is None
    marked = replace(log, marks=np.array([0, 1, 1, 2], np.int8))
    share = counts_beside(marked, 1).share(np.arange(4), np.full(4, 6.5))
    np.testing.assert_allclose(share, np.log([1 / 2, 1 / 2, 2 / 2, 1 / 2]))
    nothing = counts_beside(replace(marked, marks=np.zeros(4, np.int8)), 0)
    assert nothing.share(np.array([-1, 2]), np.array([np.nan, 9])).tolist() == [0, 0]
