import numpy as np
import pytest
from eventful import build, make, timeline

from peftrec.errors import UserError


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


@pytest.mark.parametrize(("column", "threshold"), [("rating", 0), ("ones", None)])
def test_of_likes_alone_another_kind_learns(column, threshold):
    events = make([(u, i, t, max(r, 1)) for u, i, t, r in timeline()])
    events.columns["ones"] = np.ones(len(events))
    with pytest.raises(UserError, match=r"the train split holds one class only .*kind next-item learns which item is"):
        build("interest", events, column=column, threshold=threshold)
    events.columns["none"] = np.zeros(len(events))
    with pytest.raises(UserError, match=r"one class only \(\d+ rows\)$"):
        build("interest", events, column="none")


def test_events_weigh_by_class_and_column():
    events = make(timeline())
    events.columns["sure"] = np.arange(1.0, 11)
    data = build("interest", events, threshold=3, class_weight={0: 2}, row_weight="sure")
    assert data.train.label.tolist() == [0, 0, 1, 1, 1]
    expected = np.array([2, 4, 3, 4, 5]) / 3.6
    assert data.train.weight == pytest.approx(expected, rel=1e-6)
    assert data.train.log.feedback.tolist() == [0, 0, 1, 1, 1] * 2  # what users said stays what it was
    number = build("regression", events, column="rating", row_weight="sure")
    assert number.test.weight == pytest.approx(np.array([8, 9, 10]) / 3, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("interest", {"row_weight": "sure"}, "row_weight: the events have no numeric column 'sure'; they have rating"),
        ("interest", {"class_weight": {2: 1}}, "class_weight: no label '2'"),
        (
            "interest",
            {"loss": "mse", "class_weight": "balanced", "threshold": None},
            "class_weight: the labels are not",
        ),
        ("regression", {"column": "rating", "class_weight": "balanced"}, "class_weight: kind regression does not read"),
        ("next-gap", {"row_weight": "rating"}, "row_weight: kind next-gap does not read it; found 'rating'"),
    ],
)
def test_weights_that_cannot_be_are_refused(kind, keys, message):
    with pytest.raises(UserError, match=message):
        build(kind, make(timeline()), **({"threshold": 3} if kind == "interest" else {}) | keys)
