"""Kind `classification`: which class is the text of."""

import numpy as np

from peftrec.data.examples import Examples, TaskData
from peftrec.data.split import by_group
from peftrec.data.tables import SPLITS, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import check_varied, cut, needed
from peftrec.tasks.heads import Head, HeadShape, TextHead
from peftrec.tasks.kind import Kind, Task, class_answer
from peftrec.tasks.rows import Row, text_field


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Which class is the text of: label = position among the sorted class names. Slot `text`; group = row number.

    Texts that come with their own split keep it, unless the recipe says by-group; otherwise rows are drawn by `seed`.
    """
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


def head(shape: HeadShape, config: TaskConfig) -> Head:
    """One linear layer over the text's vector."""
    return TextHead(shape)


def answer(prediction: np.ndarray, task: Task, classes: list[str]) -> Row:
    """{"label", "probabilities"}."""
    label, chances = class_answer(prediction, classes)
    return {"label": label, "probabilities": chances}


CLASSIFICATION = Kind(
    question="which class does the text belong to",
    hub_type="text-classification",
    build=build,
    fields={"text": text_field("text")},
    head=head,
    losses=("cross_entropy",),
    metrics={"class": ("accuracy", "macro_f1", "log_loss")},
    answer=answer,
    reads=("class_weight", "row_weight"),
    priors=("majority", "tfidf"),
)
