"""What heads begin at: the best cheap predictor of a task, fitted on train rows, to which a head adds what it learns.

A start is fitted in closed form, or by some seconds of convex optimisation, over what is frozen: the backbone's own
vectors, n-grams, rates. Which, and how free it is, the validation rows choose. The head's last layer begins at zero, so
that a training begins with the start's predictions; its raw output and the start's are added. After linear probing
before fine-tuning (Kumar et al. 2022, arXiv:2202.10054), and boosting's view of what is left to learn.
"""

from peftrec.tasks.starts.base import Asked, Start, Started, Starting, start_of, with_start

__all__ = ["Asked", "Start", "Started", "Starting", "start_of", "with_start"]
