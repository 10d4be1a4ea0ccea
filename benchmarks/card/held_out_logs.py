"""Published logs that no default was chosen by, in the form of `benchmarks.card.held_out`: none is of films."""

from pathlib import Path

import pandas as pd

from benchmarks.card.tables import FEWER, Frames, some, some_users

_UNKNOWN = "?"


def musical_instruments(data: Path, rows: int) -> Frames:
    """J. McAuley's Amazon 5-core reviews of 2014, as copied in Musical_instruments_reviews.csv: stars by day.

    The reviews name products by their id alone, which is then all the text that an item has.
    """
    found = _reviews(data).rename(columns={"reviewerID": "user", "asin": "item", "unixReviewTime": "time"})
    events = some_users(found[["user", "item", "time", "rating"]], rows).reset_index(drop=True)
    return {"items": _named(events["item"], "product"), "events": events}


def instrument_reviews(data: Path, rows: int) -> Frames:
    """The same reviews as texts with their stars."""
    found = _reviews(data).dropna(subset=["reviewText"]).rename(columns={"reviewText": "text"})
    found = found.assign(text=found["text"].str.strip()).drop_duplicates("text")[["text", "rating"]]
    return {"texts": some(found, rows // FEWER).reset_index(drop=True)}


def _reviews(data: Path) -> pd.DataFrame:
    found = pd.read_csv(data / "musical-instruments/Musical_instruments_reviews.csv")
    return found.rename(columns={"overall": "rating"})


def amazon_hin(data: Path, rows: int) -> Frames:
    """librahu/HIN-Datasets-for-Recommendation-and-Network-Embedding, Amazon: stars by day, numbers instead of names.

    Of an item the brand and the categories are known, by number too.
    """
    folder = data / "amazon-hin"
    events = pd.read_csv(folder / "user_item.dat", sep="\t", names=["user", "item", "rating", "time"])
    events = some_users(events.astype({"rating": float}), rows).reset_index(drop=True)
    brands = pd.read_csv(folder / "item_brand.dat", names=["item", "brand"]).drop_duplicates("item")
    of = pd.read_csv(folder / "item_category.dat", names=["item", "category"]).astype({"category": str})
    kinds = of.groupby("item")["category"].agg(" ".join).reset_index()
    items = _named(events["item"], "product").merge(brands, how="left").merge(kinds, how="left")
    return {"items": items.astype({"brand": "Int64"}).astype({"brand": "string"}), "events": events}


def bitcoin_otc(data: Path, rows: int) -> Frames:
    """SNAP's soc-sign-bitcoinotc.csv: how far traders trust each other, from -10 to 10 and never 0, by the second."""
    names = ["user", "item", "rating", "time"]
    events = pd.read_csv(data / "bitcoin-otc/soc-sign-bitcoinotc.csv", names=names).astype({"rating": float})
    events = some_users(events, rows).reset_index(drop=True)
    return {"items": _named(events["item"], "trader"), "events": events}


def cdnow(data: Path, rows: int) -> Frames:
    """Fader and Hardie's CDNOW_master.txt: a shop's orders by day, with how many discs and dollars, and of what not."""
    names = ["user", "day", "discs", "dollars"]
    found = pd.read_csv(data / "cdnow/CDNOW_master.txt", sep=r"\s+", names=names, dtype={"user": str, "day": str})
    time = pd.to_datetime(found["day"], format="%Y%m%d").astype("datetime64[s]").astype("int64")
    events = some_users(found.assign(time=time, item="order").drop(columns="day"), rows).reset_index(drop=True)
    return {"items": pd.DataFrame({"item": ["order"], "text": ["an order of discs"]}), "events": events}


def restaurants(data: Path, rows: int) -> Frames:
    """UCI's restaurant and consumer data, as three files: 0 to 2 of few guests in Mexico, without times."""
    events, places, guests = (
        pd.read_csv(data / f"restaurants/Restaurant {of}.csv", encoding="latin-1")
        for of in ("ratings", "feature data", "customer data")
    )
    events = events.rename(columns={"userID": "user", "placeID": "item"}).astype({"rating": float})
    places = places.rename(columns={"placeID": "item"})
    said = places[["name", "city", "Rambience", "price"]].agg(
        lambda of: ", ".join(str(part) for part in of if part != _UNKNOWN), axis=1
    )
    known = ["alcohol", "smoking_area", "dress_code", "price", "franchise", "area"]
    told = ["drink_level", "ambience", "transport", "personality", "activity", "budget"]
    return {
        "items": places[["item", *known]].assign(text=said),
        "users": guests.rename(columns={"userID": "user"})[["user", "birth_year", *told]],
        "events": some_users(events, rows).reset_index(drop=True),
    }


def video_games(data: Path, rows: int) -> Frames:
    """pmixer/SASRec.pytorch, python/data/Video.txt: who reviewed which game on Amazon, numbers without times."""
    events = pd.read_csv(data / "video-games/Video.txt", sep=" ", names=["user", "item"])
    events = some_users(events, rows).reset_index(drop=True)
    return {"items": _named(events["item"], "game"), "events": events}


def film_trust(data: Path, rows: int) -> Frames:
    """guoguibing/librec, data/filmtrust: half to four stars of films known by number, without times."""
    files = sorted((data / "filmtrust").glob("ratings_*.txt"))
    parts = [pd.read_csv(file, sep=r"\s+", names=["user", "item", "rating"]) for file in files]
    found = pd.concat(parts).drop_duplicates(["user", "item"], keep="last").astype({"rating": float})
    events = some_users(found, rows).reset_index(drop=True)
    return {"items": _named(events["item"], "film"), "events": events}


def anime(data: Path, rows: int) -> Frames:
    """caserec/Datasets-for-Recommender-Systems, Anime: stars of series without times; names, genres and sorts."""
    folder = data / "caserec/anime"
    of = ["user", "item", "rating"]
    events = pd.read_csv(folder / "anime_ratings.dat", sep="\t", names=of, header=0).astype({"rating": float})
    items = pd.read_csv(folder / "anime_info.dat", sep="\t").rename(columns={"anime_ids": "item"})
    items = items.assign(text=items["name"] + ": " + items["genre"].fillna("")).drop_duplicates("item")
    return _known(items[["item", "text", "type"]], events, rows)


def books(data: Path, rows: int) -> Frames:
    """The same, BookCrossing: 1 to 10 of books without times; titles, authors, and how old readers say they are."""
    folder = data / "caserec/book_crossing"
    events = pd.read_csv(folder / "book_ratings.dat", sep="\t").astype({"rating": float})
    told = ["item", "isbn", "title", "author"]
    items = pd.read_csv(
        folder / "items_info.dat", sep="\t", names=told, usecols=range(4), skiprows=1, quoting=3, encoding="latin-1"
    )
    items = items.assign(text=items["title"].fillna("?") + " by " + items["author"].fillna("?"))
    users = pd.read_csv(
        folder / "users_info.dat", sep="\t", names=["user", "place", "age"], usecols=range(3), skiprows=1, quoting=3
    )
    users = users.assign(age=pd.to_numeric(users["age"], errors="coerce"))
    found = _known(items[["item", "text", "author"]], events, rows)
    return found | {"users": users[users["user"].isin(found["events"]["user"])][["user", "age"]]}


def games(data: Path, rows: int) -> Frames:
    """The same, Steam: how many hours a game was played, without times."""
    folder = data / "caserec/steam"
    events = pd.read_csv(folder / "game_play.dat", sep="\t", names=["user", "item", "hours"], header=0)
    items = pd.read_csv(folder / "item_info.dat", sep="\t", names=["item", "text"], header=0)
    return _known(items.drop_duplicates("item"), events.drop_duplicates(["user", "item"]), rows)


def visits(data: Path, rows: int) -> Frames:
    """The same, RetailrocketEcommerce: what visitors looked at and what they bought, without times or names."""
    found = {}
    for name in ("view", "purchase"):
        file = data / f"caserec/RetailRocket_Ecommerce/{name}_ecommerce.dat"
        events = pd.read_csv(file, sep="\t", names=["user", "item", "event"], header=0)[["user", "item"]]
        found[f"{name}s"] = some_users(events, rows).reset_index(drop=True)
    return {"items": _named(pd.concat([of["item"] for of in found.values()]), "article"), **found}


def _known(items: pd.DataFrame, events: pd.DataFrame, rows: int) -> Frames:
    """Events of whole users, of items of the catalogue; items that have events."""
    events = some_users(events[events["item"].isin(items["item"])], rows).reset_index(drop=True)
    return {"items": items[items["item"].isin(events["item"])], "events": events}


def _named(items: "pd.Series[str]", kind: str) -> pd.DataFrame:
    """A catalogue of those items, whose only text is what they are and their id."""
    found = pd.DataFrame({"item": sorted(items.unique())})
    return found.assign(text=kind + " " + found["item"].astype(str))
