"""MIND, Microsoft's news data set: lists of news that were shown to users, and which of them were clicked.

Wu et al. 2020, MIND: A Large-scale Dataset for News Recommendation. Its licence lets nobody pass it on, so it is read
from a folder with `news.tsv` and `behaviors.tsv`, as one of msnews.github.io unpacks.

Each of a row's impressions is an event, clicked or not, in the list that is the row. Its history is what the user had
clicked before, of which no times are known: that of a user's first list stands right before it, a second apart, in no
list. Each such click was really made no later than it is known here, so no row knows what was not known then.

Nothing says when a news was published. How old it is (`age`, a feature of events) is counted from when it first stood
in a list of the log, so that of what is older than the log it says how old the log is.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.entry import make_items, make_texts
from peftrec.data.features import FeatureTable
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.tables import Events, Items, Tables, Texts
from peftrec.errors import UserError
from peftrec.recipe import FileConfig, ItemsConfig, TextsConfig

_NEWS = ["id", "category", "subcategory", "title", "abstract", "url", "title_entities", "abstract_entities"]
_BEHAVIORS = ["id", "user", "time", "history", "impressions"]
_LABELS = ("category", "subcategory")


def load(path: Path | None) -> Tables:
    """Items with the text 'title. abstract', and category and subcategory as columns and features; the same as `texts`
    with these as labels; events with the column `clicked` and the feature `age`: hours since the news was first shown.

    `path` is the folder of the two files. Raises UserError.
    """
    if path is None:
        raise UserError("data.path: mind needs the folder of news.tsv and behaviors.tsv (from msnews.github.io)")
    items, news = _items(_read(source_file(path, "news.tsv"), _NEWS))
    events = _events(_read(source_file(path, "behaviors.tsv"), _BEHAVIORS), items)
    assert events.impression is not None
    before = int((events.impression < 0).sum())
    note = (
        f"MIND tells no times of what users had clicked before: {before:,} such clicks stand right before a user's "
        "first list, a second apart, in no list: they are part of histories alone"
    )
    return Tables({"items": items, "events": events, "texts": news}, [note] if before else [])


def _read(file: Path, names: list[str]) -> Rows:
    """Tab-separated rows of text without a header, in which a quote is a sign like others."""
    return read_rows(FileConfig(path=str(file), separator="\t", header=False, names=names, quote="none"), "data")


def _items(news: Rows) -> tuple[Items, Texts]:
    title, abstract = news.strings("title"), news.strings("abstract")
    known = pc.if_else(pc.equal(abstract, ""), None, abstract)  # one of twenty news has none
    text = pc.binary_join_element_wise(title, known, ". ", null_handling="skip")
    described = Rows(news.file, news.table.append_column("text", text))
    features: dict[str, Literal["number", "category"]] = dict.fromkeys(_LABELS, "category")
    items = make_items(described, ItemsConfig(path=news.file, id="id", text="{text}", features=features))
    columns = {name: news.strings(name).to_pylist() for name in _LABELS}
    texts = make_texts(described, TextsConfig(path=news.file, text="{text}", label="category"))
    return replace(items, columns=columns), texts


def _events(behaviors: Rows, items: Items) -> Events:
    users, times, ids = behaviors.ids("user").dictionary_encode(), _times(behaviors), pa.array(items.ids, pa.string())
    user = users.indices.to_numpy().astype(np.int32)
    row, shown = _split(behaviors, "impressions")
    wrong = np.flatnonzero(pc.invert(pc.match_substring_regex(shown, "^.+-[01]$")).to_numpy(False))
    if len(wrong):
        rule = "must be ids of news that end in -1 (clicked) or -0, which MIND's test set lacks"
        behaviors.fail(int(row[wrong[0]]), "impressions", rule, shown[int(wrong[0])].as_py())
    clicked = pc.ends_with(shown, "-1").to_numpy(False)
    item = _numbers(behaviors, "impressions", row, pc.utf8_slice_codeunits(shown, 0, -2), ids)
    order = np.lexsort((times, user))  # of every user's lists the first in time
    first = np.zeros(len(user), bool)
    first[order[np.diff(user[order], prepend=-1) != 0]] = True
    past_row, past = _split(behaviors, "history")
    kept = first[past_row]
    past_row, past = past_row[kept], past.filter(pa.array(kept))
    past_item = _numbers(behaviors, "history", past_row, past, ids)
    before = np.searchsorted(past_row, past_row, side="right") - np.arange(len(past_row))  # 1 for a history's last
    first_shown = np.full(len(items), np.inf)
    np.minimum.at(first_shown, item, times[row])
    age = np.concatenate([np.full(len(past_row), np.nan), (times[row] - first_shown[item]) / 3600])
    return Events(
        user=np.concatenate([user[past_row], user[row]]),
        item=np.concatenate([past_item, item]),
        time=np.concatenate([times[past_row] - before, times[row]]),
        columns={"clicked": np.concatenate([np.ones(len(past_row)), clicked.astype(np.float64)])},
        user_ids=users.dictionary.to_pylist(),
        clicked="clicked",
        impression=np.concatenate([np.full(len(past_row), -1), row]),
        features=FeatureTable({"age": age.astype(np.float32)}),
    ).ordered()


def _split(behaviors: Rows, column: str) -> tuple[np.ndarray, pa.Array]:
    """The row int64 (M,) and the text of each of a column's members, which spaces part."""
    members = pc.split_pattern(behaviors.strings(column), " ")
    row, text = pc.list_parent_indices(members).to_numpy(False), pc.list_flatten(members)
    there = pc.not_equal(text, "")
    return row[there.to_numpy(False)].astype(np.int64), text.filter(there)


def _numbers(behaviors: Rows, column: str, row: np.ndarray, found: pa.Array, ids: pa.Array) -> np.ndarray:
    """Item numbers int32 of ids. Raises UserError for one that news.tsv lacks."""
    numbers = pc.index_in(found, value_set=ids)
    unknown = np.flatnonzero(pc.is_null(numbers).to_numpy(False))
    if len(unknown):
        behaviors.fail(int(row[unknown[0]]), column, "must be ids of news.tsv", found[int(unknown[0])].as_py())
    return numbers.to_numpy(False).astype(np.int32)


def _times(behaviors: Rows) -> np.ndarray:
    """Seconds since 1970 float64 of times such as '11/11/2019 9:05:58 AM', which are UTC. Raises UserError."""
    encoded = behaviors.strings("time").dictionary_encode()
    codes, seconds = encoded.indices.to_numpy(False), []
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        try:
            moment = datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC)
        except ValueError:
            row = int(np.flatnonzero(codes == code)[0])
            behaviors.fail(row, "time", "must be a time such as 11/11/2019 9:05:58 AM", text)
        seconds.append(moment.timestamp())
    return np.array(seconds)[codes]
