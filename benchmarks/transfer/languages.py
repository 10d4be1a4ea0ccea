"""Learned in English, asked in Chinese: one recipe, and the same test rows in either language.

Intents of support are asked by what `benchmarks.transfer.asked` has, paragraphs by XQuAD's own translations of the
questions that were held out.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.card.sets import CHINESE as MULTILINGUAL
from benchmarks.card.tables import Frames, some, xquad
from benchmarks.transfer.asked import ASKED
from benchmarks.transfer.trained import trained
from peftrec.evaluation.intervals import LEVEL
from peftrec.machine.files import read_json

ENGLISH, CHINESE = LANGUAGES = ("English", "Chinese")  # of the test rows
TAUGHT = 2000  # utterances at most
RESAMPLES = 1000
BACKBONE = {"name": MULTILINGUAL, "prompts": {"query": "query: ", "passage": "passage: "}}
_GIVEN = {"split": "split"}
_TEXTS = {"texts": {"kind": "texts", "text": "{text}", **_GIVEN}}
_ASKS = {
    "items": {"kind": "items", "id": "item", "text": "{text}"},
    "queries": {"kind": "queries", "text": "{query}", "item": "item", **_GIVEN},
}
# What is asked -> its keys of a recipe, and the metric that it is measured by.
RECIPES: dict[str, tuple[dict[str, Any], str]] = {
    "intent": ({"tables": _TEXTS, "tasks": {"intent": {"kind": "classification", "label": "intent"}}}, "accuracy"),
    "paragraph": ({"tables": _ASKS, "tasks": {"paragraph": {"kind": "match-query"}}}, "mrr@10"),
}


def intents(data: Path, language: str, draw: int) -> Frames:
    """Utterances with their intent; in Chinese the test rows are those that were written for this study, in English as
    many drawn for each intent."""
    found = pd.read_csv(data / "bitext-support/support.csv.gz").rename(columns={"instruction": "text"})
    found = found[["text", "intent"]].drop_duplicates("text").sample(frac=1, random_state=draw)
    asked = len(next(iter(ASKED.values())))
    test = found.groupby("intent").cumcount() < asked
    known = some(found[~test], TAUGHT)
    known = known.assign(split=np.where(np.arange(len(known)) % 10, "train", "valid"))
    written = [(text, intent) for intent, texts in ASKED.items() for text in texts]
    tested = found[test] if language == ENGLISH else pd.DataFrame(written, columns=["text", "intent"])
    return {"texts": pd.concat([known, tested.assign(split="test")])}


def paragraphs(data: Path, language: str, draw: int) -> Frames:
    """Questions and the English paragraphs that answer them; a fifth is the test, in either language."""
    english, chinese = (xquad(of, data, sys.maxsize) for of in ("en", "zh"))
    place = np.random.default_rng(draw).permutation(len(english["queries"])) % 10
    split = np.select([place < 2, place == 2], ["test", "valid"], "train")
    asked = english["queries"].assign(split=split)
    if language != ENGLISH:
        asked["query"] = asked["query"].where(asked["split"] != "test", chinese["queries"]["query"])
    return {"items": english["items"], "queries": asked}


TABLES = {"intent": intents, "paragraph": paragraphs}


def measure(data: Path, draws: int) -> dict[str, Any]:
    """Task -> language -> {"rows", "value", "interval", "start", "priors"}: means over draws, the interval over draws
    and test rows."""
    return {
        task: {language: _cell(task, partial(TABLES[task], data, language), draws) for language in LANGUAGES}
        for task in RECIPES
    }


def _cell(task: str, tables: Any, draws: int) -> dict[str, Any]:
    recipe, metric = RECIPES[task]
    scores, reports = [], []
    for draw in range(draws):
        with tempfile.TemporaryDirectory() as folder:
            run = trained(Path(folder) / "run", tables(draw), BACKBONE, recipe, train={"seed": draw})
            scores.append(row_scores(run, task))
            reports.append(read_json(run / "report.json")["tasks"][task])
    random, means = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        drawn = random.integers(draws, size=draws)
        means.append(np.mean([random.choice(scores[n], len(scores[n])).mean() for n in drawn]))
    return {
        "rows": len(scores[0]),
        "metric": metric,
        "value": float(np.mean([score.mean() for score in scores])),
        "interval": [float(end) for end in np.percentile(means, LEVEL)],
        "start": float(np.mean([of["start"][metric] for of in reports])),
        "priors": {
            name: float(np.mean([of["priors"][name][metric] for of in reports])) for name in reports[0]["priors"]
        },
    }


def row_scores(run: Path, task: str) -> np.ndarray:
    """float (N,): what each test row of a run adds to accuracy, or to MRR@10."""
    ranks = run / "test" / f"{task}.ranks.parquet"
    if ranks.is_file():
        rank = pd.read_parquet(ranks)["rank"].to_numpy()
        return np.where(rank <= 10, 1 / rank, 0)
    test = pd.read_parquet(run / "test" / f"{task}.parquet")
    return (np.stack(test["prediction"].to_list()).argmax(1) == test["label"].to_numpy()).astype(float)
