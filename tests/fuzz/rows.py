"""Rows to predict, and what is asked of `recommend`."""

from random import Random
from typing import Any

from fuzz.changes import NUMBERS, TEXTS, as_json, changed, damaged, deep, put, replaced
from fuzz.judge import Case
from fuzz.world import TASKS, World

HISTORY = [{"item": "i3", "value": 4, "time": 1_600_000_000}, {"item": "i4", "value": 1, "time": "2020-09-20T10:00:00"}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "query": [{"query": "w1 w2", "item": "i3"}, {"query": "w7", "item_text": "w8 w9"}],
    "interest": [{"user": "u1", "item": "i3"}, {"history": HISTORY, "item": "i5", "time": 1_700_000_000}],
    "time": [
        {"user": "u2", "item": "i1", "time": 1_700_000_000},
        {"history": HISTORY, "item": "i5", "time": 1_700_000_000},
    ],
    "next": [{"user": "u1", "item": "i3"}, {"history": ["i1", "i2"], "item": "i9"}, {"history": [], "item": "i9"}],
}

WEIGHTS = [
    "interest=1,next=0.5",
    "next=-1",
    "query=1",
    "interest=1,price=2",
    "time=1",
    "interest=1e400",
    "interest=x",
    "=,=",
]
OPTIONS = {
    "--candidates": ["i1,i2,i3", "", "i1,no", "i1," * 3000],
    "--exclude": ["i1,i2,i3", "", "no"],
    "--where": ["price < 20", "a == 1 and b", "(" * 3000, "not " * 3000, "x in ('a',)", "__import__('os').system('x')"],
    "--diversity": ["0.3", "1", "-1", "nan", "x"],
}


def row_case(random: Random, world: World) -> Case:
    """Rows that are changed as values, or as bytes; or a `recommend` with anything in its options."""
    task = random.choice(list(TASKS))
    if random.random() < 0.25:
        return _recommend(task, random)
    rows: Any = ROWS[task]
    for _ in range(random.choice([0, 1, 1, 2, 5])):
        rows = changed(rows, random)
    lines = b"".join(as_json(row) + b"\n" for row in (rows if isinstance(rows, list) else [rows]))
    kind = random.randrange(8)
    if kind == 0:
        lines = damaged(lines, random)
    elif kind == 1:
        lines = deep(100_000).encode()
    file = world.case / "rows.jsonl"
    put(file, lines)
    what = replaced(file, world.outside, random) if kind == 2 else ""
    if "fifo" in what or "zero" in what:  # it waits for the writer that the user promised, or reads all he named
        put(file, lines)
    command = ["predict", "run", "--task", task, "--input", "rows.jsonl"]
    to = [[], ["--output", "answers.jsonl"], ["--output", "run"], ["--output", "no/where"]][
        random.choice([0, 1, 1, 2, 3])
    ]
    return Case(f"{task} {what}: {lines[:500]!r}", [command + to], ["answers.jsonl"])


def _recommend(task: str, random: Random) -> Case:
    way = random.choice(["--user", "--history", "--query"])
    known = {
        "--user": ["u1", "u15"],
        "--history": ["i1,i2", "", "i1,,i2", "i3," * 3000],
        "--query": ["w1 w2", "w1 " * 9999],
    }
    given = random.choice(known[way] if random.random() < 0.5 else [*TEXTS, *map(str, NUMBERS)])
    k = random.choice(["1", "3", "20", "21", str(10**9), str(10**400), "0", "-1", "x"])
    json = ["--json"] * (random.random() < 0.5)
    by = [f"--task={task}"] if random.random() < 0.7 else [f"--weights={random.choice(WEIGHTS)}"]
    more = [f"{name}={random.choice([*of, *TEXTS])}" for name, of in OPTIONS.items() if random.random() < 0.2]
    return Case(
        f"{way} {given[:100]!r} -k {k[:20]} {by} {more}"[:500],
        [["recommend", "run", *by, f"{way}={given}", "-k", k, *json, *more]],
    )
