"""Which keys and numbers any group of a recipe takes."""

import pytest
from pydantic import ValidationError

from peftrec.recipe.strict import Factor, Strict


class Group(Strict):
    """A fraction, a whole number, a factor."""

    part: float | None = None
    count: int = 1
    factor: Factor = 1.0


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"part": 1.1e30}, "must be at most 1e+30 in size, for 32-bit numbers; found 1.1e+30"),
        ({"part": -1.1e30}, "must be at most 1e+30 in size, for 32-bit numbers; found -1.1e+30"),
        ({"part": float("-inf")}, "must be a finite number; found -inf"),
        ({"part": "nan"}, "must be a finite number; found nan"),
        ({"count": 2**32}, "must be at most 4294967295; found 4294967296"),
        ({"count": True}, "must be a number; found true"),
        ({"factor": 1e-31}, "must be 0 or at least 1e-30: 32-bit numbers lose what is multiplied by less; found 1e-31"),
        ({"parts": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_it_refuses(given, rule):
    with pytest.raises(ValidationError) as error:
        Group(**given)
    (problem,) = error.value.errors()
    assert problem["msg"].removeprefix("Value error, ") == rule


def test_the_ends_are_taken():
    made = Group(part=-1e30, count=2**32 - 1, factor=1e-30)
    assert (made.part, made.count, made.factor) == (-1e30, 2**32 - 1, 1e-30)
    assert Group(part=5e-324, factor=0).model_dump() == {"part": 5e-324, "count": 1, "factor": 0.0}
