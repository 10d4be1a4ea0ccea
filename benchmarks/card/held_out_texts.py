"""More published texts that no default was chosen by, in the form of `benchmarks.card.held_out`."""

import json
import re
from pathlib import Path

import pandas as pd

from benchmarks.card.tables import FEWER, Frames, drawn_valid, some


def trec(data: Path, rows: int) -> Frames:
    """Li and Roth's questions (TREC): what sort of answer they ask for, coarse and fine; the test rows as published."""
    found = []
    for file, split in (("train_5500.label", "train"), ("TREC_10.label", "test")):
        for line in (data / f"trec/{file}").read_text(encoding="latin-1").splitlines():
            fine, _, text = line.partition(" ")
            found.append((text.strip(), fine.partition(":")[0], fine, split))
    texts = pd.DataFrame(found, columns=["text", "coarse", "fine", "split"])
    return _thinned(texts, rows)


def snips(data: Path, rows: int) -> Frames:
    """sonos/nlu-benchmark, 2017-06-custom-intent-engines: told to an assistant; validate files are the test."""
    found = []
    for file in sorted((data / "snips").glob("*.json")):
        split = "test" if file.name.startswith("validate") else "train"
        for intent, said in json.loads(file.read_text(encoding="latin-1")).items():
            found += [("".join(part["text"] for part in of["data"]).strip(), intent, split) for of in said]
    return _thinned(pd.DataFrame(found, columns=["text", "intent", "split"]), rows)


def _thinned(texts: pd.DataFrame, rows: int) -> Frames:
    """All test rows, which are few, and of the others as many as are left."""
    test = texts[texts["split"] == "test"]
    known = some(texts[texts["split"] == "train"], max(rows // FEWER - len(test), 1))
    return {"texts": drawn_valid(pd.concat([known, test], ignore_index=True))}


def sms_spam(data: Path, rows: int) -> Frames:
    """UCI's SMSSpamCollection: short messages, an eighth of them spam."""
    names = ["sort", "text"]
    found = pd.read_csv(data / "sms-spam/SMSSpamCollection", sep="\t", names=names, quoting=3, encoding="utf-8-sig")
    return _distinct(found, rows)


def airline_tweets(data: Path, rows: int) -> Frames:
    """CrowdFlower's Tweets.csv: what passengers tell six airlines, three moods."""
    found = pd.read_csv(data / "airline-tweets/Tweets.csv")
    return _distinct(found.rename(columns={"airline_sentiment": "mood"})[["text", "mood"]], rows)


def labelled_sentences(data: Path, rows: int) -> Frames:
    """UCI's sentiment labelled sentences: of three sites, a table each."""
    found = {}
    for of in ("amazon_cells", "imdb", "yelp"):
        lines = (data / f"labelled-sentences/{of}_labelled.txt").read_text(encoding="utf-8").split("\n")
        pairs = [line.rstrip().rpartition("\t") for line in lines]
        told = [(text.strip(), "good" if label == "1" else "bad") for text, _, label in pairs if label in ("0", "1")]
        found[of] = some(pd.DataFrame(told, columns=["text", "mood"]).drop_duplicates("text"), rows // FEWER)
    return {name: frame.reset_index(drop=True) for name, frame in found.items()}


def chinese_reviews(name: str, data: Path, rows: int) -> Frames:
    """SophonPlus/ChineseNlpCorpus: reviews in Chinese, good or bad; where there is a `cat`, of what."""
    (file,) = (data / "chinese-nlp").glob(f"{name}.*")
    found = pd.read_csv(file).rename(columns={"review": "text"}).dropna()
    return _distinct(found.assign(mood=found["label"].map({0: "bad", 1: "good"})).drop(columns="label"), rows)


def two_files(ends: tuple[str, str], name: str, data: Path, rows: int) -> Frames:
    """harvardnlp/sent-conv-torch, data/raw: lines of one class in a file, and of the other in another."""
    found = []
    for end in ends:
        lines = (data / f"sent-conv-torch/{name}.{end}").read_text(encoding="latin-1").split("\n")
        found += [(line, end) for line in lines]
    return _distinct(pd.DataFrame(found, columns=["text", "side"]), rows)


def _distinct(found: pd.DataFrame, rows: int) -> Frames:
    found = found.assign(text=found["text"].str.strip().str.strip("\ufeff"))
    found = found[found["text"] != ""].drop_duplicates("text")
    return {"texts": some(found, rows // FEWER).reset_index(drop=True)}


def tweets(name: str, data: Path, rows: int) -> Frames:
    """cardiffnlp/tweeteval, one of its tasks: its train rows, thinned, and its test rows."""
    return _thinned(_tweeteval(data / "tweeteval" / name, data / "tweeteval" / name), rows)


def stances(data: Path, rows: int) -> Frames:
    """The same, its five subjects of stances, as they are divided: for, against or neither."""
    folder = data / "tweeteval/stance"
    return {of.name: _tweeteval(of, folder) for of in sorted(folder.iterdir()) if of.is_dir()}


def _tweeteval(folder: Path, mapping: Path) -> pd.DataFrame:
    """Train, validation and test rows of a folder, their labels by the names in mapping.txt."""
    pairs = (line.split("\t") for line in (mapping / "mapping.txt").read_text(encoding="utf-8").splitlines())
    names, found = {number: name.strip() for number, name in pairs}, []
    for part, split in (("train", "train"), ("val", "valid"), ("test", "test")):
        texts, labels = (
            (folder / f"{part}_{of}.txt").read_text(encoding="utf-8").split("\n") for of in ("text", "labels")
        )
        known = [(text.strip(), names[label], split) for text, label in zip(texts, labels, strict=True) if label]
        found += [row for row in known if row[0]]
    return pd.DataFrame(found, columns=["text", "label", "split"])


def headlines(data: Path, rows: int) -> Frames:
    """pyRis/SEntFiN: financial headlines that name one company or good, and what they mean for it."""
    found = pd.read_csv(data / "sentfin/SEntFiN.csv").rename(columns={"Title": "text"})
    moods = found["Decisions"].map(lambda of: re.findall(r": '(\w+)'", of))  # names may hold quotes
    one = moods.map(len) == 1
    return _distinct(found[one].assign(mood=moods[one].str[0])[["text", "mood"]], rows)


ASSISTANTS = {"AskUbuntu": "questions", "WebApplications": "applications", "Chatbot": "travels"}


def assistants(data: Path, rows: int) -> Frames:
    """sebischair/NLU-Evaluation-Corpora: what is asked of three assistants, a few dozen rows of each to learn from."""
    found = {}
    for file, name in ASSISTANTS.items():
        content = json.loads((data / f"nlu-evaluation-corpora/{file}Corpus.json").read_text(encoding="utf-8"))
        told = [(of["text"].strip(), of["intent"], of["training"]) for of in content["sentences"]]
        texts = pd.DataFrame(told, columns=["text", "intent", "split"])
        texts["split"] = texts["split"].map({True: "train", False: "test"})
        found[name] = drawn_valid(texts, 0.2)
    return found


def cranfield(data: Path, rows: int) -> Frames:
    """Cranfield's abstracts of aeronautics and which of them answer a question: all that were judged to be of use.

    The judgements count questions from 1 in the order of the file, whose own numbers have gaps.
    """
    folder = data / "cranfield"
    abstracts = [_parts(of) for of in _records(folder / "cran.all.1400")]
    items = pd.DataFrame([(str(n), f"{of['T']} {of['W']}".strip()) for n, of in abstracts], columns=["item", "text"])
    items = items[items["text"] != ""]
    asked = [_parts(of)[1]["W"] for of in _records(folder / "cran.qry")]
    judged = pd.read_csv(folder / "cranqrel", sep=r"\s+", names=["query", "item", "code"])
    judged = judged[judged["code"] > 0]
    queries = judged["query"].map(lambda n: asked[n - 1])
    pairs = pd.DataFrame({"query": queries, "item": judged["item"].astype(str)}).drop_duplicates()
    return {"items": items, "queries": some(pairs[pairs["item"].isin(items["item"])], rows // FEWER)}


def _records(file: Path) -> list[str]:
    return re.split(r"^\.I ", file.read_text(encoding="latin-1"), flags=re.MULTILINE)[1:]


def _parts(record: str) -> tuple[int, dict[str, str]]:
    """Number and, by their letters, the fields of a record of SMART's form."""
    number, *fields = re.split(r"^\.([A-Z])\s*\n", record, flags=re.MULTILINE)
    return int(number), {k: " ".join(v.split()) for k, v in zip(fields[::2], fields[1::2], strict=True)}
