import re
from dataclasses import replace

import numpy as np
import pytest
from made import build, labelled, made, together

from peftrec.data.rows import Rows
from peftrec.data.tables import Items, Tables
from peftrec.errors import UserError

ITEMS = Items([f"i{n}" for n in range(8)], [f"item {n}" for n in range(8)])


def utterances(split=None) -> Tables:
    return labelled([f"text {n % 15}" for n in range(20)], [f"class {n % 3}" for n in range(20)], split)


def test_classes_are_sorted_names():
    texts, data = build("classification", utterances())
    assert data.classes == ["class 0", "class 1", "class 2"]
    assert [len(examples) for examples in together(data)] == [10, 4, 6]
    for examples in together(data):
        assert [texts.texts[row] for row in examples.slots["text"]] == [f"text {n % 15}" for n in examples.group]
        assert examples.label.tolist() == [n % 3 for n in examples.group]
    assert (data.train.item == -1).all() and data.train.log is None


@pytest.mark.parametrize("kind", ["given", "global-time", "leave-last-out"])
def test_a_given_split_is_kept(kind):
    given_split = ["train"] * 12 + ["valid"] * 3 + ["test"] * 5
    _, data = build("classification", utterances(given_split), {"kind": kind})
    assert data.test.group.tolist() == [15, 16, 17, 18, 19]
    again = "5 of 5 test rows have a text that train rows have too; split: by-text keeps equal texts together"
    assert data.notes == [again]
    _, data = build("classification", utterances(["train"] * 12 + ["test"] * 8), {"kind": kind})
    assert len(data.valid) == 1 and sorted([*data.train.group, *data.valid.group]) == list(range(12))
    _, data = build("classification", utterances(["train"] * 12 + ["test"] * 8), {"kind": kind, "valid": 0})
    assert len(data.valid) == 0


def test_another_split_than_the_given_one_or_than_the_asked_one_is_told():
    _, data = build("classification", utterances(["train"] * 20))
    assert data.notes[:-1] == ["split at random: by-group leaves the split that the texts come with unused"]
    _, data = build("classification", utterances(), {"kind": "global-time"})
    assert data.notes[:-1] == ["split at random, not global-time: texts have no time"]


def one_class() -> Tables:
    return labelled(list("abcdefghij"), ["same"] * 10)


REFUSED = [
    (
        "classification",
        utterances(),
        {"threshold": 1},
        "threshold: kind classification does not read it; found 1.0; leave it out",
    ),
    (
        "classification",
        utterances(),
        {"column": "x"},
        "column: kind classification does not read it; found 'x'; leave it out",
    ),
    (
        "classification",
        utterances(),
        {"input": "joint"},
        "input: kind classification does not read it; found 'joint'; leave it out",
    ),
    (
        "classification",
        Tables({"items": ITEMS}),
        {},
        "kind: classification needs the table 'texts', which the data lack; give data.texts or a source",
    ),
    (
        "classification",
        utterances(),
        {"split": {"kind": "given"}},
        "data.split.kind: 'given' needs a split column: data.texts.split",
    ),
    (
        "classification",
        one_class(),
        {},
        "texts: the classes must differ; the train split holds one class only (5 rows)",
    ),
]


@pytest.mark.parametrize(("builder", "tables", "options", "message"), REFUSED)
def test_what_does_not_fit_is_refused(builder, tables, options, message):
    with pytest.raises(UserError) as error:
        build(builder, tables, **options)
    assert str(error.value).startswith(message)


def tagged(*labels, split=None):
    return labelled([f"text {n}" for n in range(len(labels))], list(labels), split)


SEVERAL = {"label": {"column": "label", "separator": "|"}}
DIVIDED = ["train"] * 5 + ["valid", "test", "test"]


def test_several_labels_a_text_are_a_column_a_class():
    tables = tagged("a|b", "b", "b | c|", "", "a|a", "c", "b|c", "a", split=DIVIDED)
    _, data = build("classification", tables, {"kind": "given"}, **SEVERAL)
    assert data.classes == ["a", "b", "c"]
    assert data.train.label.dtype == np.float32
    assert data.train.label.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert data.test.label.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert data.notes[0] == "1 of 8 texts have no label, and do not count for this task"


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("classification", {"loss": "cross_entropy"}, "loss: kind classification has no loss 'cross_entropy'"),
        ("classification", {"class_weight": "balanced"}, "class_weight: the labels are not one class a row"),
        ("classification", {"row_weight": "w"}, "texts.csv: no column 'w'"),
        ("regression", {}, "label.separator: kind regression has one label a text; found '|'; write label: label"),
    ],
)
def test_what_several_labels_do_not_take_is_refused(kind, keys, message):
    with pytest.raises(UserError, match=re.escape(message)):
        build(
            kind, tagged("a|b", "b", "c", "a", "b", "c", "a", "a", split=DIVIDED), {"kind": "given"}, **SEVERAL, **keys
        )


def test_texts_that_all_have_the_same_classes_teach_nothing():
    with pytest.raises(
        UserError, match=r"label: the texts must differ .*; the train split holds one set of classes only"
    ):
        build("classification", tagged(*["a|b"] * 8, split=DIVIDED), {"kind": "given"}, **SEVERAL)


def test_an_answer_holds_the_labels_of_a_half_and_more():
    task = made(kind="classification", **SEVERAL)
    assert task.loss.labels == "tags" and task.metrics == ("micro_f1", "macro_f1", "mean_ap", "log_loss")
    answer = task.kind.answer(np.array([0.5, 0.25, 0.75]), task, ["a", "b", "c"])
    assert answer == {"labels": ["a", "c"], "probabilities": {"a": 0.5, "b": 0.25, "c": 0.75}}


def test_texts_weigh_by_class_and_column():
    tables = tagged("a", "a", "a", "b", "", "a", "b", "b", split=DIVIDED)
    table = tables.named["texts"].rows
    weighed = Rows(table.file, table.table.append_column("w", [["1", "2", "1", "4", "", "1", "2", "3"]]))
    tables = Tables({"texts": replace(tables.named["texts"], rows=weighed)})
    _, data = build("classification", tables, {"kind": "given"}, class_weight={"b": 3}, row_weight="w")
    assert data.train.weight.tolist() == [0.25, 0.5, 0.25, 3]  # of 1, 2, 1, 12: the mean is 4
    assert data.valid.weight.tolist() == [0.25] and data.test.weight.tolist() == [1.5, 2.25]
    _, plain = build("classification", tables, {"kind": "given"})
    assert plain.train.weight is None


def test_a_rare_class_is_told():
    _, data = build(
        "classification", labelled([f"text {n}" for n in range(30)], ["rare" if n < 2 else "often" for n in range(30)])
    )
    assert "'rare' (" in data.notes[-1]
