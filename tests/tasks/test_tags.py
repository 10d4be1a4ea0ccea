import numpy as np
import pyarrow as pa
import pytest
from made import build

from peftrec.data.rows import Rows
from peftrec.data.tables import Tables, Texts
from peftrec.tasks.tags import tags_of


def rows(values, kind=None):
    return Rows("f.csv", pa.table({"tags": pa.array(values, kind)}))


@pytest.mark.parametrize(
    ("texts", "classes"),
    [
        (["['a', 'b']", "['c']", "[]", ""], [{"a", "b"}, {"c"}, set(), set()]),
        (['["a, x", "b"]', '["c"]'], [{"a, x", "b"}, {"c"}]),
        (["[1, 2]", " [ rock music , pop ] "], [{"1", "2"}, {"rock music", "pop"}]),
        (["[\"it's\", 'b']", "[]"], [{"it's", "b"}, set()]),
    ],
)
def test_lists_written_as_texts_are_lists_and_noted(texts, classes):
    found, notes = tags_of(rows(texts), "tags", "|")
    assert found == classes
    assert notes == [f"column 'tags': its labels, such as {texts[0]!r}, are read as lists"]


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.string())])
def test_members_of_lists_are_classes_whatever_they_hold(kind):
    table = rows([["a, x", "b|c"], ["b|c "], None, []], kind)
    assert tags_of(table, "tags", "|") == ([{"a, x", "b|c"}, {"b|c"}, set(), set()], [])


def test_texts_are_divided_by_the_separator_and_others_in_brackets_stay():
    assert tags_of(rows([" a | b ", "[sic]", "caf\u00e9|", "cafe\u0301\u200b"]), "tags", "|") == (
        [{"a", "b"}, {"[sic]"}, {"caf\u00e9"}, {"caf\u00e9"}],
        [],
    )


def test_a_separator_that_no_label_holds_is_told():
    found, notes = tags_of(rows(["a;b", "c"]), "tags", "|")
    assert found == [{"a;b"}, {"c"}]
    assert notes == ["column 'tags': no label, such as 'a;b', holds the separator '|'"]


def test_classes_that_look_alike_are_told_and_taken_apart():
    labels = np.array(["Pos", "pos", "neg", "\uff11", "1.0", "1"])[np.arange(60) % 6].tolist()
    texts = [f"w{n}" for n in range(60)]
    table = Rows("texts.csv", pa.table({"text": texts, "label": labels}))
    _, data = build("classification", Tables({"texts": Texts(texts, table, "label")}))
    assert len(data.classes) == 6
    assert data.notes[0] == "classes look alike, and are taken apart: '1', '1.0', '\uff11' and 2 more"
