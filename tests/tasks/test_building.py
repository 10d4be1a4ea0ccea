"""What the builders share."""

import numpy as np

from peftrec.data.split import TEST, TRAIN, VALID
from peftrec.tasks.building import rare_notes


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
