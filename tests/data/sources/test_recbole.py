"""RecBole's atomic files."""

import pytest

from peftrec.data.load import load_tables
from peftrec.data.tables import Users
from peftrec.errors import UserError
from peftrec.recipe import DataConfig

INTER = """user_id:token\titem_id:token\trating:float\ttimestamp:float\tdwell:float
u2\ti9\t4\t881250949\t
u1\ti1\t3.5\t881250950\t7
u1\ti7\t2\t881250940\t8
"""
ITEM = """item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tprice:float
i1\tToy "Story\t1995\tAnimation Comedy\t1.5
i7\tHeat\t\tCrime\t
"""


def write(folder, inter=INTER, item=ITEM, name="films", **others):
    for kind, text in {"inter": inter, "item": item, **others}.items():
        (folder / f"{name}.{kind}").write_text(text, encoding="utf-8")
    return DataConfig(source="recbole", path=str(folder))


def test_a_folder_as_recbole_reads_it(tmp_path):
    tables = load_tables(write(tmp_path, user="user_id:token\tage:token\nu1\t24\nu3\t30\n"))
    items, events, users = (tables.named[name] for name in ("items", "events", "users"))
    assert (items.ids, items.texts) == (["i1", "i7"], ['Toy "Story. 1995. Animation Comedy', "Heat. Crime"])
    assert (events.user_ids, events.item.tolist(), events.time.tolist()) == (["u1"], [1, 0], [881250940, 881250950])
    assert {name: column.tolist() for name, column in events.columns.items()} == {"rating": [2, 3.5], "dwell": [8, 7]}
    assert isinstance(users, Users) and users.ids == ["u1", "u3"]
    assert tables.notes == [
        f"{tmp_path}/films.inter: 1 of 3 rows are of 1 items without a text, such as 'i9', and are left out"
    ]


def test_other_names_no_times_and_numbers_that_some_rows_lack(tmp_path):
    inter = "who:token\twhat:token\tstars:float\tplays:float\na\t1\t\t3\nb\t2\t1\t4\na\t2\t2\t5\n"
    tables = load_tables(write(tmp_path, inter, "what:token\tname:token_seq\n1\tOne\n2\tTwo\n"))
    events = tables.named["events"]
    assert events.time is None and list(events.columns) == ["plays"]
    assert events.columns["plays"].tolist() == [3, 5, 4]
    assert "users" not in tables.named
    assert tables.notes == [f"{tmp_path}/films.inter: 1 of 3 rows have no stars, which is left out"]


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(UserError, match=r"data\.path: recbole needs the folder of NAME\.inter and NAME\.item"):
        load_tables(DataConfig(source="recbole"))
    with pytest.raises(UserError, match=r"must hold one file NAME\.inter; there is none"):
        load_tables(DataConfig(source="recbole", path=str(tmp_path)))
    with pytest.raises(UserError, match=r"films\.item: no column 'item_id' as films\.inter has; found sku, name"):
        load_tables(write(tmp_path, item="sku:token\tname:token\n1\tx\n"))
    with pytest.raises(
        UserError, match=r"films\.item: no token or token_seq column beside item_id, so that items have"
    ):
        load_tables(write(tmp_path, item="item_id:token\tprice:float\ni1\t1\n"))
    with pytest.raises(
        UserError, match=r"films\.inter: the first line names columns with a type of .* found 'item_id'"
    ):
        load_tables(write(tmp_path, inter="user_id:token\titem_id\nu1\ti1\n"))
    with pytest.raises(UserError, match=r"films\.inter: needs token columns of users and of items; found a, b"):
        load_tables(write(tmp_path, inter="a:token\tb:float\nu1\t1\n"))
    write(tmp_path, name="more")
    with pytest.raises(UserError, match=r"must hold one file NAME\.inter; found films\.inter, more\.inter"):
        load_tables(DataConfig(source="recbole", path=str(tmp_path)))
    (tmp_path / "films.inter").unlink()
    (tmp_path / "more.item").unlink()
    with pytest.raises(UserError, match=r"holds no file more\.item"):
        load_tables(DataConfig(source="recbole", path=str(tmp_path)))
