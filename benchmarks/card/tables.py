"""Published data sets as plain tables, thinned: what a default recipe is trained on and the baselines read.

Each function takes the folder that holds the data sets' folders and how many rows of events may be kept (of texts a
fifth as many), and returns the tables by name with the columns that `benchmarks.card.sets` names.
"""

import gzip
import importlib.util
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Frames = dict[str, pd.DataFrame]
FEWER = 5  # texts kept are so many times fewer than events: each is read by the backbone
FEW, FEW_TEST = 10, 1_000  # rows a class of few-shot training, and rows to test it on


def some(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many rows, drawn, in the order they had."""
    return frame if len(frame) <= most else frame.sample(most, random_state=0).sort_index()


def some_users(events: pd.DataFrame, most: int) -> pd.DataFrame:
    """All events of as many users, drawn, as have at most so many together."""
    counts = events.groupby("user").size().sample(frac=1, random_state=0)
    kept = counts.index[counts.cumsum() <= max(most, counts.iloc[0])]
    return events[events["user"].isin(kept)]


def drawn_valid(frame: pd.DataFrame, share: float = 0.1) -> pd.DataFrame:
    """A share of the train rows, drawn, becomes the validation rows that the data set lacks."""
    train = frame.index[frame["split"] == "train"].to_numpy()
    chosen = np.random.default_rng(0).choice(train, int(share * len(train)), replace=False)
    return frame.assign(split=frame["split"].where(~frame.index.isin(chosen), "valid"))


def clinc150(data: Path, rows: int) -> Frames:
    """Utterances with their intent, as the data set divides them."""
    content = json.loads((data / "clinc150/data_full.json").read_text(encoding="utf-8"))
    split = {"train": "train", "val": "valid", "test": "test"}
    found = [(text, label, split[name.removeprefix("oos_")]) for name, of in content.items() for text, label in of]
    return {"texts": some(pd.DataFrame(found, columns=["text", "intent", "split"]), rows // FEWER)}


def bitext(data: Path, rows: int) -> Frames:
    """Support utterances with their intent."""
    found = pd.read_csv(data / "bitext-support/support.csv.gz").rename(columns={"instruction": "text"})
    return {"texts": some(found[["text", "intent"]], rows // FEWER)}


def bitext_few(data: Path, rows: int) -> Frames:
    """The same with ten utterances an intent to learn from, two of them for validation."""
    found = pd.read_csv(data / "bitext-support/support.csv.gz").rename(columns={"instruction": "text"})
    found = found[["text", "intent"]].sample(frac=1, random_state=0)
    place = found.groupby("intent").cumcount()
    found["split"] = np.select([place < FEW - 2, place < FEW], ["train", "valid"], "test")
    known, test = found[found["split"] != "test"], found[found["split"] == "test"]
    return {"texts": pd.concat([known, some(test, min(FEW_TEST, rows))])}


def bitext_answers(data: Path, rows: int) -> Frames:
    """Which answer belongs to an utterance."""
    found = some(pd.read_csv(data / "bitext-support/support.csv.gz"), rows // (2 * FEWER))
    number, answers = pd.factorize(found["response"])
    items = pd.DataFrame({"item": [f"a{n}" for n in range(len(answers))], "text": answers})
    return {
        "items": items,
        "queries": pd.DataFrame({"query": found["instruction"], "item": items["item"].to_numpy()[number]}),
    }


def twitter_finance(data: Path, rows: int) -> Frames:
    """Tweets with their topic, others with their sentiment; the publisher's validation rows are the test."""
    folder, found = data / "twitter-finance", {}
    files = {"topics": ("topic_train.parquet", "topic_validation.parquet")}
    files |= {"opinions": ("sentiment_train.csv", "sentiment_valid.csv")}
    for name, parts in files.items():
        read = [pd.read_parquet(folder / p) if p.endswith("parquet") else pd.read_csv(folder / p) for p in parts]
        of = pd.concat([part.assign(split=split) for part, split in zip(read, ("train", "test"), strict=True)])
        found[name] = drawn_valid(some(of.reset_index(drop=True), rows // FEWER))
    return found


def crosswoz(data: Path, rows: int) -> Frames:
    """What a user's turn is about: those with acts of one domain."""
    found = []
    for part, split in (("val", "train"), ("test", "test")):
        with zipfile.ZipFile(data / f"crosswoz/{part}.json.zip") as packed:
            dialogues = json.loads(packed.read(f"{part}.json"))
        for message in (turn for dialogue in dialogues.values() for turn in dialogue["messages"]):
            domains = {act[1] for act in message["dialog_act"]} - {"General", "greet", "thank", "bye", "none"}
            if message["role"] == "usr" and len(domains) == 1:
                found.append((message["content"], domains.pop(), split))
    return {"texts": drawn_valid(some(pd.DataFrame(found, columns=["text", "domain", "split"]), rows // FEWER))}


def esci(data: Path, rows: int) -> Frames:
    """Graded judgments of whole queries, and the products that were judged."""
    content = json.loads((data / "esci-us-sample/esci_us_judgments.json").read_text(encoding="utf-8"))
    judged = pd.DataFrame(
        [
            (of["query"], rating["docId"], float(rating["rating"]))
            for of in content["judgmentRatings"]
            for rating in of["ratings"]
        ],
        columns=["query", "item", "grade"],
    )
    judged = some_users(judged.rename(columns={"query": "user"}), rows // FEWER).rename(columns={"user": "query"})
    with gzip.open(data / "esci-us-sample/esci_us_products.jsonl.gz", "rt", encoding="utf-8") as lines:
        products = pd.DataFrame([json.loads(line) for line in lines]).fillna("")
    products = products[products["asin"].isin(judged["item"])].drop_duplicates("asin")
    texts = products[["title", "brand", "color"]].agg(lambda of: ". ".join(str(part) for part in of if part), axis=1)
    return {"items": pd.DataFrame({"item": products["asin"], "text": texts}), "queries": judged}


def xquad(language: str, data: Path, rows: int) -> Frames:
    """Which paragraph answers a question."""
    with gzip.open(data / f"xquad/xquad.{language}.json.gz", "rt", encoding="utf-8") as packed:
        articles = json.load(packed)["data"]
    paragraphs = [of for article in articles for of in article["paragraphs"]]
    items = pd.DataFrame(
        {"item": [f"p{n}" for n in range(len(paragraphs))], "text": [p["context"] for p in paragraphs]}
    )
    asked = [(qa["question"], f"p{n}") for n, of in enumerate(paragraphs) for qa in of["qas"]]
    return {"items": items, "queries": some(pd.DataFrame(asked, columns=["query", "item"]), rows // FEWER)}


def movielens_100k(data: Path, rows: int) -> Frames:
    """Ratings and films of the `recbole` package."""
    films, ratings = recbole_table("item"), recbole_table("inter")
    text = films["movie_title"] + " (" + films["release_year"] + "). " + films["class"].str.replace(" ", ", ")
    events = ratings.set_axis(["user", "item", "rating", "time"], axis=1)
    events = events.astype({"rating": float, "time": float})
    return {"items": pd.DataFrame({"item": films["item_id"], "text": text}), "events": some_users(events, rows)}


def recbole_table(of: str) -> pd.DataFrame:
    """A table of MovieLens-100k by its ending: a tab-separated file, columns name:type, as texts."""
    package = importlib.util.find_spec("recbole")
    if package is None or package.origin is None:
        raise SystemExit("movielens-100k comes with a package: pip install --no-deps recbole==1.2.1")
    file = Path(package.origin).parent / f"dataset_example/ml-100k/ml-100k.{of}"
    found = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, quoting=3)
    return found.rename(columns=lambda name: name.partition(":")[0])


def ml_latest(data: Path, rows: int) -> Frames:
    """Ratings of half a star to five."""
    ratings = pd.read_csv(data / "ml-latest-small/ratings.csv")
    events = ratings.rename(columns={"userId": "user", "movieId": "item", "timestamp": "time"})
    events = some_users(events, rows)
    return {"items": _ml_films(data, events["item"]), "events": events}


def ml_tags(data: Path, rows: int) -> Frames:
    """What people wrote on a film, as queries for it."""
    tags = pd.read_csv(data / "ml-latest-small/tags.csv").rename(columns={"tag": "query", "movieId": "item"})
    tags = tags[~tags["query"].str.lower().isin(["in netflix queue"])].drop_duplicates(["query", "item"])
    tags = some(tags, rows // FEWER)
    return {"items": _ml_films(data, tags["item"]), "queries": tags[["query", "item"]]}


def _ml_films(data: Path, wanted: "pd.Series[Any]") -> pd.DataFrame:
    films = pd.read_csv(data / "ml-latest-small/movies.csv")
    text = films["title"] + ". " + films["genres"].str.replace("|", ", ", regex=False)
    return pd.DataFrame({"item": films["movieId"], "text": text})[films["movieId"].isin(wanted)]


def movietweetings(data: Path, rows: int) -> Frames:
    """Ratings from 0 to 10; most users have a few."""
    folder = data / "movietweetings-100k"
    events = colons(folder / "ratings.dat.gz", ["user", "item", "rating", "time"]).astype(
        {"rating": float, "time": float}
    )
    events = some_users(events, rows)
    films = colons(folder / "movies.dat.gz", ["item", "title", "genres"])
    films = films[films["item"].isin(events["item"])]
    text = films["title"] + ". " + films["genres"].str.replace("|", ", ", regex=False)
    return {"items": pd.DataFrame({"item": films["item"], "text": text}), "events": events}


def colons(file: Path, names: list[str]) -> pd.DataFrame:
    """A packed file whose fields stand between `::`, as texts; it names no columns."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return pd.DataFrame([line.rstrip("\n").split("::") for line in lines], columns=names)


def lastfm(data: Path, rows: int) -> Frames:
    """Artists that people listened to; no times."""
    folder = data / "lastfm-hetrec2011"
    plays = pd.read_csv(folder / "user_artists.dat.gz", sep="\t", encoding="latin-1")
    events = some_users(plays.set_axis(["user", "item", "plays"], axis=1), rows)
    artists = pd.read_csv(folder / "artists.dat.gz", sep="\t", encoding="latin-1", quoting=3, header=None)
    artists = artists[artists[0].isin(events["item"])]
    return {"items": pd.DataFrame({"item": artists[0], "text": artists[1].astype(str)}), "events": events}


def online_retail(data: Path, rows: int) -> Frames:
    """Order lines of a shop: the lines of one order have one time."""
    events = pd.read_parquet(data / "online-retail/events.parquet").rename(
        columns={"user_id": "user", "item_id": "item"}
    )
    seconds = (events["time"] - pd.Timestamp(0)) / pd.Timedelta(seconds=1)
    events = some_users(events.assign(time=seconds)[["user", "item", "time", "quantity", "price"]], rows)
    items = pd.read_parquet(data / "online-retail/items.parquet")
    items = items[items["item_id"].isin(events["item"])]
    return {"items": pd.DataFrame({"item": items["item_id"], "text": items["title"]}), "events": events}


def retail_price(data: Path, rows: int) -> Frames:
    """The median price of an article, by its description."""
    items = pd.read_parquet(data / "online-retail/items.parquet").rename(columns={"title": "text"})
    return {"texts": some(items[["text", "price"]], rows // FEWER)}
