"""Kind `match-query`: does the item match the query, as towers or as a joint pair."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.data.columns import plain_number
from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.tables import Queries, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, QueriesConfig, TaskConfig
from peftrec.tasks.building import catalogue_of, check_varied, cut, item_rows, rare_notes, table_of
from peftrec.tasks.features import Beside
from peftrec.tasks.gather import gather
from peftrec.tasks.heads import Head, HeadShape, TextHead, input_norm
from peftrec.tasks.kind import Kind, Task, class_answer
from peftrec.tasks.matches import MATCHES, PERSONAL
from peftrec.tasks.queries import numbered, split_queries
from peftrec.tasks.rows import ITEM, Row, pair_field, text_field
from peftrec.tasks.starts.texts import TEXTS
from peftrec.tasks.weights import file_weights, row_weights


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Does the item match the query: label = position of the grade among the distinct grades, ascending.

    Slots `query` and `item`, or `pair` with `input: joint`; group = query number (equal texts are one query).
    Split by time when the queries have times and the recipe says global-time, on the events' boundaries when there are
    events; otherwise whole queries are held out. Queries without grades are `peftrec.tasks.matches`.
    """
    name, queries = table_of(tables, Queries, task)
    items = catalogue_of(tables, queries, task)
    if queries.label is None:
        raise UserError(
            "loss: the queries of this source carry no grades, each row is a match: rank the catalogue by them with "
            "loss: softmax"
        )
    names, group = numbered(queries.text)
    column = file_weights(queries.rows, task.config)
    grades, label = np.unique(queries.label, return_inverse=True)
    parts, split, notes = split_queries(tables, name, queries, group, label, data, seed)
    check_varied(label, parts, "queries: the grades must differ")
    if task.config.input == "joint":
        slots = {"pair": _pair_rows(names, group, items.texts, queries.item, texts)}
    else:
        query_rows = np.fromiter((texts.add(text) for text in names), np.int32, len(names))
        slots = {"query": query_rows[group], "item": item_rows(items, texts)[queries.item]}
    classes = [plain_number(grade) for grade in grades]
    examples = Examples(
        slots=slots,
        label=label.astype(np.int64),
        features=np.zeros((len(label), 0), np.float32),
        group=group,
        item=queries.item.astype(np.int64),
        time=np.full(len(label), np.nan) if queries.time is None else queries.time,
        user=None if queries.user is None else queries.user.astype(np.int64),
        weight=row_weights(label, parts, classes, task.config, column),
        row=queries.places,
    )
    notes += rare_notes(label, parts, classes)
    return cut(
        examples,
        parts,
        split,
        classes=classes,
        notes=notes,
        items=queries.catalogue,
        key=data.key_of_split(name),
        features={"item": items.features, **({} if queries.user is None else {"user": tables.user_features})},
        files=queries.files,
    )


def _pair_rows(
    queries: list[str], query: np.ndarray, items: list[str], item: np.ndarray, texts: TextTable
) -> np.ndarray:
    """int32 (N,): the text row of each (query, item) pair."""
    keys, position = np.unique(query * len(items) + item, return_inverse=True)
    rows = [texts.add(queries[key // len(items)], items[key % len(items)]) for key in keys.tolist()]
    return np.asarray(rows, np.int32)[position]


class TowerHead(Head):
    """Query and item towers -> logits over grades (N, C), after InferSent's matching features [u, v, |u - v|, u * v]
    (Conneau et al. 2017, arXiv:1705.02364), with the cosine of the two vectors as the pretrained model gives it.

    Features join in the hidden layer.
    """

    def __init__(self, shape: HeadShape, hidden: int = 128) -> None:
        super().__init__()
        self.norm = input_norm(shape.width)
        self.project = nn.Linear(shape.width, hidden)
        self.mlp = nn.Sequential(
            nn.Linear(4 * hidden + 1, hidden), nn.GELU(), nn.Dropout(shape.dropout), nn.Linear(hidden, shape.classes)
        )
        self.known = Beside(shape.of_item, shape.of_asker, hidden)

    def outer(self) -> list[nn.Parameter]:
        """The last layer."""
        return [*self.mlp[-1].parameters()]

    def forward(self, batch: HeadInput) -> Tensor:
        """Logits (N, C)."""
        projected, unit = self.project(self.norm(batch.vectors)), F.normalize(batch.vectors, dim=-1)
        q, v = batch.slots["query"], batch.slots["item"]
        a, b = gather(projected, q), gather(projected, v)  # (N, hidden)
        cosine = (gather(unit, q) * gather(unit, v)).sum(-1, keepdim=True)
        hidden = self.known(self.mlp[0](torch.cat([a, b, (a - b).abs(), a * b, cosine], -1)), batch)
        return self.mlp[1:](hidden)


def head(shape: HeadShape, config: TaskConfig) -> Head:
    """Query and item apart."""
    return TowerHead(shape)


def joint_head(shape: HeadShape, config: TaskConfig) -> Head:
    """One vector of the pair."""
    return TextHead(shape)


def answer(prediction: np.ndarray, task: Task, classes: list[str]) -> Row:
    """{"score", "grade", "probabilities"}, the score being the expected grade number."""
    grade, chances = class_answer(prediction, classes)
    grades = task.grades(classes)
    assert grades is not None
    return {"score": float(grades.score(prediction)), "grade": grade, "probabilities": chances}


def form(config: TaskConfig, data: DataConfig) -> Kind | None:
    """The form of the kind that a recipe asks for. Raises UserError for what queries without grades cannot be."""
    tables = {name: table for name, table in data.named.items() if isinstance(table, QueriesConfig)}
    found = list(tables.values()) if config.table is None else [tables[n] for n in tables if n == config.table]
    without = len(found) == 1 and found[0].label is None
    if not without and config.loss != "softmax":
        return JOINT if config.input == "joint" else None
    why = "rows without grades (label) are matches, for which the whole catalogue is ranked: it takes"
    if config.input == "joint":
        raise UserError(f"input: {why} query and item apart (towers); found 'joint'")
    if config.loss == "cross_entropy":
        raise UserError(f"loss: {why} softmax; found 'cross_entropy'")
    return PERSONAL if config.history else MATCHES


MATCH_QUERY = Kind(
    question="does the item match the query",
    hub_type="text-ranking",
    build=build,
    fields={"query": text_field("query"), "item": ITEM},
    head=head,
    losses=("cross_entropy",),
    metrics={"class": ("accuracy", "macro_f1", "auc", "ndcg@10", "log_loss")},
    answer=answer,
    reads=("input", "gain", "class_weight", "row_weight"),
    graded=True,
    priors=("random", "majority", "lexical", "cosine", "frozen_lr"),
    start=TEXTS,
    ranks=True,
    variant=form,
)

JOINT: Kind = replace(
    MATCH_QUERY,
    fields={"pair": pair_field("query")},
    head=joint_head,
    priors=("random", "majority", "lexical", "frozen_lr"),
    ranks=False,
)
