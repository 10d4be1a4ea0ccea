"""From `data.source` to tables: what a source's name may stand for, and that nothing else is called."""

import sys
from textwrap import dedent

import pytest

from peftrec.data.load import load_tables
from peftrec.data.sources import SOURCES
from peftrec.data.tables import Tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig

OWN = """
    from pathlib import Path

    from peftrec.data.tables import Items, Tables

    CALLED = []

    def load(path: Path | None) -> Tables:
        return Tables({"items": Items(["a"], [f"text from {path}"])})

    def silent(path):
        CALLED.append(path)

    def text(path: Path | None) -> str:
        CALLED.append(path)

    def unknown(path: Path | None) -> "NoSuchName":
        CALLED.append(path)

    class Loader:
        def __init__(self, path: Path | None) -> None:
            CALLED.append(path)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_source.py").write_text(dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_source", None)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_of_the_table_reads_tables_or_says_what_it_needs(name):
    assert len(SOURCES) == 7
    if name == "movielens-100k":  # comes as a package
        tables = load_tables(DataConfig(source=name))
        assert isinstance(tables, Tables) and len(tables.named["items"]) > 1000
    else:
        with pytest.raises(UserError, match=f"^data.path: {name} needs the folder of "):
            load_tables(DataConfig(source=name))


def test_a_source_of_one_s_own_is_called_with_the_path(own):
    tables = load_tables(DataConfig(source="own_source:load", path="here"))
    assert tables.named["items"].texts == ["text from here"]


@pytest.mark.parametrize("name", ["silent", "text", "unknown", "Loader", "CALLED"])
def test_what_does_not_say_that_it_returns_tables_is_not_called(own, name):
    with pytest.raises(UserError, match=rf"data.source: own_source:{name} must be a function .* -> Tables"):
        load_tables(DataConfig(source=f"own_source:{name}"))
    assert sys.modules["own_source"].CALLED == []


@pytest.mark.parametrize("name", ["os:system", "builtins:exec", "builtins:print", "subprocess:run", "shutil:rmtree"])
def test_functions_of_the_system_are_no_sources(name, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    path = {"os:system": f"touch {tmp_path}/made", "builtins:exec": f"open({str(tmp_path / 'made')!r}, 'w')"}
    with pytest.raises(UserError, match=rf"data.source: {name} must be a function"):
        load_tables(DataConfig(source=name, path=path.get(name, str(victim))))
    assert [file.name for file in tmp_path.iterdir()] == ["victim"]


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(UserError, match=r"data.source: no source 'esic' \(did you mean 'esci'\?\); your own: package"):
        load_tables(DataConfig(source="esic"))


ITEMS = {"path": "items.csv", "id": "item_id", "text": "{title}"}
EVENTS = {"user": "user_id", "item": "item_id", "time": "ts", "columns": ["rating"]}


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "items.csv").write_text("item_id,title,unread\n1,Heat,x\n2,Up,y\n3,Big,z\n")

    def load(name, content, **keys):
        (tmp_path / name).write_text(content)
        return load_tables(DataConfig.model_validate({"items": ITEMS, "events": {"path": name, **EVENTS, **keys}}))

    return load


HEADER = ["user_id", "item_id", "rating", "ts"]
ROWS = [["10", "1", "4", "1717200000"], ["10", "2", "3", "1717200100"], ["11", "3", "5", "1717200200"]]


def written(separator, rows=(HEADER, *ROWS)):
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "keys", "message"),
    [
        ("semicolon.csv", written(";"), {"separator": ";"}, 'write separator: ";"'),
        ("coloncolon.dat", written("::"), {"separator": "::"}, 'write separator: "::"'),
        ("nohead.csv", written(",", ROWS), {"header": False, "names": HEADER}, "write header: false and names: [...]"),
        ("excel_sep.csv", "sep=,\n" + written(","), {}, None),
        ("recbole.inter", written("\t", [[f"{name}:token" for name in HEADER], *ROWS]), {}, None),
    ],
)
def test_files_as_people_have_them_give_the_same_events(load, name, content, keys, message):
    for given in [keys] if message is None else [keys, {}]:
        if given != keys:
            with pytest.raises(UserError) as error:
                load(name, content)
            assert message in str(error.value)
        else:
            events = load(name, content, **given).named["events"]
            assert (events.user_ids, events.item.tolist(), events.columns["rating"].tolist()) == (
                ["10", "11"],
                [0, 1, 2],
                [4, 3, 5],
            )
            assert events.time.tolist() == [1717200000, 1717200100, 1717200200]


def test_dates_written_as_numbers_have_the_gaps_of_dates(load):
    days = ["2024-03-01", "2024-02-21", "2023-11-15", "2023-09-13"]
    rows = [["10", "1", "4", day] for day in days]
    iso = load("iso.csv", written(",", [HEADER, *rows])).named["events"]
    assert (iso.time[1:] - iso.time[:-1]).tolist() == [63 * 86_400, 98 * 86_400, 9 * 86_400]
    content = written(",", [HEADER, *rows]).replace("-", "")
    with pytest.raises(
        UserError, match=r"looks like a date written YYYYMMDD; write time_format: '%Y%m%d'; found '2024"
    ):
        load("days.csv", content)
    assert load("days.csv", content, time_format="%Y%m%d").named["events"].time.tolist() == iso.time.tolist()


def test_what_was_done_to_ids_is_told_with_the_tables(load, tmp_path):
    rows = [["10", "1", "4", "1"], ["10 ", "2 ", "4", "2"], [" 10", "3", "4", "3"]]
    tables = load("spaced.csv", written(",", [HEADER, *rows]))
    assert tables.named["events"].user_ids == ["10"]
    assert tables.named["events"].item.tolist() == [0, 1, 2]
    assert tables.notes == [
        "spaced.csv: column 'user_id': 2 of 3 values, such as '10 ', are read as '10' is; 3 different values become 1 "
        "(strip: false reads them as they are)",
        "spaced.csv: column 'item_id': 1 of 3 values, such as '2 ', are read as '2' is (strip: false reads them as "
        "they are)",
    ]


def test_a_split_by_a_column_that_only_data_split_names_is_read(load, tmp_path):
    content = written(",", [[*HEADER, "part"], [*ROWS[0], "train"], [*ROWS[1], "test "], [*ROWS[2], "valid"]])
    events = load("parts.csv", content, split="part").named["events"]
    assert events.given == ["train", "test", "valid"]
