"""What validation rows say of predictions that are chosen by them: few rows may all be right by chance.

Of many epochs and shares of what was learned one is chosen, by a dozen rows it may be. What is sure of each of these
need not be right of others, which their log-loss does not know. So every label counts as wrong by 2 / (N + 2), as Platt
(1999) smooths labels of two classes, and twice as much: the rows have not been looked at once. Which class it would be
instead does not matter, else of many classes doubt would outweigh all. Of a thousand rows it is next to nothing.

Numbers are judged as they are before they are drawn near the levels of labels: of a dozen rows one that passes from a
star to the next would outweigh what all others say. Their labels are not doubted, so that what is better by less than
NUMBERS standard errors of the difference counts as no better, as the best of many looks is by chance alone; of others
by one.
"""

import numpy as np

from peftrec.evaluation.metric import Statistic, mean_of
from peftrec.evaluation.metrics import find_metric
from peftrec.tasks.losses import Loss

DOUBT = 2.0
NUMBERS = 2.0
LEAST = 1e-7  # of a probability, as of the metric


def errors_of(loss: Loss) -> float:
    """By how many standard errors the difference of two such losses counts as smaller than it was found."""
    return NUMBERS if loss.labels == "number" else 1.0


def judged(loss: Loss, prediction: np.ndarray, label: np.ndarray, group: np.ndarray) -> Statistic:
    """The metric of the loss as a function of how often rows count (N,), log-loss with doubt in the labels."""
    if loss.metric != "log_loss" or loss.labels == "choice":
        return find_metric(loss.metric).statistic(loss.free(prediction), label, group)
    chances = np.asarray(prediction, np.float64)
    if loss.labels == "class":
        right = chances[np.arange(len(label)), label.astype(np.int64)]
    else:  # each class its own, which a row has or not
        right = np.where(label == 1, chances, 1 - chances)
    right = right.clip(LEAST, 1 - LEAST).reshape(len(label), -1)
    doubt = DOUBT / (len(label) + DOUBT)
    return mean_of(-((1 - doubt) * np.log(right) + doubt * np.log(1 - right)).mean(1))
