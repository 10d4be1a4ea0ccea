"""How far the scores that are served are from those of the run's own test rows: the population stability index.

PSI = sum over bins of (a - e) ln(a / e), a and e being the shares of scores in a bin now and then (Siddiqi, Credit Risk
Scorecards, 2006), here over the ten deciles of then. With n and m scores of one distribution it is about 9/n + 9/m
(Yurdakul, Statistical Properties of the Population Stability Index, 2018), so that few scores say nothing. Usual
readings: under 0.1 as before, over 0.25 something else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.errors import UserError
from peftrec.evaluation.outcomes import read_outcome
from peftrec.serving.predictor import Predictor

BINS = 10
LATEST = 2000  # scores that the index is of
LEAST = 500  # scores now and then, below which there is none: 0.036 by chance alone


class Scores:
    """One task's scores since its run was loaded, by the deciles of its test rows (R,)."""

    def __init__(self, before: np.ndarray) -> None:
        deciles = np.quantile(before, np.arange(1, BINS) / BINS, method="inverted_cdf")  # some of the scores themselves
        self.ends = np.unique(deciles)  # (B - 1,): a bin holds its upper end
        self.counts, self.sum = np.zeros(len(self.ends) + 1, np.int64), 0.0
        self._before = self._binned(before)
        self._latest = np.full(LATEST, -1)

    def add(self, scores: np.ndarray) -> None:
        """Count scores (N,)."""
        bins = np.searchsorted(self.ends, scores)
        at = self.counts.sum() + np.arange(len(bins))
        self._latest[at % LATEST] = bins
        self.counts += np.bincount(bins, minlength=len(self.counts))
        self.sum += float(scores.sum())

    @property
    def psi(self) -> float | None:
        """The index of the latest scores; None where there are too few, now or in the test."""
        latest = self._latest[self._latest >= 0]
        if min(len(latest), self._before.sum()) < LEAST:
            return None
        return stability(np.bincount(latest, minlength=len(self.counts)), self._before)

    def _binned(self, scores: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(self.ends, scores), minlength=len(self.ends) + 1)


def stability(now: np.ndarray, before: np.ndarray) -> float:
    """The population stability index of counts (B,) and (B,); an empty bin counts as half a score."""
    a, e = (np.maximum(counts, 0.5) / counts.sum() for counts in (now, before))
    return float(((a - e) * np.log(a / e)).sum())


def scores_of_test(run: Path, predictor: Predictor, task: str) -> np.ndarray | None:
    """The scores of the task's test rows (R,), as `predict` would give them; None where the run kept none like it.

    Of tasks that are measured by ranks alone it kept how probable the chosen item was among all, which is no score.
    """
    of, described = predictor.run.tasks[task], predictor.run.described[task]
    if not of.metrics:
        return None
    try:
        outcome = read_outcome(run, task)
    except UserError:  # of an older run
        return None
    answers = (of.kind.answer(prediction, of, described["classes"]) for prediction in outcome.prediction)
    found = np.array([score for answer in answers if (score := score_of(answer)) is not None])
    return found if len(found) else None


def score_of(answer: Mapping[str, Any]) -> float | None:
    """The one number of a prediction: its score or value, or how probable the likeliest class is."""
    for name in ("score", "value"):
        if name in answer:
            return float(answer[name])
    return max(map(float, answer["probabilities"].values()), default=None) if "probabilities" in answer else None


def labels_of(answer: Mapping[str, Any]) -> list[str]:
    """The classes that a prediction names."""
    one = [answer[name] for name in ("label", "grade") if name in answer]
    return [str(label) for label in (*one, *answer.get("labels", ()))]
