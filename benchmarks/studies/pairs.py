"""Pairs of tasks for learning curves: a target of few labelled rows, and a task of many beside it.

A pair says which tables there are, which of their rows a draw has, and what its recipe says of data and tasks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from benchmarks.card.sets import GIVEN, ITEMS, QUERIES, TIMED
from benchmarks.card.tables import (
    Frames,
    clinc150,
    esci,
    movielens_100k,
    online_retail,
    retail_price,
    some,
    twitter_finance,
    xquad,
)

POOL = 10_000  # as `benchmarks.card.tables` counts: so many events, or 2,000 texts, to draw the target's from
OTHERS = 2000  # texts of the other task
TEST = 1000  # rows
LATEST = 0.2  # of events, to test by
TESTED = 0.3  # of queries
VALID = 0.2
ALL = 10**6  # rows: as many as there are
TARGET, OTHER = "few", "many"  # the tables' names, and their tasks'


@dataclass(frozen=True)
class Drawn:
    """What a draw trains on and tests by.

    frames  name -> table, those of TARGET and OTHER with a column `split`
    rows    how many are labelled, those for validation among them
    group   int (N,): of the target's test rows in the order of its table, what an interval draws whole: of texts which
            of the pair's test rows it is, of events whose
    """

    frames: Frames
    rows: int
    group: np.ndarray


@dataclass(frozen=True)
class Pair(ABC):
    """A target with few labels and the task beside it.

    said     what they are
    field    what is chosen by pairs of one field is used in another
    tables   data folder -> tables by name, from which draws are made
    metrics  what the target is measured by: of few test rows log-loss, which training lowers, tells most, and macro-F1
             moves by hundredths from one draw to the next
    over     what intervals are over, beside draws
    shared   whether the target can read the other task's table without that task
    """

    said: str
    field: str
    tables: Callable[[Path], Frames]
    metrics: tuple[str, ...]
    over: ClassVar[str]
    shared: ClassVar[bool]

    @abstractmethod
    def drawn(self, tables: Frames, size: int, random: np.random.Generator) -> Drawn:
        """A draw in which the target has so many labelled rows, a fifth of them for validation."""

    @abstractmethod
    def recipe(self, folder: str, tables: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
        """Data and tasks of a recipe that knows these of TARGET and OTHER; the draw's tables lie in the folder."""


@dataclass(frozen=True)
class TextPair(Pair):
    """Both tasks on texts, each with its own: columns text, label and split, of `kind`."""

    metrics: tuple[str, ...] = ("log_loss", "macro_f1")
    kind: str = "classification"
    over = "test rows"
    shared = False

    def drawn(self, tables: Frames, size: int, random: np.random.Generator) -> Drawn:
        """Of the target's train rows so many, beside all of the other task's; test rows of classes that train rows
        have."""
        target = tables[TARGET]
        known, test = target[target["split"] != "test"], target[target["split"] == "test"].iloc[:TEST]
        known = known.iloc[random.permutation(len(known))[:size]]
        few = known.assign(split=np.where(np.arange(len(known)) < VALID * len(known), "valid", "train"))
        taught = np.ones(len(test), bool)
        if self.kind == "classification":  # no class that the target cannot know
            taught = test["label"].isin(few["label"][few["split"] == "train"]).to_numpy()
        frames = {TARGET: pd.concat([few, test[taught]]), OTHER: tables[OTHER]}
        frames = {name: table[["text", "label", "split"]] for name, table in frames.items()}
        return Drawn(frames, len(few), np.flatnonzero(taught))

    def recipe(self, folder: str, tables: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
        """One of text tables."""
        return {
            "data": {"tables": {name: {**GIVEN, "path": f"{folder}/{name}.parquet"} for name in tables}},
            "tasks": {name: {"kind": self.kind, "table": name, "label": "label"} for name in tasks},
        }


@dataclass(frozen=True)
class SearchPair(Pair):
    """Both tasks `match-query`: the target's few judgments are graded, of queries that lead to `items`, and the other's
    queries lead to one of `passages` each."""

    metrics: tuple[str, ...] = ("ndcg@10",)
    over = "queries"
    shared = False

    def drawn(self, tables: Frames, size: int, random: np.random.Generator) -> Drawn:
        """Of the judgments of queries that are not tested so many; those of whole queries validate."""
        target = tables[TARGET]
        known, test = target[target["split"] != "test"], target[target["split"] == "test"]
        few = known.iloc[random.permutation(len(known))[:size]]
        mine = few["query"].drop_duplicates()  # in an order that is drawn
        until = few.groupby("query").size()[mine].cumsum()
        held = mine[(until > VALID * len(few)).to_numpy().cumsum() < 2]  # up to the query with which there are enough
        few = few.assign(split=np.where(few["query"].isin(held), "valid", "train"))
        frames = {**tables, TARGET: pd.concat([few, test])}
        return Drawn(frames, len(few), pd.factorize(test["query"])[0])

    def recipe(self, folder: str, tables: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
        """One of queries and the catalogues that they lead to."""
        found: dict[str, Any] = {}
        for name in tables:
            items = {TARGET: "items", OTHER: "passages"}[name]
            queries = {**QUERIES, "items": items, "split": "split", "path": f"{folder}/{name}.parquet"}
            found[items] = {**ITEMS, "path": f"{folder}/{items}.parquet"}
            found[name] = queries | ({"label": "grade"} if name == TARGET else {})
        return {
            "data": {"tables": found},
            "tasks": {name: {"kind": "match-query", "table": name} for name in tasks},
        }


@dataclass(frozen=True)
class EventPair(Pair):
    """Both tasks on one log: `interest` with few labelled events, whether their `column` is at least the `threshold`,
    and `next-item` on the others, which have no such column. Tables: items, known (events) and test (later ones)."""

    column: str = "rating"
    threshold: float = 1
    metrics: tuple[str, ...] = ("log_loss", "auc")
    over = "users"
    shared = True

    def drawn(self, tables: Frames, size: int, random: np.random.Generator) -> Drawn:
        """Of the known events so many are the target's and the others the other task's, each divided by time."""
        known, test = tables["known"], tables["test"]
        order = random.permutation(len(known))
        few, many = (known.iloc[own].sort_values("time", kind="stable") for own in (order[:size], order[size:]))
        few = few.assign(split=np.where(np.arange(size) < (1 - VALID) * size, "train", "valid"))
        share = np.arange(len(many)) / len(many)
        many = many.assign(split=np.select([share < 0.8, share < 0.9], ["train", "valid"], "test"))
        target = pd.concat([few, test.assign(split="test")])
        frames = {"items": tables["items"], TARGET: target, OTHER: many.drop(columns=self.column)}
        return Drawn(frames, size, pd.factorize(test["user"])[0])

    def recipe(self, folder: str, tables: Sequence[str], tasks: Sequence[str]) -> dict[str, Any]:
        """One of event tables and their catalogue, which histories are all of."""
        columns = {TARGET: [self.column], OTHER: []}
        events = {
            name: {**TIMED, "split": "split", "path": f"{folder}/{name}.parquet", "columns": columns[name]}
            for name in tables
        }
        kinds: dict[str, dict[str, Any]] = {
            TARGET: {"kind": "interest", "column": self.column, "threshold": self.threshold},
            OTHER: {"kind": "next-item"},
        }
        return {
            "data": {"tables": {"items": {**ITEMS, "path": f"{folder}/items.parquet"}, **events}},
            "tasks": {name: {**kinds[name], "table": name, "history": [*tables]} for name in tasks},
        }


def finance(target: str, data: Path) -> Frames:
    """Of financial news: the table of the target, and the other one."""
    found = twitter_finance(data, POOL)
    return {TARGET: found.pop(target), OTHER: some(next(iter(found.values())), OTHERS)}


def support(data: Path) -> pd.DataFrame:
    """Support utterances, half for the one task and half for the other."""
    found = pd.read_csv(data / "bitext-support/support.csv.gz").rename(columns={"instruction": "text"})
    found = found[["text", "intent", "category"]].drop_duplicates("text").sample(frac=1, random_state=0)
    place = np.arange(len(found))
    return found.assign(split=np.where(place < TEST, "test", "train"), half=place % 2)


def intents_and_categories(target: str, other_label: str, data: Path) -> Frames:
    """27 intents of utterances, or 11 categories, which these belong to; the other ones of other utterances."""
    found = support(data)
    train = found["split"] == "train"
    other = found[train & (found["half"] == 1)].drop(columns="half").rename(columns={other_label: "label"})
    found = found[~train | (found["half"] == 0)].rename(columns={target: "label"})
    return {TARGET: found, OTHER: divided(some(other, OTHERS))}


def intents_and_others(data: Path) -> Frames:
    """27 intents of support; 151 of another source."""
    other = clinc150(data, POOL)["texts"].rename(columns={"intent": "label"})
    return {TARGET: support(data).rename(columns={"intent": "label"}), OTHER: some(other, OTHERS)}


def prices_and_orders(data: Path) -> Frames:
    """Prices of a shop's articles; how many of another article a line of an order has, the median."""
    target = retail_price(data, ALL)["texts"].rename(columns={"price": "label"}).drop_duplicates("text")
    target = target.sample(frac=1, random_state=0)
    target = target.assign(split=np.where(np.arange(len(target)) < TEST, "test", "train"))
    tables = online_retail(data, ALL)
    lines = tables["events"].merge(tables["items"], on="item")
    other = lines[~lines["text"].isin(target["text"][target["split"] == "test"])]
    other = other.groupby("text", as_index=False)["quantity"].median().rename(columns={"quantity": "label"})
    return {TARGET: target, OTHER: divided(some(other, OTHERS))}


def products_and_paragraphs(data: Path) -> Frames:
    """Which products answer a query, graded; which paragraph answers a question."""
    shop, asked = esci(data, ALL), xquad("en", data, ALL)
    queries = np.random.default_rng(0).permutation(shop["queries"]["query"].unique())
    tested = shop["queries"]["query"].isin(queries[: int(len(queries) * TESTED)])
    target = shop["queries"].assign(split=np.where(tested, "test", "train"))
    other = divided(some(asked["queries"], OTHERS))
    return {TARGET: target, OTHER: other, "items": shop["items"], "passages": asked["items"]}


def divided(found: pd.DataFrame) -> pd.DataFrame:
    """Every tenth row to test by, and every tenth to validate by."""
    place = np.arange(len(found)) % 10
    return found.assign(split=np.select([place == 0, place == 1], ["test", "valid"], "train"))


def log_of(read: Callable[[Path, int], Frames], column: str, data: Path) -> Frames:
    """Of a log of whole users the latest events to test by, and those before."""
    found = read(data, POOL)
    events = found["events"][["user", "item", "time", column]]
    late = events["time"] > events["time"].quantile(1 - LATEST)
    return {"items": found["items"], "known": events[~late], "test": some(events[late], TEST)}


PAIRS: dict[str, Pair] = {
    "sentiment": TextPair("sentiment of financial news beside their topics", "finance", partial(finance, "opinions")),
    "topic": TextPair("topics of financial news beside their sentiment", "finance", partial(finance, "topics")),
    "intent and category": TextPair(
        "intents of support beside the categories of other texts",
        "service",
        partial(intents_and_categories, "intent", "category"),
    ),
    "category and intent": TextPair(
        "categories of support beside the intents of other texts",
        "service",
        partial(intents_and_categories, "category", "intent"),
    ),
    "intent and clinc150": TextPair("intents of support beside those of CLINC150", "service", intents_and_others),
    "price": TextPair(
        "prices of a shop's articles beside how many are ordered", "shop", prices_and_orders, ("mae",), "regression"
    ),
    "search": SearchPair(
        "graded products of a search beside paragraphs of questions", "search", products_and_paragraphs
    ),
    "film likes": EventPair(
        "whether films are liked beside which are watched",
        "films",
        partial(log_of, movielens_100k, "rating"),
        column="rating",
        threshold=4,
    ),
    "bulk orders": EventPair(
        "whether a dozen or more are ordered beside which articles are",
        "shop",
        partial(log_of, online_retail, "quantity"),
        column="quantity",
        threshold=12,
    ),
}
