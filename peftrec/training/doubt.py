"""What validation rows say of predictions that are chosen by them: few rows may all be right by chance.

Of many epochs and shares of what was learned one is chosen, by a dozen rows it may be. What is sure of each of these
need not be right of others, which their log-loss does not know. So every label counts as wrong by 2 / (N + 2), as Platt
(1999) smooths labels of two classes, and twice as much: the rows have not been looked at once. Which class it would be
instead does not matter, else of many classes doubt would outweigh all. Of a thousand rows it is next to nothing.
"""

import numpy as np

from peftrec.evaluation.metric import Statistic, mean_of
from peftrec.evaluation.metrics import find_metric
from peftrec.tasks.losses import Loss

DOUBT = 2.0
LEAST = 1e-7  # of a probability, as of the metric


def judged(loss: Loss, prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """The metric of the loss as a function of how often rows count (N,), log-loss with doubt in the labels."""
    if loss.metric != "log_loss" or loss.labels == "choice":
        return find_metric(loss.metric).statistic(prediction, label, group)
    chances = np.asarray(prediction, np.float64)
    if loss.labels == "class":
        right = chances[np.arange(len(label)), label.astype(np.int64)]
    else:  # each class its own, which a row has or not
        right = np.where(label == 1, chances, 1 - chances)
    right = right.clip(LEAST, 1 - LEAST).reshape(len(label), -1)
    doubt = DOUBT / (len(label) + DOUBT)
    return mean_of(-((1 - doubt) * np.log(right) + doubt * np.log(1 - right)).mean(1))
