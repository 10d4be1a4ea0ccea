"""What the builders share: refusals, catalogue rows of the text table, cutting examples into splits."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.features import Encoding, FeatureTable, fit_encoding
from peftrec.data.split import TEST, TRAIN, VALID, Divisible, check_parts, divide
from peftrec.data.tables import Events, Files, Items, Queries, T, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, nearest, shown
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.kind import Task

FEW, NAMED = 5, 3  # rows that a class needs at least, and how many rare classes are named


@dataclass(frozen=True)
class Later:
    """What of rows without times is another once the validation rows are known: to test rows, and to all rows in a
    second training (`train.refit`), in which they count as train rows.

    columns  of all rows (N,), by their names in Examples
    parts    int8 (N,): TRAIN of train and valid rows alike
    """

    columns: dict[str, Any]
    parts: np.ndarray


def table_of(tables: Tables, sort: type[T], task: Task) -> tuple[str, T]:
    """The table of a sort that the task is about, and its name: the one it names, or the only one. Raises UserError."""
    found, wanted = tables.of(sort), sort.__name__.lower()
    name = task.config.table
    if name is not None and name not in found:
        raise UserError(
            f"table: kind {task.config.kind} reads a table of kind {wanted}, and none is called {shown(name)}; "
            f"{nearest(name, list(found))}"
        )
    if not found:
        raise UserError(
            f"kind: {task.config.kind} needs the table {wanted!r}, which the data lack; give data.{wanted} or a source"
        )
    if name is None and len(found) > 1:
        raise UserError(f"table: name the one that the task is about: {', '.join(found)}")
    name = name or next(iter(found))
    return name, found[name]


def catalogue_of(tables: Tables, table: Events | Queries, task: Task) -> Items:
    """The catalogue that a table's items are of. Raises UserError."""
    found = tables.of(Items)
    if table.catalogue not in found:
        raise UserError(
            f"kind: {task.config.kind} needs the table {table.catalogue!r}, which the data lack; give data.items or a "
            "source"
        )
    return found[table.catalogue]


def divided(rows: Divisible, name: str, data: DataConfig, seed: int) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (N,) of every row of a table, the split as it was done, and what the user should know of it.

    Raises UserError.
    """
    split = data.split_of(name)
    return divide(rows, split, seed, data.key_of(name), own=split is not data.split)


def item_rows(items: Items, texts: TextTable) -> np.ndarray:
    """int32 (I,): the text row of every item."""
    return np.fromiter((texts.add(text, passage=True) for text in items.texts), np.int32, len(items))


def cut(
    examples: Examples,
    parts: np.ndarray,
    split: SplitConfig,
    classes: Sequence[str] = (),
    feature_names: Sequence[str] = (),
    notes: Sequence[str] = (),
    scale: tuple[float, float] = (0.0, 1.0),
    items: str = "",
    history: Sequence[str] = (),
    key: str = "data.split",
    features: Mapping[str, FeatureTable] | None = None,
    files: Files = (),
    later: Later | None = None,
) -> TaskData:
    """The examples cut by `parts` int8 (N,); see TaskData for the others. `key` is where the recipe has the split.

    `features`: those of the items ("item"), the users ("user") and the rows themselves ("event") for heads to read.
    `later`: of rows without times.
    Raises UserError for an empty part.
    """
    check_parts(parts, split, key)
    examples, encodings = _with_features(examples, parts, features or {})
    train, valid, test = (_part(examples, parts, part) for part in (TRAIN, VALID, TEST))
    both = None
    if later is not None:
        known = replace(examples, **later.columns)
        test, both = (_part(known, later.parts, part) for part in (TEST, TRAIN))
    return TaskData(
        train,
        valid,
        test,
        list(classes),
        list(feature_names),
        list(notes),
        scale,
        items,
        list(history),
        encodings,
        files=files,
        both=both,
    )


def _part(examples: Examples, parts: np.ndarray, part: int) -> Examples:
    return examples.part(np.flatnonzero(parts == part).astype(np.int32))


def _with_features(
    examples: Examples, parts: np.ndarray, tables: Mapping[str, FeatureTable]
) -> tuple[Examples, dict[str, Encoding]]:
    """The examples with the columns of their features, and how these are encoded: by the train rows."""
    rows = {"item": examples.item, "user": examples.users, "event": np.arange(len(examples))}
    train = np.flatnonzero(parts == TRAIN)
    encodings = {of: fit_encoding(table, rows[of][train]) for of, table in tables.items() if table}
    found = {of: encoding.by_number(tables[of]) for of, encoding in encodings.items()}
    events = found["event"][:-1] if "event" in found else None
    return replace(examples, of_items=found.get("item"), of_users=found.get("user"), of_events=events), encodings


def rare_notes(label: np.ndarray, parts: np.ndarray, classes: Sequence[str]) -> list[str]:
    """A note on classes that have hardly a row to learn from or none to be measured by; none where all have.

    `label` (N,) are class numbers, or (N, C) 1 or 0 for each class.
    """
    train, valid, test = (_counts(label[parts == part], len(classes)) for part in (TRAIN, VALID, TEST))
    rare = np.flatnonzero((train + valid + test < FEW) | (train == 0) | (test == 0))
    if not len(rare):
        return []
    said = [f"{shown(classes[c])} ({train[c]:,} in train, {test[c]:,} in test)" for c in rare[:NAMED].tolist()]
    more = f" and {len(rare) - NAMED:,} more" if len(rare) > NAMED else ""
    return [
        f"{len(rare):,} of {len(classes):,} classes have fewer than {FEW} rows, or none in train or test: hardly "
        f"learnt, or not measured: {', '.join(said)}{more}; split: {{kind: stratified}} gives each split its share"
    ]


def alike_notes(classes: Sequence[str]) -> list[str]:
    """A note on classes that differ in capitals, the width of letters or a number's .0 alone; none without such."""
    plain = [re.sub(r"^(-?\d+)\.0+$", r"\1", unicodedata.normalize("NFKC", name).casefold()) for name in classes]
    several = {of for of, count in Counter(plain).items() if count > 1}
    named = [shown(name) for name, of in sorted(zip(classes, plain, strict=True), key=itemgetter(1)) if of in several]
    more = f" and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    return [f"classes look alike, and are taken apart: {', '.join(named[:NAMED])}{more}"] if named else []


def _counts(label: np.ndarray, classes: int) -> np.ndarray:
    counts: np.ndarray = label.sum(0).astype(int) if label.ndim == 2 else np.bincount(label, minlength=classes)
    return counts


def check_varied(labels: np.ndarray, parts: np.ndarray, rule: str, kind: str = "class") -> None:
    """Raise UserError when the train rows hold one label only, of which nothing can be learnt."""
    train = labels[parts == TRAIN]
    if len(train) and np.all(train == train[0]):
        raise UserError(f"{rule}; the train split holds one {kind} only ({len(train)} rows)")
