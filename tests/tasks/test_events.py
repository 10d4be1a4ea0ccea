import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import made

from peftrec.data.split import time_boundaries
from peftrec.data.tables import Events, Items, Tables, sort_events
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.next_gap import next_gap_features

ITEMS = Items([f"i{n}" for n in range(6)], ["a", "b", "c", "d", "a", "e"])  # items 0 and 4 share a text


def make(rows, users=4) -> Events:
    """Events from (user, item, time, rating) rows."""
    user, item, time, rating = (np.asarray([row[n] for row in rows], float) for n in range(4))
    names = [f"u{n}" for n in range(users)]
    return sort_events(user.astype(np.int32), item.astype(np.int32), time, {"rating": rating}, names)


def build(kind, events, split=None, history=3, items=ITEMS, **task):
    texts = TextTable()
    data = DataConfig(source="x", split=split or {"test": 0.3, "valid": 0.2}, history=history)
    return made(kind=kind, **task).examples(Tables(items, events), texts, data, 0)


def parts(data):
    return {"train": data.train, "valid": data.valid, "test": data.test}


# 30 or more events over few moments: many ties, and every split has rows.
event_rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 12), st.integers(1, 5)), min_size=30, max_size=80
)
BUILDERS = {
    "interest": ("interest", {"threshold": 3}),
    "interest as a number": ("interest", {"loss": "mse"}),
    "regression": ("regression", {"column": "rating"}),
    "next-gap": ("next-gap", {}),
}


def build_or_none(builder, events, **options):
    try:
        return build(builder, events, **options)
    except UserError as error:
        if any(reason in str(error) for reason in ("empty", "one class", "one value", "one gap")):  # of the drawn data
            return None
        raise


@pytest.mark.parametrize("kind", BUILDERS)
@settings(max_examples=60, deadline=None)
@given(rows=event_rows, history=st.integers(0, 4))
def test_a_history_is_the_last_events_strictly_before(kind, rows, history):
    builder, options = BUILDERS[kind]
    events = make(rows)
    data = build_or_none(builder, events, history=history, **options)
    for examples in parts(data).values() if data else ():
        texts, feedback = examples.history()
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


@settings(max_examples=100, deadline=None)
@given(rows=event_rows)
def test_a_next_gap_label_is_known_before_its_split_ends(rows):
    events = make(rows)
    data = build_or_none("next-gap", events)
    if data is None:
        return
    ends = time_boundaries(events.time, DataConfig(source="x", split={"test": 0.3, "valid": 0.2}).split)
    for examples, end in ((data.train, ends[0]), (data.valid, ends[1]), (data.test, np.inf)):
        following = examples.time + np.expm1(examples.label.astype(float))
        assert (following <= end + 1e-3).all()
        assert (examples.time <= end).all()
    lasts = sum(bool((events.user == user).any()) for user in range(4))
    late = len(events) - lasts - sum(map(len, parts(data).values()))
    assert late >= 0
    assert any(note.startswith(f"{lasts} events left out") for note in data.notes)
    assert any(note.startswith(f"{late} train and valid events left out") for note in data.notes) == (late > 0)


def timeline(count=10, user=0, start=0):
    return [(user, n % 6, start + 100 * n, 1 + n % 5) for n in range(count)]


def test_interest_labels_slots_and_feedback():
    data = build("interest", make(timeline()), threshold=3)
    assert data.train.label.tolist() == [0, 0, 1, 1, 1] and data.train.label.dtype == np.float32
    assert data.train.slots["item"].tolist() == [0, 1, 2, 3, 0]  # items with equal texts share a row
    assert data.train.item.tolist() == [0, 1, 2, 3, 4]
    assert data.train.features.shape == (5, 0)
    assert data.train.log.feedback.tolist() == [0, 0, 1, 1, 1] * 2
    assert data.train.slots["item"].dtype == np.int32 == data.train.log.rows.dtype
    assert data.notes == []


def test_interest_as_a_number_standardises_feedback_by_train():
    data = build("interest", make(timeline(20)), loss="mse")
    assert data.train.label.tolist() == [1, 2, 3, 4, 5] * 2
    known = data.train.log.feedback[: len(data.train)]
    assert abs(known.mean()) < 1e-6 and abs(known.std() - 1) < 1e-6


def test_a_column_of_zeros_and_ones_needs_no_threshold():
    rows = [(u, i, t, r % 2) for u, i, t, r in timeline()]
    assert build("interest", make(rows)).train.label.tolist() == [1, 0, 1, 0, 1]


def test_regression_labels_are_the_column():
    data = build("regression", make(timeline()), column="rating")
    assert data.test.label.tolist() == [3, 4, 5]
    assert data.test.item.tolist() == [1, 2, 3]


def test_next_gap_labels_and_features():
    rows = [(0, 0, 0, 1), (0, 1, 100, 1), (0, 2, 5000, 1), (0, 3, 5010, 1), *timeline(8, user=1, start=6000)]
    data = build("next-gap", make(rows), split={"test": 0.3, "valid": 0})
    np.testing.assert_allclose(data.train.label[:3], np.log1p([100, 4900, 10]), rtol=1e-6)
    assert data.feature_names == [
        "hour_sin",
        "hour_cos",
        "weekday_sin",
        "weekday_cos",
        "gap_1",
        "gap_2",
        "gap_3",
        "session_position",
    ]
    gaps, position = data.train.features[:3, 4:7], data.train.features[:3, 7]
    np.testing.assert_allclose(gaps, np.log1p([[0, 0, 0], [100, 0, 0], [4900, 100, 0]]).astype(np.float32), rtol=1e-6)
    np.testing.assert_allclose(position, np.log([1, 2, 1]), rtol=1e-6)  # 4900 s without an event: a new session


def test_hour_and_weekday_are_points_on_a_circle():
    hours = np.arange(0, 14 * 24) * 3600.0
    features = next_gap_features(hours, np.asarray([0, len(hours)]))
    np.testing.assert_allclose((features[:, :2] ** 2).sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose((features[:, 2:4] ** 2).sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(features[:24, :2], features[24:48, :2], atol=1e-6)
    np.testing.assert_allclose(features[: 7 * 24, 2:4], features[7 * 24 :, 2:4], atol=1e-6)
    assert len(np.unique(features[: 7 * 24, 2:4].round(4), axis=0)) == 7


def test_gaps_never_cross_users_nor_do_sessions():
    time = np.asarray([0, 10, 20, 25, 26], float)
    features = next_gap_features(time, np.asarray([0, 2, 2, 5]))
    np.testing.assert_allclose(
        features[:, 4:7], np.log1p([[0, 0, 0], [10, 0, 0], [0, 0, 0], [5, 0, 0], [1, 5, 0]]), rtol=1e-6
    )
    np.testing.assert_allclose(features[:, 7], np.log([1, 2, 1, 2, 3]), rtol=1e-6)


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
        "data.split.kind: 'given' is for labelled texts with a split column",
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


def test_gaps_that_are_the_same_everywhere_are_refused():
    message = (
        r"data\.events: the times from one event of a user to the next must differ; the train split holds one gap only"
    )
    with pytest.raises(UserError, match=message):
        build("next-gap", make([(user, 0, 60 * n, 5) for user in (0, 1) for n in range(10)]))


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_missing_table_is_named(kind):
    builder, options = BUILDERS[kind]
    with pytest.raises(UserError, match=r"kind: .* needs the table 'events', which the data lack; give data\.events"):
        build(builder, None, **options)


def test_an_empty_split_is_refused():
    with pytest.raises(UserError, match="the test split is empty"):
        build("regression", make([(0, 0, 5, n) for n in range(10)]), column="rating")
