"""How a case changes what it is given: plain values, texts, bytes, files. All draws are from `random`."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

TEXTS = (
    *(
        "",
        " ",
        "\n",
        "\0",
        "null",
        "nan",
        "1e400",
        "-1",
        "0x10",
        "true",
        "..",
        "../outside/secret.txt",
        "/etc/hostname",
    ),
    *("[/x]", "[bold]", "\x1b[31mred\x1b[0m", "\u202e\u2028", "\ud83d\ude00", "a" * 5000, "{title}", "{0.__class__}"),
    *(
        "evil:load",
        "os:system",
        "w1 w2 w3",
        "i3",
        "u1",
        "2024-13-01",
        "2020-09-14T10:00:00+25:00",
        "%s%n",
        "*",
        "shared",
    ),
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    10**9,
    2**31,
    2**63,
    -(2**63),
    10**400,
    0.5,
    -0.0,
    1e-320,
    1e38,
    1e300,
    float("nan"),
    float("inf"),
)


def deep(levels: int = 3000) -> str:
    """JSON (and YAML) that is nested deeper than a reader that calls itself can follow."""
    return "[" * levels + "]" * levels


def value(random: Random, depth: int = 2) -> Any:
    """Any plain value: what JSON can say."""
    kind = random.randrange(7 if depth else 5)
    if kind < 2:
        return random.choice(TEXTS)
    if kind < 4:
        return random.choice(NUMBERS)
    if kind == 4:
        return random.choice([None, True, False])
    inside = [value(random, depth - 1) for _ in range(random.randrange(3))]
    return inside if kind == 5 else {str(random.choice(TEXTS)): one for one in inside}


def places(whole: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every value inside `whole`."""
    inside = whole.items() if isinstance(whole, dict) else enumerate(whole) if isinstance(whole, list) else ()
    for key, one in inside:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(whole: Any, random: Random) -> Any:
    """A copy of a plain value with one thing in it replaced by something near or far, lost, or doubled."""
    whole = copy.deepcopy(whole)
    found = list(places(whole))
    if not found or random.random() < 0.02:
        return value(random)
    *path, last = random.choice(found)
    holder = whole
    for key in path:
        holder = holder[key]
    was, kind = holder[last], random.randrange(8)
    if kind == 0:
        del holder[last]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{last}x"] = holder.pop(last)
    elif kind == 1:
        holder.append(was)
    elif kind == 2 and isinstance(was, list | dict) and was:
        holder[last] = list(was) * 2
    elif kind == 3 and isinstance(was, int | float) and not isinstance(was, bool):
        holder[last] = random.choice([was + 1, was - 1, -was, was * 1000, float(was), str(was)])
    elif kind == 4:
        other = whole
        for key in random.choice(found):
            other = other[key]
        holder[last] = copy.deepcopy(other)
    else:
        holder[last] = value(random)
    return whole


def damaged(data: bytes, random: Random) -> bytes:
    """Bytes cut off, overwritten, put in, taken out or doubled at a random place."""
    at, many = random.randrange(len(data) + 1), random.choice([1, 1, 2, 8, 64])
    noise = random.choice([random.randbytes(many), b"\0" * many, b"\xff" * many, b'"', b"\n", b"\xff\xfe", b"[" * 3000])
    kind = random.randrange(5)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + noise + data[at:]
    if kind == 2:
        return data[:at] + data[at + many :]
    if kind == 3:
        return data[:at] + data[max(0, at - 100) :]
    return data[:at] + noise + data[at + len(noise) :]


def put(file: Path, data: bytes) -> None:
    """Write bytes to a file, in the place of whatever stands there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.write_bytes(data)


def as_json(whole: Any) -> bytes:
    """As Python writes JSON, NaN and lone surrogates included."""
    return json.dumps(whole).encode()


def replaced(file: Path, outside: Path, random: Random) -> str:
    """Put something in a file's place that is no such file; says what."""
    file.parent.mkdir(parents=True, exist_ok=True)
    what = random.choice(
        ["link to a secret", "link to nothing", "link to a folder", "link to /dev/zero", "fifo", "folder"]
    )
    file.unlink(missing_ok=True)
    if what == "fifo":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    else:
        to = {
            "secret": outside / "secret.txt",
            "nothing": outside / "nothing",
            "folder": outside,
            "/dev/zero": "/dev/zero",
        }
        file.symlink_to(to[what.split()[-1]])
    return what
