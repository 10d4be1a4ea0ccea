"""From a recipe's `data` to tables: a built-in or own source, or files of one's own."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import get_type_hints

from peftrec.data.entry import make_events, make_items, make_queries, make_texts, make_users
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources import SOURCES
from peftrec.data.tables import Items, Table, Tables
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


def load_tables(data: DataConfig) -> Tables:
    """Read and check the tables of a recipe's `data`.

    Raises UserErrors naming file, row (data rows from 1), column, rule and value found: a column's first mistake each.
    """
    if data.source is not None:
        return find_source(data.source)(None if data.path is None else Path(data.path))
    problems, made = Problems(), dict[str, Table]()
    # Catalogues first: events and queries refer to them.
    for name, config in sorted(
        data.named.items(), key=lambda entry: isinstance(entry[1], EventsConfig | QueriesConfig)
    ):
        with problems.collect():
            rows = _rows(data, name, config)
            table = _make(data, name, config, rows, made)
            made[name] = replace(table, notes=[*rows.notes, *table.notes])
    problems.stop()
    return Tables({name: made[name] for name in data.named}, [note for name in data.named for note in made[name].notes])


def _rows(data: DataConfig, name: str, config: TableConfig) -> Rows:
    """The rows of one table's file. Tasks say which labels of a text table they take: all its columns are held."""
    columns = None if isinstance(config, TextsConfig) else list(_texts_in(config.model_dump()))
    return read_rows(config, data.key_of(name), columns)


def _make(data: DataConfig, name: str, config: TableConfig, rows: Rows, made: Mapping[str, Table]) -> Table:
    """One table checked. A catalogue that is not in `made` was wrong."""
    key = data.key_of(name)
    if isinstance(config, ItemsConfig):
        return make_items(rows, config, key)
    if isinstance(config, UsersConfig):
        return make_users(rows, config, key)
    if isinstance(config, TextsConfig):
        return make_texts(rows, config, key)
    catalogue = data.catalogue_of(name)
    items = made.get(catalogue)
    assert items is None or isinstance(items, Items)
    if isinstance(config, EventsConfig):
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
