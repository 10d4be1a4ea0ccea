"""Tables: csv, jsonl and parquet whose cells, columns, rows or bytes are not as they should be."""

import csv
import gzip
import io
import json
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz.changes import NUMBERS, TEXTS, as_json, damaged, put, replaced, value
from fuzz.judge import Case
from fuzz.world import World

KEYS = {"items": ["id", "text"], "events": ["user", "item", "time"], "queries": ["text", "item", "label"]}


def table_case(random: Random, world: World) -> Case:
    """One of the tables in one of the forms, changed; then `check`, or a training of a step."""
    name, form = (
        random.choice(list(KEYS)),
        random.choice(["csv", "csv", "tsv", "jsonl", "jsonl.gz", "parquet", "parquet"]),
    )
    with (world.case / f"{name}.csv").open(newline="") as file:
        rows: list[dict[str, Any]] = [dict(row) for row in csv.DictReader(file)]
    kind = random.choice(["cells", "cells", "rows", "columns", "bytes", "file"])
    if kind != "bytes":
        _change(rows, kind, random)
    data = _written(rows, form, random)
    if kind == "bytes":
        data = damaged(data, random)
    path = world.case / f"{name}.new.{form}"
    put(path, data)
    change = f"{name}.{form}: {kind}"
    if kind == "file":
        change += f", {replaced(path, world.outside, random)}"
    raw = json.loads(json.dumps(world.recipe))
    raw["data"][name]["path"] = path.name
    raw["train"]["max_steps"] = 1
    put(world.case / "recipe.yaml", as_json(raw))
    commands = ["check", "recipe.yaml"] if random.random() < 0.7 else ["train", "recipe.yaml", "--run", "new"]
    return Case(change, [commands], ["new"])


def _change(rows: list[dict[str, Any]], kind: str, random: Random) -> None:
    columns = list(rows[0])
    if kind == "cells":
        for _ in range(random.choice([1, 1, 5, 200])):
            rows[random.randrange(len(rows))][random.choice(columns)] = _cell(random)
    elif kind == "columns":
        column, way = random.choice(columns), random.randrange(4)
        given = [_cell(random)] * len(rows) if way == 0 else [_cell(random) for _ in rows]
        for row, one in zip(rows, given, strict=True):
            if way == 3:
                row[f"{column} "] = row.pop(column)
            else:
                row[column] = row[random.choice(columns)] if way == 2 else one
    else:
        way = random.randrange(5)
        if way == 0:
            del rows[random.randrange(4) :]
        elif way == 1:
            rows *= 2
        elif way == 2:
            random.shuffle(rows)
        elif way == 3:
            rows[:] = [rows[0]] * len(rows)
        else:
            del rows[1::2]


def _cell(random: Random) -> Any:
    kind = random.randrange(5)
    return random.choice(TEXTS) if kind < 2 else random.choice(NUMBERS) if kind < 4 else value(random)


def _written(rows: list[dict[str, Any]], form: str, random: Random) -> bytes:
    if form == "parquet":
        return _parquet(rows, random)
    if form.startswith("jsonl"):
        lines = b"".join(as_json(row) + b"\n" for row in rows)
        return gzip.compress(lines, mtime=0) if form.endswith("gz") else lines
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["id"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter="\t" if form == "tsv" else ",")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _parquet(rows: list[dict[str, Any]], random: Random) -> bytes:
    """Columns of the type that their values have in common, else texts; some then of a type that is rare."""
    arrays = {}
    for column in dict.fromkeys(key for row in rows for key in row):
        cells = [row.get(column) for row in rows]
        try:
            array = pa.array(cells)
        except (pa.ArrowException, OverflowError, UnicodeError):
            array = pa.array([None if one is None else ascii(one) for one in cells])
        if random.random() < 0.15:
            rare = [
                pa.large_string(),
                pa.binary(),
                pa.float16(),
                pa.uint64(),
                pa.timestamp("ns"),
                pa.date32(),
                pa.bool_(),
            ]
            try:
                array = array.cast(random.choice(rare))
            except pa.ArrowException:
                array = pa.nulls(len(rows)) if random.random() < 0.5 else array.dictionary_encode()
        arrays[column] = array
    file = io.BytesIO()
    pq.write_table(pa.table(arrays), file)
    return file.getvalue()
