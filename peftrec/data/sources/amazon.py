"""Amazon reviews of one category: a file of reviews, and `meta_*` with the products, JSON lines, also .gz.

Ni et al. 2019, Justifying Recommendations (the forms of 2014 and 2018); Hou et al. 2024, Bridging Language and Items
(that of 2023, arXiv:2403.03952). What they call the same:

                   user        item         time                       rating   review               product
    2014, 2018     reviewerID  asin         unixReviewTime             overall  summary, reviewText  title, brand
    2023           user_id     parent_asin  timestamp (milliseconds)   rating   title, text          title, store

An item's text is its title, brand or store, and categories, as far as there are any, joined by '. '.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from peftrec.data.entry import make_events, make_texts
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources.common import described_items, of_known_items, only_file, text_of_columns
from peftrec.data.tables import Table, Tables
from peftrec.errors import UserError, shown
from peftrec.recipe import EventsConfig, FileConfig, TextsConfig

# User, item, time, rating, and the texts of a review.
_OF_2018 = ("reviewerID", "asin", "unixReviewTime", "overall", "summary", "reviewText")
_OF_2023 = ("user_id", "parent_asin", "timestamp", "rating", "title", "text")
_PRODUCT = ("title", "brand", "store", "category", "categories", "main_category")


def load(path: Path | None) -> Tables:
    """Items; events with the column `rating`; texts `reviews` with the label `rating`. `path` is the folder.

    Raises UserError.
    """
    if path is None:
        raise UserError("data.path: amazon needs the folder of a category's reviews and its meta_*.json(l), also .gz")
    files = sorted(
        file for form in ("*.json", "*.jsonl") for packed in ("", ".gz") for file in path.glob(form + packed)
    )
    about = [file for file in files if file.name.startswith("meta")]
    written = _read(only_file(path, "of reviews (.json or .jsonl)", [f for f in files if f not in about]))
    item, products = _products(only_file(path, "meta_* (.json or .jsonl)", about))
    items = described_items(products, item, text_of_columns(products, [n for n in _PRODUCT if n in products.names]))
    known, notes = of_known_items(written, "item", items)
    events = make_events(known, EventsConfig(path="", user="user", item="item", time="time", columns=["rating"]), items)
    tables: dict[str, Table] = {"items": items, "events": events}
    notes = [*items.notes, *notes, *events.notes]
    texts = written.strings("text").to_pylist()
    there = np.array([bool(text) for text in texts])
    if there.any():
        rows = Rows(written.file, written.table.filter(pa.array(there)).drop_columns(["user", "item"]))
        tables["reviews"] = make_texts(rows, TextsConfig(path="", text="{text}", label="rating", time="time"))
        if not there.all():
            notes.append(f"{rows.file}: {int((~there).sum()):,} of {len(there):,} reviews have no text")
    return Tables(tables, notes)


def _read(file: Path) -> Rows:
    """The columns user, item, time (in seconds), rating and text of a file of reviews. Raises UserError."""
    rows = read_rows(FileConfig(path=str(file)), "data", [*_OF_2018, *_OF_2023])
    of = next((names for names in (_OF_2018, _OF_2023) if set(names[:4]) <= set(rows.names)), None)
    if of is None:
        forms = " or ".join(", ".join(names[:4]) for names in (_OF_2018, _OF_2023))
        raise UserError(f"{file}: no file of reviews, whose rows have {forms}; found {shown(', '.join(rows.names))}")
    times = rows.numbers(of[2]) / (1000 if of is _OF_2023 else 1)
    text = text_of_columns(rows, [name for name in of[4:] if name in rows.names])
    columns = {"user": rows.column(of[0]), "item": rows.column(of[1]), "time": times, "rating": rows.column(of[3])}
    return Rows(rows.file, pa.table({**columns, "text": pa.array(text, pa.string())}))


def _products(file: Path) -> tuple[str, Rows]:
    """The column of the id, and the rows of a file of products. Raises UserError."""
    rows = read_rows(FileConfig(path=str(file)), "data", ["asin", "parent_asin", *_PRODUCT])
    return "parent_asin" if "parent_asin" in rows.names else "asin", rows
