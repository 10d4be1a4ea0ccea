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
    assert len(SOURCES) == 4
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
