import numpy as np
import pytest
from eventful import build, build_or_none, event_rows, make, parts, timeline
from hypothesis import given, settings

from peftrec.data.split import time_boundaries
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.next_gap import next_gap_features


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


def test_gaps_that_are_the_same_everywhere_are_refused():
    message = (
        r"data\.events: the times from one event of a user to the next must differ; the train split holds one gap only"
    )
    with pytest.raises(UserError, match=message):
        build("next-gap", make([(user, 0, 60 * n, 5) for user in (0, 1) for n in range(10)]))
