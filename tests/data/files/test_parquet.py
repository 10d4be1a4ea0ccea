import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peftrec.data.files import read_rows
from peftrec.data.templates import texts_of
from peftrec.errors import UserError
from peftrec.recipe import FileConfig


def read(path, columns=None, **keys):
    return read_rows(FileConfig(path=str(path), **keys), "k", columns)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.decimal128(4, 2)])
def test_a_ratio_is_the_same_number_in_every_type(tmp_path, kind):
    ratios = [n / 10 for n in range(20)] * 10
    values = np.array(ratios, np.float16) if kind == pa.float16() else pa.array(ratios).cast(kind)
    pq.write_table(pa.table({"ratio": pa.array(values, kind)}), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert rows.numbers("ratio").tolist() == ratios
    assert (rows.numbers("ratio") >= 0.7).sum() == 130
    assert texts_of(rows, "{ratio}", "k")[:12] == [
        *("0", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1", "1.1")
    ]


def test_a_price_is_shown_as_it_was_written(tmp_path):
    prices = pa.table({"a": pa.array([19.99, 5.0], pa.float32()), "b": [Decimal("19.90"), Decimal("5.00")]})
    pq.write_table(prices, tmp_path / "a.parquet")
    assert texts_of(read(tmp_path / "a.parquet"), "{a} {b}", "k") == ["19.99 19.9", "5 5"]


def test_ids_beyond_53_bits_and_times_with_zones(tmp_path):
    moment = dt.datetime(2024, 5, 31, 18, tzinfo=dt.UTC)
    table = pa.table(
        {
            "id": [2**53 + 1, 2**53 + 2],
            "berlin": pa.array([moment] * 2, pa.timestamp("ms", "Europe/Berlin")),
            "ns": pa.array([moment.replace(tzinfo=None)] * 2, pa.timestamp("ns")),
            "day": [dt.date(2024, 5, 31)] * 2,
            "text": ["1995-01-31"] * 2,
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert rows.ids("id").to_pylist() == ["9007199254740993", "9007199254740994"]
    assert rows.times("berlin").tolist() == rows.times("ns").tolist() == [moment.timestamp()] * 2
    assert rows.times("day").tolist() == [moment.timestamp() - 18 * 3600] * 2
    assert rows.strings("text").to_pylist() == ["1995-01-31"] * 2


def test_categories_are_numbered_as_they_appear(tmp_path):
    codes = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 2], pa.int8()), pa.array(["a", "b", "c"]))
    pq.write_table(pa.table({"a": codes}), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet")
    assert rows.strings("a").to_pylist() == ["c", "a", "", "c"]
    assert rows.labels("a").to_pylist() == ["c", "a", "", "c"]
    with pytest.raises(UserError, match="row 3, column 'a': must not be empty"):
        rows.ids("a")


def test_only_the_wanted_columns_are_read(tmp_path):
    pq.write_table(pa.table({"a": [1], "b": [2], "c": [3]}), tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet", ["c", "z"])
    assert (rows.table.to_pydict(), rows.names) == ({"c": [3]}, ["a", "b", "c"])
    with pytest.raises(UserError, match="no column 'z'; its columns are a, b, c"):
        rows.column("z")


def test_a_folder_divided_by_columns(tmp_path):
    for day, user in (("2024-01-02", "007"), ("2024-01-01", "a%20b"), ("2024-01-01", "__HIVE_DEFAULT_PARTITION__")):
        folder = tmp_path / f"day={day}" / f"user={user}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"item": [1, 2]}), folder / "part-0.parquet")
    rows = read(tmp_path)
    assert rows.names == ["item", "day", "user"]
    assert rows.strings("day").to_pylist() == ["2024-01-01"] * 4 + ["2024-01-02"] * 2
    assert rows.strings("user").to_pylist() == ["", "", "a b", "a b", "007", "007"]
    assert read(tmp_path, ["day"]).strings("day").to_pylist()[-1] == "2024-01-02"
    with pytest.raises(UserError) as error:
        rows.ids("user")
    assert str(error.value).startswith(
        f"{tmp_path}/day=2024-01-01/user=__HIVE_DEFAULT_PARTITION__/part-0.parquet: row 1,"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("separator", ";"), ("encoding", "latin-1"), ("quote", "none"), ("comment", "#")]
)
def test_what_says_nothing_of_parquet_is_refused(tmp_path, name, value):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError) as error:
        read(tmp_path / "a.parquet", **{name: value})
    assert str(error.value) == (
        f"k.{name}: is not read of a parquet file ({tmp_path}/a.parquet); leave it out; found {value!r}"
    )


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nope")
    with pytest.raises(UserError, match=r"k\.path: .*a\.parquet: cannot be read as parquet: "):
        read(tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="cannot be read as parquet: it holds no rows"):
        read(tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": pa.array([b"\xff"]).view(pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"cannot be read as parquet: .*Invalid UTF8"):
        read(tmp_path / "a.parquet")
