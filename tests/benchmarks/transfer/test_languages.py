"""Learned in English, asked in Chinese: the same rows in either language, and nothing Chinese to learn from."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.transfer import languages
from benchmarks.transfer.asked import ASKED
from benchmarks.transfer.languages import CHINESE, ENGLISH, intents, measure, paragraphs, row_scores


def chinese(texts):
    return [any("一" <= letter <= "鿿" for letter in text) for text in texts]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """40 utterances of each of Bitext's intents, and 100 questions on 20 paragraphs in both languages."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "bitext-support").mkdir()
    rows = [(f"text {n} of {intent}", intent) for intent in ASKED for n in range(40)]
    pd.DataFrame(rows, columns=["instruction", "intent"]).to_csv(folder / "bitext-support/support.csv.gz", index=False)
    (folder / "xquad").mkdir()
    for language, word in (("en", "question"), ("zh", "问题")):
        asked = [{"context": f"{language} {p}", "qas": [{"question": f"{word} {p} {q}"} for q in range(5)]}
                 for p in range(20)]  # fmt: skip
        with gzip.open(folder / f"xquad/xquad.{language}.json.gz", "wt") as file:
            json.dump({"data": [{"paragraphs": asked}]}, file)
    return folder


def test_every_intent_is_asked_twice_in_chinese():
    asked = [text for texts in ASKED.values() for text in texts]
    assert len(ASKED) == 27 and len(set(asked)) == 54 and all(chinese(asked))


@pytest.mark.parametrize("tables", [intents, paragraphs])
def test_only_the_test_rows_differ_between_languages(data, tables):
    table, text, label = ("texts", "text", "intent") if tables is intents else ("queries", "query", "item")
    english, asked = (tables(data, language, 0)[table] for language in (ENGLISH, CHINESE))
    known = english["split"] != "test"
    assert english["split"].tolist() == asked["split"].tolist() and {*english["split"]} == {"train", "valid", "test"}
    assert english[known][text].tolist() == asked[known.to_numpy()][text].tolist()
    assert not any(chinese(english[text])) and all(chinese(asked[~known.to_numpy()][text]))
    assert sorted(english[~known][label]) == sorted(asked[~known.to_numpy()][label])
    again = tables(data, ENGLISH, 1)[table]
    assert {*again[again["split"] == "test"][text]} != {*english[~known][text]}


def test_translations_answer_to_the_same_paragraph(data):
    asked = paragraphs(data, CHINESE, 0)["queries"]
    of_paragraph = asked["query"].str.extract(r"(\d+) \d+")[0]
    assert (asked["item"] == "p" + of_paragraph).all() and len(asked) == 100


def test_rows_are_scored_by_rank_or_by_the_class(tmp_path):
    (tmp_path / "test").mkdir()
    pd.DataFrame({"rank": [1, 4, 11]}).to_parquet(tmp_path / "test/p.ranks.parquet")
    assert row_scores(tmp_path, "p").tolist() == [1, 0.25, 0]
    frame = pd.DataFrame({"prediction": [[0.2, 0.8], [0.9, 0.1]], "label": [1, 1]})
    frame.to_parquet(tmp_path / "test/i.parquet")
    assert row_scores(tmp_path, "i").tolist() == [1, 0]


def test_values_are_means_over_draws_with_an_interval(data, tmp_path, monkeypatch):
    """Draw 0 ranks all answers first, draw 1 second; of 27 intents as many are right as the draw's number says."""

    def trained(run, frames, backbone, recipe, train):
        (task,), draw = recipe["tasks"], train["seed"]
        (run / "test").mkdir(parents=True)
        table = frames["texts" if task == "intent" else "queries"]
        n = int((table["split"] == "test").sum())
        label = np.zeros(n, int)
        told = np.eye(2)[(np.arange(n) < draw * n / 2).astype(int)]
        pd.DataFrame({"prediction": told.tolist(), "label": label}).to_parquet(run / f"test/{task}.parquet")
        if task == "paragraph":
            pd.DataFrame({"rank": np.full(n, 1 + draw)}).to_parquet(run / f"test/{task}.ranks.parquet")
        metric = languages.RECIPES[task][1]
        report = {"start": {metric: draw}, "priors": {"cosine": {metric: 0.5}}}
        (run / "report.json").write_text(json.dumps({"tasks": {task: report}}))
        return run

    monkeypatch.setattr(languages, "trained", trained)
    found = measure(data, 2)
    assert list(found) == ["intent", "paragraph"] and all(list(of) == [ENGLISH, CHINESE] for of in found.values())
    asked, ranked = found["intent"][CHINESE], found["paragraph"][CHINESE]
    assert (asked["rows"], asked["value"], asked["start"]) == (54, 0.75, 0.5)
    assert (ranked["value"], ranked["priors"]) == (0.75, {"cosine": 0.5})
    assert ranked["interval"] == pytest.approx([0.5, 1.0]) and asked["interval"][0] < 0.75 < asked["interval"][1]
