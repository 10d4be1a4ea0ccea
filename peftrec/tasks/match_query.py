"""Kind `match-query`: does the item match the query, as towers or as a joint pair."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.data.examples import Examples, TaskData
from peftrec.data.rows import plain_number
from peftrec.data.split import Divisible, time_boundaries
from peftrec.data.tables import Events, Queries, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError, shown
from peftrec.recipe import DataConfig, SplitConfig, TaskConfig
from peftrec.tasks.building import catalogue_of, check_varied, cut, divided, item_rows, rare_notes, table_of
from peftrec.tasks.features import Beside
from peftrec.tasks.gather import gather
from peftrec.tasks.heads import Head, HeadShape, TextHead, input_norm, silence
from peftrec.tasks.kind import Kind, Task, class_answer
from peftrec.tasks.rows import ITEM, Row, pair_field, text_field
from peftrec.tasks.weights import file_weights, row_weights

_DRAWS = 30  # rounds of drawing again the non-matches that turned out to be matches


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Does the item match the query: label = position of the grade among the distinct grades, ascending.

    Slots `query` and `item`, or `pair` with `input: joint`; group = query number (equal texts are one query).
    Queries without grades are matches (grade 1), and for each a non-match (grade 0) is drawn among the items never
    paired with that query. Split by time when the queries have times and the recipe says global-time, on the events'
    boundaries when there are events; otherwise whole queries are held out.
    """
    name, queries = table_of(tables, Queries, task)
    items = catalogue_of(tables, queries, task)
    notes = []
    names, group = _numbered(queries.text)
    column = file_weights(queries.rows, task.config)
    if queries.label is None:
        queries, group = _with_non_matches(queries, group, len(items), seed)
        column = None if column is None else np.tile(column, 2)
        notes.append("queries carry no grades: each row is a match, and one non-match is drawn for it at random")
    assert queries.label is not None
    grades, label = np.unique(queries.label, return_inverse=True)
    parts, split, of_split = _split_queries(tables, name, queries, group, label, data, seed)
    notes += of_split
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
    )


def _split_queries(
    tables: Tables, name: str, queries: Queries, group: np.ndarray, label: np.ndarray, data: DataConfig, seed: int
) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (Q,) of every row, how they were divided, and what the user should know of it.

    `group` (Q,): query numbers; `label` (Q,): grades.
    """
    beside = [e.time for e in tables.of(Events).values() if e.catalogue == queries.catalogue and e.time is not None]
    rows = Divisible(
        sort="queries",
        rows=len(queries),
        time=queries.time,
        groups={
            "query": group,
            "text": group,
            "item": queries.item,
            **({} if queries.user is None else {"user": queries.user}),
        },
        given=queries.given,
        label=label,
        boundaries=time_boundaries(beside[0], data.split_of(name)) if beside else None,
    )
    return divided(rows, name, data, seed)


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
        query = queries.text[int(np.argmax(group == full[0]))]
        raise UserError(
            f"queries: the query {shown(query)} matches every item: no non-match can be drawn; give "
            "data.queries.label, or more items"
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
    both = replace(
        queries,
        text=queries.text * 2,
        item=np.concatenate([queries.item, drawn]),
        label=np.repeat([1.0, 0.0], len(group)),
        time=None if queries.time is None else np.tile(queries.time, 2),
        given=None if queries.given is None else queries.given * 2,
        user=None if queries.user is None else np.tile(queries.user, 2),
    )
    return both, np.tile(group, 2)


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

    def begin_at_zero(self) -> None:
        """By the last layer."""
        silence(self.mlp[-1])

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
    priors=("random", "majority", "lexical", "frozen_lr"),
    ranks=True,
    variant=lambda config: JOINT if config.input == "joint" else None,
)

JOINT: Kind = replace(MATCH_QUERY, fields={"pair": pair_field("query")}, head=joint_head, ranks=False)
