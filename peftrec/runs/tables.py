"""What a run keeps of its tables, so that it predicts and recommends without the data files.

catalogue.parquet     table, id, text: the items of every catalogue; and `number <feature>`, NaN where missing, and
                      `category <feature>`, empty where missing
users.parquet         id, and the same of users; only where a task reads features of theirs
log.parquet           user, item (number), time, mark (which of the history tables), and what each task counts them as:
                      `feedback <task>`; log-1.parquet and so on where tasks remember other events, or rate others than
                      they remember: those that were shown and not clicked
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.features import NO_FEATURES, Encoding, FeatureTable, category
from peftrec.data.log import Log
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.machine.files import reading
from peftrec.machine.parquet import read_columns

LATEST = 1e11  # seconds since 1970: beyond are milliseconds, or nothing


@dataclass(frozen=True)
class UserLog:
    """A log and the ids of its users, in user-number order: those who have events in it."""

    log: Log
    user_ids: list[str]


@dataclass(frozen=True)
class KnownUsers:
    """Users' ids, and their features in that order."""

    ids: list[str]
    features: FeatureTable = NO_FEATURES


def save_catalogues(folder: Path, dataset: Dataset) -> None:
    """Write catalogue.parquet, and users.parquet where there is any need."""
    texts = [dataset.texts.texts[row] for of in dataset.items.values() for row in of.rows]
    columns = {
        "table": pa.array([name for name, of in dataset.items.items() for _ in range(len(of))], pa.string()),
        "id": pa.array([name for of in dataset.items.values() for name in of.ids], pa.string()),
        "text": pa.array(texts, pa.string()),
    }
    columns |= _features_of_all(dataset.items.values())
    pq.write_table(pa.table(columns), folder / "catalogue.parquet")
    if any("user" in data.encodings for data in dataset.tasks.values()):
        columns = {"id": pa.array(dataset.user_ids, pa.string()), **_feature_columns(dataset.users)}
        pq.write_table(pa.table(columns), folder / "users.parquet")


def _features_of_all(catalogues: Iterable[ItemTexts]) -> dict[str, pa.Array]:
    """The features of all catalogues, one after the other; missing of those that have not this feature."""
    whole: dict[str, pa.Array] = {}
    empty = {"number": pa.scalar(np.nan, pa.float32()), "category": pa.scalar("", pa.string())}
    parts = [(len(of), _feature_columns(of.features)) for of in catalogues]
    for name in dict.fromkeys(name for _, columns in parts for name in columns):
        nothing = empty[name.partition(" ")[0]]
        whole[name] = pa.concat_arrays(
            [columns[name] if name in columns else pa.repeat(nothing, size) for size, columns in parts]
        )
    return whole


def _feature_columns(features: FeatureTable) -> dict[str, pa.Array]:
    numbers = {f"number {name}": pa.array(column, pa.float32()) for name, column in features.numbers.items()}
    return numbers | {f"category {name}": column.cast(pa.string()) for name, column in features.categories.items()}


def _feature_kinds(described: Iterable[Mapping[str, Any]], of: str) -> dict[str, str]:
    """The columns of features of items or of users that tasks of model.json read, and what they hold."""
    known = [task["encodings"][of] for task in described if of in (task.get("encodings") or {})]
    return {
        **{f"number {name}": "numbers" for encoding in known for name in encoding["numbers"]},
        **{f"category {name}": "texts" for encoding in known for name in encoding["categories"]},
    }


def _read_features(file: Path, table: pa.Table, kinds: Mapping[str, str]) -> FeatureTable:
    """The features in these columns of a table. Raises UserError for numbers that are infinite."""
    numbers, categories = {}, {}
    for column, kind in kinds.items():
        name = column.partition(" ")[2]
        if kind == "texts":
            categories[name] = category(table[column].cast(pa.string()).combine_chunks())
        else:
            with np.errstate(over="ignore"):
                numbers[name] = table[column].to_numpy().astype(np.float32)
            if np.isinf(numbers[name]).any():
                raise UserError(f"{file}: damaged: {column}: holds numbers that are not finite")
    return FeatureTable(numbers, categories)


def load_catalogues(folder: Path, texts: TextTable, described: Mapping[str, Any]) -> dict[str, ItemTexts]:
    """The catalogues by name, with the features that tasks read; their texts are added to `texts`.

    `described`: tasks of model.json. Raises UserError for a damaged file.
    """
    file = folder / "catalogue.parquet"
    kinds = _feature_kinds(described.values(), "item")
    table = read_columns(file, {"table": "texts", "id": "texts", "text": "texts", **kinds})
    names, ids, said = (table[name].cast(pa.string()).to_pylist() for name in ("table", "id", "text"))
    found: dict[str, dict[str, str]] = {}
    for name, item, text in zip(names, ids, said, strict=True):
        catalogue = found.setdefault(name, {})
        if item in catalogue:
            raise UserError(f"{file}: damaged: an item stands in it twice")
        catalogue[item] = text
    items, of_table = {}, np.array(names, object)
    for name, catalogue in found.items():
        own = _feature_kinds([task for task in described.values() if task["items"] == name], "item")
        features = _read_features(file, table.filter(pa.array(of_table == name)), own) if own else NO_FEATURES
        rows = np.array([texts.add(text, passage=True) for text in catalogue.values()], np.int32)
        items[name] = ItemTexts(list(catalogue), rows, features)
    return items


def load_users(folder: Path, described: Mapping[str, Any]) -> KnownUsers:
    """The users whose features tasks read; nobody where none does. Raises UserError for a damaged file."""
    file, kinds = folder / "users.parquet", _feature_kinds(described.values(), "user")
    if not kinds:
        return KnownUsers([])
    table = read_columns(file, {"id": "texts", **kinds})
    ids = table["id"].cast(pa.string()).to_pylist()
    if len(set(ids)) < len(ids):
        raise UserError(f"{file}: damaged: a user stands in it twice")
    return KnownUsers(ids, _read_features(file, table, kinds))


def encodings_of(described: Mapping[str, Any]) -> dict[str, Encoding]:
    """How a task's features are encoded."""
    return {of: as_encoding(one) for of, one in (described.get("encodings") or {}).items()}


def describe_encoding(encoding: Encoding) -> dict[str, Any]:
    """An encoding as model.json has it."""
    return {"numbers": encoding.numbers, "categories": encoding.categories}


def as_encoding(described: Mapping[str, Any]) -> Encoding:
    """The encoding that model.json has so."""
    numbers = {name: (scale[0], scale[1]) for name, scale in described["numbers"].items()}
    return Encoding(numbers, described["categories"])


def log_numbers(dataset: Dataset, key: str = "log") -> dict[str, int]:
    """The number of the file that holds each task's log, or with the key `rated` what its rates are of, where that is
    no part of it; logs of the same events, of one catalogue and of the same tables, share one."""
    files: list[tuple[Log, str, list[str]]] = []
    numbers: dict[str, dict[str, int]] = {"log": {}, "rated": {}}
    for of, found in numbers.items():
        for name, data in dataset.tasks.items():
            if (log := _logs(data).get(of)) is not None:
                alike = (
                    n
                    for n, (other, items, tables) in enumerate(files)
                    if items == data.items and (of == "rated" or tables == data.history) and _same_events(log, other)
                )
                found[name] = next(alike, len(files))
                if found[name] == len(files):
                    files.append((log, data.items, data.history))
    return numbers[key]


def _logs(data: TaskData) -> dict[str, Log]:
    """What histories are of, and what rates are of where these are no part of it: of test rows, to which most is known
    where there are no times."""
    log, rates = data.test.log, data.test.rates
    rated = {} if rates is None or not (data.impressions or data.hides) else {"rated": rates.log}
    return {} if log is None else {"log": log, **rated}


def save_logs(folder: Path, dataset: Dataset) -> None:
    """Write the logs of all tasks with histories."""
    files: dict[int, dict[str, Log]] = {}
    for key in ("log", "rated"):
        for name, number in log_numbers(dataset, key).items():
            files.setdefault(number, {})[name] = _logs(dataset.tasks[name])[key]
    for number, logs in files.items():
        first = next(iter(logs.values()))
        active = np.flatnonzero(np.diff(first.user_start))
        user = np.repeat(np.arange(len(active)), np.diff(first.user_start)[active])
        ids = pa.array([dataset.user_ids[number] for number in active], pa.string())
        columns = {"user": ids.take(pa.array(user)).dictionary_encode()}
        columns |= {"item": pa.array(first.items), "time": pa.array(first.times)}
        columns |= {} if first.marks is None else {"mark": pa.array(first.marks)}
        columns |= {f"feedback {name}": pa.array(log.feedback.astype(np.float32)) for name, log in logs.items()}
        pq.write_table(pa.table(columns), _file(folder, number))


def load_logs(
    folder: Path, items: Mapping[str, ItemTexts], described: Mapping[str, Any], key: str = "log"
) -> dict[str, UserLog]:
    """The log of every task with histories; with the key `rated`, that of those whose rates are of other events.

    `described`: tasks of model.json. Raises UserError for damaged files.
    """
    tasks: dict[int, list[str]] = {}
    for name, of in described.items():
        if of["history"] and (key == "log" or of[key] is not None):
            tasks.setdefault(of[key] or 0, []).append(name)
    logs: dict[str, UserLog] = {}
    for number, names in tasks.items():
        known = {name: described[name] | ({} if key == "log" else {"tables": []}) for name in names}
        logs |= _load_log(_file(folder, number), known, items)
    return logs


def _load_log(file: Path, tasks: Mapping[str, Any], items: Mapping[str, ItemTexts]) -> dict[str, UserLog]:
    feedback = {name: f"feedback {name}" for name in tasks}
    of = next(iter(tasks.values()))
    alike = all((other["items"], other["tables"]) == (of["items"], of["tables"]) for other in tasks.values())
    if not alike or of["items"] not in items:
        raise UserError(f"{file}: damaged: the tasks that share it are not of one catalogue and the same tables")
    catalogue, several = items[of["items"]], len(of["tables"]) > 1
    kinds = {"user": "texts", "item": "whole numbers", "time": "numbers", **dict.fromkeys(feedback.values(), "numbers")}
    table = read_columns(file, kinds | ({"mark": "whole numbers"} if several else {}))
    with reading(file):
        users = table["user"].combine_chunks()
        if isinstance(users, pa.ChunkedArray):
            users = users.chunk(0)
        codes, names = users.indices.to_numpy(), users.dictionary.to_pylist()
        start = np.append(np.flatnonzero(np.diff(codes, prepend=-1)), len(codes)).astype(np.int64)
        if not np.array_equal(codes[start[:-1]], np.arange(len(names))) or len(set(names)) < len(names):
            raise UserError(f"{file}: damaged: the rows of a user do not stand together")
        numbers, times = table["item"].to_numpy(), table["time"].to_numpy()
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(catalogue):
            raise UserError(f"{file}: damaged: item: the catalogue has the numbers 0 to {len(catalogue) - 1}")
        if len(times) and not times.max() < LATEST:
            raise UserError(f"{file}: damaged: time: {times.max():g} is no time in seconds since 1970")
        if not np.isfinite(times).all() or (np.diff(times) < 0)[np.diff(codes) == 0].any():
            raise UserError(f"{file}: damaged: time: each user's are finite and in order")
        marks = table["mark"].to_numpy() if several else None
        if marks is not None and len(marks) and not 0 <= marks.min() <= marks.max() < len(of["tables"]):
            raise UserError(f"{file}: damaged: mark: the history tables have the numbers 0 to {len(of['tables']) - 1}")
        logs = {}
        for name, column in feedback.items():
            said = table[column].to_numpy()
            if not np.isfinite(said).all():
                raise UserError(f"{file}: damaged: {column}: holds numbers that are not finite")
            rows = catalogue.rows[numbers]
            mark = None if marks is None else marks.astype(np.int8)
            logs[name] = UserLog(Log(rows, numbers.astype(np.int32), times, start, said, mark), names)
    return logs


def _file(folder: Path, number: int) -> Path:
    return folder / ("log.parquet" if number == 0 else f"log-{number}.parquet")


def _same_events(one: Log, other: Log) -> bool:
    def same(name: str) -> bool:
        mine, theirs = getattr(one, name), getattr(other, name)
        return mine is theirs or (mine is not None and theirs is not None and np.array_equal(mine, theirs))

    return all(same(name) for name in ("rows", "items", "times", "user_start", "marks"))
