"""The best items of a catalogue for rows that ask: their scores by a task or several, and the choice of the best."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce

import numpy as np

from peftrec.data.examples import Examples
from peftrec.errors import RowError, UserError
from peftrec.runs.saved import LoadedRun
from peftrec.serving.best import best, diverse, pool_size
from peftrec.serving.reader import RowReader, check_keys
from peftrec.serving.scoring import Scoring
from peftrec.serving.wanted import Wanted, filled
from peftrec.tasks.rows import Row

ASKS = ("user", "history", "query")  # the keys of a row that say who or what asks, of which a task reads some,
BESIDE = ("user_features", "features")  # what is known beside,
OF_ROW = ("candidates", "exclude")  # and which items may be named to it


@dataclass(frozen=True)
class Found:
    """The best items for a row, best first.

    numbers, scores  int (k,), and what they were chosen by (k,)
    own              each task's score of them, and each feature (k,)
    barred, seen     how many items of the catalogue might not be named, and how many others because of the history
    """

    numbers: np.ndarray
    scores: np.ndarray
    own: dict[str, np.ndarray]
    barred: int = 0
    seen: int = 0

    def take(self, places: np.ndarray) -> "Found":
        """Those at `places`, in that order."""
        own = {name: of[places] for name, of in self.own.items()}
        return replace(self, numbers=self.numbers[places], scores=self.scores[places], own=own)


class Recommender:
    """Over a loaded run; whoever calls it has the backbone to itself."""

    def __init__(self, run: LoadedRun, reader: RowReader) -> None:
        self.run, self._reader, self.scoring = run, reader, Scoring(run, reader)

    def read(self, wanted: Wanted, rows: Sequence[Row], first: int = 0) -> tuple[dict[str, Examples], np.ndarray]:
        """Rows as each task's examples (N,), and which items may be named to each, bool (N, I), histories aside.

        `first`: how many rows came before. Raises RowError for the first row that is wrong.
        """
        allowed = np.empty((len(rows), len(wanted.items)), bool)

        def narrow(number: int, given: Row) -> None:
            allowed[number] = wanted.narrowed(wanted.allowed, given)

        return self._examples(list(wanted.tasks), rows, first, OF_ROW, narrow), allowed

    def examples(self, task: str, rows: Sequence[Row], first: int = 0) -> Examples:
        """Rows as examples of one task, whichever items may be named. Raises RowError as `read`."""
        return self._examples([task], rows, first, (), lambda number, given: None)[task]

    def _examples(
        self,
        tasks: Sequence[str],
        rows: Sequence[Row],
        first: int,
        others: Sequence[str],
        heed: Callable[[int, Row], None],
    ) -> dict[str, Examples]:
        """Rows as each task's examples; `heed` is told of each, which may have the keys `others` too."""
        keys = {task: self._reader.keys(task) for task in tasks}
        asked: dict[str, list[Row]] = {task: [] for task in tasks}
        for number, row in enumerate(rows):
            try:
                check_keys(row, [*ASKS, *BESIDE, *others], "a row to recommend for")
                given = {key: value for key, value in row.items() if value is not None}
                heed(number, given)
                for task, of in asked.items():
                    of.append(self._row_of(task, given, keys))
            except UserError as error:
                raise RowError(first + number + 1, str(error)) from None
        try:
            return {task: self._reader.examples(task, of) for task, of in asked.items()}
        except RowError as error:
            raise RowError(first + error.row, error.problem) from None

    def find(self, wanted: Wanted, examples: Mapping[str, Examples], allowed: np.ndarray) -> list[Found]:
        """The best items for each row that was read."""
        barred = _barred(allowed)
        for task, of in examples.items():
            if not wanted.keeps_seen[task]:
                row, item = of.met()
                allowed[row[item >= 0], item[item >= 0]] = False
        seen = _barred(allowed) - barred
        size = wanted.k if not wanted.diversity else pool_size(wanted.k)
        if wanted.approximate:
            ((task, of),) = examples.items()
            found = [self._near(task, of.take(np.array([n])), size, allowed[n]) for n in range(len(allowed))]
        else:
            found = self._exact(wanted, examples, size, allowed)
        if wanted.diversity and any(len(of.numbers) for of in found):
            found = self._diverse(wanted, found)
        return [replace(of, barred=int(barred[n]), seen=int(seen[n])) for n, of in enumerate(found)]

    def _exact(self, wanted: Wanted, examples: Mapping[str, Examples], size: int, allowed: np.ndarray) -> list[Found]:
        """By the scores of every item."""
        own = {task: self.scoring.scores(task, of, allowed) for task, of in examples.items()}
        weighed = [own[task] if weight == 1 else weight * own[task] for task, weight in wanted.tasks.items()]
        weighed += [weight * filled(values) for weight, values in wanted.features.values()]
        total = reduce(np.add, weighed)
        np.copyto(total, -np.inf, where=~allowed)  # it may be a task's own scores, of which these are never told
        found = []
        for n in range(len(allowed)):
            numbers = best(total[n], size)
            each = {task: of[n, numbers] for task, of in own.items()}
            each |= {name: values[numbers] for name, (_, values) in wanted.features.items()}
            found.append(Found(numbers, total[n, numbers], each))
        return found

    def _near(self, task: str, one: Examples, size: int, allowed: np.ndarray) -> Found:
        """By the index."""
        numbers, scores = self.scoring.near(task, one, min(size + int((~allowed).sum()), len(allowed)))
        return Found(numbers, scores, {task: scores}).take(np.flatnonzero(allowed[numbers])[:size])

    def _diverse(self, wanted: Wanted, found: list[Found]) -> list[Found]:
        """Of the best those that are also unlike each other, by the vectors of the first task."""
        numbers, place = np.unique(np.concatenate([of.numbers for of in found]), return_inverse=True)
        vectors = self.scoring.vectors(next(iter(wanted.tasks)), numbers)
        places = np.split(place, np.cumsum([len(of.numbers) for of in found])[:-1])
        return [
            of.take(diverse(of.scores, vectors[own], wanted.k, wanted.diversity))
            for of, own in zip(found, places, strict=True)
        ]

    def _row_of(self, task: str, given: Row, keys: Mapping[str, list[str]]) -> Row:
        """A row of the task, with what it reads of the given one, and any item; `keys` are those that each task reads.

        Raises UserError.
        """
        reads, asks = [key for key in ASKS if key in keys[task]], [key for key in ASKS if key in given]
        read = {key for of in keys.values() for key in of}
        if not set(asks) & set(reads) or not read.issuperset(asks):
            new = " (an empty one for a new user)" if "history" in reads else ""
            found = " and ".join(asks) or "none of them"
            raise UserError(f"to recommend by task {task!r} give {' or '.join(reads)}{new}; found {found}")
        # What no task reads is any one's to refuse.
        row = {key: given[key] for key in (*ASKS, *BESIDE) if key in given and (key in keys[task] or key not in read)}
        row["item"] = self.run.items_of(task).ids[0]
        if self.run.tasks[task].kind.moment is not None:
            row["time"] = datetime.now(UTC).timestamp()
        return row


def too_few(wanted: Wanted, found: Sequence[Found]) -> str | None:
    """What the user should know where fewer items were found than were asked for."""
    short = [number for number, of in enumerate(found) if len(of.numbers) < wanted.k]
    if not short:
        return None
    missed = ", and the index may miss some" if wanted.approximate else ""
    if len(found) > 1:
        least = min(short, key=lambda number: len(found[number].numbers))
        fewest = f"the fewest row {least + 1}, {len(found[least].numbers):,}"
        return f"{len(short):,} of {len(found):,} rows have fewer than {wanted.k:,} items, {fewest}{missed}"
    of, size = found[0], len(wanted.items)
    barred = f"{of.barred:,} are not asked for and " if of.barred else ""
    why = f"the catalogue has {size:,}, of which {barred}{of.seen:,} are in the history"
    return f"{len(of.numbers):,} items instead of {wanted.k:,}: {why}{missed}"


def _barred(allowed: np.ndarray) -> np.ndarray:
    """How many items are not allowed in each row (N, I)."""
    return allowed.shape[1] - np.array([np.count_nonzero(line) for line in allowed])
