"""Whether what a user had before may be found and recommended again: as the recipe says, or as the data do."""

from dataclasses import replace

import numpy as np

from peftrec.data.examples import Examples
from peftrec.data.split import TRAIN
from peftrec.recipe import TaskConfig

# Share of the train rows from which on repeats are allowed. Below it, what leaving out all that a user had before can
# lose is less than what that many fewer wrong items gain.
ALLOWED_FROM = 0.05


def rule_repeats(
    examples: Examples, parts: np.ndarray, counted: np.ndarray, config: TaskConfig
) -> tuple[Examples, np.ndarray, list[str]]:
    """The examples with the rule on repeats, which of them are such (N,), and what the user should know of it.

    `counted` bool (N,): the rows whose items were chosen. The share that decides is that of the train rows among them.
    """
    again = examples.repeated()
    train = counted & (parts == TRAIN)
    repeats, rows = int(again[train].sum()), int(train.sum())
    share = repeats / max(1, rows)
    allowed = share >= ALLOWED_FROM if config.repeats is None else config.repeats == "allow"
    if not repeats and config.repeats is None:
        return examples, again, []
    said = f"{repeats:,} of {rows:,} train rows ({share:.1%}) are of items that the user had before"
    why = "" if config.repeats else f", as {'5 % or more' if allowed else 'fewer than 5 %'} are"
    rule = "these stay" if allowed else "these are neither"
    note = f"{said}: {rule} among what is ranked and recommended (repeats: {'allow' if allowed else 'exclude'}{why})"
    return replace(examples, repeats=allowed), again, [note]
