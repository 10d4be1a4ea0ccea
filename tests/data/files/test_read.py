import gzip
import json
import os
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from peftrec.data.files import read_rows
from peftrec.errors import UserError
from peftrec.recipe import FileConfig

ROWS = [{"id": "1", "title": "Heat, part 2"}, {"id": "2", "title": "NA"}]


def write_csv(file: Path, separator: str = ",") -> None:
    lines = [f"id{separator}title", f'1{separator}"Heat, part 2"', f"2{separator}NA"]
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "wt", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def write_json(file: Path, array: bool = False) -> None:
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "wt", encoding="utf-8") as out:
        out.write(json.dumps(ROWS) if array else "\n".join(json.dumps(row) for row in ROWS))


FORMATS = {
    "a.csv": write_csv,
    "a.csv.gz": write_csv,
    "a.tsv": lambda file: write_csv(file, "\t"),
    "a.tsv.gz": lambda file: write_csv(file, "\t"),
    "a.jsonl": write_json,
    "a.jsonl.gz": write_json,
    "a.json": lambda file: write_json(file, array=True),
    "A.PARQUET": lambda file: pq.write_table(pa.Table.from_pylist(ROWS), file),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def connect(*arguments, **options):
        raise AssertionError("reading a local file must not use the network")

    monkeypatch.setattr("socket.getaddrinfo", connect)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.load, "increase_load_count", connect)


@pytest.mark.parametrize("name", [*FORMATS, "odd [1] * name?.csv"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    FORMATS.get(name, write_csv)(tmp_path / name)
    assert read_rows(FileConfig(path=str(tmp_path / name)), "data.items").table.to_pylist() == ROWS


def test_the_formats_are_all_those_that_the_message_names():
    assert len(FORMATS) == 8


def test_a_changed_file_is_read_anew_and_nothing_stays_in_the_cache(tmp_path):
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    before = sorted(cache.rglob("*")) if cache.exists() else []
    file = tmp_path / "a.csv"
    file.write_text("id,title\n1,old\n")
    stamp = file.stat()
    assert read_rows(FileConfig(path=str(file)), "k").table.to_pylist() == [{"id": "1", "title": "old"}]
    file.write_text("id,title\n1,new\n")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert read_rows(FileConfig(path=str(file)), "k").table.to_pylist() == [{"id": "1", "title": "new"}]
    assert (sorted(cache.rglob("*")) if cache.exists() else []) == before


def test_csv_fields_stay_text_whatever_later_rows_hold(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("\ufeffid,title\n" + "007,1\n" * 3 + ",\n" + "null,1.50\n", encoding="utf-8")
    table = read_rows(FileConfig(path=str(file)), "k").table.to_pydict()
    assert table == {"id": ["007"] * 3 + ["", "null"], "title": ["1"] * 3 + ["", "1.50"]}


WRONG = {
    "missing.csv": (None, "data.items.path: no such file: {path}"),
    "no such thing": (None, "data.items.path: no such file: {path}"),
    "a.xlsx": ("x", "data.items.path: {path}: cannot be read as Excel: File is not a zip file"),
    "a.doc": ("x", "data.items.path: {path}: unknown kind of file; give csv, tsv, jsonl (each also .gz, .bz2, .xz"),
    "empty.csv": ("", "data.items.path: {path}: it is empty"),
    "twice.csv": ("a,a\n1,2\n", "{path}: the first line must name the columns, each once; found ['a', 'a']"),
    "headed.csv": ("a,b\n", "{path}: cannot be read as csv: it holds no rows"),
    "ragged.csv": (
        "a,b\n1,2\n3,4,5\n",
        "{path}: cannot be read with the separator ',': line 3: has 3 fields, the first line has 2; quote fields that",
    ),
    "wide.csv": ("a,b\n1,2,3\n", "line 2: has 3 fields, the first line has 2; quote fields that hold the separator"),
    "quote.csv": (
        'a,b\n1,"2,3\n',
        "cannot be read with the separator ',': line 2: a quoted field does not end, and read without quotes line",
    ),
    "latin.csv": (b"a,b\n1,\xff\n", "{path}: line 2 is not UTF-8; write encoding: latin-1, if"),
    "far.csv": (b"a,b\n" + b"1,2\n" * 250_000 + b"1,\xff\n", "{path}: line 250002 is not UTF-8; write encoding: "),
    "torn.csv.gz": (gzip.compress(b"a,b\n1,2\n")[:10] + b"\xff" * 20, "{path}: cannot be read: Error -3"),
    "cut.csv.gz": (gzip.compress(b"a,b\n1,2\n")[:-9], "{path}: cannot be read"),
    "bad.jsonl": ('{"a": 1}\n{"a":\n', "{path}: cannot be read as jsonl: line 2: Expecting value"),
    "empty.jsonl": ("", "{path}: cannot be read as jsonl"),
    "bad.parquet": ("nope", "{path}: cannot be read as parquet: Parquet file size is 4 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path, name, capfd):
    content, message = WRONG[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read_rows(FileConfig(path=str(path)), "data.items")
    assert message.format(path=path) in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_wrong_files_are_all_tried():
    assert len(WRONG) == 17


def test_a_relative_path_that_is_not_there_is_said_to_count_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        read_rows(FileConfig(path="items.csv"), "data.items")
    assert str(error.value) == f"data.items.path: no such file: items.csv (looked in {tmp_path})"


CHINESE = {"a": ["1", "2"], "标题": ["红楼梦", "西游记"]}


def chinese(suffix: str, encoding: str) -> bytes:
    rows = [dict(zip(CHINESE, values, strict=True)) for values in zip(*CHINESE.values(), strict=True)]
    if suffix == "jsonl":
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    else:
        separator = "," if suffix == "csv" else "\t"
        text = "\n".join(separator.join(line) for line in ([*CHINESE], *(row.values() for row in rows)))
    return text.encode(encoding)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("packed", [False, True])
def test_utf8_with_a_byte_order_mark_is_read_and_other_encodings_are_named_with_the_remedy(tmp_path, suffix, packed):
    file = tmp_path / f"a.{suffix}{'.gz' * packed}"
    for encoding, message in {
        "utf-8": None,
        "utf-8-sig": None,
        "gbk": "line 1 is not UTF-8; write encoding: gb18030, if that is what it is in",
        "utf-16": "line 1 is not UTF-8; write encoding: utf-16, if that is what it is in",
    }.items():
        content = chinese(suffix, encoding)
        file.write_bytes(gzip.compress(content) if packed else content)
        if message is None:
            assert read_rows(FileConfig(path=str(file)), "k").table.to_pydict() == CHINESE
        else:
            with pytest.raises(UserError) as error:
                read_rows(FileConfig(path=str(file)), "k")
            assert str(error.value) == f"k.path: {file}: {message}"


def test_a_field_given_twice_in_a_line_of_json_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "t": "a"}\n{"id": 2, "t": "a", "t": "b"}\n')
    with pytest.raises(UserError, match=r"a\.jsonl: cannot be read as jsonl: .* specified twice"):
        read_rows(FileConfig(path=str(tmp_path / "a.jsonl")), "k")


def test_several_files_by_a_pattern_are_one_table_in_the_order_of_their_names(tmp_path):
    for name, content in {
        "log-b.csv": "u,t\nb,3\nb,zz\n",
        "log-a.csv": "t,u\n1,a\n2,a\n",
        "other.csv": "x\n1\n",
    }.items():
        (tmp_path / name).write_text(content)
    rows = read_rows(FileConfig(path=str(tmp_path / "log-*.csv")), "k")
    assert rows.table.to_pydict() == {"t": ["1", "2", "3", "zz"], "u": ["a", "a", "b", "b"]}
    with pytest.raises(UserError) as error:
        rows.numbers("t")
    assert str(error.value) == f"{tmp_path}/log-b.csv: row 2, column 't': must be a finite number; found 'zz'"
    with pytest.raises(UserError) as error:
        rows.unique_ids("u")
    assert "log-a.csv: row 2, column 'u': must be unique, and row 1 has it already" in str(error.value)
    assert len(read_rows(FileConfig(path=str(tmp_path / "**/log-?.csv")), "k", ["t"])) == 4
    with pytest.raises(UserError, match=r"k\.path: no file matches .*none-\*\.csv"):
        read_rows(FileConfig(path=str(tmp_path / "none-*.csv")), "k")
    with pytest.raises(UserError, match=r"files that are read as one must have equal columns: .*log-a.csv has 't'"):
        read_rows(FileConfig(path=str(tmp_path / "*.csv")), "k")


def test_a_repetition_in_another_file_names_both(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("id\n1\n")
    with pytest.raises(UserError) as error:
        read_rows(FileConfig(path=str(tmp_path / "*.csv")), "k").unique_ids("id")
    assert str(error.value) == (
        f"{tmp_path}/b.csv: row 1, column 'id': must be unique, and {tmp_path}/a.csv: row 1 has it already; found '1'"
    )


def test_files_of_several_kinds_of_values_are_texts(tmp_path):
    (tmp_path / "a-1.jsonl").write_text('{"a": 1984}\n')
    (tmp_path / "a-2.jsonl").write_text('{"a": "Heat"}\n')
    rows = read_rows(FileConfig(path=str(tmp_path / "a-*.jsonl")), "k")
    assert rows.strings("a").to_pylist() == ["1984", "Heat"]


def test_a_key_that_the_kind_of_file_does_not_read_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UserError) as error:
        read_rows(FileConfig(path=str(tmp_path / "a.jsonl"), header=False, names=["a"]), "data.items")
    assert str(error.value) == (
        f"data.items.header: is not read of a JSON file ({tmp_path}/a.jsonl); leave it out; found False"
    )
