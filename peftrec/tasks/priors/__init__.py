"""Cheap predictions that a model must beat: rates, medians, n-grams, a linear model on what the backbone knew already.

They are printed beside every result. A prior sees the train rows, what the validation rows choose, and of the evaluated
rows only what was known before each of them: a user's own labels at times strictly before the example's. A label of
`next-gap` is known when the next event happens, which is no later than the user's next example, so the same rule holds
for it. Without times a user's labels in the train rows are known, and to test rows those in the valid rows.
"""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from peftrec.recipe.names import find
from peftrec.tasks.priors.boosted import boosted
from peftrec.tasks.priors.catalogue import bm25
from peftrec.tasks.priors.catalogue import cosine as scaled_cosine
from peftrec.tasks.priors.matching import lexical
from peftrec.tasks.priors.names import class_names
from peftrec.tasks.priors.others import other_tasks
from peftrec.tasks.priors.ranking import (
    item_item,
    own_frequency,
    popularity,
    popularity_so_far,
    recent_popularity,
    shuffled,
)
from peftrec.tasks.priors.rates import (
    item_and_user,
    item_rate,
    rates_so_far,
    train_mean,
    train_median,
    uninformed,
    user_median,
    user_rate,
)
from peftrec.tasks.priors.texts import tfidf
from peftrec.tasks.priors.vectors import Vectors, cosine, frozen_lr, layers_lr

__all__ = ["PRIORS", "RANKING_PRIORS", "Prior", "Vectors", "find_prior", "reads_loss", "reads_vectors"]

# (dataset, task name, rows to predict) -> as a model's prediction, or None of one that does not apply. One that has a
# parameter `vectors` is given those of the frozen backbone by that name, and is left out where there are none; one that
# has `loss` the task's.
Prior = Callable[..., Any]

PRIORS: dict[str, Prior] = {
    "random": uninformed,
    "majority": train_mean,
    "item_rate": item_rate,
    "user_rate": user_rate,
    "item_and_user": item_and_user,
    "rates_so_far": rates_so_far,
    "median": train_median,
    "user_median": user_median,
    "boosted": boosted,
    "lexical": lexical,
    "class_names": class_names,
    "tfidf": tfidf,
    "frozen_lr": frozen_lr,
    "layers_lr": layers_lr,
    "other_tasks": other_tasks,
    "cosine": cosine,
}

# Scores (N, I) of the whole catalogue for each row; None of one that does not apply.
RANKING_PRIORS: dict[str, Prior] = {
    "random": shuffled,
    "popularity": popularity,
    "popularity_so_far": popularity_so_far,
    "recent_popularity": recent_popularity,
    "item_item": item_item,
    "own_frequency": own_frequency,
    "cosine": scaled_cosine,
    "bm25": bm25,
}


def find_prior(table: dict[str, Prior], name: str) -> Prior:
    """The prior of a table, or a function of one's own as `package.module:name`. Raises UserError."""
    return find(table, name, "prior", FunctionType)


def reads_vectors(prior: Prior) -> bool:
    """Whether the prior is to be given the frozen backbone's vectors."""
    return "vectors" in inspect.signature(prior).parameters


def reads_loss(prior: Prior) -> bool:
    """Whether the prior is to be given the task's loss."""
    return "loss" in inspect.signature(prior).parameters
