import numpy as np
import pytest
from eventful import BUILDERS, build, build_or_none, event_rows, make, parts, timeline
from hypothesis import given, settings
from hypothesis import strategies as st

from peftrec.errors import UserError


@pytest.mark.parametrize("kind", BUILDERS)
@settings(max_examples=60, deadline=None)
@given(rows=event_rows, history=st.integers(0, 4))
def test_a_history_is_the_last_events_strictly_before(kind, rows, history):
    builder, options = BUILDERS[kind]
    events = make(rows)
    data = build_or_none(builder, events, history=history, **options)
    for examples in parts(data).values() if data else ():
        past = examples.history()
        texts, feedback = past.rows, past.feedback
        for n in range(len(examples)):
            own = examples.group[n] == events.user
            past = np.flatnonzero(own & (events.time < examples.time[n]))
            expected = past[len(past) - min(history, len(past)) :]
            window = np.arange(examples.start[n], examples.stop[n])
            assert window.tolist() == expected.tolist()
            assert (examples.log.times[window] < examples.time[n]).all()
            shown = texts[n][texts[n] >= 0]
            assert shown.tolist() == examples.log.rows[expected].tolist()
            assert feedback[n][texts[n] >= 0].tolist() == examples.log.feedback[expected].tolist()


@pytest.mark.parametrize("kind", ["interest", "regression"])
@settings(max_examples=60, deadline=None)
@given(rows=event_rows)
def test_global_time_splits_are_complete_disjoint_and_ordered(kind, rows):
    builder, options = BUILDERS[kind]
    events = make(rows)
    data = build_or_none(builder, events, **options)
    if data is None:
        return
    assert sum(map(len, parts(data).values())) == len(events)
    times = [examples.time for examples in parts(data).values()]
    assert times[0].max() < times[1].min() and times[1].max() < times[2].min()
    assert sorted(np.concatenate(times).tolist()) == sorted(events.time.tolist())


def test_leave_last_out_predicts_the_held_out_event():
    rows = timeline(5) + timeline(4, user=1, start=7)
    split = {"kind": "leave-last-out"}
    liked = build("interest", make(rows), split, threshold=3)
    assert liked.test.time.tolist() == [400, 307] and liked.valid.time.tolist() == [300, 207]
    assert any("leave-last-out leaks" in note for note in liked.notes)
    later = make([(user, item, time + time // 200, liked) for user, item, time, liked in rows])  # by a second or two
    gaps = build("next-gap", later, split)  # the example stands where the event does that ends its gap
    assert gaps.test.time.tolist() == [301, 208] and gaps.valid.time.tolist() == [201, 107]
    assert gaps.train.time.tolist() == [0, 100, 7]


def test_by_group_holds_out_whole_users():
    rows = [row for user in range(10) for row in timeline(4, user, start=user)]
    data = build("interest", make(rows, users=10), {"kind": "by-group", "test": 0.3, "valid": 0.1}, threshold=3)
    users = [set(examples.group.tolist()) for examples in parts(data).values()]
    assert [len(own) for own in users] == [6, 1, 3]
    assert not users[0] & users[1] and not users[0] & users[2] and not users[1] & users[2]
    assert any("by-group holds out whole users" in note for note in data.notes)


def test_users_without_events_do_no_harm():
    rows = [(user, item, time + time // 200, liked) for user, item, time, liked in timeline(10, user=2)]
    for builder, options in BUILDERS.values():
        data = build(builder, make(rows), split={"test": 0.3, "valid": 0.3}, **options)
        assert set(data.train.group.tolist()) == {2}


REFUSED = [
    ("interest", {}, "threshold: loss bce needs it unless column 'rating' holds 0 and 1 only; found 2"),
    (
        "interest",
        {"threshold": 3, "loss": "mse"},
        "threshold: loss mse predicts the number itself; found 3.0; leave it out",
    ),
    (
        "interest",
        {"threshold": 9},
        "threshold: rating >= 9.0 must hold for some rows; the train split holds one class only (5 rows)",
    ),
    (
        "interest",
        {"threshold": 0},
        "threshold: rating >= 0.0 must hold for some rows; the train split holds one class only (5 rows)",
    ),
    (
        "interest",
        {"threshold": 3, "column": "stars"},
        "column: the events have no numeric column 'stars'; they have rating (data.events.columns)",
    ),
    (
        "interest",
        {"threshold": 3, "input": "joint"},
        "input: kind interest does not read it; found 'joint'; leave it out",
    ),
    ("regression", {}, "column: kind regression needs it; the numeric columns are rating"),
    (
        "regression",
        {"column": "rating", "threshold": 1},
        "threshold: kind regression does not read it; found 1.0; leave it out",
    ),
    ("next-gap", {"column": "rating"}, "column: kind next-gap does not read it; found 'rating'; leave it out"),
    ("next-gap", {"threshold": 2}, "threshold: kind next-gap does not read it; found 2.0; leave it out"),
    (
        "interest",
        {"threshold": 3, "split": {"kind": "given"}},
        "data.split.kind: 'given' needs a split column: data.events.split",
    ),
]


@pytest.mark.parametrize(("builder", "options", "message"), REFUSED)
def test_keys_that_do_not_fit_are_refused(builder, options, message):
    with pytest.raises(UserError) as error:
        build(builder, make(timeline()), **options)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(("builder", "task"), [("regression", {"column": "rating"}), ("interest", {"loss": "mse"})])
def test_a_number_that_is_the_same_everywhere_is_refused(builder, task):
    rows = [(user, item, time, 3 + (time == 900)) for user, item, time, _ in timeline()]  # the other one is for testing
    message = r"column: rating must differ between events; the train split holds one value only \(5 rows\)"
    with pytest.raises(UserError, match=message):
        build(builder, make(rows), **task)


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_missing_table_is_named(kind):
    builder, options = BUILDERS[kind]
    with pytest.raises(UserError, match=r"kind: .* needs the table 'events', which the data lack; give data\.events"):
        build(builder, None, **options)


def test_an_empty_split_is_refused():
    with pytest.raises(UserError, match="the test split is empty"):
        build("regression", make([(0, 0, 5, n) for n in range(10)]), column="rating")
