"""Kind `classification`: which class is the text of."""

from dataclasses import replace

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.recipe import DataConfig, LabelConfig, TaskConfig
from peftrec.tasks.building import alike_notes, check_varied, cut, rare_notes
from peftrec.tasks.heads import Head, HeadShape, TextHead
from peftrec.tasks.kind import Kind, Task, class_answer
from peftrec.tasks.priors.names import name_rows
from peftrec.tasks.rows import Row, text_field
from peftrec.tasks.starts.texts import TEXTS
from peftrec.tasks.tags import tags_of
from peftrec.tasks.texts import labelled, split_texts, text_examples
from peftrec.tasks.weights import file_weights, row_weights

SURE = 0.5  # a text is given the classes of this probability and more, as `evaluation.tags` counts them


def build(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Which class is the text of: label = position among the sorted class names. Slot `text`; group = row number.

    Texts without a label are left out.
    """
    name, table, column = labelled(tables, task)
    names = table.rows.labels(column).to_numpy(zero_copy_only=False).astype(object)
    known = np.array([bool(of.strip()) for of in names], bool)
    classes, found = np.unique(names[known].astype(str), return_inverse=True)
    label = np.zeros(len(table), np.int64)
    label[known] = found
    parts, split, notes = split_texts(name, table, label, known, data, seed)
    check_varied(label, parts, "texts: the classes must differ")
    weight = row_weights(label, parts, classes.tolist(), task.config, file_weights(table.rows, task.config))
    notes += alike_notes(classes.tolist()) + rare_notes(label, parts, classes.tolist())
    examples = replace(text_examples(table, texts, label), weight=weight)
    key = data.key_of_split(name)
    cut_up = cut(examples, parts, split, classes=classes.tolist(), notes=notes, key=key, files=table.files)
    return replace(cut_up, names=name_rows(cut_up.classes, texts))


def build_tags(tables: Tables, texts: TextTable, task: Task, data: DataConfig, seed: int) -> TaskData:
    """Which classes are the text of: label float32 (N, C), 1 or 0 for each of the sorted class names.

    Texts without any class are left out.
    """
    name, table, column = labelled(tables, task)
    assert isinstance(task.config.label, LabelConfig)
    tags, said = tags_of(table.rows, column, task.config.label.separator)
    classes = sorted(set().union(*tags))
    number = {tag: n for n, tag in enumerate(classes)}
    label = np.zeros((len(table), len(classes)), np.float32)
    for row, of in enumerate(tags):
        label[row, [number[tag] for tag in of]] = 1
    parts, split, notes = split_texts(name, table, label, label.sum(1) > 0, data, seed)
    check_varied(label, parts, "label: the texts must differ in their classes", "set of classes")
    weight = row_weights(label, parts, [], task.config, file_weights(table.rows, task.config))
    notes += said + alike_notes(classes) + rare_notes(label, parts, classes)
    examples = replace(text_examples(table, texts, label), weight=weight)
    return cut(examples, parts, split, classes=classes, notes=notes, key=data.key_of_split(name), files=table.files)


def head(shape: HeadShape, config: TaskConfig) -> Head:
    """One linear layer over the text's vector."""
    return TextHead(shape)


def answer(prediction: np.ndarray, task: Task, classes: list[str]) -> Row:
    """{"label", "probabilities"}."""
    label, chances = class_answer(prediction, classes)
    return {"label": label, "probabilities": chances}


def tags_answer(prediction: np.ndarray, task: Task, classes: list[str]) -> Row:
    """{"labels", "probabilities"}, the labels being those of a probability of 0.5 and more."""
    chances = {name: float(p) for name, p in zip(classes, prediction, strict=True)}
    return {"labels": [name for name, p in chances.items() if p >= SURE], "probabilities": chances}


CLASSIFICATION = Kind(
    question="which class does the text belong to",
    hub_type="text-classification",
    build=build,
    fields={"text": text_field("text")},
    head=head,
    losses=("cross_entropy",),
    metrics={"class": ("accuracy", "macro_f1", "log_loss")},
    answer=answer,
    reads=("label", "class_weight", "row_weight"),
    priors=("majority", "class_names", "tfidf", "frozen_lr", "layers_lr", "other_tasks"),
    start=TEXTS,
    variant=lambda config, data: SEVERAL if isinstance(config.label, LabelConfig) else None,
)

SEVERAL: Kind = replace(
    CLASSIFICATION,
    question="which classes does the text belong to",
    build=build_tags,
    losses=("bce",),
    metrics={"tags": ("micro_f1", "macro_f1", "mean_ap", "log_loss")},
    answer=tags_answer,
    priors=("majority", "tfidf", "frozen_lr", "layers_lr", "other_tasks"),
)
