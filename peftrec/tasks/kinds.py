"""Task kinds: how examples are built, which losses and head, how it is measured. `KINDS` is where to add one."""

from collections.abc import Callable
from dataclasses import dataclass

from peftrec.data.examples import Dataset
from peftrec.data.tables import load_tables
from peftrec.errors import Problems, UserError, nearest
from peftrec.recipe import Recipe, TaskConfig
from peftrec.recipe.names import import_own
from peftrec.tasks.builders import (
    Builder,
    build_dataset,
    classification,
    interest,
    match_query,
    next_gap,
    next_item,
    regression,
)
from peftrec.tasks.heads import Head, HeadShape, HistoryHead, RetrievalHead, TextHead, TowerHead

_CLASSES = ("accuracy", "macro_f1", "log_loss")
_NUMBER = ("mae", "rmse", "r2")


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    build    tables -> TaskData
    head     (shape, task) -> Head
    metrics  loss -> names in `metrics.METRICS`; its keys are the losses the kind takes, the first is the default
    priors   names in `priors.PRIORS`
    ranking  names in `priors.RANKING_PRIORS`; where there are any, the full catalogue is ranked for the test report,
             and for a loss without metrics, which is measured by that alone, on every split
    """

    build: Builder
    head: Callable[[HeadShape, TaskConfig], Head]
    metrics: dict[str, tuple[str, ...]]
    priors: tuple[str, ...]
    ranking: tuple[str, ...] = ()


def _match_head(shape: HeadShape, task: TaskConfig) -> Head:
    return TextHead(shape) if task.input == "joint" else TowerHead(shape)


def _text_head(shape: HeadShape, task: TaskConfig) -> Head:
    return TextHead(shape)


def _history_head(shape: HeadShape, task: TaskConfig) -> Head:
    return HistoryHead(shape)


def _retrieval_head(shape: HeadShape, task: TaskConfig) -> Head:
    return RetrievalHead(shape)


KINDS: dict[str, Kind] = {
    "match-query": Kind(
        match_query,
        _match_head,
        {"cross_entropy": ("accuracy", "macro_f1", "auc", "ndcg@10", "log_loss")},
        ("random", "majority", "lexical"),
    ),
    "interest": Kind(
        interest,
        _history_head,
        {"bce": ("auc", "gauc", "log_loss", "ece"), "mse": _NUMBER},
        ("random", "majority", "item_rate", "user_rate", "item_and_user", "rates_so_far"),
        ranking=("random", "popularity"),
    ),
    "next-item": Kind(
        next_item, _retrieval_head, {"softmax": ()}, (), ranking=("random", "popularity", "popularity_so_far")
    ),
    "next-gap": Kind(next_gap, _history_head, {"mae": _NUMBER, "mse": _NUMBER}, ("median", "user_median")),
    "regression": Kind(
        regression,
        _history_head,
        {"mae": _NUMBER, "mse": _NUMBER},
        ("median", "user_median", "item_rate", "rates_so_far"),
    ),
    "classification": Kind(classification, _text_head, {"cross_entropy": _CLASSES}, ("majority", "tfidf")),
}


def find_kind(name: str) -> Kind:
    """The kind called `name`, or `package.module:name` of one's own. Raises UserError naming the nearest."""
    if ":" in name:
        own: Kind = import_own(name, "kind")
        return own
    if name not in KINDS:
        raise UserError(f"no kind {name!r}; {nearest(name, list(KINDS))}")
    return KINDS[name]


def loss_of(task: TaskConfig) -> str:
    """The task's loss, the kind's first by default. Raises UserError for one the kind does not take."""
    known = list(find_kind(task.kind).metrics)
    if task.loss is not None and task.loss not in known:
        raise UserError(f"loss: kind {task.kind} has no loss {task.loss!r}; {nearest(task.loss, known)}")
    return task.loss or known[0]


def check_kinds(recipe: Recipe) -> None:
    """Raise UserErrors naming every task of an unknown kind, or with a loss that its kind does not take."""
    problems = Problems()
    for name, task in recipe.tasks.items():
        with problems.collect(f"tasks.{name}.kind: "):
            find_kind(task.kind)
            with problems.collect(f"tasks.{name}."):
                loss_of(task)
    problems.stop()


def load_data(recipe: Recipe) -> Dataset:
    """Read the recipe's data and build every task's examples. Raises UserErrors naming task, file, row and value."""
    problems = Problems()
    with problems.collect():
        check_kinds(recipe)
    with problems.collect():
        tables = load_tables(recipe.data)
    problems.stop()
    builders = {task.kind: find_kind(task.kind).build for task in recipe.tasks.values()}
    return build_dataset(tables, recipe.tasks, builders, recipe.data, recipe.train.seed)
