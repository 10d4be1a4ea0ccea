"""Which metrics a task has: its kind's, or those that the recipe names."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from peftrec.data.dataset import Dataset
from peftrec.errors import Problems, UserError, shown
from peftrec.evaluation.at_k import AT_K, CHOICE, of_places, split_name
from peftrec.evaluation.beyond import BEYOND, EACH
from peftrec.evaluation.metrics import METRICS, OF_IMPRESSIONS, OF_K, find_metric
from peftrec.tasks.kind import Task
from peftrec.tasks.losses import Labels
from peftrec.tasks.priors import PRIORS, RANKING_PRIORS, find_prior

# Those of `METRICS` that rows with such labels have.
OF_LABELS: dict[Labels, tuple[str, ...]] = {
    "class": ("accuracy", "macro_f1", "auc", "log_loss", "ece"),
    "tags": ("micro_f1", "macro_f1", "mean_ap", "log_loss"),
    "liked": ("accuracy", "macro_f1", "auc", "gauc", "log_loss", "ece"),
    "number": ("mae", "rmse", "r2"),
    "choice": (),
}
_SHOWN = "impression_"


@dataclass(frozen=True)
class Measures:
    """The names of a task's metrics by what they are of.

    predictions  of its predictions, beside the labels
    places       of where right items stand in the catalogue
    lists        of what stands first there (`evaluation.beyond`)
    choice       of the probability of right items among the catalogue
    """

    predictions: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    choice: tuple[str, ...] = ()

    @property
    def ranks(self) -> bool:
        """Whether the catalogue must be ranked for them."""
        return bool(self.places or self.lists or self.choice)

    @property
    def of_parts(self) -> "Measures":
        """Those that some of the rows have too: not what all lists are together."""
        return replace(self, lists=tuple(name for name in self.lists if split_name(name)[0] in EACH))


def measures_of(task: Task, impressions: bool) -> Measures:
    """The metrics of a task, whose rows may stand in lists that were shown. The loss's own is among them always."""
    named = task.config.metrics
    choice = tuple(CHOICE) if task.loss.labels == "choice" else ()
    if named is None:
        of_shown = OF_IMPRESSIONS if impressions and task.loss.labels == "liked" else ()
        return Measures((*task.metrics, *of_shown), task.kind.lists if _ranks(task) else (), (), choice)
    kinds = {name: _sort(task, name) for name in named if name not in choice}
    places, lists = (tuple(name for name, of in kinds.items() if of == sort) for sort in ("places", "lists"))
    predictions = [name for name, of in kinds.items() if of == "predictions"]
    if not choice:
        predictions = list(dict.fromkeys([*predictions, task.loss.metric]))
    return Measures(tuple(predictions), places, lists, choice)


def _ranks(task: Task) -> bool:
    """Whether a task ranks its catalogue when it is measured."""
    return bool(task.kind.ranking) and task.loss.of_likes


def _sort(task: Task, name: str) -> str:
    """What a metric of a task is of; those that do not fit count as of predictions."""
    base, k = split_name(name)
    if k is not None and _ranks(task) and base in BEYOND:
        return "lists"
    if _ranks(task) and (of_places(name) is not None or task.loss.labels == "choice"):
        return "places"
    return "predictions"


def fitting(task: Task) -> list[str]:
    """The names that a task's `metrics` may hold, with @k for any k."""
    labels = task.loss.labels
    found = [*OF_LABELS[labels], *task.metrics, *(["ndcg@k"] if task.kind.graded else [])]
    if _ranks(task):
        found += [f"{name}@k" for name in (*AT_K, *BEYOND)]
        if labels == "liked":
            found += [name for name in (*METRICS, *(f"{base}@k" for base in OF_K)) if name.startswith(_SHOWN)]
    found += CHOICE if labels == "choice" else ()
    return [name for name in dict.fromkeys(found) if split_name(name)[1] is None]


def check_measures(tasks: Mapping[str, Task]) -> None:
    """Raise UserErrors naming every task whose recipe names a metric that does not fit it, and every one whose kind
    names a metric or prior that does not exist."""
    problems = Problems()
    for name, task in tasks.items():
        with problems.collect(f"tasks.{name}.metrics: "):
            _check_fit(task, task.config.metrics or [])
        for metric in (*task.metrics, *([] if task.loss.labels == "choice" else [task.loss.metric])):
            with problems.collect(f"tasks.{name}.kind: "):
                find_metric(metric)
        for metric in task.kind.lists if _ranks(task) else ():
            with problems.collect(f"tasks.{name}.kind: "):
                of_places(metric) or find_metric(metric)
        for table, names in ((PRIORS, task.kind.priors), (RANKING_PRIORS, task.kind.ranking)):
            for prior in names:
                with problems.collect(f"tasks.{name}.kind: "):
                    find_prior(table, prior)
    problems.stop()


def _check_fit(task: Task, names: list[str]) -> None:
    known, unknown = fitting(task), []
    for name in names:
        base, k = split_name(name)
        if ":" in name:
            find_metric(name)
        elif name not in known and name not in task.metrics and (k is None or f"{base}@k" not in known):
            unknown.append(shown(name))
    if unknown:
        raise UserError(
            f"{task.config.kind} with loss {task.config.loss} has no {', '.join(unknown)}; it has {', '.join(known)}"
            f"{', with a whole number from 1 for k' if any(name.endswith('@k') for name in known) else ''}"
        )


def check_shown(tasks: Mapping[str, Task], dataset: Dataset) -> None:
    """Raise UserErrors naming every metric of lists that were shown of a task whose rows stand in none."""
    problems = Problems()
    for name, task in tasks.items():
        wanted = [metric for metric in task.config.metrics or () if metric.startswith(_SHOWN)]
        if wanted and not dataset.tasks[name].impressions:
            with problems.collect():
                raise UserError(
                    f"tasks.{name}.metrics: {wanted[0]} needs lists that were shown: the key impression of the task's "
                    "table"
                )
    problems.stop()
