"""Run folders of strangers: bytes, values and names are changed, and the manifest is then often written to fit."""

import json
import os
import shutil
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from fuzz.changes import TEXTS, as_json, changed, damaged, deep, put, replaced, value
from fuzz.judge import Case
from fuzz.rows import ROWS
from fuzz.world import TASKS, World
from safetensors.numpy import load_file, save_file

from peftrec.machine.files import to_json, write_manifest


def run_case(random: Random, world: World) -> Case:
    """One or two changes of a run, then a verb that reads it."""
    run = world.case / "run"
    ways = [_bytes, _values, _values, _tensors, _columns, _names, _manifest]
    way = random.choice(ways)
    change = way(run, world, random)
    if way is not _manifest and (way is not _bytes or random.random() < 0.6):
        change += f", manifest {_fit(run)}"
    return Case(change, *_verb(random, world))


def _verb(random: Random, world: World) -> tuple[list[list[str]], list[str]]:
    task = random.choice(list(TASKS))
    put(world.case / "rows.jsonl", b"".join(as_json(row) + b"\n" for row in ROWS[task]))
    shutil.copytree(world.root / "shop/run", world.case / "other")
    return random.choice(
        [
            ([["evaluate", "run"]], []),
            ([["predict", "run", "--task", task, "--input", "rows.jsonl"]], []),
            ([["predict", "run", "--task", task, "--input", "rows.jsonl"]], []),
            ([["recommend", "run", "--task", "next", "--user", "u1", "-k", "3"]], []),
            ([["recommend", "run", "--task", "interest", "--history", "i1,i2", "--json"]], []),
            ([["compare", "other", "run"]], []),
            ([["compare", "run", "other", "--json"]], []),
            ([["report", "run", "--output", "run.html"]], ["run.html"]),
            ([["export", "run", "--task", task, "--output", "adapter"]], ["adapter"]),
            ([["train", "recipe.yaml", "init_from=run", "train.max_steps=1", "--run", "new"]], ["new"]),
        ]
    )


def _fit(run: Path) -> str:
    """Write the manifest anew over all there is, where our own writer can."""
    try:
        (run / "manifest.json").unlink(missing_ok=True)
        for path in run.rglob("*"):
            if path.is_file() and (path.is_symlink() and not path.resolve().is_relative_to(run)):
                break
        else:
            write_manifest(run)
            return "rewritten"
    except OSError:
        pass
    return _list(run)


def _list(run: Path, more: dict[str, Any] | None = None) -> str:
    """A manifest as a stranger writes it: by what each name leads to, whatever that is."""
    import hashlib

    entries = dict(more or {})
    for path in sorted(run.rglob("*")):
        if path.is_file() and not str(path.resolve()).startswith("/dev"):
            data = path.read_bytes()
            entries[path.relative_to(run).as_posix()] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (run / "manifest.json").unlink(missing_ok=True)
    (run / "manifest.json").write_text(to_json({"files": entries}) + "\n")
    return "written by a stranger"


def _file(run: Path, random: Random, *ends: str) -> Path:
    return random.choice(sorted(p for p in run.rglob("*") if p.is_file() and p.name.endswith(ends or ("",))))


def _bytes(run: Path, world: World, random: Random) -> str:
    file = _file(run, random)
    put(file, damaged(file.read_bytes(), random))
    return f"bytes of {file.relative_to(run)}"


def _values(run: Path, world: World, random: Random) -> str:
    """A JSON or YAML file, read and changed as values, or nested without end."""
    file = _file(run, random, ".json", ".yaml", "model.json", "run.yaml", "metrics.jsonl", "adapter_config.json")
    if random.random() < 0.05:
        put(file, deep(100_000).encode())
        return f"{file.relative_to(run)} nested"
    if file.name == "metrics.jsonl":
        lines: Any = [json.loads(line) for line in file.read_text().splitlines()]
        for _ in range(3):
            lines = changed(lines, random)
        put(file, b"".join(as_json(line) + b"\n" for line in (lines if isinstance(lines, list) else [lines])))
        return "values of metrics.jsonl"
    whole = yaml.safe_load(file.read_text()) if file.suffix == ".yaml" else json.loads(file.read_text())
    after = whole
    for _ in range(random.choice([1, 1, 1, 3])):
        after = changed(after, random)
    data = as_json(after)
    if file.suffix == ".json":
        put(file, data)
    else:
        put(file, data)
    return f"values of {file.relative_to(run)}"


def _tensors(run: Path, world: World, random: Random) -> str:
    """Weights under other names, of other shapes or types, or not finite."""
    file = _file(run, random, ".safetensors")
    tensors = load_file(file)
    name, way = random.choice(sorted(tensors)), random.randrange(6)
    of = tensors[name]
    if way == 0:
        del tensors[name]
    elif way == 1:
        tensors[f"{name}{random.choice(TEXTS[:20])}"] = tensors.pop(name)
    elif way == 2:
        tensors[name] = np.full_like(of, random.choice([np.nan, np.inf, -1e38]))
    elif way == 3:
        tensors[name] = np.zeros(random.choice([(), (0,), (1,), (*of.shape, 1), of.shape[::-1], (3, 0, 2)]), of.dtype)
    elif way == 4:
        with np.errstate(all="ignore"):
            tensors[name] = of.astype(random.choice([np.float16, np.float64, np.int64, np.int8, np.bool_]))
    else:
        tensors["more"] = of
    try:
        save_file(tensors, file)
    except Exception:  # a name that it cannot write
        put(file, b"")
    return f"{name} of {file.relative_to(run)}, way {way}"


def _columns(run: Path, world: World, random: Random) -> str:
    """A parquet file with a column's values, type, name or length changed."""
    file = _file(run, random, ".parquet")
    table = pq.read_table(file)
    name, way = random.choice(table.column_names), random.randrange(7)
    at, column = table.column_names.index(name), table[name]
    if way == 0:
        table = table.drop_columns([name])
    elif way == 1:
        table = table.slice(0, random.choice([0, 1, table.num_rows // 2]))
    elif way == 2:
        table = table.rename_columns([f"{one}x" if one == name else one for one in table.column_names])
    elif way == 3:
        cells = column.to_pylist()
        for _ in range(random.choice([1, 1, 5])):
            cells[random.randrange(len(cells))] = random.choice(
                [None, -1, 2**31, 10**6, -(2**63), float("nan"), 0.5, *TEXTS]
            )
        table = table.set_column(at, name, _array(cells, column.type, random))
    elif way == 4:
        types = [pa.string(), pa.int8(), pa.float64(), pa.bool_(), pa.binary(), pa.null(), pa.large_string()]
        try:
            column = column.cast(random.choice(types))
        except pa.ArrowException:
            column = pa.nulls(table.num_rows)
        table = table.set_column(at, name, column)
    elif way == 5:
        table = table.append_column(name, column)  # twice the same name
    else:
        table = table.take(pa.array(random.sample(range(table.num_rows), table.num_rows)))
    pq.write_table(table, file)
    return f"{name} of {file.relative_to(run)}, way {way}"


def _array(cells: list, kind: pa.DataType, random: Random) -> pa.Array:
    value_type = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        array = pa.array(cells, value_type)
        return array.dictionary_encode() if value_type is not kind else array
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
        return pa.array([None if one is None else ascii(one) for one in cells])


def _names(run: Path, world: World, random: Random) -> str:
    """Files that are lost, renamed, more, or no files."""
    file, way = _file(run, random), random.randrange(6)
    name = str(file.relative_to(run))
    if way == 0:
        file.unlink()
        return f"{name} lost"
    if way == 1:
        to = random.choice([f"{name}x", f"{name.upper()}", f"adapters/{file.name}", "evil.py", "sitecustomize.py"])
        (run / to).parent.mkdir(parents=True, exist_ok=True)
        file.rename(run / to)
        return f"{name} renamed to {to}"
    if way == 2:
        more = random.choice(
            ["evil.py", "adapters/x\x1b[31m.json", "a" * 250, "adapters/query/pytorch_model.bin", "heads/[x]"]
        )
        put(run / more, b"import os\nos.system('id')\n")
        return f"{more[:40]!r} put in"
    if way == 3:
        link = run / random.choice(["adapters", "heads", "test"])
        shutil.move(link, world.outside / link.name)
        link.symlink_to(world.outside / link.name)
        return f"{link.name} a link to a folder outside"
    return f"{name}: {replaced(file, world.outside, random)}"


def _manifest(run: Path, world: World, random: Random) -> str:
    """The manifest alone: values changed, or names that it must not have."""
    file, way = run / "manifest.json", random.randrange(4)
    if way == 0:
        put(file, (to_json(changed(json.loads(file.read_text()), random)) + "\n").encode("utf-8", "replace"))
        return "values of the manifest"
    if way == 1:
        data = random.choice([deep(100_000), to_json({"files": {}}) + "\n", to_json(value(random)) + "\n", "{}"])
        put(file, data.encode("utf-8", "replace"))
        return f"manifest: {data[:40]}"
    names = [
        "../outside/secret.txt",
        "/etc/hostname",
        "..",
        ".",
        "",
        "a" * 5000,
        "x\0y",
        "run.yaml/..",
        "\x1b[31mx",
        "adapters",
    ]
    name = random.choice([*names, str(world.outside / "secret.txt"), "/dev/zero", os.devnull])
    _list(run, {name: {"bytes": random.choice([32, 0, -1, "x"]), "sha256": "0" * 64}})
    return f"manifest also lists {name[:40]!r}"
