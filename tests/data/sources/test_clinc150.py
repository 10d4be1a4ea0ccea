import json

import pytest
from made import made

from peftrec.data.load import load_tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.dataset import build_dataset


def write(folder, **changed):
    content = {
        "oos_val": [["what is life", "oos"]],
        "val": [["pay my bill", "pay"]],
        "train": [["please pay the bill", "pay"], ["book a flight", "book"]],
        "oos_test": [["who am i", "oos"]],
        "test": [["flight to rome", "book"]],
        "oos_train": [["tell a joke", "oos"]],
    }
    (folder / "data_full.json").write_text(json.dumps(content | changed))
    return DataConfig(source="clinc150", path=str(folder), split={"kind": "given"})


def test_out_of_scope_is_a_class_and_the_splits_are_kept(tmp_path):
    data = write(tmp_path)
    built = build_dataset(load_tables(data), {"intent": made("intent", kind="classification")}, data, 0)
    task = built.tasks["intent"]
    assert task.classes == ["book", "oos", "pay"]
    for name, expected in {
        "train": {("please pay the bill", 2), ("book a flight", 0), ("tell a joke", 1)},
        "valid": {("what is life", 1), ("pay my bill", 2)},
        "test": {("who am i", 1), ("flight to rome", 0)},
    }.items():
        examples = task.split(name)
        texts = [built.texts.texts[row] for row in examples.slots["text"]]
        assert set(zip(texts, examples.label.tolist(), strict=True)) == expected


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: clinc150 needs the folder of data_full\.json"):
        load_tables(DataConfig(source="clinc150"))
    with pytest.raises(UserError, match=r"data\.path: the folder .* holds no file data_full\.json"):
        load_tables(DataConfig(source="clinc150", path=str(tmp_path)))
    with pytest.raises(UserError, match=r"data\.path: no such folder: nowhere \(looked in /"):
        load_tables(DataConfig(source="clinc150", path="nowhere"))
    with pytest.raises(UserError, match=r"data_full\.json: train, row 2: must be \[text, class\]; found \['x'\]"):
        load_tables(write(tmp_path, train=[["a", "b"], ["x"]]))
    with pytest.raises(UserError, match=r"data_full\.json: must map train, oos_train, val"):
        load_tables(write(tmp_path, other=[]))
    with pytest.raises(UserError, match=r"column 'text': the text must not be empty"):
        load_tables(write(tmp_path, train=[["", "b"]]))
    (tmp_path / "data_full.json").write_text("{")
    with pytest.raises(UserError, match=r"data_full\.json: not JSON: Expecting property name"):
        load_tables(DataConfig(source="clinc150", path=str(tmp_path)))
