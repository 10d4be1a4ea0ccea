import json

import datasets
import pytest

from peftrec.data.files import read_rows
from peftrec.errors import UserError
from peftrec.recipe import FileConfig

ROWS = [{"id": "1", "title": "Heat, part 2"}, {"id": "2", "title": "NA"}]


def write_json(file):
    file.write_text("\n".join(json.dumps(row) for row in ROWS))


def test_a_folder_of_files_is_read_like_a_hub_data_set(tmp_path):
    write_json(tmp_path / "train.jsonl")
    assert read_rows(FileConfig(path=str(tmp_path)), "data.items").table.to_pylist() == ROWS


def test_a_folder_without_a_train_split_is_named(tmp_path):
    write_json(tmp_path / "test.jsonl")
    with pytest.raises(UserError, match=r"data\.items\.path: the folder .* cannot be loaded: Bad split: train"):
        read_rows(FileConfig(path=str(tmp_path)), "data.items")


def test_a_hub_id_out_of_reach_is_an_error_that_says_both_readings(monkeypatch):
    def load_dataset(*arguments, **options):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        UserError, match=r"'owner/name' is no file .looked in .*., and as a hub id it cannot be loaded: Couldn't reach"
    ):
        read_rows(FileConfig(path="owner/name"), "data.events")


def test_a_hub_id_gives_its_train_split(monkeypatch):
    asked = []

    def load_dataset(path, split):
        asked.append((path, split))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read_rows(FileConfig(path="owner/name"), "data.items").table.to_pylist() == ROWS
    assert asked == [("owner/name", "train")]
