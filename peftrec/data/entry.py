"""A file's rows made into tables, checked on entry: ids, references, times, numbers, texts."""

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.columns import plain_number
from peftrec.data.features import FeatureTable, category
from peftrec.data.remarks import empty_fields, first_alike, repeated_rows
from peftrec.data.rows import Rows
from peftrec.data.split import PARTS
from peftrec.data.tables import Events, Items, Queries, Texts, Users
from peftrec.data.templates import template_columns, texts_of
from peftrec.errors import Problems, UserError, shown
from peftrec.recipe import EventsConfig, ItemsConfig, QueriesConfig, SplitConfig, TextsConfig, UsersConfig
from peftrec.recipe.tables import SHORT


def make_items(rows: Rows, config: ItemsConfig, key: str = "data.items") -> Items:
    """A catalogue from a file's rows: an id has one text, and none is empty (or, with `on_bad_rows: fill`, is the id),
    else UserErrors. `key` is the table's."""
    problems, once, names = Problems(), rows, template_columns(config.text, f"{key}.text")
    with problems.collect():
        said = [name for name in (*names, *config.features) if name in rows.table.column_names]
        once = rows.each_once(config.id, said)
    filled = rows.config.on_bad_rows == "fill"
    with problems.collect():
        texts = texts_of(rows, config.text, f"{key}.text", where_none=rows.labels(config.id) if filled else None)
    with problems.collect():
        features = make_features(rows, config.features)
    problems.stop()
    if once is not rows:
        places = np.searchsorted(rows.origins, once.origins)
        texts, features = [texts[place] for place in places], features.take(places)
    columns = {name: once.strings(name).to_pylist() for name in names}
    notes = empty_fields(once, config.text, f"{key}.text") + _repeated(rows, once, key)
    return Items(once.unique_ids(config.id).to_pylist(), texts, columns, notes, features, filled)


def make_users(rows: Rows, config: UsersConfig, key: str = "data.users") -> Users:
    """Users from a file's rows; an id has one text, not empty, where there is a template. Raises UserErrors."""
    if config.text is not None:
        items = ItemsConfig(path=config.path, id=config.id, text=config.text, features=config.features)
        of = make_items(rows, items, key)
        return Users(of.ids, of.texts, of.columns, of.notes, of.features, of.filled)
    problems, once = Problems(), rows
    with problems.collect():
        once = rows.each_once(config.id, list(config.features))
    with problems.collect():
        features = make_features(once, config.features)
    problems.stop()
    ids = once.unique_ids(config.id).to_pylist()
    return Users(ids, [], notes=_repeated(rows, once, key), features=features)


def make_features(rows: Rows, kinds: Mapping[str, str]) -> FeatureTable:
    """The features of a file's rows, by the name of their column; each may be missing. Raises UserErrors."""
    problems, numbers, categories = Problems(), {}, {}
    for name, kind in kinds.items():
        with problems.collect():
            if kind == "number":
                numbers[name] = rows.numbers(name, missing=True).astype(np.float32)
            else:
                categories[name] = category(rows.strings(name))
    problems.stop()
    return FeatureTable(numbers, categories)


def _repeated(rows: Rows, once: Rows, key: str) -> list[str]:
    """A line where rows were dropped that say of an id what another does."""
    again = len(rows) - len(once)
    return [f"{key}: {len(once):,} ids stand in {len(rows):,} rows, the same each time; each is one"] if again else []


def make_events(
    rows: Rows, config: EventsConfig, items: Items | None, key: str = "data.events", catalogue: str = "items"
) -> Events:
    """Events from a file's rows, sorted; users are numbered as they first appear. Raises UserErrors.

    `items` is the table `catalogue`; without, because it was wrong, only this table's own mistakes are looked for.
    """
    problems, columns = Problems(), {}
    with problems.collect():
        users = rows.ids(config.user).dictionary_encode()
    with problems.collect():
        item = _items_of(rows, config.item, items, catalogue)
    with problems.collect():
        time = None if config.time is None else rows.times(config.time)
    for name in config.columns:
        with problems.collect():
            columns[name] = rows.numbers(name)
    if config.clicked is not None:
        with problems.collect():
            columns[config.clicked] = _zero_or_one(rows, config.clicked)
    with problems.collect():
        given = _given(rows, config.split, key)
    with problems.collect():
        features = make_features(rows, config.features)
    problems.stop()
    user = users.indices.to_numpy().astype(np.int32)
    known = {config.user: user, config.item: item, **({} if time is None else {config.time or "": time}), **columns}
    impression = None
    if config.impression is not None:
        assert time is not None  # the recipe has no lists without
        impression = known[config.impression] = _lists(rows, config.impression, user, time)
    if config.moment is not None:
        assert time is not None  # the recipe has no moments without
        time = _shared_times(rows, config.moment, user, time)
    events = Events(
        user,
        item,
        time,
        columns,
        users.dictionary.to_pylist(),
        [],
        catalogue,
        given,
        features,
        config.clicked,
        impression,
        config.unclicked_in_history,
        rows.origins.astype(np.int32),
    ).ordered()
    return replace(events, notes=repeated_rows(key, first_alike(*_alike(events)), list(known)))


def _zero_or_one(rows: Rows, name: str) -> np.ndarray:
    """A column of 0 and 1 as float64. Raises UserError for another number."""
    numbers = rows.numbers(name)
    if (other := (numbers != 0) & (numbers != 1)).any():
        rule = "must be 1 (clicked) or 0 (shown, not clicked)"
        rows.refuse(other, name, rule, lambda row: plain_number(numbers[row]))
    return numbers


def _shared_times(rows: Rows, name: str, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """`time` (E,), but rows of a user with an equal value in a column have that of the last of them, so that nothing
    is known sooner than it was. Rows without a value keep their own time. Raises UserError."""
    values = rows.labels(name).dictionary_encode()
    groups, group = np.unique(np.stack([user, values.indices.to_numpy()]), axis=1, return_inverse=True)
    last = np.full(groups.shape[1], -np.inf)
    np.maximum.at(last, group.ravel(), time)
    empty = pc.index(values.dictionary, "").as_py()
    return np.where(values.indices.to_numpy() == empty, time, last[group.ravel()])


def _lists(rows: Rows, name: str, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Numbers int64 (E,) of the lists that rows were shown in; -1 for a row without one.

    Raises UserError for a list that was shown to several users, or at several times.
    """
    ids = pc.utf8_trim_whitespace(rows.strings(name))
    encoded = ids.dictionary_encode()
    number = encoded.indices.to_numpy().astype(np.int64)
    empty = pc.index(encoded.dictionary, "").as_py()
    number = np.where(number == empty, -1, number)
    first = first_alike(number)
    for column, several in ((user, "several users'"), (time, "of several times")):
        if (other := (column != column[first]) & (number >= 0)).any():
            there = rows.place(int(first[np.argmax(other)]))[1]
            rule = f"is {several}: row {there} differs; a list is shown to one user at one time: give each its id"
            rows.refuse(other, name, rule, lambda row: ids[row].as_py())
    return number


def make_queries(
    rows: Rows, config: QueriesConfig, items: Items | None, key: str = "data.queries", catalogue: str = "items"
) -> Queries:
    """Queries from a file's rows. Raises UserErrors; without `items` as `make_events`.

    A query and an item, of one user and at one time where these are known, have one grade.
    """
    problems = Problems()
    with problems.collect():
        text = texts_of(rows, config.text, f"{key}.text")
    with problems.collect():
        item = _items_of(rows, config.item, items, catalogue)
        if items is not None and items.filled:
            _refuse_bare(rows, config.item, item, items)
    with problems.collect():
        label = None if config.label is None else rows.numbers(config.label)
    with problems.collect():
        time = None if config.time is None else rows.times(config.time)
    with problems.collect():
        given = _given(rows, config.split, key)
    with problems.collect():
        users = None if config.user is None else rows.ids(config.user).dictionary_encode()
    problems.stop()
    notes = empty_fields(rows, config.text, f"{key}.text")
    user = None if users is None else users.indices.to_numpy().astype(np.int32)
    if label is not None:
        query = pa.array(text).dictionary_encode().indices.to_numpy()
        asked = {"query": query, "item": item}
        asked |= {name: of for name, of in {"user": user, "time": time}.items() if of is not None}
        first = first_alike(*asked.values())
        if (others := label != label[first]).any():
            earlier = int(first[np.argmax(others)])
            there, grade = rows.place(earlier)[1], plain_number(label[earlier])
            rule = f"row {there} has the same {', '.join(asked)} with grade {grade}; keep one of the two"
            rows.refuse(others, config.label or "", rule, lambda row: plain_number(label[row]))
        notes += repeated_rows(key, first, [*asked, "grade"])
    user_ids = [] if users is None else users.dictionary.to_pylist()
    return Queries(text, item, label, time, notes, catalogue, given, rows, user, user_ids)


def _refuse_bare(rows: Rows, column: str, item: np.ndarray, items: Items) -> None:
    """Raise UserError for queries whose item (N,) has no text of its own: there is nothing to find it by."""
    bare = np.array([text == of for text, of in zip(items.texts, items.ids, strict=True)], bool)[item]
    if bare.any():
        rows.refuse(bare, column, "a query's item must have a text", lambda row: items.ids[item[row]])


def make_texts(rows: Rows, config: TextsConfig, key: str = "data.texts") -> Texts:
    """Texts from a file's rows; their labels are read by the tasks. Raises UserErrors."""
    problems = Problems()
    with problems.collect():
        given = _given(rows, config.split, key)
    with problems.collect():
        text = texts_of(rows, config.text, f"{key}.text")
    with problems.collect():
        time = None if config.time is None else rows.times(config.time)
    with problems.collect():
        if config.label is not None:
            rows.column(config.label)
    problems.stop()
    return Texts(text, rows, config.label, time, given, empty_fields(rows, config.text, f"{key}.text"))


def _alike(events: Events) -> list[np.ndarray]:
    """The columns of those events beside which stands another of the same user and time: only such can be repeated."""
    columns = [events.user, *([] if events.time is None else [events.time])]
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in columns])
    some = np.flatnonzero(np.append(same, False) | np.append(False, same))
    columns += [] if events.impression is None else [events.impression]
    return [column[some] for column in (*columns, events.item, *events.columns.values())]


def _items_of(rows: Rows, column: str, items: Items | None, catalogue: str) -> np.ndarray:
    """Item numbers int32 of a column of item ids; where the items were wrong, only that the ids are there."""
    known = rows.ids(column) if items is None else pa.array(items.ids, pa.string())
    return rows.lookup(column, known, _meant(catalogue))


def with_unknown_items(rows: Rows, config: EventsConfig, items: Items, key: str, catalogue: str) -> Items:
    """The catalogue with the items that only these rows name, in the order of their first; noted. Raises UserError."""
    ids = rows.ids(config.item)
    unknown = pc.invert(pc.is_in(ids.dictionary, pa.array(items.ids, ids.dictionary.type)))
    if not unknown.true_count:
        return items
    fresh, meant = ids.dictionary.filter(unknown).to_pylist(), _meant(catalogue)
    wrong = unknown.to_numpy(zero_copy_only=False)[ids.indices.to_numpy()]
    said = f"{key}: {int(wrong.sum()):,} rows add {len(fresh):,} items to {meant}, with their ids as texts"
    rows.mended(said, wrong, config.item, f"must be an id of {meant}", lambda row: ids[row].as_py())
    return items.with_unknown(fresh)


def _meant(catalogue: str) -> str:
    """The key of a catalogue, for messages."""
    return f"data.{'' if catalogue in SHORT else 'tables.'}{catalogue}"


def _given(rows: Rows, split: SplitConfig | None, key: str) -> list[str] | None:
    """The split that each row comes with, by a column or its file; None where it comes with none. Raises UserError."""
    if split is not None and split.files is not None:
        names, counts = zip(*((_of(file, split.files, key), count) for file, count in rows.files), strict=True)
        found: list[str] = np.repeat(names, counts)[rows.origins].tolist()
        return found
    if split is None or split.column is None:
        return None
    given: list[str] = rows.labels(split.column).to_pylist()
    if (other := np.array([name not in PARTS for name in given], bool)).any():
        rows.refuse(other, split.column, f"a split is one of {', '.join(PARTS)}", lambda row: given[row])
    return given


def _of(file: str, files: Mapping[Any, str], key: str) -> str:
    """The split whose pattern a file's name matches. Raises UserError unless one does."""
    found = [part for part, pattern in files.items() if fnmatch(Path(file).name, pattern)]
    if len(found) != 1:
        which = f"those of {' and '.join(found)}" if found else "none"
        raise UserError(f"{key}.split.files: {file} must match one of the patterns {shown(files)}; it matches {which}")
    return found[0]
