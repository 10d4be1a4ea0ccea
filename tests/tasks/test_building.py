"""What the builders share: rare classes are told; features are fitted on train rows, and found by item, user, row."""

import numpy as np
import pyarrow as pa
import pytest
from eventful import make
from made import made

from peftrec.data.features import FeatureTable, category
from peftrec.data.split import TEST, TRAIN, VALID
from peftrec.data.tables import Events, Items, Queries, Tables, Users
from peftrec.data.texts import TextTable
from peftrec.model.scorer import with_items
from peftrec.recipe import DataConfig
from peftrec.tasks.building import item_rows, rare_notes

NAN = float("nan")
PRICE = np.array([1, 2, 3, 4, 5, NAN], np.float32)
AGE = np.array([30, 50], np.float32)  # of u1 and u3
# Three train rows of each user, then a valid and a test row.
ROWS = [(user, (user + n) % 6, n * n, n) for user in range(4) for n in range(5)]
SPLIT = {"kind": "leave-last-out", "test": 0.2, "valid": 0.2}
KINDS = {
    "interest": {"column": "rating", "threshold": 2},
    "regression": {"column": "rating"},
    "next-item": {},
    "next-gap": {},
}


def tables() -> Tables:
    """Users 0 and 2 are known by their events alone; the hour of an event is its place among the user's."""
    items = Items([f"i{n}" for n in range(6)], list("abcdef"), features=FeatureTable({"price": PRICE}))
    people = Users(["u1", "u3"], [], features=FeatureTable({"age": AGE}))
    events = make(ROWS)
    hour = np.array([0, 1, 2, 3, 4] * 4, np.float32)
    device = category(pa.array(["phone", "phone", "phone", "desk", None] * 4))
    events = Events(
        **{name: getattr(events, name) for name in ("user", "item", "time", "columns", "user_ids")},
        features=FeatureTable({"hour": hour}, {"device": device}),
    )
    return Tables({"items": items, "people": people, "events": events}).with_one_set_of_users()


def built(kind: str, **keys: object):
    data = DataConfig(source="x", split=SPLIT, history=3)
    return made(kind=kind, **keys).examples(tables(), TextTable(), data, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_on_events_read_the_features_of_items_users_and_events(kind):
    of, data = tables(), built(kind, **KINDS[kind])
    assert of.user_ids == ["u1", "u3", "u0", "u2"]
    train, test = data.train, data.test
    known = [PRICE[item] for item in train.item.tolist() if item != 5]
    assert data.encodings["item"].numbers["price"] == pytest.approx((np.mean(known), np.std(known)))
    assert data.encodings["event"].categories == {"device": ["phone"]}
    mean, spread = data.encodings["item"].numbers["price"]
    for part in (train, data.valid, test):
        price = (np.nan_to_num(PRICE[part.item], nan=mean) - mean) / spread
        assert part.features_of_item() == pytest.approx(np.stack([price, part.item == 5], 1), abs=1e-6)
        asker = part.features_of_asker()
        age = {0: (-1, 0), 1: (1, 0), 2: (0, 1), 3: (0, 1)}  # 30 and 50 as often; the others have none
        assert asker[:, :2].tolist() == [list(age[user]) for user in part.users.tolist()]
        middle, width = data.encodings["event"].numbers["hour"]
        assert asker[:, 2] == pytest.approx((part.time**0.5 - middle) / width, abs=1e-6)
        assert asker[:, 4].tolist() == (part.time < 9).astype(int).tolist()


def test_an_item_in_another_s_place_has_its_own_features():
    data = built("interest", **KINDS["interest"])
    items = item_rows(tables().of(Items)["items"], TextTable())
    every = with_items(data.test.take(np.array([2])), np.zeros(6, int), np.arange(6), items)
    alone = every.features_of_item()
    assert np.array_equal(alone, data.test.of_items[:6])
    assert np.array_equal(every.features_of_asker(), np.repeat(data.test.features_of_asker()[[2]], 6, 0))


def test_candidates_have_their_own_features():
    drawn = built("next-item").train.drawn(0, 0, np.arange(3))
    assert np.array_equal(drawn.features_of_candidates(), drawn.of_items[drawn.candidates])


@pytest.mark.parametrize("form", ["towers", "joint"])
def test_match_query_reads_the_features_of_items(form):
    queries = Queries([f"q{n}" for n in range(12)], np.arange(12, dtype=np.int32) % 6, np.arange(12) % 2.0)
    named = {"items": tables().named["items"], "queries": queries}
    data = DataConfig(source="x", split={"kind": "by-group", "test": 0.3, "valid": 0.2})
    found = made(kind="match-query", input=form).examples(Tables(named), TextTable(), data, 0)
    assert list(found.encodings) == ["item"] and found.test.features_of_asker() is None
    assert found.test.features_of_item()[:, 1].tolist() == (found.test.item == 5).astype(int).tolist()


def test_tables_without_features_leave_examples_as_they_were():
    events = make(ROWS)
    plain = Tables({"items": Items([f"i{n}" for n in range(6)], list("abcdef")), "events": events})
    data = DataConfig(source="x", split=SPLIT)
    found = made(kind="interest", **KINDS["interest"]).examples(plain, TextTable(), data, 0)
    assert found.encodings == {}
    for of in (found.train.features_of_item(), found.train.features_of_asker(), found.train.features_of_candidates()):
        assert of is None


def test_a_class_that_is_hardly_there_is_told():
    label = np.array([0] * 8 + [1] * 4 + [2] * 6 + [3] * 5)
    parts = np.array([TRAIN, VALID, TEST, TEST] * 2 + [TRAIN, TRAIN, VALID, TEST] + [TRAIN] * 6 + [TEST] * 5)
    (note,) = rare_notes(label, parts, ["common", "rare", "early", "late"])
    assert note == (
        "3 of 4 classes have fewer than 5 rows, or none in train or test: hardly learnt, or not measured: 'rare' (2 in "
        "train, 1 in test), 'early' (6 in train, 0 in test), 'late' (0 in train, 5 in test); split: {kind: stratified} "
        "gives each split its share"
    )
    assert rare_notes(label[:8], parts[:8], ["common"]) == []


def test_many_rare_classes_are_counted_and_some_named():
    (note,) = rare_notes(np.arange(9), np.full(9, TRAIN), [f"c{n}" for n in range(9)])
    assert note.startswith("9 of 9 classes have fewer than 5 rows") and "'c2' (1 in train, 0 in test) and 6" in note


def test_rows_of_several_labels_count_for_each():
    label = np.array([[1, 1]] * 4 + [[1, 0]], np.float32)
    (note,) = rare_notes(label, np.array([TRAIN] * 4 + [TEST]), ["a", "b"])
    assert "1 of 2 classes" in note and "'b' (4 in train, 0 in test)" in note


def test_queries_know_the_features_of_who_asked_and_split_by_them():
    asked = [f"u{n % 5}" for n in range(30)]  # u1 and u3 have an age; u4 is in no other table
    items, who = np.arange(30, dtype=np.int32) % 6, np.arange(30, dtype=np.int32) % 5
    queries = Queries([f"q{n}" for n in range(30)], items, np.arange(30) % 2.0, user=who, user_ids=asked[:5])
    named = tables().named
    data = DataConfig(source="x", split={"kind": "by-group", "by": "user", "test": 0.4, "valid": 0.2})
    for of in ({}, {"events": named["events"]}):
        known = Tables({"items": named["items"], "people": named["people"], "queries": queries} | of)
        found = made(kind="match-query").examples(known.with_one_set_of_users(), TextTable(), data, 0)
        users = [{asked[int(group)] for group in part.group} for part in (found.train, found.valid, found.test)]
        assert [len(part) for part in users] == [2, 1, 2] and len(set().union(*users)) == 5
        for part in (found.train, found.valid, found.test):
            missing = [asked[int(group)] not in ("u1", "u3") for group in part.group]
            assert part.features_of_asker()[:, 1].tolist() == missing
