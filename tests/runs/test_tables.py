"""What a run keeps of its tables comes back as it was, and what is damaged is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from several import make_several, several_recipe

from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.runs.tables import load_catalogues, load_logs, log_numbers, save_catalogues, save_logs
from peftrec.tasks.dataset import load_data

EVENTS = ["buy", "again", "next", "read", "befriend"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_data(several_recipe(make_several(tmp_path_factory.mktemp("several"))))


@pytest.fixture
def kept(tmp_path, dataset):
    save_catalogues(tmp_path, dataset)
    save_logs(tmp_path, dataset)
    return tmp_path


def described(dataset, **changes):
    numbers = log_numbers(dataset)
    tasks = {
        name: {"history": name in EVENTS, "log": numbers.get(name), "items": data.items, "tables": data.history}
        for name, data in dataset.tasks.items()
    }
    for name, change in changes.items():
        tasks[name] = {**tasks[name], **change}
    return tasks


def test_tasks_that_remember_the_same_events_share_a_file(dataset, kept):
    assert log_numbers(dataset) == {"buy": 0, "again": 0, "next": 0, "read": 1, "befriend": 2}
    assert sorted(file.name for file in kept.iterdir()) == [
        "catalogue.parquet",
        "log-1.parquet",
        "log-2.parquet",
        "log.parquet",
    ]


def test_all_comes_back_as_it_was(dataset, kept):
    texts = TextTable()
    items = load_catalogues(kept, texts)
    assert {name: of.ids for name, of in items.items()} == {name: of.ids for name, of in dataset.items.items()}
    for name, of in items.items():
        wanted = [dataset.texts.texts[row] for row in dataset.items[name].rows]
        assert [texts.texts[row] for row in of.rows] == wanted
    logs = load_logs(kept, items, described(dataset))
    assert list(logs) == EVENTS
    for name in EVENTS:
        was, found = dataset.tasks[name].train.log, logs[name]
        assert found.log.items.tolist() == was.items.tolist() and found.log.times.tolist() == was.times.tolist()
        assert found.log.feedback.tolist() == was.feedback.tolist()
        assert (found.log.marks is None) == (was.marks is None)
        assert was.marks is None or found.log.marks.tolist() == was.marks.tolist()
        active = np.flatnonzero(np.diff(was.user_start))
        assert found.user_ids == [dataset.user_ids[user] for user in active]
        assert found.log.user_start.tolist() == np.unique(was.user_start).tolist()


def change(file, **columns):
    table = pq.read_table(file)
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values(table[name].to_pylist())))
    pq.write_table(table, file)


@pytest.mark.parametrize(
    ("file", "columns", "message"),
    [
        (
            "log.parquet",
            {"mark": lambda old: [2] * len(old)},
            "log.parquet: damaged: mark: the history tables have the",
        ),
        (
            "log.parquet",
            {"item": lambda old: [20] * len(old)},
            "log.parquet: damaged: item: the catalogue has the numb",
        ),
        ("log-1.parquet", {"time": lambda old: [2e11] * len(old)}, "log-1.parquet: damaged: time: 2e\\+11 is no time"),
        ("catalogue.parquet", {"id": lambda old: ["g0"] * len(old)}, "damaged: an item stands in it twice"),
    ],
)
def test_what_is_damaged_is_refused(dataset, kept, file, columns, message):
    change(kept / file, **columns)
    with pytest.raises(UserError, match=message):
        load_logs(kept, load_catalogues(kept, TextTable()), described(dataset))


@pytest.mark.parametrize("changes", [{"read": {"log": 0}}, {"befriend": {"items": "cars"}}])
def test_tasks_that_cannot_share_a_log_are_refused(dataset, kept, changes):
    with pytest.raises(
        UserError, match="damaged: the tasks that share it are not of one catalogue and the same tables"
    ):
        load_logs(kept, load_catalogues(kept, TextTable()), described(dataset, **changes))
