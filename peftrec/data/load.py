"""From a recipe's `data` to tables: a built-in or own source, or files of one's own."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import TypeVar, get_type_hints

import numpy as np
import pyarrow as pa

from peftrec.data.belonging import belonging
from peftrec.data.entry import make_events, make_items, make_queries, make_texts, make_users, with_unknown_items
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources import SOURCES
from peftrec.data.summary import TableSummary, summarise, uses_of
from peftrec.data.tables import Events, Items, Queries, Table, Tables, Texts
from peftrec.data.where import parse
from peftrec.errors import Problems, UserError, nearest, shown
from peftrec.recipe import (
    DataConfig,
    EventsConfig,
    ItemsConfig,
    QueriesConfig,
    TableConfig,
    TextsConfig,
    UsersConfig,
)
from peftrec.recipe.names import import_own

# A source's function; the path is the folder that the user names, None the installed package's.
Source = Callable[[Path | None], Tables]
_Made = TypeVar("_Made")


def load_tables(data: DataConfig, described: bool = False) -> Tables:
    """Read and check the tables of a recipe's `data`; `described`: with their summaries.

    Raises UserErrors naming file, row (data rows from 1), column, rule and value found: a sentence for each rule that
    a column breaks, with the first rows that do.
    """
    if data.source is not None:
        tables = find_source(data.source)(None if data.path is None else Path(data.path))
        named = tables.named if described else {}
        return replace(tables, summaries=[_summarise_made(n, t, named, data.source) for n, t in named.items()])
    problems, made, summaries = Problems(), dict[str, Table](), dict[str, TableSummary]()
    grown = dict[str, Items]()  # catalogues with the items that tables which fill add
    # Catalogues first: events and queries refer to them.
    for name, config in sorted(
        data.named.items(), key=lambda entry: isinstance(entry[1], EventsConfig | QueriesConfig)
    ):
        with problems.collect():
            rows = _rows(data, name, config)
            try:
                rows, table = _sound(rows, data.key_of(name), partial(_make, data, name, config, made, grown))
            except UserError:
                made |= _ids_alone(name, config, rows)
                raise
            if not isinstance(table, Items):
                table = replace(table, files=rows.files)
            made[name] = replace(table, notes=[*rows.notes, *table.notes])
            if described:
                summaries[name] = summarise(name, config.kind, rows, uses_of(config, data.key_of(name)))
    problems.stop()
    return Tables(
        {name: grown.get(name, made[name]) for name in data.named},
        [note for name in data.named for note in made[name].notes],
        [summaries[name] for name in data.named if name in summaries],
    )


def _rows(data: DataConfig, name: str, config: TableConfig) -> Rows:
    """The rows of one table's file that are its own. Tasks say which labels of a text table they take: all its columns
    are held."""
    key = data.key_of(name)
    condition = None if config.where is None else parse(config.where, f"{key}.where", "column")
    named = list(_texts_in([config.model_dump(exclude={"where"}), data.split.model_dump()]))
    named += [] if condition is None else condition.names
    rows = read_rows(config, key, None if isinstance(config, TextsConfig) else named)
    return rows if condition is None else _sound(rows, key, partial(belonging, condition))[1]


class Ahead:
    """A recipe's tables, read before those who need them were imported, so that mistakes in them are told at once."""

    def __init__(self, data: DataConfig, described: bool = False) -> None:
        self._tables: Tables | None = load_tables(data, described)

    def take(self) -> Tables:
        """The tables, once: they are not held any longer."""
        tables, self._tables = self._tables, None
        assert tables is not None
        return tables


def _sound(rows: Rows, key: str, make: Callable[[Rows], _Made]) -> tuple[Rows, _Made]:
    """What is made of rows, and these rows; where `on_bad_rows` is skip, without those that break a rule.

    A rule on rows beside each other may be broken only once others are gone: they are checked again. Raises UserError
    for what concerns a whole column or file, and where no row is left.
    """
    read, skipped = list(rows.notes), list[str]()
    while True:
        try:
            return rows, make(rows)
        except UserError as error:
            wrong = np.unique(np.concatenate([np.zeros(0, int), *(fault.rows for fault in rows.faults)]))
            of_rows = {fault.message for fault in rows.faults}
            if rows.config.on_bad_rows != "skip" or len(wrong) == len(rows) or not of_rows.issuperset(error.problems):
                raise
            skipped += [
                f"{key}: {len(fault.rows):,} rows left out (on_bad_rows: skip): {fault.message}"
                for fault in rows.faults
            ]
            kept = ~np.isin(np.arange(len(rows)), wrong)
            rows = replace(rows.only(kept), notes=[*read, *skipped], faults=[])


def _ids_alone(name: str, config: TableConfig, rows: Rows) -> dict[str, Table]:
    """A catalogue that is refused as one whose ids others are held against; nothing where the ids are what is wrong."""
    if isinstance(config, ItemsConfig):
        with suppress(UserError):
            return {name: Items(rows.unique_ids(config.id).to_pylist(), [])}
    return {}


def _make(
    data: DataConfig,
    name: str,
    config: TableConfig,
    made: Mapping[str, Table],
    grown: dict[str, Items],
    rows: Rows,
) -> Table:
    """One table checked. The ids of a catalogue that is not in `made` were wrong.

    Items that a table adds to a catalogue go into `grown`, so that what the others refuse is the same in any order.
    """
    key = data.key_of(name)
    if isinstance(config, ItemsConfig):
        return make_items(rows, config, key)
    if isinstance(config, UsersConfig):
        return make_users(rows, config, key)
    config = config.model_copy(update={"split": data.split_of(name)})  # the run's may name a column too
    if isinstance(config, TextsConfig):
        return make_texts(rows, config, key)
    catalogue = data.catalogue_of(name)
    items = made.get(catalogue)
    assert items is None or isinstance(items, Items)
    if isinstance(config, EventsConfig):
        if config.on_bad_rows == "fill" and items is not None:
            with suppress(UserError):  # of ids that are no ids, which are told with the other mistakes
                items = with_unknown_items(rows, config, grown.get(catalogue, items), key, catalogue)
                grown[catalogue] = items
        return make_events(rows, config, items, key, catalogue)
    return make_queries(rows, config, items, key, catalogue)


def _texts_in(config: object) -> Iterator[str]:
    """Every text in a table's group of keys, which may be a column's name, and the columns of templates."""
    if isinstance(config, str):
        yield config
        yield from re.findall(r"{([^{}]+)}", config)
    elif isinstance(config, Mapping | list):
        for part in [*config, *(config.values() if isinstance(config, Mapping) else [])]:
            yield from _texts_in(part)


def find_source(name: str) -> Source:
    """The function of a source in SOURCES, or of one's own as `package.module:function`.

    It must say that it returns Tables, which is looked at before it is called: anything else of that name, such as a
    function of the system's, is no source. Raises UserError.
    """
    if ":" not in name and name not in SOURCES:
        raise UserError(
            f"data.source: no source {shown(name)} ({nearest(name, list(SOURCES))}); your own: package.module:name"
        )
    source: Source = import_own(SOURCES.get(name, name), "data.source")
    if not isinstance(source, FunctionType) or _returned(source) is not Tables:
        raise UserError(
            f"data.source: {name} must be a function (path: Path | None) -> Tables, annotated so; found {source!r}"
        )
    return source


def _returned(function: FunctionType) -> object:
    """What a function is annotated to return; None where it is not, or names what does not exist."""
    try:
        return get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None


def _summarise_made(name: str, table: Table, named: Mapping[str, Table], source: str) -> TableSummary:
    """The summary of a table that `source` made; its columns are called by their use where they have no other name."""
    kind = type(table).__name__.lower()
    if isinstance(table, Items):
        columns: dict[str, object] = {"id": table.ids, **(table.columns or {"text": table.texts or None})}
        uses = {column: "id" if column == "id" else "text" for column in columns}
    elif isinstance(table, Events):
        users = pa.array(table.user_ids, pa.string()).take(pa.array(table.user))
        columns = {"user": users, "item": _ids(table, named), "time": table.time, **table.columns}
        if table.impression is not None:
            columns["impression"] = pa.array(table.impression, mask=table.impression < 0)
        uses = {column: "number" if column in table.columns else column for column in columns}
        uses |= {} if table.clicked is None else {table.clicked: "clicked"}
    elif isinstance(table, Queries):
        columns = {"text": table.text, "item": _ids(table, named), "label": table.label, "time": table.time}
        uses = {column: column for column in columns}
    else:
        assert isinstance(table, Texts)
        beside = dict(zip(table.rows.table.column_names, table.rows.table.columns, strict=True))
        columns = {**beside, "text": table.text}
        uses = {"text": "text", **({} if table.label is None else {table.label: "label"})}
    there = {column: values for column, values in columns.items() if values is not None}
    rows = Rows(source, pa.table(there))
    return summarise(name, kind, rows, {column: use for column, use in uses.items() if column in there})


def _ids(table: Events | Queries, named: Mapping[str, Table]) -> pa.Array:
    catalogue = named[table.catalogue]
    assert isinstance(catalogue, Items)
    return pa.array(catalogue.ids, pa.string()).take(pa.array(table.item))
