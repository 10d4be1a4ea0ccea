"""What is asked for of a catalogue: by which tasks and features, how many items, and which of them may be named."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, TypedDict

import numpy as np

from peftrec.data.catalogue import ItemTexts
from peftrec.data.rows import MOST
from peftrec.errors import UserError, cut, shown
from peftrec.runs.saved import LoadedRun
from peftrec.serving.features import is_number
from peftrec.serving.reader import check_keys
from peftrec.serving.where import matching

PAIRS = 1 << 20  # of rows and items, which are scored together


class Options(TypedDict, total=False):
    """Which items may be named, which must pass all that is given, and how the best of them are chosen.

    candidates    ids of the only items that may be named
    exclude       ids of items that are not named
    include_seen  whether items of a row's history may be named; default: as the task was trained and measured
    where         a filter on features of items, such as `price < 20 and brand == "x"` (see `peftrec.serving.where`)
    diversity     0: the best by their scores; up to 1: the more, the less alike the items are
    approximate   search an index (extra `faiss`) instead of scoring every item, for a task that ranks its catalogue:
                  scores are the same, but a few items may be missed
    """

    candidates: list[Any] | None
    exclude: list[Any] | None
    include_seen: bool | None
    where: str | None
    diversity: float | None
    approximate: bool | None


@dataclass(frozen=True)
class Wanted:
    """What is asked for of every row, checked.

    tasks       name -> what its score counts
    features    name of a number of the items -> what it counts, and the number of each item (I,)
    numbers     ids of the catalogue -> their numbers
    allowed     bool (I,): the items that may be named
    keeps_seen  task -> whether items of a row's history may be named
    """

    tasks: dict[str, float]
    features: dict[str, tuple[float, np.ndarray]]
    items: ItemTexts
    numbers: Mapping[str, int]
    k: int
    allowed: np.ndarray
    keeps_seen: dict[str, bool]
    diversity: float
    approximate: bool

    @property
    def rows_at_once(self) -> int:
        """How many rows are scored together."""
        return max(1, PAIRS // max(1, len(self.items)))

    def narrowed(self, allowed: np.ndarray, given: Mapping[str, Any]) -> np.ndarray:
        """Which items `allowed`, bool (I,), are also among the `candidates` given and not among those to `exclude`.

        Raises UserError.
        """
        for key in ("candidates", "exclude"):
            if key in given:
                named = np.zeros(len(allowed), bool)
                named[numbers_of(key, given[key], self.numbers)] = True
                allowed = allowed & (named if key == "candidates" else ~named)
        return allowed


def numbers_of(key: str, given: Any, known: Mapping[str, int]) -> list[int]:
    """The numbers of the items whose ids are given under `key`. Raises UserError."""
    if not isinstance(given, list):
        raise UserError(f"{key!r} is a list of item ids; found {shown(given)}")
    ids = list(map(str, given))
    for item in ids:
        if item not in known:
            raise UserError(f"{key!r}: no item {shown(item)} in the catalogue")
    return [known[item] for item in ids]


def wanted(
    run: LoadedRun, weights: Mapping[str, float], k: int, options: Options, numbers: Mapping[str, Mapping[str, int]]
) -> Wanted:
    """What is asked for: k items by so much of each task's score and of each feature. `numbers`: of each task's items.

    Raises UserError.
    """
    check_keys(options, list(Options.__annotations__), "what may be asked for")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
        raise UserError(f"k must be a whole number, 1 or more; found {shown(k)}")
    tasks, items, features = weighed(run, weights, _check_ranks)
    for name in ("include_seen", "approximate"):
        if not isinstance(given.get(name, False), bool):
            raise UserError(f"{name} must be true or false; found {shown(given[name])}")
    diversity = given.get("diversity", 0)
    if not is_number(diversity) or not 0 <= diversity <= 1:
        raise UserError(f"diversity must be a number from 0 to 1; found {shown(diversity)}")
    if given.get("approximate"):
        _check_index(run, weights, given)
    keeps = {task: _keeps_seen(run, task, given.get("include_seen")) for task in tasks}
    if "include_seen" in given and not any(run.described[task]["history"] for task in tasks):
        raise UserError(f"include_seen: {' and '.join(tasks)} reads no history; leave it out")
    allowed = matching(given["where"], items.features) if "where" in given else np.ones(len(items), bool)
    found = Wanted(
        tasks,
        features,
        items,
        numbers[next(iter(tasks))],
        int(k),
        allowed,
        keeps,
        float(diversity),
        given.get("approximate", False),
    )
    return replace(found, allowed=found.narrowed(allowed, given))


def check_rows(rows: Any) -> None:
    """Raise UserError where rows are no list."""
    if not isinstance(rows, list):
        raise UserError(f"rows must be a list of dicts, one a row; found a {type(rows).__name__}")


def weighed(
    run: LoadedRun, weights: Mapping[str, float], check: Callable[[LoadedRun, str], None]
) -> tuple[dict[str, float], ItemTexts, dict[str, tuple[float, np.ndarray]]]:
    """What each task counts, the catalogue that they are of, and what each number of its items counts, with the number
    of each item (I,). `check` raises UserError for a task that says nothing of items. Raises UserError.
    """
    if not isinstance(weights, Mapping) or not all(map(is_number, weights.values())):
        raise UserError(f"weights must be a dict of tasks and features, and what each counts; found {shown(weights)}")
    if large := [name for name, weight in weights.items() if abs(weight) > MOST]:
        found = f"found {weights[large[0]]:g} for {shown(large[0])}"
        raise UserError(f"weights: what counts is at most {MOST:g} in size, so that sums stay numbers; {found}")
    tasks = {name: weight for name, weight in weights.items() if name in run.tasks}
    for task in tasks:
        check(run, task)
    items = _catalogue(run, list(tasks))
    features = {
        name: (weight, _number(name, items, _able(run))) for name, weight in weights.items() if name not in tasks
    }
    return tasks, items, features


def check_scores(run: LoadedRun, task: str) -> None:
    """Raise UserError where a task's predictions are of no items."""
    if not run.described[task]["items"]:
        raise UserError(f"task {task!r} is of kind {run.tasks[task].config.kind}, which scores no items")


def filled(values: np.ndarray) -> np.ndarray:
    """A number of items (I,), the mean of those that are known in place of missing ones."""
    missing = np.isnan(values)
    mean = values[~missing].mean() if not missing.all() else 0.0
    return np.where(missing, mean, values)


def _able(run: LoadedRun) -> list[str]:
    """The tasks that rank items."""
    slots = {name: run.described[name]["slots"] for name in run.tasks}
    return [name for name, task in run.tasks.items() if task.kind.ranks and "item" in slots[name]]


def _check_ranks(run: LoadedRun, task: str) -> None:
    """Raise UserError, naming the tasks that do, where a task ranks no items."""
    if task not in (able := _able(run)):
        kind = run.tasks[task].config.kind
        joint = " with joint pairs" if "pair" in run.described[task]["slots"] else ""
        others = f"tasks that do: {', '.join(able)}" if able else "no task of this run does"
        raise UserError(f"task {task!r} is of kind {kind}{joint}, which ranks no items; {others}")


def _catalogue(run: LoadedRun, tasks: list[str]) -> ItemTexts:
    """The catalogue that all of the tasks rank. Raises UserError."""
    tables = {run.described[task]["items"]: task for task in tasks}
    if not tables:
        raise UserError(f"weights: name a task at least; those that rank items: {_listed(_able(run))}")
    if len(tables) > 1:
        found = " and ".join(f"{task} ranks {table}" for table, task in tables.items())
        raise UserError(f"weights: tasks that are weighed together rank the same items; {found}")
    return run.items_of(tasks[0])


def _number(name: str, items: ItemTexts, able: list[str]) -> np.ndarray:
    """A number of the items by its name, float64 (I,), NaN where missing. Raises UserError."""
    numbers, categories = items.features.numbers, items.features.categories
    if name in categories:
        raise UserError(f"weights: {name!r} is a category; of features numbers have a weight: {_listed(numbers)}")
    if name not in numbers:
        raise UserError(
            f"weights: {shown(name)} is no task and no number of the items; tasks: {_listed(able)}; numbers: "
            f"{_listed(numbers)}"
        )
    return numbers[name].astype(np.float64)


def _check_index(run: LoadedRun, weights: Mapping[str, float], given: Mapping[str, Any]) -> None:
    """Raise UserError where an index cannot answer what is asked for."""
    if clash := [name for name in ("candidates", "where") if name in given]:
        raise UserError(f"approximate searches the whole catalogue; leave out either that or {' and '.join(clash)}")
    if len(weights) > 1:
        raise UserError(f"approximate searches by one task; found {' and '.join(weights)}")
    for task in weights:
        if task not in run.catalogues:
            raise UserError(
                "approximate search needs a task that ranks its catalogue: kind next-item, or match-query without "
                f"grades; {task!r} is none"
            )


def _keeps_seen(run: LoadedRun, task: str, asked: bool | None) -> bool:
    """Whether items of a row's history may be named: by the task's own rule, unless fewer are asked for.

    Raises UserError where more are: how well the task ranks those was not measured.
    """
    described = run.described[task]
    allowed = bool(described.get("repeats")) or not described["history"]
    if asked and not allowed:
        raise UserError(
            f"include_seen: task {task!r} was trained and measured without what a user had before; `predict` scores "
            f"it, and a run that is trained with tasks.{task}.repeats: allow recommends it"
        )
    return allowed and asked is not False


def _listed(names: Iterable[str]) -> str:
    return cut(", ".join(names)) or "none"
