"""What a run predicted for each row of its test split, kept in the run so that runs can be compared row by row.

test/<task>.parquet        group (user id, or the query's or row's number), item, time, label, prediction, and
                           impression (the list's number) where lists were shown; of one's own tables row, the number
                           of the data row in its file, from 1, and file where the table is of several
test/<task>.ranks.parquet  group, rank: where each user's target stood in the full catalogue, for tasks that rank it
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.tables import Files
from peftrec.errors import UserError
from peftrec.evaluation.at_k import split_name
from peftrec.evaluation.beyond import EACH
from peftrec.evaluation.ranking import Ranked, Targets
from peftrec.machine.files import reading
from peftrec.machine.parquet import read_columns

_COLUMNS = {
    "group": "texts",
    "item": "texts",
    "time": "numbers",
    "label": "numbers or lists of them",
    "prediction": "numbers or lists of them",
}


@dataclass(frozen=True)
class Outcome:
    """One task's rows and their predictions.

    group       text (N,): what intervals are clustered by: the user's id, or the number of the query or row
    item        text (N,): the item's id, '' without one
    time        float64 (N,): seconds since 1970, NaN without one
    label       (N,) or (N, C), as in `Examples`
    prediction  float32 (N,) or (N, C), as a model predicts; the log-probability of the row's item for tasks that are
                measured by ranks alone
    ranked, rank  text (U,) and float64 (U,): users and the ranks of their targets from 1; None without a ranking
    listed      int64 (U,): the list that each target is in, where it is not the only one there; see `lists`
    each        {metric of `beyond.EACH`: float64 (U,)}: what the list of each target is like
    impression  int64 (N,): the list that each row was shown in; None where nothing is known of lists
    row, file   int64 (N,) and text (N,): where each row stands in the user's files; None where that is unknown, and
                `file` where there is one. They are written for the user, and not read again
    weight      float32 (N,): how much each row counts in training; None where all count alike. Not written
    """

    group: np.ndarray
    item: np.ndarray
    time: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    ranked: np.ndarray | None = None
    rank: np.ndarray | None = None
    listed: np.ndarray | None = None
    each: dict[str, np.ndarray] = field(default_factory=dict)
    impression: np.ndarray | None = None
    row: np.ndarray | None = None
    file: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def grouped(self) -> np.ndarray:
        """What metrics of groups go by (N,): the lists where there are any."""
        return self.group if self.impression is None else self.impression

    @property
    def lists(self) -> np.ndarray:
        """The list of each target (U,)."""
        assert self.rank is not None
        return np.arange(len(self.rank)) if self.listed is None else self.listed

    def same_rows(self, other: "Outcome") -> bool:
        """Whether both are about the same rows in the same order, labels included."""
        names = ("group", "item", "time", "label")
        return all(np.array_equal(getattr(self, n), getattr(other, n), equal_nan=n == "time") for n in names)

    def with_ranks(self, dataset: Dataset, targets: Targets, found: Ranked) -> "Outcome":
        """The same with the targets' users or queries and where they stand, from `ranking.rank_catalogue`."""
        several = len(targets.asked) < len(targets)
        return replace(
            self,
            ranked=_clusters(dataset, targets.rows),
            rank=found.place,
            listed=targets.of if several else None,
            each={name: values[targets.of] for name, values in found.each.items()},
        )


def make_outcome(dataset: Dataset, task: str, examples: Examples, prediction: np.ndarray) -> Outcome:
    """The examples' rows by their ids, with predictions."""
    known = dataset.items_of(task).ids if dataset.tasks[task].items else []
    items = np.array([*known, ""], dtype=object)  # item -1 is the last
    impression = examples.group if dataset.tasks[task].impressions else None
    row, file = _places(examples, dataset.tasks[task].files)
    return Outcome(
        _clusters(dataset, examples),
        items[examples.item],
        examples.time,
        examples.label,
        prediction,
        impression=impression,
        row=row,
        file=file,
        weight=examples.weight,
    )


def _places(examples: Examples, files: Files) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The number of each row in its file (N,), and where there are several files their names (N,)."""
    if examples.row is None or not files:
        return None, None
    row, ends = np.asarray(examples.row), np.cumsum([rows for _, rows in files])
    file = np.searchsorted(ends, row, side="right")
    names = np.array([name for name, _ in files], object)
    return row + 1 - np.append(0, ends)[file], names[file] if len(files) > 1 else None


def _clusters(dataset: Dataset, examples: Examples) -> np.ndarray:
    """The user's id of each row, or the number of what it belongs to, text (N,)."""
    if examples.log is not None:
        return np.array(dataset.user_ids, dtype=object)[examples.users]
    numbers: np.ndarray = examples.group.astype(str).astype(object)
    return numbers


def write_outcomes(folder: Path, outcomes: dict[str, Outcome]) -> None:
    """Write every task's files into `folder`/test."""
    (folder / "test").mkdir()
    for task, of in outcomes.items():
        columns = {"group": _texts(of.group), "item": _texts(of.item), "time": of.time}
        columns |= {} if of.impression is None else {"impression": of.impression}
        columns |= {} if of.file is None else {"file": _texts(of.file)}
        columns |= {} if of.row is None else {"row": pa.array(of.row.astype(np.int64))}
        table = pa.table({**columns, "label": pa.array(list(of.label)), "prediction": pa.array(list(of.prediction))})
        pq.write_table(table, folder / "test" / f"{task}.parquet")
        if of.ranked is not None:
            ranks = {"group": _texts(of.ranked), "rank": of.rank, **of.each}
            ranks |= {} if of.listed is None else {"list": of.listed.astype(np.int64)}
            pq.write_table(pa.table(ranks), folder / "test" / f"{task}.ranks.parquet")


def read_outcome(run: Path, task: str) -> Outcome:
    """One task's outcome of a verified run. Raises UserError when the run kept none."""
    file, ranks = (run / "test" / f"{task}{end}" for end in (".parquet", ".ranks.parquet"))
    if not file.is_file():
        raise UserError(f"{file}: missing: the run was trained before runs kept their test predictions; train it again")
    with reading(file):
        lists = {"impression": "whole numbers"} if "impression" in pq.read_schema(file).names else {}
    table = read_columns(file, _COLUMNS | lists)
    with reading(file):
        group, item = _plain(table["group"]), _plain(table["item"])
        numbers = {name: _numbers(file, table, name) for name in ("time", "label", "prediction", *lists)}
        time, label, prediction = (numbers[name] for name in ("time", "label", "prediction"))
        outcome = Outcome(group, item, time, label, prediction, impression=numbers.get("impression"))
    _check_finite(file, prediction=outcome.prediction, label=outcome.label)
    if not ranks.is_file():
        return outcome
    with reading(ranks):
        names = pq.read_schema(ranks).names
    each = [name for name in names if split_name(name)[0] in EACH]
    kinds = {"rank": "numbers", **{name: "numbers" for name in each}}
    lists = {"list": "whole numbers"} if "list" in names else {}
    ranked = read_columns(ranks, {"group": "texts", **kinds, **lists})
    values = {name: ranked[name].to_numpy() for name in kinds}
    _check_finite(ranks, **values)
    rank = values.pop("rank")
    listed = ranked["list"].to_numpy() if lists else None
    return replace(outcome, ranked=_plain(ranked["group"]), rank=rank, listed=listed, each=values)


def _numbers(file: Path, table: pa.Table, name: str) -> np.ndarray:
    """A column of numbers (N,), or of lists of as many each (N, C)."""
    column = table[name].combine_chunks()
    nested = pa.types.is_list(column.type)
    if nested and len(pc.unique(pc.list_value_length(column))) > 1:
        raise UserError(f"{file}: column {name!r} has lists of several lengths")
    flat: np.ndarray = (column.flatten() if nested else column).to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1) if nested and len(column) else flat


def _plain(column: pa.ChunkedArray) -> np.ndarray:
    found: np.ndarray = column.cast(pa.string()).to_numpy()
    return found


def _check_finite(file: Path, **columns: np.ndarray) -> None:
    for name, values in columns.items():
        if not np.isfinite(values).all():
            raise UserError(f"{file}: column {name!r} has numbers that are not finite")


def _texts(column: np.ndarray) -> pa.Array:
    return pa.array(column, pa.string())
