"""Where a score passes from one level of the labels to the next, as an absolute error asks for.

What is fitted by squares predicts means, and the mean of stars that are mostly five is nearer to four: a median is
above a level where more than half of such rows are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.scales import to_log
from peftrec.tasks.priors.stored import FLOATS, stored

MOST = 200_000  # rows times levels that are fitted to; of more every so many rows


@dataclass(frozen=True)
class Cutpoints:
    """A rising function of scores, whose nearest level is the median of the labels of such a score.

    at       float64 (L - 1,), ascending: the scores at which half of the labels are above
    middles  float64 (L - 1,), ascending: what they become, the middle between a level and the next
    """

    at: np.ndarray
    middles: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Numbers (N,); beyond the first and the last as far from it as the score is."""
        first, last = scores - self.at[0], scores - self.at[-1]
        found = np.interp(scores, self.at, self.middles)
        found = np.where(first < 0, self.middles[0] + first, found)
        return np.where(last > 0, self.middles[-1] + last, found)

    def tensors(self) -> dict[str, np.ndarray]:
        """What a run keeps of them."""
        return {"cutpoints.at": self.at, "cutpoints.middles": self.middles}


def read_cutpoints(tensors: Mapping[str, np.ndarray]) -> Cutpoints:
    """What was kept so. Raises KeyError or ValueError for what is none."""
    at = stored(tensors, "cutpoints.at", FLOATS, None)
    middles = stored(tensors, "cutpoints.middles", FLOATS, len(at))
    for name, of in (("at", at), ("middles", middles)):
        if not len(of) or (np.diff(of) < 0).any():
            raise ValueError(f"cutpoints.{name}: one at least, ascending; found {str(of)[:60]}")
    return Cutpoints(at, middles)


def middles_of(data: TaskData) -> np.ndarray:
    """Float64 (L - 1,): the middles between a task's L levels, on the scale that labels are learnt on; none without."""
    levels = np.array(data.levels)
    between = (levels[1:] + levels[:-1]) / 2
    return to_log(between) if data.log_scale else between


def fit_cutpoints(scores: np.ndarray, label: np.ndarray, middles: np.ndarray) -> Cutpoints | None:
    """Fit them to scores (N,) of rows that these were not fitted on, and the rows' labels (N,).

    Proportional odds (McCullagh 1980): the log-odds of a label above each middle are one multiple of the score, and a
    constant of the middle's own. None without middles, where scores say nothing, and where more labels would be on the
    wrong side of a middle than without.
    """
    from sklearn.linear_model import LogisticRegression

    if not len(middles) or not len(scores):
        return None
    every = -(-len(scores) * len(middles) // MOST)
    scores, label = scores[::every].astype(np.float64), label[::every]
    centre, spread = scores.mean(), scores.std()
    above = label[:, None] > middles  # (N, L - 1)
    if not spread or above.all() or not above.any():
        return None
    known = np.repeat(((scores - centre) / spread)[:, None], len(middles), 1)
    own = np.broadcast_to(np.eye(len(middles)), (len(label), len(middles), len(middles)))
    columns = np.concatenate([known[..., None], own], 2).reshape(-1, 1 + len(middles))
    slope, *constants = LogisticRegression(fit_intercept=False, max_iter=1000).fit(columns, above.ravel()).coef_[0]
    if slope <= 0:
        return None
    at = np.maximum.accumulate(centre - spread * np.array(constants) / slope)
    found = Cutpoints(at, middles)

    def wrong(numbers: np.ndarray) -> int:
        return int(((numbers[:, None] > middles) != above).sum())

    return found if wrong(found(scores)) < wrong(scores) else None
