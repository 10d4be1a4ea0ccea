"""Parts of a task's rows that are also measured by themselves.

repeats     whether the user had the item before: `repeats` or `new`; of rankings that allow repeats, unasked
cold_items  whether train rows have the item: `warm`, or none has: `cold`
cold_users  the same of the user
a feature   that is a category, of the item, else the user, else the event: each of the ten levels that most rows
            have, and `other`: levels beyond these, and those that fewer than three train rows have
"""

from collections.abc import Mapping, Sequence

import numpy as np

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.errors import Problems, UserError, shown
from peftrec.tasks.kind import Task

LEVELS = 10  # of a feature that have a part of their own
OTHER = "other"

Parts = dict[str, np.ndarray]  # part -> the numbers of its rows
Slice = tuple[str, str, np.ndarray]  # what rows are divided by, a part, and the numbers of its rows


def divisions(data: TaskData) -> list[str]:
    """What the rows of a task can be divided by."""
    train = data.train
    asked = train.log is not None or train.user is not None
    features = [name for encoding in data.encodings.values() for name in encoding.categories]
    return [*(["cold_items"] if data.items else []), *(["cold_users"] if asked else []), *features]


def check_slices(tasks: Mapping[str, Task], dataset: Dataset) -> None:
    """Raise UserErrors naming every task whose recipe names what its rows cannot be divided by."""
    problems = Problems()
    for name, task in tasks.items():
        known = divisions(dataset.tasks[name])
        unknown = [shown(by) for by in task.config.slices if by not in known]
        if unknown:
            with problems.collect():
                raise UserError(
                    f"tasks.{name}.slices: rows cannot be divided by {', '.join(unknown)}, but by "
                    f"{', '.join(known) or 'nothing'} (features are those of kind category)"
                )
    problems.stop()


def slices_of(data: TaskData, rows: Examples, names: Sequence[str], ranked: bool = False) -> list[Slice]:
    """The parts of some of a task's rows, without those that are empty; `ranked`: as right items of rankings."""
    found = {"repeats": _repeats(rows)} if ranked and rows.repeats else {}
    for name in names:
        if name == "cold_items":
            found[name] = _cold(data.train.item, rows.item)
        elif name == "cold_users":
            found[name] = _cold(data.train.users, rows.users)
        else:
            found[name] = _levels(data, rows, name)
    return [(by, part, of) for by, parts in found.items() for part, of in parts.items() if len(of)]


def _repeats(rows: Examples) -> Parts:
    again = rows.repeated()
    return {"repeats": np.flatnonzero(again), "new": np.flatnonzero(~again)}


def _cold(train: np.ndarray, of: np.ndarray) -> Parts:
    known = np.isin(np.asarray(of), np.unique(np.asarray(train)))
    return {"cold": np.flatnonzero(~known), "warm": np.flatnonzero(known)}


def _levels(data: TaskData, rows: Examples, name: str) -> Parts:
    """By the levels of a category: those that most of the rows have, and all others together."""
    of = next(of for of, encoding in data.encodings.items() if name in encoding.categories)
    encoding = data.encodings[of]
    table, row = {
        "item": (rows.of_items, rows.item),
        "user": (rows.of_users, rows.users),
        "event": (rows.of_events, np.arange(len(rows))),
    }[of]
    assert table is not None
    code = table[row, 2 * len(encoding.numbers) + list(encoding.categories).index(name)].astype(np.int64)
    levels = encoding.categories[name]
    counts = np.bincount(code, minlength=1 + len(levels))[1:]
    most = [n for n in np.argsort(-counts, kind="stable")[:LEVELS].tolist() if counts[n]]
    found = {levels[n]: np.flatnonzero(code == 1 + n) for n in most}
    return found | {OTHER: np.flatnonzero(~np.isin(code, 1 + np.array(most)))}
