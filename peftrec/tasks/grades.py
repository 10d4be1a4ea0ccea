"""Grades: the numbers that graded classes stand for, and what each is worth to nDCG."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from peftrec.errors import UserError
from peftrec.recipe import TaskConfig

SMALL = 6  # whole grades up to it gain 2^g - 1 unless the recipe says otherwise
MOST = 50  # beyond it 2^g - 1 leaves nothing of the lower grades


@dataclass(frozen=True)
class Grades:
    """The grades of a task, ascending.

    numbers  float64 (C,): the number of each class; the score of a row is its expectation
    gain     exponential: a row of grade g gains 2^g - 1 (Burges et al. 2005); linear: it gains g
    """

    numbers: np.ndarray
    gain: str

    @property
    def gains(self) -> np.ndarray:
        """What each class gains, float64 (C,); grades below 0 gain nothing."""
        positive = self.numbers.clip(0)
        return 2.0**positive - 1 if self.gain == "exponential" else positive

    def score(self, probability: np.ndarray) -> np.ndarray:
        """The expected grade (...,) of class probabilities (..., C)."""
        expected: np.ndarray = probability @ self.numbers
        return expected


def reported_grades(report: dict[str, Any]) -> Grades | None:
    """The grades that a task's report names; None where it names none."""
    if "grades" not in report:
        return None
    return Grades(np.array([float(name) for name in report["grades"]]), report["gain"])


def read_grades(config: TaskConfig, classes: list[str]) -> Grades:
    """The grades that the class names are. Raises UserError where they are too large for the gain that is asked for."""
    numbers = np.array([float(name) for name in classes])
    whole = bool(((numbers == numbers.round()) & (numbers >= 0)).all())
    gain = config.gain or ("exponential" if whole and numbers.max() <= SMALL else "linear")
    if gain == "exponential" and numbers.max() > MOST:
        raise UserError(
            f"gain: exponential gives a grade g the gain 2^g - 1, for grades of at most {MOST}; found {classes[-1]}; "
            "take linear"
        )
    return Grades(numbers, gain)
