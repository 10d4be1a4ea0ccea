"""Row weights from classes and columns, held against scikit-learn's."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from peftrec.data.split import LEFT_OUT, TEST, TRAIN, VALID
from peftrec.errors import UserError
from peftrec.recipe import TaskConfig
from peftrec.tasks.weights import row_weights

CLASSES = ["neg", "neutral", "pos"]


def weighed(label, parts, classes=CLASSES, column=None, **keys):
    config = TaskConfig(kind="classification", **keys)
    return row_weights(np.asarray(label), np.asarray(parts), classes, config, column)


def rows(seed=0, count=200):
    random = np.random.default_rng(seed)
    return random.choice(3, count, p=[0.1, 0.6, 0.3]), random.choice([TRAIN, VALID, TEST], count, p=[0.7, 0.1, 0.2])


def test_without_a_key_all_count_alike():
    assert weighed(*rows()) is None


def test_balanced_is_scikit_learns_of_the_train_rows():
    label, parts = rows()
    found = weighed(label, parts, class_weight="balanced")
    of_class = compute_class_weight("balanced", classes=np.arange(3), y=label[parts == TRAIN])
    assert found.dtype == np.float32
    assert found == pytest.approx(of_class[label], rel=1e-6)
    assert found[parts == TRAIN].mean() == pytest.approx(1, rel=1e-6)


def test_a_map_times_a_column_has_mean_one_in_train():
    label, parts = rows()
    column = np.random.default_rng(1).random(len(label))
    found = weighed(label, parts, class_weight={"pos": 5, "neg": 0}, row_weight="w", column=column)
    expected = compute_sample_weight({0: 0, 1: 1, 2: 5}, label) * column
    assert found == pytest.approx(expected / expected[parts == TRAIN].mean(), rel=1e-6)


def test_rows_that_are_left_out_count_for_nothing_whatever_they_hold():
    column = np.array([1.0, 3, np.nan])
    found = weighed([0, 1, 2], [TRAIN, TRAIN, LEFT_OUT], class_weight={"pos": 1e6}, row_weight="w", column=column)
    assert found.tolist() == [0.5, 1.5, 0]


def test_likes_are_named_0_and_1():
    found = weighed(np.array([0.0, 1, 1, 1], np.float32), [TRAIN] * 4, ["0", "1"], class_weight="balanced")
    assert found == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])


def test_a_class_without_a_train_row_weighs_as_one_of_one():
    found = weighed([0, 0, 0, 1, 2], [TRAIN] * 4 + [TEST], class_weight="balanced")
    assert found == pytest.approx(np.array([4 / 9] * 3 + [4 / 3] * 2) * 4 / (3 * 4 / 9 + 4 / 3))


@pytest.mark.parametrize(
    ("keys", "column", "message"),
    [
        ({"class_weight": {"pso": 2}}, None, "class_weight: no label 'pso'; did you mean 'pos'?"),
        ({"class_weight": {"neg": 0, "pos": 0}}, None, "class_weight: every row of the train split weighs 0"),
        (
            {"row_weight": "w"},
            [1, -2, -3],
            "row_weight: column 'w' must hold .* at least 0; found -2, one of 2 such rows",
        ),
        (
            {"row_weight": "w"},
            [1, np.nan, 1],
            "row_weight: column 'w' must hold finite numbers .*; found nan, one of 1",
        ),
        ({"row_weight": "w"}, [0, 0, 1], "row_weight: every row of the train split weighs 0"),
        ({"class_weight": {"neg": 0}, "row_weight": "w"}, [1, 0, 1], "class_weight times row_weight: every row"),
    ],
)
def test_weights_that_cannot_be_are_refused(keys, column, message):
    with pytest.raises(UserError, match=message):
        weighed([0, 2, 1], [TRAIN, TRAIN, TEST], column=None if column is None else np.array(column, float), **keys)


def test_numbers_have_no_classes():
    with pytest.raises(
        UserError, match=r"class_weight: the labels are not one class a row; leave it out, or .*row_weight"
    ):
        weighed([0.5, 2], [TRAIN, TEST], [], class_weight="balanced")
