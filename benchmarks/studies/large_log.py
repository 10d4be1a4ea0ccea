"""A made log of any size and its catalogue, as the files of a shop: parquet or csv, written in pieces.

    python -m benchmarks.studies.large_log FOLDER --events 50_000_000 --items 1_000_000 --format parquet

Items are chosen by Zipf's law and have short texts; a user has sessions, each some events minutes apart, spread over
two years, and likes what is of two kinds of items. A fiftieth as many users as events. The file is ordered by time.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

PIECE = 1_000_000  # rows made and written at a time
KINDS = 997  # of items
BEGIN, SECONDS = 1_640_995_200, 2 * 365 * 86_400  # of the log: 2022 and 2023
SESSION, PAUSE = 4, 240  # mean events of a session, and mean seconds from one to the next


def write_items(file: Path, count: int) -> None:
    """id, text: 'thing 12 of 3456'."""
    number = np.arange(count)
    text = [f"thing {n % KINDS} of {n // KINDS}" for n in number.tolist()]
    _write(file, [pa.table({"id": _ids("i", number), "text": pa.array(text)})])


def write_events(file: Path, events: int, items: int) -> None:
    """user, item, time (seconds since 1970) and stars (1 to 5), ordered by time."""
    _write(file, (_piece(n, min(PIECE, events - n), events, items) for n in range(0, events, PIECE)))


def _piece(first: int, count: int, events: int, items: int) -> pa.Table:
    """Rows first:first + count of the log: the sessions that begin in that part of its time."""
    random = np.random.default_rng((0, first))
    lengths = random.geometric(1 / SESSION, 2 * count // SESSION + 100)
    sessions = int(np.searchsorted(np.cumsum(lengths), count)) + 1
    lengths = lengths[:sessions]
    users = max(1, events // 50)
    begin = first / events * SECONDS + random.random(sessions) * count / events * SECONDS
    user = np.repeat(random.integers(0, users, sessions), lengths)[:count]
    pause = np.cumsum(random.exponential(PAUSE, lengths.sum()))
    start = np.repeat(np.cumsum(lengths) - lengths, lengths)
    time = (np.repeat(begin, lengths) + pause - pause[start])[:count]
    # Zipf with exponent 1 over `items` ranks, by the inverse of its distribution; popular items are of all kinds.
    item = np.minimum(items ** random.random(count), items - 1).astype(np.int64) * 7919 % items
    liked = (item % KINDS % 16 == user % 16) | (item % KINDS % 16 == user // 16 % 16)
    stars = np.where(liked, 4, 2) + random.integers(0, 2, count) - (random.random(count) < 0.1)
    order = np.argsort(time, kind="stable")
    columns = {"user": _ids("u", user[order]), "item": _ids("i", item[order])}
    return pa.table(columns | {"time": BEGIN + time[order].astype(np.int64), "stars": stars[order].astype(np.int8)})


def _ids(letter: str, numbers: np.ndarray) -> pa.Array:
    known, place = np.unique(numbers, return_inverse=True)
    return pa.array([f"{letter}{n}" for n in known.tolist()]).take(pa.array(place))


def _write(file: Path, tables: Iterable[pa.Table]) -> None:
    writer = None
    for table in tables:
        if writer is None:
            make = pq.ParquetWriter if file.suffix == ".parquet" else pa_csv.CSVWriter
            writer = make(file, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def write_shop(folder: Path, events: int, items: int, suffix: str = "parquet") -> None:
    """items and events in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_items(folder / f"items.{suffix}", items)
    write_events(folder / f"events.{suffix}", events, items)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    given = parser.parse_args()
    write_shop(given.folder, given.events, given.items, given.format)
