from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import build, labelled, made, together

from peftrec.data.rows import Rows
from peftrec.data.tables import Events, Items, Queries, Tables
from peftrec.errors import UserError

ITEMS = Items([f"i{n}" for n in range(8)], [f"item {n}" for n in range(8)])


def asked(queries) -> Tables:
    return Tables({"items": ITEMS, "queries": queries})


def graded(queries=10, times=False) -> Tables:
    """Each query with items of the grades 100, 10 and 0."""
    rows = [(f"query {q}", (q + n) % 8, grade) for q in range(queries) for n, grade in enumerate((100, 10, 0))]
    return asked(
        Queries(
            [row[0] for row in rows],
            np.asarray([row[1] for row in rows], np.int32),
            np.asarray([row[2] for row in rows], float),
            np.arange(len(rows), dtype=float) if times else None,
        )
    )


def test_grades_become_classes_in_ascending_order():
    texts, data = build("match-query", graded())
    assert data.classes == ["0", "10", "100"]
    assert data.train.label.dtype == np.int64
    assert data.train.label.tolist() == [2, 1, 0] * 5
    for examples in together(data):
        assert set(examples.slots) == {"query", "item"}
        for n in range(len(examples)):
            assert texts.texts[examples.slots["item"][n]] == f"item {examples.item[n]}"
            assert texts.texts[examples.slots["query"][n]] == f"query {examples.group[n]}"
    assert np.isnan(data.train.time).all()


def test_pairs_hold_query_and_item_of_the_row():
    texts, data = build("match-query", graded(), input="joint")
    for examples in together(data):
        assert set(examples.slots) == {"pair"}
        for n, row in enumerate(examples.slots["pair"]):
            assert (texts.texts[row], texts.pairs[row]) == (f"query {examples.group[n]}", f"item {examples.item[n]}")


def test_whole_queries_are_held_out():
    _, data = build("match-query", graded())
    groups = [set(examples.group.tolist()) for examples in together(data)]
    assert [len(own) for own in groups] == [5, 2, 3]
    assert len(set.union(*groups)) == 10
    assert data.notes == []


def test_without_times_global_time_falls_back_to_whole_queries_and_says_so():
    _, data = build("match-query", graded(), {"kind": "global-time"})
    assert data.notes == ["split by query, not global-time: whole queries are held out"]
    assert not set(data.train.group.tolist()) & set(data.test.group.tolist())


def test_with_times_global_time_cuts_by_time():
    _, data = build("match-query", graded(times=True), {"test": 0.2, "valid": 0.1})
    assert [len(examples) for examples in together(data)] == [21, 3, 6]
    assert data.train.time.max() < data.valid.time.min() <= data.valid.time.max() < data.test.time.min()


def test_queries_are_cut_at_the_moments_of_the_events():
    tables = graded(times=True)
    user, item = np.zeros(10, np.int32), np.zeros(10, np.int32)
    events = Events(user, item, np.arange(10.0), {}, ["u"]).ordered()
    _, data = build("match-query", Tables({**tables.named, "events": events}), {"test": 0.2, "valid": 0.1})
    assert data.train.time.max() == 6 and data.valid.time.tolist() == [7] and data.test.time.min() == 8


matches = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=20, max_size=60)


@settings(max_examples=60, deadline=None)
@given(matches, st.integers(0, 5))
def test_each_match_without_grade_gets_one_non_match_never_paired_with_the_query(pairs, seed):
    pairs = pairs + [(query, query) for query in range(6)]
    tables = asked(Queries([f"q{q}" for q, _ in pairs], np.asarray([i for _, i in pairs], np.int32)))
    _, data = build("match-query", tables, seed=seed)
    names = list(dict.fromkeys(f"q{q}" for q, _ in pairs))
    seen = {(names.index(f"q{q}"), i) for q, i in pairs}
    for examples in together(data):
        drawn = list(zip(examples.group.tolist(), examples.item.tolist(), examples.label.tolist(), strict=True))
        assert all(((query, item) in seen) == (label == 1) for query, item, label in drawn)
        counts = np.bincount(examples.group * 2 + examples.label, minlength=2 * len(names)).reshape(-1, 2)
        assert (counts[:, 0] == counts[:, 1]).all()
    _, again = build("match-query", tables, seed=seed)
    assert (data.train.item == again.train.item).all()


def test_non_matches_take_the_time_of_their_match_and_the_user_is_told():
    queries = Queries([f"q{n % 4}" for n in range(20)], np.arange(20, dtype=np.int32) % 4, time=np.arange(20.0))
    _, data = build("match-query", asked(queries), {"test": 0.2, "valid": 0.1})
    assert sorted(data.test.time.tolist()) == [16, 16, 17, 17, 18, 18, 19, 19]
    assert data.classes == ["0", "1"]
    assert data.notes == ["queries carry no grades: each row is a match, and one non-match is drawn for it at random"]


def test_a_query_that_nearly_all_items_match_gets_the_others():
    items = Items([str(n) for n in range(3000)], [f"t{n}" for n in range(3000)])
    matched = np.arange(2999, dtype=np.int32)
    queries = Queries(["all"] * 2999 + ["one", "two", "three"], np.concatenate([matched, [0, 1, 2]]).astype(np.int32))
    _, data = build(
        "match-query", Tables({"items": items, "queries": queries}), {"kind": "by-group", "test": 0.25, "valid": 0}
    )
    for examples in together(data):
        drawn = examples.item[(examples.group == 0) & (examples.label == 0)]
        assert (drawn == 2999).all()


def test_a_query_that_every_item_matches_is_refused():
    queries = Queries(["few", *["all"] * 8], np.asarray([0, *range(8)], np.int32))
    with pytest.raises(UserError, match="queries: the query 'all' matches every item: no non-match can be drawn"):
        build("match-query", asked(queries))


def test_one_grade_only_is_refused():
    queries = graded().one(Queries)
    same = Queries(queries.text, queries.item, np.ones(30))
    with pytest.raises(UserError, match="queries: the grades must differ; the train split holds one class only"):
        build("match-query", asked(same))


REFUSED = [
    (
        "match-query",
        graded(),
        {"threshold": 1},
        "threshold: kind match-query does not read it; found 1.0; leave it out",
    ),
    ("match-query", graded(), {"column": "x"}, "column: kind match-query does not read it; found 'x'; leave it out"),
    (
        "match-query",
        Tables({"items": ITEMS}),
        {},
        "kind: match-query needs the table 'queries', which the data lack; give data.queries or a source",
    ),
    (
        "match-query",
        graded(),
        {"split": {"kind": "given"}},
        "data.split.kind: 'given' needs a split column: data.queries.split",
    ),
    (
        "match-query",
        graded(1),
        {},
        "the train split is empty (0 train, 0 valid, 3 test rows with data.split by-group); give more data",
    ),
]


@pytest.mark.parametrize(("builder", "tables", "options", "message"), REFUSED)
def test_what_does_not_fit_is_refused(builder, tables, options, message):
    with pytest.raises(UserError) as error:
        build(builder, tables, **options)
    assert str(error.value).startswith(message)


def test_pairs_weigh_by_grade_and_column_and_a_drawn_non_match_as_its_match():
    queries = graded().one(Queries)
    rows = Rows("queries.csv", pa.table({"w": np.arange(30)}))
    _, data = build("match-query", asked(replace(queries, rows=rows)), class_weight={100: 2, 0: 0}, row_weight="w")
    own = np.concatenate([[2 * (3 * q), 3 * q + 1, 0] for q in range(10)])  # of the grades 100, 10 and 0
    train = own[np.isin(np.repeat(np.arange(10), 3), data.train.group)]
    assert data.train.weight == pytest.approx(train / train.mean(), rel=1e-6)

    _, data = build("match-query", asked(replace(queries, label=None, rows=rows)), row_weight="w")
    matches = len(data.train) // 2
    assert (data.train.weight[:matches] == data.train.weight[matches:]).all()
    with pytest.raises(UserError, match="row_weight: these rows come from no file that has columns; found 'w'"):
        build("match-query", graded(), row_weight="w")


def test_the_score_is_the_expected_grade_number_and_the_gain_is_chosen():
    task = made(kind="match-query")
    answer = task.kind.answer(np.array([0.5, 0.25, 0.25]), task, ["0", "10", "100"])
    assert answer["score"] == 27.5 and answer["grade"] == "0"
    with pytest.raises(UserError, match="gain: exponential gives"):
        build("match-query", graded(), gain="exponential")
    with pytest.raises(UserError, match="gain: kind classification does not read it"):
        build("classification", labelled(["a", "b"] * 5, ["x", "y"] * 5), gain="linear")
