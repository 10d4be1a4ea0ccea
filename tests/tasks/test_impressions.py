"""Tasks on lists that were shown: what is a row, what is known before it, and what it counts for."""

from dataclasses import replace

import numpy as np
import pytest
from eventful import ITEMS, parts
from made import made

from peftrec.data.split import TRAIN
from peftrec.data.tables import Events, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.events import split_events


def lists(count=40, users=4, before=2, seed=0) -> Events:
    """Lists of three items, one of them clicked; before its first list each user has clicks that stand in none."""
    random, rows = np.random.default_rng(seed), []
    for user in range(users):
        rows += [(user, int(random.integers(6)), 10 + n, 1, -1) for n in range(before)]
    for number in range(count):
        items = random.permutation(6)[:3]
        rows += [
            (number % users, item, 100 + 10 * number + number // users % 3, n == 1, number)
            for n, item in enumerate(items.tolist())
        ]
    user, item, time, clicked, number = np.array(rows, float).T
    return Events(
        user.astype(np.int32),
        item.astype(np.int32),
        time,
        {"hit": clicked},
        [f"u{n}" for n in range(users)],
        clicked="hit",
        impression=number.astype(np.int64),
    ).ordered()


def build(kind, events, split=None, history=50, **task):
    data = DataConfig(source="x", split=split or {"test": 0.3, "valid": 0.2}, history=history)
    return made(kind=kind, **task).examples(Tables({"items": ITEMS, "events": events}), TextTable(), data, 0)


@pytest.mark.parametrize("unclicked", [False, True])
def test_a_history_is_of_clicks_and_rates_are_of_all_that_was_shown(unclicked):
    events = replace(lists(), unclicked_in_history=unclicked)
    data = build("interest", events)
    inside = events.impression >= 0
    assert sum(map(len, parts(data).values())) == inside.sum() == 120
    assert data.impressions and data.hides == ([] if unclicked else ["events"])
    for examples in parts(data).values():
        for n in range(len(examples)):
            before = (events.user == examples.user[n]) & (events.time < examples.time[n])
            past = before if unclicked else before & events.chosen
            own = slice(examples.start[n], examples.stop[n])
            assert examples.log.items[own].tolist() == events.item[past].tolist()
            assert examples.log.feedback[own].tolist() == events.chosen[past].tolist()
            shown = inside & (events.time < examples.time[n])
            base = examples.rates.base
            expected = []
            for of in (events.item == examples.item[n], events.user == examples.user[n]):
                counted = events.chosen[shown & of]
                expected += [(counted.sum() + 5 * base) / (len(counted) + 5), np.log1p(len(counted))]
            assert examples.inputs()[n] == pytest.approx(expected, abs=1e-6)
    train = np.isin(events.impression, data.train.group)
    assert data.train.rates.base == pytest.approx(events.chosen[train].mean())


def test_the_groups_are_lists_and_the_label_is_the_click():
    events = lists()
    data = build("interest", events)
    for examples in parts(data).values():
        for group in np.unique(examples.group):
            rows, of = examples.group == group, events.impression == group
            assert rows.sum() == 3 and sorted(examples.item[rows]) == sorted(events.item[of])
            assert examples.label[rows].sum() == 1 and set(examples.user[rows]) == {int(group) % 4}
    assert data.notes[:2] == [
        "40 lists were shown, of 120 items, 40 of them clicked",
        "8 events stand in no list: they are part of histories, and not trained or tested",
    ]


@pytest.mark.parametrize("kind", ["global-time", "random", "by-group", "leave-last-out"])
def test_every_split_keeps_lists_whole(kind):
    events = lists()
    data = DataConfig(source="x", split={"kind": kind, "test": 0.3, "valid": 0.2})
    found, split, _ = split_events("events", events, data, 0)
    assert split.kind == kind
    of_lists = [set(found[events.impression == number].tolist()) for number in range(40)]
    assert all(len(of) == 1 for of in of_lists)
    assert set(found[events.impression < 0].tolist()) == {3}
    counts = np.bincount([of.pop() for of in of_lists], minlength=3).tolist()
    assert counts == {"by-group": [20, 10, 10], "leave-last-out": [32, 4, 4]}.get(kind, [20, 8, 12])
    if kind == "leave-last-out":
        assert sorted(set(events.impression[found == 2].tolist())) == [36, 37, 38, 39]


def test_a_given_split_and_items_do_not_cut_lists():
    events = lists(before=0)
    given = ["train" if number < 30 else "test" for number in events.impression]
    data = DataConfig(source="x", split={"kind": "given", "column": "part", "valid": 0})
    found, _, _ = split_events("events", replace(events, given=given), data, 0)
    assert np.array_equal(found == TRAIN, events.impression < 30)
    given[0] = "test"
    with pytest.raises(UserError, match="a list that was shown stays whole in table events; one is of several parts"):
        split_events("events", replace(events, given=given), data, 0)
    with pytest.raises(UserError, match=r"split\.by: lists that were shown stay whole in table events.*found 'item'"):
        split_events("events", events, DataConfig(source="x", split={"kind": "by-group", "by": "item"}), 0)


def test_other_kinds_are_of_clicks_alone():
    events = replace(lists(), columns={**lists().columns, "dwell": np.arange(128.0)})
    items = build("next-item", events)
    assert sum(map(len, parts(items).values())) == 40 and not items.impressions and items.hides == []
    for examples in parts(items).values():
        assert (examples.log.feedback == 1).all() and len(examples.log) == 48
    dwell = build("regression", events, column="dwell")
    assert sum(map(len, parts(dwell).values())) == 40
    gaps = build("next-gap", events)
    seconds = np.expm1(np.concatenate([of.label for of in parts(gaps).values()]))
    assert len(gaps.train) == 16 and len(gaps.valid) == 8 and len(seconds) == 36
    assert np.isin(seconds.round(3), (38, 41)).all()  # from list to list, never from a click that stands in none


def test_without_times_what_was_not_clicked_is_rated_and_not_remembered():
    events = replace(lists(before=0), time=None, impression=None).ordered()
    data = build("interest", events, {"kind": "random", "test": 0.3, "valid": 0.2})
    train = data.train
    assert not data.impressions and data.hides == ["events"]
    assert len(train.log) == train.label.sum() < len(train) == len(train.rates.log)
    for n in range(len(train)):
        others = np.flatnonzero((train.users == train.users[n]) & (train.label == 1) & (np.arange(len(train)) != n))
        assert sorted(train.history().rows[n][train.history().rows[n] >= 0]) == sorted(train.slots["item"][others])
        rated = (train.item == train.item[n]) & (np.arange(len(train)) != n)
        mean = (train.label[rated].sum() + 5 * train.rates.base) / (rated.sum() + 5)
        assert train.inputs()[n, :2] == pytest.approx([mean, np.log1p(rated.sum())], abs=1e-6)


def test_clicks_of_another_table_are_remembered_with_it():
    events, likes = lists(before=0), lists(count=20, before=0, seed=1)
    likes = replace(likes, columns={"rating": likes.columns["hit"]}, clicked=None, impression=None)
    texts, data = TextTable(), DataConfig(source="x", split={"test": 0.3, "valid": 0.2}, history=50)
    tables = Tables({"items": ITEMS, "events": events, "likes": likes})
    built = made(kind="interest", table="events", history=["likes", "events"]).examples(tables, texts, data, 0)
    assert built.hides == ["events"] and len(built.train.log) == 60 + 40
    assert np.bincount(built.train.log.marks).tolist() == [60, 40]
    assert len(built.train.rates.log) == 120
