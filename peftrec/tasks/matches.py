"""Kind `match-query` of queries without grades: which items of the whole catalogue match the query."""

from dataclasses import replace
from typing import Any

import numpy as np

from peftrec.data.catalogue import Catalogue
from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.matches import matches_of
from peftrec.data.split import TRAIN
from peftrec.data.tables import Queries, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, shown
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.askers import askings, with_pasts
from peftrec.tasks.building import catalogue_of, cut, item_rows, table_of
from peftrec.tasks.heads import CatalogueHead, HeadShape
from peftrec.tasks.kind import Kind, Task, number_answer
from peftrec.tasks.match_head import MatchHead
from peftrec.tasks.queries import numbered, split_queries
from peftrec.tasks.rivals import with_rivals
from peftrec.tasks.rows import ITEM, Event, text_field
from peftrec.tasks.starts.matches import MATCHES as BEGIN
from peftrec.tasks.weights import file_weights, row_weights


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Which items match the query: every row is a match, with label 1; slots `query` and `item`; group = query number.

    Equal texts are one query; with `history`, where a row knows what its user did before, equal texts of one user: what
    another meant by it may be wrong. Divided as graded queries are. Training knows the matches of train rows, a measure
    those of all splits: a query's other matches are no wrong answers.
    """
    name, queries = table_of(tables, Queries, task)
    items = catalogue_of(tables, queries, task)
    if queries.label is not None:
        raise UserError("loss: softmax is for queries without grades, and these have some; leave the key out")
    config, (names, text) = task.config, numbered(queries.text)
    group = askings(text, queries, name) if config.history else text
    known = matches_of(group, queries.item, int(group.max()) + 1)
    _check_open(known.counts(), [names[of] for of in text[np.unique(group, return_index=True)[1]]], len(items))
    label = np.ones(len(group), np.float32)
    parts, split, notes = split_queries(tables, name, queries, text, None, data, seed)
    query_rows = np.fromiter((texts.add(text) for text in names), np.int32, len(names))
    rows = item_rows(items, texts)
    examples = Examples(
        slots={"query": query_rows[text], "item": rows[queries.item]},
        label=label,
        features=np.zeros((len(label), 0), np.float32),
        group=group,
        item=queries.item.astype(np.int64),
        time=np.full(len(label), np.nan) if queries.time is None else queries.time,
        user=None if queries.user is None else queries.user.astype(np.int64),
        weight=row_weights(label, parts, [], config, file_weights(queries.rows, config)),
        catalogue=Catalogue(rows),
        matches=known,
        row=queries.places,
    )
    if config.history:
        examples = with_pasts(examples, tables, config, name, queries, rows, data.history)
    found = cut(
        examples,
        parts,
        split,
        notes=[*notes, "queries carry no grades: each row is a match, and the whole catalogue is ranked for it"],
        items=queries.catalogue,
        history=config.history,
        key=data.key_of_split(name),
        features={"item": items.features, **({} if queries.user is None else {"user": tables.user_features})},
        files=queries.files,
    )
    trained = parts == TRAIN
    return replace(
        found,
        train=replace(found.train, matches=matches_of(group[trained], queries.item[trained], int(group.max()) + 1)),
    )


def _check_open(counts: np.ndarray, names: list[str], items: int) -> None:
    """Raise UserError for a query that every item matches."""
    full = np.flatnonzero(counts >= items)
    if len(full):
        raise UserError(
            f"queries: the query {shown(names[full[0]])} matches every item: there is nothing to tell its matches "
            "from; give data.queries.label, or more items"
        )


def head(shape: HeadShape, config: TaskConfig) -> CatalogueHead:
    """The head of the kind."""
    return MatchHead(shape, reads_past=bool(config.history))


def feedback(events: list[Event], task: Task, scale: tuple[float, float]) -> np.ndarray:
    """Nothing is said of what was done."""
    return np.ones(len(events))


def in_words(label: Any, task: Task, classes: list[str]) -> str:
    """Of every row the same."""
    return "a match"


MATCHES = Kind(
    question="which items match the query",
    hub_type="text-ranking",
    build=build,
    fields={"query": text_field("query"), "item": ITEM},
    head=head,
    losses=("softmax",),
    metrics={"choice": ()},
    answer=number_answer,
    reads=("input", "history", "row_weight", "relevant"),
    ranking=("random", "cosine", "bm25"),
    lists=("mrr@10", "recall@1", "recall@10", "recall@100", "ndcg@10"),
    ranks=True,
    words=in_words,
    start=BEGIN,
    mined=with_rivals,
)

# Where a row knows what its user did before.
PERSONAL: Kind = replace(MATCHES, feedback=feedback)
