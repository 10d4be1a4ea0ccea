"""What grades are worth, by their numbers."""

import numpy as np
import pytest

from peftrec.errors import UserError
from peftrec.recipe import TaskConfig
from peftrec.tasks.grades import read_grades, reported_grades


def graded(*names, gain=None):
    return read_grades(TaskConfig(kind="match-query", gain=gain), list(names))


@pytest.mark.parametrize(
    ("names", "gain", "gains"),
    [
        (["0", "1"], "exponential", [0, 1]),
        (["1", "2", "3", "5"], "exponential", [1, 3, 7, 31]),
        (["0", "6"], "exponential", [0, 63]),
        (["0", "7"], "linear", [0, 7]),
        (["0.5", "1"], "linear", [0.5, 1]),
        (["-1", "0", "1"], "linear", [0, 0, 1]),
        (["0", "10", "100"], "linear", [0, 10, 100]),
    ],
)
def test_small_whole_grades_gain_exponentially_and_others_themselves(names, gain, gains):
    found = graded(*names)
    assert (found.gain, found.gains.tolist()) == (gain, gains)


def test_the_recipe_chooses():
    assert graded("1", "2", gain="linear").gains.tolist() == [1, 2]
    assert graded("0.5", "8", gain="exponential").gains.tolist() == [2**0.5 - 1, 255]


def test_a_gain_that_leaves_nothing_of_lower_grades_is_refused():
    with pytest.raises(UserError, match=r"gain: exponential gives .* at most 50; found 100; take linear"):
        graded("0", "100", gain="exponential")


def test_the_score_is_the_expected_grade():
    chances = np.array([[0.5, 0.25, 0.25], [0, 0, 1]])
    assert graded("1", "2", "5").score(chances).tolist() == [2.25, 5]


def test_a_report_names_them():
    found = reported_grades({"gain": "linear", "grades": {"0": 0.0, "0.5": 0.5}})
    assert found is not None and found.numbers.tolist() == [0, 0.5] and found.gain == "linear"
    assert reported_grades({"n": 3}) is None
