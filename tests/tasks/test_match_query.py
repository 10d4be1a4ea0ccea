from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from made import build, labelled, made, together

from peftrec.data.rows import Rows
from peftrec.data.tables import Events, Items, Queries, Tables
from peftrec.errors import UserError
from peftrec.recipe import AdapterConfig, DataConfig, TaskConfig
from peftrec.tasks.kinds import make_task
from peftrec.tasks.match_query import JOINT, MATCH_QUERY
from peftrec.tasks.matches import MATCHES

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


def test_pairs_weigh_by_grade_and_column():
    queries = graded().one(Queries)
    rows = Rows("queries.csv", pa.table({"w": np.arange(30)}))
    _, data = build("match-query", asked(replace(queries, rows=rows)), class_weight={100: 2, 0: 0}, row_weight="w")
    own = np.concatenate([[2 * (3 * q), 3 * q + 1, 0] for q in range(10)])  # of the grades 100, 10 and 0
    train = own[np.isin(np.repeat(np.arange(10), 3), data.train.group)]
    assert data.train.weight == pytest.approx(train / train.mean(), rel=1e-6)

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


def test_queries_of_a_source_without_grades_are_refused_with_the_way_to_take():
    queries = graded().one(Queries)
    with pytest.raises(UserError, match=r"carry no grades, each row is a match: .* with loss: softmax"):
        build("match-query", asked(replace(queries, label=None)))


QUERIES = {"path": "q.csv", "text": "{q}", "item": "item"}


@pytest.mark.parametrize(
    ("queries", "keys", "expected"),
    [
        (QUERIES, {}, "matches"),
        (QUERIES, {"loss": "softmax"}, "matches"),
        (QUERIES | {"label": "grade"}, {}, "graded"),
        (QUERIES | {"label": "grade"}, {"input": "joint"}, "joint"),
        (QUERIES | {"label": "grade"}, {"loss": "softmax"}, "matches"),  # whose builder refuses grades
        (
            QUERIES,
            {"input": "joint"},
            "input: rows without grades (label) are matches, for which the whole catalogue is",
        ),
        (QUERIES, {"loss": "cross_entropy"}, "loss: rows without grades (label) are matches, for which the whole"),
    ],
)
def test_the_recipe_says_whether_there_are_grades(queries, keys, expected):
    data = DataConfig(items={"path": "i.csv", "id": "id", "text": "{t}"}, queries=queries)
    config = TaskConfig(kind="match-query", **keys)
    known = {"graded": MATCH_QUERY, "joint": JOINT, "matches": MATCHES}
    if expected in known:
        assert make_task("t", config, AdapterConfig(), data).kind is known[expected]
    else:
        with pytest.raises(UserError) as error:
            make_task("t", config, AdapterConfig(), data)
        assert str(error.value).startswith(expected)
