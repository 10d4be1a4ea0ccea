"""Builders of the tasks on labelled texts: match-query (query and item, apart or as a pair) and classification."""

import numpy as np

from peftrec.data.examples import Examples, TaskData
from peftrec.data.rows import plain_number
from peftrec.data.split import by_group, by_time, time_boundaries
from peftrec.data.tables import SPLITS, Queries, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import check_varied, cut, item_rows, needed, refuse_unread

_DRAWS = 30  # rounds of drawing again the non-matches that turned out to be matches


def match_query(tables: Tables, texts: TextTable, task: TaskConfig, data: DataConfig, seed: int) -> TaskData:
    """Does the item match the query: label = position of the grade among the distinct grades, ascending.

    Slots `query` and `item`, or `pair` with `input: joint`; group = query number (equal texts are one query).
    Queries without grades are matches (grade 1), and for each a non-match (grade 0) is drawn among the items never
    paired with that query. Split by time when the queries have times and the recipe says global-time, on the events'
    boundaries when there are events; otherwise whole queries are held out.
    """
    refuse_unread(task, ("input",))
    queries, items = needed(tables.queries, "queries", task), needed(tables.items, "items", task)
    notes = []
    names, group = _numbered(queries.text)
    if queries.label is None:
        queries, group = _with_non_matches(queries, group, len(items), seed)
        notes.append("queries carry no grades: each row is a match, and one non-match is drawn for it at random")
    assert queries.label is not None
    grades, label = np.unique(queries.label, return_inverse=True)
    if data.split.kind == "given":
        raise UserError("data.split.kind: 'given' is for labelled texts with a split column; queries take by-group")
    if data.split.kind == "global-time" and queries.time is not None:
        boundaries = time_boundaries(queries.time if tables.events is None else tables.events.time, data.split)
        parts = by_time(queries.time, boundaries)
    else:
        if data.split.kind != "by-group":
            notes.append(f"split by query, not {data.split.kind}: whole queries are held out")
        parts = by_group(group, data.split, seed)
    check_varied(label, parts, "queries: the grades must differ")
    if task.input == "joint":
        slots = {"pair": _pair_rows(names, group, items.texts, queries.item, texts)}
    else:
        query_rows = np.fromiter((texts.add(text) for text in names), np.int32, len(names))
        slots = {"query": query_rows[group], "item": item_rows(items, texts)[queries.item]}
    examples = Examples(
        slots=slots,
        label=label.astype(np.int64),
        features=np.zeros((len(label), 0), np.float32),
        group=group,
        item=queries.item.astype(np.int64),
        time=np.full(len(label), np.nan) if queries.time is None else queries.time,
    )
    return cut(examples, parts, data.split, classes=[plain_number(grade) for grade in grades], notes=notes)


def classification(tables: Tables, texts: TextTable, task: TaskConfig, data: DataConfig, seed: int) -> TaskData:
    """Which class is the text of: label = position among the sorted class names. Slot `text`; group = row number.

    Texts that come with their own split keep it, unless the recipe says by-group; otherwise rows are drawn by `seed`.
    """
    refuse_unread(task, ())
    table = needed(tables.texts, "texts", task)
    classes, label = np.unique(np.asarray(table.label, dtype=object).astype(str), return_inverse=True)
    split, notes = data.split, []
    if table.split is not None and split.kind != "by-group":
        split = split.model_copy(update={"kind": "given"})
        parts = np.fromiter((SPLITS.index(name) for name in table.split), np.int8, len(table))
    elif split.kind == "given":
        raise UserError("data.split.kind: 'given' needs a split column: data.texts.split")
    else:
        if split.kind != "by-group":
            notes.append(f"split at random, not {split.kind}: texts have no time")
        elif table.split is not None:
            notes.append("split at random: by-group leaves the split that the texts come with unused")
        parts = by_group(np.arange(len(table)), split, seed)
    check_varied(label, parts, "texts: the classes must differ")
    examples = Examples(
        slots={"text": np.fromiter((texts.add(text) for text in table.text), np.int32, len(table))},
        label=label.astype(np.int64),
        features=np.zeros((len(table), 0), np.float32),
        group=np.arange(len(table)),
        item=np.full(len(table), -1, np.int64),
        time=np.full(len(table), np.nan),
    )
    return cut(examples, parts, split, classes=classes.tolist(), notes=notes)


def _numbered(texts: list[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts in order of appearance, and each row's position among them, int64 (N,)."""
    numbers: dict[str, int] = {}
    positions = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64, len(texts))
    return list(numbers), positions


def _pair_rows(
    queries: list[str], query: np.ndarray, items: list[str], item: np.ndarray, texts: TextTable
) -> np.ndarray:
    """int32 (N,): the text row of each (query, item) pair."""
    keys, position = np.unique(query * len(items) + item, return_inverse=True)
    rows = [texts.add(queries[key // len(items)], items[key % len(items)]) for key in keys.tolist()]
    return np.asarray(rows, np.int32)[position]


def _with_non_matches(queries: Queries, group: np.ndarray, items: int, seed: int) -> tuple[Queries, np.ndarray]:
    """The queries (grade 1) followed by as many non-matches (grade 0), one for each row, with its text and time."""
    matches = np.unique(group * items + queries.item)
    full = np.flatnonzero(np.bincount(matches // items) >= items)
    if len(full):
        raise UserError(
            f"queries: the query {queries.text[int(np.argmax(group == full[0]))]!r} matches every item: no non-match "
            "can be drawn; give data.queries.label, or more items"
        )
    random = np.random.default_rng(seed)
    drawn = np.full(len(group), -1, np.int32)
    for _ in range(_DRAWS):
        open_rows = np.flatnonzero(drawn < 0)
        if not len(open_rows):
            break
        candidate = random.integers(0, items, len(open_rows), dtype=np.int32)
        fresh = ~np.isin(group[open_rows] * items + candidate, matches)
        drawn[open_rows[fresh]] = candidate[fresh]
    for query in np.unique(group[drawn < 0]).tolist():  # those that match nearly the whole catalogue
        rows = np.flatnonzero((drawn < 0) & (group == query))
        drawn[rows] = random.choice(
            np.setdiff1d(np.arange(items), matches[matches // items == query] % items), len(rows)
        )
    return (
        Queries(
            text=queries.text * 2,
            item=np.concatenate([queries.item, drawn]),
            label=np.repeat([1.0, 0.0], len(group)),
            time=None if queries.time is None else np.tile(queries.time, 2),
        ),
        np.tile(group, 2),
    )
