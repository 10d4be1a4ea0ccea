"""A loss of one's own: the number that nine of ten labels stay below, instead of their middle.

After Koenker and Bassett 1978, Regression Quantiles: a label above the prediction costs 0.9 a unit, one below it 0.1.
"""

import numpy as np
import torch
from torch import Tensor

from peftrec.evaluation.metric import Metric, Statistic
from peftrec.tasks.losses import Loss

SHARE = 0.9


def pinball(output: Tensor, label: Tensor) -> Tensor:
    """Raw output and label (N,) -> each row's loss (N,)."""
    above = label - output
    return torch.maximum(SHARE * above, (SHARE - 1) * above)


def pinball_of_rows(prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """The same of rows that are weighted anew for every interval: their losses are computed once."""
    above = label - prediction
    each = np.maximum(SHARE * above, (SHARE - 1) * above)
    return lambda weight: float((each * weight).sum() / weight.sum())


def start(label: np.ndarray) -> tuple[float, float]:
    """Where a head that has learnt nothing begins: the labels' own quantile, and their spread."""
    return float(np.quantile(label, SHARE)), float(label.std() + 1e-6)


PINBALL = Metric(pinball_of_rows, higher=False)
NINE_OF_TEN = Loss(
    labels="number",
    value=pinball,
    predict=lambda output: output,
    metric="loss:PINBALL",  # what stands for it on the validation rows
    start=start,
)
