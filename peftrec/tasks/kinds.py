"""The kinds of task. `KINDS` is where to add one: a file beside this one, and a line here."""

from peftrec.errors import Problems, UserError, nearest, shown
from peftrec.recipe import AdapterConfig, DataConfig, Recipe, TaskConfig
from peftrec.recipe.names import find
from peftrec.tasks.classification import CLASSIFICATION
from peftrec.tasks.interest import INTEREST
from peftrec.tasks.kind import Kind, Task
from peftrec.tasks.losses import LOSSES, TAG_LOSSES, Loss
from peftrec.tasks.match_query import MATCH_QUERY
from peftrec.tasks.next_gap import NEXT_GAP
from peftrec.tasks.next_item import NEXT_ITEM
from peftrec.tasks.regression import REGRESSION

KINDS: dict[str, Kind] = {
    "match-query": MATCH_QUERY,
    "interest": INTEREST,
    "next-item": NEXT_ITEM,
    "next-gap": NEXT_GAP,
    "regression": REGRESSION,
    "classification": CLASSIFICATION,
}


def resolve(recipe: Recipe) -> dict[str, Task]:
    """Every task of the recipe with its kind, loss and method looked up.

    Raises UserErrors for every unknown kind, and every loss that its kind does not take.
    """
    problems, tasks = Problems(), dict[str, Task]()
    for name, config in recipe.tasks.items():
        with problems.collect(f"tasks.{name}."):
            tasks[name] = make_task(name, config, recipe.adapters[name], recipe.data)
    problems.stop()
    return tasks


def make_task(name: str, config: TaskConfig, adapter: AdapterConfig, data: DataConfig) -> Task:
    """One task looked up. Raises UserError."""
    kind = find(KINDS, config.kind, "kind", Kind)
    kind = kind.variant(config, data) or kind
    named = config.loss or kind.losses[0]
    return Task(name, config.model_copy(update={"loss": named}), kind, _find_loss(named, kind, config.kind), adapter)


def _find_loss(name: str, kind: Kind, kind_name: str) -> Loss:
    """The loss, which the kind must take. Raises UserError."""
    if name not in kind.losses and ":" not in name:
        raise UserError(f"loss: kind {kind_name} has no loss {shown(name)}; {nearest(name, list(kind.losses))}")
    loss = find(TAG_LOSSES if "tags" in kind.metrics else LOSSES, name, "loss", Loss)
    if loss.labels not in kind.metrics:
        takes = ", ".join(kind.metrics)
        raise UserError(f"loss: {name} is for labels of the sort {loss.labels!r}; kind {kind_name} has {takes}")
    return loss
