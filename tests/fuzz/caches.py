"""Cache folders: bytes, values, names; what is answered stays what it is without a cache."""

import json
import os
from pathlib import Path
from random import Random

import numpy as np
from fuzz.changes import as_json, changed, damaged, deep, put, replaced
from fuzz.judge import Case
from fuzz.rows import ROWS
from fuzz.world import World

from peftrec.model.cache.store import ENTRY


def cache_case(random: Random, world: World) -> Case:
    """One or two changes of a key that the run or its priors use, then a verb that reads the cache."""
    key = random.choice(sorted(path.parent for path in world.cache.glob("*/key.json")))
    change = " and ".join(_changed(key, world, random) for _ in range(random.choice([1, 1, 2])))
    put(world.case / "rows.jsonl", b"".join(as_json(row) + b"\n" for row in ROWS["query"]))
    predict = ["predict", "run", "--task", "query", "--input", "rows.jsonl"]
    begin = key.name[: random.choice([0, 1, 8, 99])]
    ways = [[["evaluate", "run"]], [predict], [predict, predict], [["cache", "ls"]], [["cache", "ls", "--json"]]]
    return Case(change, random.choice([*ways, [["cache", "clear"]], [["cache", "clear", begin]]]))


def _changed(key: Path, world: World, random: Random) -> str:
    files = sorted(path for path in key.iterdir() if path.is_file() and not path.is_symlink())
    file = random.choice(files) if files else key / "states"
    way = random.choice(["bytes", "bytes", "bytes", "values", "entries", "entries", "lost", "replaced", "more"])
    if way == "bytes":
        put(file, damaged(file.read_bytes() if files else b"", random))
    elif way == "values":
        file = key / "key.json"
        with_values = file.is_file() and random.random() < 0.8
        put(file, as_json(changed(_json(file), random)) if with_values else deep(100_000).encode())
    elif way == "entries":
        file = key / "index"
        entries = np.frombuffer(file.read_bytes() if file.is_file() else b"", ENTRY, -1 if _whole(file) else 0).copy()
        for _ in range(min(len(entries), 3)):
            entry, field = random.randrange(len(entries)), random.choice(ENTRY.names or ())
            bits = np.dtype(ENTRY[field]).itemsize * 8
            number = random.choice([0, 1, 2**bits - 1, 2 ** (bits - 1) - 1, 2 ** (bits - 1), random.getrandbits(bits)])
            entries[field][entry] = np.array(number, f"<u{bits // 8}").view(ENTRY[field])
        put(file, entries.tobytes())
    elif way == "lost":
        file.unlink(missing_ok=True)
    elif way == "more":
        file = key.parent / random.choice([f"{key.name}x", ".removed-x", "[x]", "\x1b[31mx"])
        file.mkdir(exist_ok=True)
        put(
            file / "key.json",
            random.choice([b"{}", b"[]", b'{"name": "\\u001b[31m[x]", "level": "layer", "layer": 1}']),
        )
        for name in ("index", "use"):
            put(file / name, b"")
    else:
        return f"{file.name}: {replaced(file, world.outside, random)}"
    return f"{file.name}: {way}"


def _json(file: Path) -> object:
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return {}


def _whole(file: Path) -> bool:
    return file.is_file() and os.stat(file).st_size % ENTRY.itemsize == 0
