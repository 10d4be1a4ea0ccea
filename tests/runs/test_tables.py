"""What a run keeps of features, and what is refused of a damaged one."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from featured import featured_recipe, make_featured_shop
from several import make_several, several_recipe

from peftrec.errors import UserError
from peftrec.machine.files import write_manifest
from peftrec.runs.saved import load_run
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

TASKS = {"cheap": {"kind": "interest", "column": "cheap"}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick):
    shop = make_featured_shop(tmp_path_factory.mktemp("featured"), 60)
    return train(featured_recipe(shop, tasks=TASKS, train={"epochs": 1}), shop / "run")


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def sealed(run):
    (run / "manifest.json").unlink()
    write_manifest(run)
    return run


def refused(run):
    with pytest.raises(UserError) as error:
        load_run(sealed(run))
    return str(error.value)


def test_features_come_back_as_they_were_with_what_they_are_encoded_by(whole):
    dataset, loaded = load_data(featured_recipe(whole.parent, tasks=TASKS)), load_run(whole)
    assert loaded.encodings == {"cheap": dataset.tasks["cheap"].encodings}
    assert loaded.users.ids == dataset.user_ids
    for mine, theirs in (
        (loaded.users.features, dataset.users),
        (loaded.items["items"].features, dataset.items["items"].features),
    ):
        assert mine.numbers.keys() == theirs.numbers.keys() and mine.categories.keys() == theirs.categories.keys()
        for name, column in theirs.numbers.items():
            assert np.array_equal(mine.numbers[name], column, equal_nan=True) and np.isnan(column).any()
        for name, column in theirs.categories.items():
            assert mine.categories[name].to_pylist() == column.to_pylist()


def test_a_run_without_features_keeps_nothing_of_them(whole):
    plain = train(featured_recipe(whole.parent, {}, tasks=TASKS, train={"epochs": 1}), whole.parent / "plain")
    assert not (plain / "users.parquet").exists()
    assert pq.read_schema(plain / "catalogue.parquet").names == ["table", "id", "text"]
    assert load_run(plain).users.ids == []
    described = json.loads((plain / "model.json").read_text())
    del described["tasks"]["cheap"]["encodings"]  # as runs of before
    (plain / "model.json").write_text(json.dumps(described))
    assert load_run(sealed(plain)).encodings == {"cheap": {}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda of: of.update(device={"numbers": {}, "categories": {}}), "tasks.cheap.encodings.device"),
        (lambda of: of["item"]["numbers"].update(price=[1]), "tasks.cheap.encodings.item.numbers.price"),
        (lambda of: of["item"]["numbers"].update(price=[1, 0]), "item.price: a spread is above 0; found 0"),
        (lambda of: of["item"]["numbers"].update(price=[1, "2"]), "tasks.cheap.encodings.item.numbers.price.1"),
        (lambda of: of["item"]["categories"].update(brand=["a", "a"]), "item.brand: it, or one of its levels, stands"),
        (lambda of: of["item"]["categories"].update(brand=[f"b{n}" for n in range(10**4)]), "are more than"),
        (lambda of: of["item"]["categories"].update(brand=["a"]), "does not fit"),
        (lambda of: of["item"]["numbers"].update(weight=[0, 1]), "no column 'number weight'"),
        (lambda of: of["user"]["categories"].update(city=[]), "does not fit"),
    ],
)
def test_damaged_encodings_are_one_message(run, change, told):
    described = json.loads((run / "model.json").read_text())
    change(described["tasks"]["cheap"]["encodings"])
    (run / "model.json").write_text(json.dumps(described))
    message = refused(run)
    assert told in message and "\n" not in message


@pytest.mark.parametrize(
    ("file", "column", "values", "told"),
    [
        (
            "catalogue",
            "number price",
            lambda old: pa.array([np.inf] * len(old)),
            "number price: holds numbers that are not",
        ),
        (
            "catalogue",
            "number price",
            lambda old: pa.array(["3"] * len(old)),
            "column 'number price' must hold numbers",
        ),
        ("catalogue", "category brand", lambda old: pa.array([None] * len(old), pa.string()), "rows without a value"),
        ("users", "id", lambda old: pa.array(["u1"] * len(old)), "a user stands in it twice"),
        (
            "users",
            "number age",
            lambda old: pa.array([1e300] * len(old)),
            "number age: holds numbers that are not finite",
        ),
        (
            "users",
            "category country",
            lambda old: pa.array(range(len(old))),
            "column 'category country' must hold texts",
        ),
    ],
)
def test_damaged_features_are_one_message(run, file, column, values, told):
    place = run / f"{file}.parquet"
    table = pq.read_table(place)
    number = table.schema.names.index(column)
    pq.write_table(table.set_column(number, column, values(table[column])), place)
    message = refused(run)
    assert message.startswith(str(place)) and told in message and "\n" not in message


def test_users_whose_file_is_gone_are_one_message(run):
    (run / "users.parquet").unlink()
    message = refused(run)
    assert str(run / "users.parquet") in message and "\n" not in message


def test_two_tables_of_the_same_events_are_kept_apart(tmp_path, quick):
    folder = make_several(tmp_path)
    tables = {"purchases": {"path": f"{folder}/clicks.csv", "columns": ["seconds"]}}
    tasks = {"next": {"kind": "next-item", "table": "clicks"}, "return": {"kind": "next-gap", "table": "clicks"},
             "again": {"kind": "next-gap", "table": "purchases"}}  # fmt: skip
    loaded = load_run(train(several_recipe(folder, tasks, tables), tmp_path / "run"))
    assert sorted(file.name for file in (tmp_path / "run").glob("log*.parquet")) == ["log-1.parquet", "log.parquet"]
    own, again = loaded.logs["next"], loaded.logs["again"]
    assert own.user_ids == again.user_ids and np.array_equal(own.log.times, again.log.times)
