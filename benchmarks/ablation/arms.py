"""The arms of the ablation, and the logs with what they say of items and users beside texts.

text      items are their texts
id        items are what is learned of each: every text is a number that was drawn for the item, and says nothing
both      text and what is learned of the item
features  both, and heads read the features of items and users
joined    features, and those of items join their vectors (`fusion.features`), in histories too
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.card import tables
from benchmarks.card.sets import SETS, recipe_of
from benchmarks.card.tables import Frames

TEXT, ID, BOTH, FEATURES, JOINED = ARMS = ("text", "id", "both", "features", "joined")
# What an arm has more than the other of each pair.
EARNS = {
    "identity": (BOTH, TEXT),
    "text": (BOTH, ID),
    "features": (FEATURES, BOTH),
    "joining them": (JOINED, FEATURES),
}

Features = dict[str, dict[str, str]]  # table -> feature -> number or category


def films(data: Path, frames: Frames) -> Features:
    """The year, and the genres all together, which stand in the text: `Title (1995). Comedy, Drama`."""
    items = frames["items"]
    items["year"] = pd.to_numeric(items["text"].str.extract(r".*\((\d{4})\)")[0])
    items["genres"] = items["text"].str.rpartition(". ")[2]
    return {"items": {"year": "number", "genres": "category"}}


def films_and_people(data: Path, frames: Frames) -> Features:
    """The same, and who the users of MovieLens-100k are."""
    people = tables.recbole_table("user").rename(columns={"user_id": "user"})
    frames["users"] = people.astype({"age": float})[["user", "age", "gender", "occupation"]]
    return films(data, frames) | {"users": {"age": "number", "gender": "category", "occupation": "category"}}


def artists(data: Path, frames: Frames) -> Features:
    """The tag that most people gave to the artist."""
    given = pd.read_csv(data / "lastfm-hetrec2011/user_taggedartists.dat.gz", sep="\t")
    names = pd.read_csv(data / "lastfm-hetrec2011/tags.dat.gz", sep="\t", encoding="latin-1", quoting=3)
    counts = given.groupby(["artistID", "tagID"]).size().reset_index(name="people")
    first = counts.sort_values(["people", "tagID"], ascending=[False, True]).drop_duplicates("artistID")
    tag = first.merge(names, on="tagID").set_index("artistID")["tagValue"]
    frames["items"]["tag"] = tag.reindex(frames["items"]["item"]).fillna("").to_numpy()
    return {"items": {"tag": "category"}}


def articles(data: Path, frames: Frames) -> Features:
    """The median price on a log scale, and the country of the customer."""
    price = pd.read_parquet(data / "online-retail/items.parquet").set_index("item_id")["price"]
    frames["items"]["price"] = np.log1p(price.reindex(frames["items"]["item"]).to_numpy())
    frames["users"] = pd.read_csv(data / "online-retail/users.csv").rename(columns={"user_id": "user"})
    return {"items": {"price": "number"}, "users": {"country": "category"}}


LOGS: dict[str, Callable[[Path, Frames], Features]] = {
    "movielens-100k": films_and_people,
    "ml-latest-small": films,
    "movietweetings": films,
    "lastfm": artists,
    "online-retail": articles,
}


def tables_of(name: str, data: Path, rows: int, arm: str) -> tuple[Frames, Features]:
    """The tables of a log as an arm reads them, and the features that it reads."""
    frames = SETS[name].tables(data, rows)
    features = LOGS[name](data, frames) if arm in (FEATURES, JOINED) else {}
    if arm == ID:
        items = frames["items"]
        items["text"] = [f"item {n}" for n in np.random.default_rng(0).permutation(len(items)).tolist()]
    return frames, features


def arm_recipe(name: str, folder: Path, arm: str, features: Features, seed: int) -> dict[str, Any]:
    """The recipe of an arm whose tables lie in `folder`: that of the score card, and what the arm changes."""
    raw = recipe_of(name, folder)
    if "users" in features:
        raw["data"]["tables"]["users"] = {"kind": "users", "id": "user", "path": str(folder / "users.parquet")}
    for table, of in features.items():
        raw["data"]["tables"][table]["features"] = of
    return raw | {"fusion": {"items": arm != TEXT, "features": arm == JOINED}, "train": {"seed": seed}}
