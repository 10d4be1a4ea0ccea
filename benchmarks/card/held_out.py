"""Published data sets that no default was chosen by: each was first trained when every rule stood as it is.

Each function is one of `benchmarks.card.tables`' form. Where its files are from stands in its first line; a folder of
each, under the folder of all data sets, holds them as they are published.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.card.tables import FEW, FEWER, Frames, drawn_valid, some, some_users

FEW_TEST = 1_500
_SPLITS = {"train_few_all": "train", "dev_few_all": "valid", "test_public": "test"}


def _banking(data: Path) -> pd.DataFrame:
    """PolyAI-LDN/task-specific-datasets, banking_data: questions to a bank with their intent."""
    parts = [pd.read_csv(data / f"banking77/{part}.csv").assign(split=part) for part in ("train", "test")]
    found = pd.concat(parts, ignore_index=True).rename(columns={"category": "intent"})
    return found.assign(text=found["text"].str.strip())


def banking77(data: Path, rows: int) -> Frames:
    """As the data set divides them."""
    return {"texts": drawn_valid(some(_banking(data), rows // FEWER).reset_index(drop=True))}


def banking77_few(data: Path, rows: int) -> Frames:
    """Ten questions an intent to learn from, two of them for validation."""
    return _few(_banking(data))


def hwu64_few(data: Path, rows: int) -> Frames:
    """xliuhw/NLU-Evaluation-Data, the first fold's trainset: what people tell a home robot; ten an intent likewise."""
    parts = [pd.read_csv(file, sep=";") for file in sorted((data / "hwu64").glob("*.csv"))]
    found = pd.concat(parts, ignore_index=True)
    found = found.assign(text=found["answer_from_anno"].str.strip(), intent=found["scenario"] + "_" + found["intent"])
    return _few(found[["text", "intent"]].dropna().drop_duplicates("text").reset_index(drop=True))


def _few(found: pd.DataFrame) -> Frames:
    found = found.sample(frac=1, random_state=1)
    place = found.groupby("intent").cumcount()
    found["split"] = np.select([place < FEW - 2, place < FEW], ["train", "valid"], "test")
    found = found.sort_index()
    kept = [found[found["split"] != "test"], some(found[found["split"] == "test"], FEW_TEST)]
    return {"texts": pd.concat(kept, ignore_index=True)}


def vader(name: str, data: Path, rows: int) -> Frames:
    """cjhutto/vaderSentiment, hutto_ICWSM_2014: sentences with the mean of ten people's scores, from -4 to 4."""
    file = data / f"vader/{name}_GroundTruth.txt"
    found = pd.read_csv(file, sep="\t", header=None, names=["id", "score", "text"], quoting=3).dropna()
    found = found.assign(text=found["text"].str.strip()).drop_duplicates("text")
    return {"texts": some(found[["text", "score"]], rows // FEWER).reset_index(drop=True)}


def vader_mood(name: str, data: Path, rows: int) -> Frames:
    """The same as negative (below -0.5), positive (above 0.5) and neutral."""
    found = vader(name, data, rows)["texts"]
    mood = np.select([found["score"] < -0.5, found["score"] > 0.5], ["negative", "positive"], "neutral")
    return {"texts": pd.DataFrame({"text": found["text"], "mood": mood})}


def fewclue(name: str, text: str, label: str, data: Path, rows: int) -> Frames:
    """CLUEbenchmark/FewCLUE, datasets: Chinese texts with a class, its few train and dev rows and its public test."""
    parts = []
    for part, split in _SPLITS.items():
        found = pd.read_json(data / f"fewclue/{name}/{part}.json", lines=True, dtype=False)
        parts.append(
            pd.DataFrame(
                {"text": found[text].astype(str).str.strip(), "class": found[label].astype(str), "split": split}
            )
        )
    all_ = pd.concat(parts, ignore_index=True)
    return {"texts": all_[all_["text"] != ""].drop_duplicates("text").reset_index(drop=True)}


def goodbooks(column: str, data: Path, rows: int) -> Frames:
    """zygmuntz/goodbooks-10k: books with their authors, and a number that readers made of each."""
    found = pd.read_csv(data / "goodbooks-10k/books.csv")
    texts = pd.DataFrame({"text": found["title"] + " by " + found["authors"], column: found[column].astype(float)})
    return {"texts": some(texts.drop_duplicates("text"), rows // FEWER).reset_index(drop=True)}


def groceries(data: Path, rows: int) -> Frames:
    """The groceries of members of a shop by day, as often copied as Groceries_dataset.csv."""
    found = pd.read_csv(data / "groceries/Groceries_dataset.csv").set_axis(["user", "time", "item"], axis=1)
    found["time"] = pd.to_datetime(found["time"], format="%d-%m-%Y").astype("datetime64[s]").astype("int64")
    found = found.assign(item=found["item"].str.strip()).drop_duplicates().sort_values("time", kind="stable")
    items = pd.DataFrame({"item": sorted(found["item"].unique())})
    return {
        "items": items.assign(text=items["item"]),
        "events": some_users(found.reset_index(drop=True), rows).reset_index(drop=True),
    }
