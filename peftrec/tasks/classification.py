"""Kind `classification`: which class is the text of."""

import numpy as np

from peftrec.data.examples import TaskData
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.recipe import DataConfig, TaskConfig
from peftrec.tasks.building import check_varied, cut
from peftrec.tasks.heads import Head, HeadShape, TextHead
from peftrec.tasks.kind import Kind, Task, class_answer
from peftrec.tasks.rows import Row, text_field
from peftrec.tasks.texts import labelled, split_texts, text_examples


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Which class is the text of: label = position among the sorted class names. Slot `text`; group = row number.

    Texts without a label are left out.
    """
    name, table, column = labelled(tables, task)
    names = table.rows.strings(column).to_numpy(zero_copy_only=False).astype(object)
    known = np.array([bool(of.strip()) for of in names], bool)
    classes, found = np.unique(names[known].astype(str), return_inverse=True)
    label = np.zeros(len(table), np.int64)
    label[known] = found
    parts, split, notes = split_texts(name, table, label, known, data, seed)
    check_varied(label, parts, "texts: the classes must differ")
    return cut(text_examples(table, texts, label), parts, split, classes=classes.tolist(), notes=notes)


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
    reads=("label",),
    priors=("majority", "tfidf"),
)
