from dataclasses import replace

import numpy as np
import pytest
from eventful import build, build_or_none, event_rows, make, parts, timeline
from hypothesis import given, settings
from made import made

from peftrec.data.split import time_boundaries
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.next_gap import feedback, next_gap_features
from peftrec.tasks.rows import Event


def moments(events):
    """[(user, time, item of the last event, times of the user's earlier moments, the next moment's time or None)]."""
    found = []
    for user in range(4):
        own = [(time, item) for of, time, item in zip(events.user, events.time, events.item, strict=True) if of == user]
        times = sorted({time for time, _ in own})
        for place, time in enumerate(times):
            item = [item for at, item in own if at == time][-1]
            after = times[place + 1] if place + 1 < len(times) else None
            found.append((user, time, item, times[:place], after))
    return found


@settings(max_examples=100, deadline=None)
@given(rows=event_rows)
def test_an_example_is_a_moment_of_the_part_in_which_its_gap_ends(rows):
    events = make(rows)
    data = build_or_none("next-gap", events)
    if data is None:
        return
    ends = [*time_boundaries(events.time, DataConfig(source="x", split={"test": 0.3, "valid": 0.2}).split), np.inf]
    found = moments(events)
    right = [[], [], []]
    for user, time, item, before, after in found:
        if after is not None:
            part, past = next(place for place, end in enumerate(ends) if after <= end), [*before, time]
            gaps = [past[-k] - past[-k - 1] if len(past) > k else 0 for k in (1, 2, 3)]
            known = np.log1p(np.diff(past))[-20:]
            own = [np.median(known) if len(known) else 0, np.log1p(len(past) - 1)]
            right[part].append((user, time, item, np.log1p(after - time), *np.log1p(gaps), *own))
    for of, wanted in zip(parts(data).values(), right, strict=True):
        rows = [of.users, of.time, of.item, of.label, *of.features[:, 4:7].T, *of.features[:, 8:].T]
        np.testing.assert_allclose(np.transpose(rows), np.reshape(wanted, (-1, 9)), rtol=1e-6)
        assert (of.label > 0).all()
        assert (of.log.times[of.stop - 1] < of.time)[of.stop > of.start].all()
    lasts = sum(after is None for *_, after in found)
    assert any(note.startswith(f"{lasts} moments left out") for note in data.notes)
    share = f"{(len(events) - len(found)) / len(events):.0%} of {len(events)} events happened at one time with"
    assert any(note.startswith(share) for note in data.notes) == (len(found) < len(events))


def test_an_order_of_many_lines_is_one_moment():
    orders = [(0, 0, 3), (0, 9000, 2), (0, 9600, 1), (0, 30000, 4), (1, 50, 5), (1, 3650, 1), (1, 99999, 2)]
    rows = [(user, line, time, 1) for user, time, lines in orders for line in range(lines)]
    split = {"kind": "given", "column": "x"}
    events = replace(make(rows), given=["train"] * 15 + ["test"] * 3)
    data = build("next-gap", events, split)
    np.testing.assert_allclose(data.train.label, np.log1p([9000, 600, 20400]), rtol=1e-6)
    np.testing.assert_allclose(data.test.label, np.log1p([3600, 96349]), rtol=1e-6)
    assert data.train.item.tolist() == [2, 1, 0]  # the last line of each order
    assert [of.tolist() for of in data.train.history().rows] == [[-1] * 3, [0, 1, 2], [2, 0, 1]]
    centre, spread = np.mean(np.log1p([0, 9000, 600])), np.std(np.log1p([0, 9000, 600]))
    ended = [0] * 3 + [9000] * 2 + [600] + [20400] * 4 + [0] * 5 + [3600] + [96349] * 2
    np.testing.assert_allclose(data.train.log.feedback, (np.log1p(ended) - centre) / spread, rtol=1e-5)
    given = [Event(None, float(time)) for user, _, time, _ in rows if user == 0]
    served = feedback(given, made(kind="next-gap"), (centre, spread))
    np.testing.assert_allclose(served, data.train.log.feedback[:10], rtol=1e-5)
    features = next_gap_features(np.array([of.time for of in given]), np.array([0, 10]))
    np.testing.assert_allclose(features[:, 4], np.log1p([0] * 3 + [9000] * 2 + [600] + [20400] * 4), rtol=1e-6)
    np.testing.assert_allclose(features[:, 7], np.log([1] * 5 + [2] + [1] * 4), rtol=1e-6)
    assert "61% of 18 events happened at one time with their user's event before" in " ".join(data.notes)


def test_leave_last_out_holds_out_whole_moments():
    rows = [(0, line, time, 1) for time in (0, 10, 30, 60) for line in range(3)] + timeline(4, user=1, start=7)
    data = build("next-gap", make(rows), {"kind": "leave-last-out"})
    assert [of.time.tolist() for of in parts(data).values()] == [[0, 7], [10, 107], [30, 207]]


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
        "gap_median",
        "gap_count",
    ]
    gaps, position = data.train.features[:3, 4:7], data.train.features[:3, 7]
    np.testing.assert_allclose(gaps, np.log1p([[0, 0, 0], [100, 0, 0], [4900, 100, 0]]).astype(np.float32), rtol=1e-6)
    np.testing.assert_allclose(position, np.log([1, 2, 1]), rtol=1e-6)  # 4900 s without an event: a new session


def test_only_the_last_twenty_gaps_have_a_median():
    time = np.cumsum([0, *range(1, 31)]).astype(float)  # gaps of 1, 2, ..., 30 s
    features = next_gap_features(time, np.asarray([0, len(time)]))
    np.testing.assert_allclose(features[:, 9], np.log1p(np.arange(31)), rtol=1e-6)
    right = [0, *(np.median(np.log1p(np.arange(max(1, n - 19), n + 1))) for n in range(1, 31))]
    np.testing.assert_allclose(features[:, 8], right, rtol=1e-6)


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


def test_gaps_that_are_the_same_everywhere_are_refused():
    message = (
        r"data\.events: the times from one moment of a user to the next must differ; the train split holds one gap only"
    )
    with pytest.raises(UserError, match=message):
        build("next-gap", make([(user, 0, 60 * n, 5) for user in (0, 1) for n in range(10)]))
