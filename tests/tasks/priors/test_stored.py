"""What a run kept is read as what it must be, or refused in words."""

import numpy as np
import pytest

from peftrec.tasks.priors.stored import FLOATS, WHOLE, number, sorts, stored

HELD = {"weight": np.ones((4, 3), np.float32), "items": np.arange(6), "half": np.ones(2, np.float16)}


def test_what_fits_is_given_as_it_is():
    assert stored(HELD, "weight", FLOATS, 4, 3) is HELD["weight"]
    assert stored(HELD, "weight", FLOATS, None, 3) is HELD["weight"]
    assert stored(HELD, "items", WHOLE, None) is HELD["items"]
    assert stored(HELD, "half", FLOATS, 2) is HELD["half"]
    assert stored({"none": np.zeros((0, 2))}, "none", FLOATS, None, 2).size == 0
    assert number("bias", 2) == 2.0 and sorts("sorts", ["words"], ("words", "runs")) == ("words",)


@pytest.mark.parametrize(
    ("name", "kind", "shape", "message"),
    [
        ("weight", FLOATS, (4,), r"weight: 4 numbers; found float32 \(4, 3\)"),
        ("weight", FLOATS, (4, 2), r"weight: 4 x 2 numbers; found float32 \(4, 3\)"),
        ("weight", FLOATS, (4, 3, None), r"weight: 4 x 3 x any numbers; found float32 \(4, 3\)"),
        ("weight", WHOLE, (4, 3), r"weight: 4 x 3 whole numbers; found float32 \(4, 3\)"),
        ("items", FLOATS, (6,), r"items: 6 numbers; found int64 \(6,\)"),
    ],
)
def test_another_shape_or_kind_is_refused(name, kind, shape, message):
    with pytest.raises(ValueError, match=message):
        stored(HELD, name, kind, *shape)


def test_what_is_not_there_is_told():
    with pytest.raises(KeyError, match="bias"):
        stored(HELD, "bias", FLOATS, 3)


@pytest.mark.parametrize("found", [None, True, "nan", "1", [1.0]])
def test_a_number_is_no_text_and_no_truth(found):
    with pytest.raises(ValueError, match="shift: a number; found"):
        number("shift", found)


@pytest.mark.parametrize("found", [None, "words", [], ["letters"], [["words"]], ["words", "words"], {"words": 1}])
def test_names_are_known_and_stand_once(found):
    with pytest.raises(ValueError, match="sorts: "):
        sorts("sorts", found, ("words", "runs"))
