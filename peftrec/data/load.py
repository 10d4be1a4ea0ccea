"""From a recipe's `data` to tables: a built-in or own source, or files of one's own."""

from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import get_type_hints

from peftrec.data.files import read_rows
from peftrec.data.sources import SOURCES
from peftrec.data.tables import Tables, make_events, make_items, make_queries, make_texts
from peftrec.errors import Problems, UserError, nearest, shown
from peftrec.recipe import DataConfig
from peftrec.recipe.names import import_own

# A source's function; the path is the folder that the user names, None the installed package's.
Source = Callable[[Path | None], Tables]


def load_tables(data: DataConfig) -> Tables:
    """Read and check the tables of a recipe's `data`.

    Raises UserErrors naming file, row (data rows from 1), column, rule and value found: a column's first mistake each.
    """
    if data.source is not None:
        return find_source(data.source)(None if data.path is None else Path(data.path))
    items = events = queries = texts = None
    problems = Problems()
    with problems.collect():
        if data.items is not None:
            items = make_items(read_rows(data.items, "data.items"), data.items)
    with problems.collect():
        if data.events is not None:
            events = make_events(read_rows(data.events, "data.events"), data.events, items)
    with problems.collect():
        if data.queries is not None:
            queries = make_queries(read_rows(data.queries, "data.queries"), data.queries, items)
    with problems.collect():
        if data.texts is not None:
            texts = make_texts(read_rows(data.texts, "data.texts"), data.texts)
    problems.stop()
    notes = [note for table in (items, events, queries, texts) if table is not None for note in table.notes]
    return Tables(items, events, queries, texts, notes)


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
