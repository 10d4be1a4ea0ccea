import pytest
from made import build, labelled, together

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
