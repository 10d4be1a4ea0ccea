"""Events that tests make, and the examples of tasks on them."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from made import made

from peftrec.data.dataset import Dataset
from peftrec.data.tables import Events, Items, Tables
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import DataConfig, TaskConfig

ITEMS = Items([f"i{n}" for n in range(6)], ["a", "b", "c", "d", "a", "e"])  # items 0 and 4 share a text


def make(rows, users=4) -> Events:
    """Events from (user, item, time, rating) rows."""
    user, item, time, rating = (np.asarray([row[n] for row in rows], float) for n in range(4))
    names = [f"u{n}" for n in range(users)]
    return Events(user.astype(np.int32), item.astype(np.int32), time, {"rating": rating}, names).ordered()


def build(kind, events, split=None, history=3, items=ITEMS, **task):
    texts = TextTable()
    data = DataConfig(source="x", split=split or {"test": 0.3, "valid": 0.2}, history=history)
    return made(kind=kind, **task).examples(Tables({"items": items, "events": events}), texts, data, 0)


def beside(kind, few, seen, data=None, history=("few", "seen"), **task):
    """The examples of a task on the events `few`, whose histories are of these tables."""
    data = data or DataConfig(source="x", split={"test": 0.3, "valid": 0.2})
    tables = Tables({"items": ITEMS, "few": few, "seen": seen})
    return made(kind=kind, table="few", history=list(history), **task).examples(tables, TextTable(), data, 0)


LIKED = TaskConfig(kind="interest", threshold=3)


def two_tables(times=True, history=("few", "seen"), config=LIKED):
    """A task on few events with ratings, whose history may have many without; the events of both, and the task's data
    set."""
    random = np.random.default_rng(2)
    moments = np.repeat(np.arange(900), random.integers(0, 3, 900)).tolist()
    few = make([(random.integers(9), random.integers(6), of, random.integers(1, 6)) for of in range(0, 900, 10)], 9)
    seen = make([(random.integers(9), random.integers(6), of, 0) for of in moments], 9)
    seen.columns.clear()
    if not times:
        few, seen = (replace(of, time=None) for of in (few, seen))
    data = beside(few=few, seen=seen, history=history, **config.model_dump(exclude_unset=True))
    return (few, seen), Dataset(TextTable(), {}, [], {"task": data})


def parts(data):
    return {"train": data.train, "valid": data.valid, "test": data.test}


# 30 or more events over few moments: many ties, and every split has rows.
event_rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 12), st.integers(1, 5)), min_size=30, max_size=80
)


BUILDERS = {
    "interest": ("interest", {"threshold": 3}),
    "interest as a number": ("interest", {"loss": "mse"}),
    "regression": ("regression", {"column": "rating"}),
    "next-gap": ("next-gap", {}),
}


def build_or_none(builder, events, **options):
    try:
        return build(builder, events, **options)
    except UserError as error:
        if any(reason in str(error) for reason in ("empty", "one class", "one value", "one gap")):  # of the drawn data
            return None
        raise


def timeline(count=10, user=0, start=0):
    return [(user, n % 6, start + 100 * n, 1 + n % 5) for n in range(count)]


def rated(rating, count=900, users=4, **task):
    """A data set of the task `task`, regression, over events of users at random times.

    `rating`: (user, place among theirs, random) -> what they say.
    """
    random, rows = np.random.default_rng(0), []
    for user in range(users):
        times = np.cumsum(random.integers(50, 5000, count // users))
        rows += [(user, random.integers(6), time, rating(user, n, random)) for n, time in enumerate(times.tolist())]
    texts, data = TextTable(), DataConfig(source="x", split={"test": 0.2, "valid": 0.2}, history=10)
    tables = Tables({"items": ITEMS, "events": make(rows)})
    built = made(kind="regression", column="rating", **task).examples(tables, texts, data, 0)
    return Dataset(texts, {}, [], {"task": built})


def chaotic():
    """The same where a rating follows from its user's one before, by a tent: medians and lines say nothing of it."""
    last = {}

    def rating(user, n, random):
        last[user] = np.clip(1 - 2 * abs(last.get(user, 0.3)) + 0.05 * random.normal(), -1, 1)
        return last[user]

    return rated(rating)
