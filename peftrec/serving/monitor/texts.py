"""Texts with times, of a file in order of their times or of JSON lines as they come."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from peftrec.data.files import read_input
from peftrec.data.templates import texts_of
from peftrec.data.times import doubt_future, moment
from peftrec.errors import Problems, UserError, cut, shown
from peftrec.machine.jsonl import no_repeats

COLUMNS = ("time", "text", "topic")
LONGEST = 1 << 20  # bytes of a line of a stream


@dataclass(frozen=True)
class Text:
    """A text of a time (seconds since 1970), what it is about where the input says so, and where it stood."""

    time: float
    text: str
    topic: str | None
    place: str


def read_texts(path: Path) -> list[Text]:
    """The texts of a table by its ending (csv, jsonl, parquet, ...), by time. Raises UserError for all mistakes."""
    table = read_input(path)
    times, texts, topics = np.zeros(len(table)), [""] * len(table), [""] * len(table)
    problems = Problems()
    with problems.collect():
        times = table.times("time")
    with problems.collect():
        texts = texts_of(table, "{text}", "text")
    if "topic" in table.names:
        with problems.collect():
            topics = table.strings("topic").to_pylist()
    problems.stop()
    return [
        Text(float(times[n]), texts[n], topics[n].strip() or None, f"{path}: row {n + 1}")
        for n in np.argsort(times, kind="stable").tolist()
    ]


def stream_texts(lines: BinaryIO) -> Iterator[Text]:
    """The texts of JSON lines, each as soon as its line is there. Raises UserError naming line, key, rule and value."""
    number = 0
    while line := lines.readline(LONGEST):
        number += 1
        place = f"stdin: row {number}"
        if len(line) == LONGEST and not line.endswith(b"\n"):
            raise UserError(f"{place}: a line has at most {LONGEST:,} bytes")
        if not line.strip():
            continue
        try:
            yield _text(line, place)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None


def _text(line: bytes, place: str) -> Text:
    try:
        row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=no_repeats)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise UserError(f"must be a JSON object; found {cut(line.decode().strip(), 60)}")
    if others := [key for key in row if key not in COLUMNS]:
        raise UserError(f"a row has the keys {', '.join(COLUMNS)}; found {shown(others[0])}")
    time, text = moment(row.get("time")), row.get("text")
    if doubt := doubt_future(np.array([time])):
        raise UserError(f"column 'time': {doubt.rule}; found {shown(row['time'])}")
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"column 'text': must be a text that is not empty; found {shown(text)}")
    return Text(time, text, _topic(row.get("topic")), place)


def _topic(given: Any) -> str | None:
    if given is not None and not isinstance(given, str):
        raise UserError(f"column 'topic': must be a text or null; found {shown(given)}")
    return (given or "").strip() or None
