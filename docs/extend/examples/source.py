"""A data set of one's own: books whose reviews lie inside them, which no list of columns could name.

`books.jsonl`: {"id": "b1", "title": "Emma", "reviews": [{"reader": "r1", "stars": 5, "date": "2024-06-01"}]}
"""

from pathlib import Path

import pyarrow as pa

from peftrec.data.entry import make_events, make_items
from peftrec.data.rows import Rows
from peftrec.data.tables import Tables
from peftrec.errors import UserError
from peftrec.machine.jsonl import read_objects
from peftrec.recipe import EventsConfig, ItemsConfig


def load(path: Path | None) -> Tables:
    """Items and events with the column `stars`. `path` is the folder of books.jsonl. Raises UserError."""
    if path is None:
        raise UserError("data.path: books needs the folder of books.jsonl")
    file = path / "books.jsonl"
    books = list(read_objects(file).values())
    reviews = [{"book": book["id"], **review} for book in books for review in book["reviews"]]
    # `make_items` and `make_events` check ids, times and numbers, and name file, row and column where one is wrong.
    items = make_items(
        Rows(str(file), pa.Table.from_pylist([{"id": book["id"], "title": book["title"]} for book in books])),
        ItemsConfig(path=str(file), id="id", text="{title}"),
    )
    events = make_events(
        Rows(f"{file}, reviews", pa.Table.from_pylist(reviews)),
        EventsConfig(path=str(file), user="reader", item="book", time="date", columns=["stars"]),
        items,
    )
    notes = ["books: a review counts as read on the day it was written"]
    return Tables({"items": items, "events": events}, notes)
