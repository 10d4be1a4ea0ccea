"""Published files of a few rows, in their publishers' forms, become the tables that recipes and baselines read."""

import json

import pandas as pd
from published import put

from benchmarks.card import held_out
from benchmarks.card.sets import SETS


def test_there_are_as_many_as_were_tried():
    assert sum(len(of.tasks) for of in SETS.values() if of.held_out) == 79


def test_questions_to_a_bank(tmp_path):
    rows = [(f"question {n}, please", f"intent {n % 2}") for n in range(40)]
    for part, some in (("train", rows[:30]), ("test", rows[30:])):
        pd.DataFrame(some, columns=["text", "category"]).to_csv(tmp_path / f"{part}.csv", index=False)
    (tmp_path / "banking77").mkdir()
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").rename(tmp_path / f"banking77/{part}.csv")
    found = SETS["banking77"].tables(tmp_path, 1000)["texts"]
    assert found["split"].value_counts().to_dict() == {"train": 27, "test": 10, "valid": 3}
    few = SETS["banking77-few"].tables(tmp_path, 1000)["texts"]
    assert few.groupby("intent")["split"].value_counts().to_dict() == {
        (f"intent {n}", split): count for n in (0, 1) for split, count in (("train", 8), ("valid", 2), ("test", 10))
    }
    assert sorted(few["text"]) == sorted(text for text, _ in rows)


def test_what_is_told_to_a_robot(tmp_path):
    head = "answerid;scenario;intent;answer_annotation;answer_from_anno;answer_from_user"
    for intent in ("query", "set"):
        lines = [f'{n};alarm;{intent};"[{n}]";"{intent} {n}";"{intent} {n}!"' for n in range(14)]
        put(tmp_path / "hwu64", f"alarm_{intent}.csv", "\n".join([head, *lines, lines[0]]))
    few = SETS["hwu64-few"].tables(tmp_path, 1000)["texts"]
    assert few.groupby("intent")["split"].value_counts().to_dict() == {
        (f"alarm_{of}", split): count
        for of in ("query", "set")
        for split, count in (("train", 8), ("valid", 2), ("test", 4))
    }
    assert sorted(few["text"]) == sorted(f"{of} {n}" for of in ("query", "set") for n in range(14))


def test_sentences_have_a_score_and_a_mood(tmp_path):
    put(tmp_path / "vader", "tweets_GroundTruth.txt", '1\t2.5\tGood "day \n2\t-1.0\tbad\n3\t0.5\tso so\n4\t2.0\tbad\n')
    scored = SETS["vader-tweets"].tables(tmp_path, 1000)["texts"]
    assert scored.to_numpy().tolist() == [['Good "day', 2.5], ["bad", -1.0], ["so so", 0.5]]
    classes = SETS["vader-tweets-classes"].tables(tmp_path, 1000)["texts"]
    assert classes["mood"].tolist() == ["positive", "negative", "neutral"]


def test_chinese_texts_keep_their_splits(tmp_path):
    for number, part in enumerate(("train_few_all", "dev_few_all", "test_public")):
        line = {"content": f"文 {number}", "label": number}
        put(tmp_path / "fewclue/csldcp", f"{part}.json", json.dumps(line) + "\n" + json.dumps(line) + "\n")
    found = SETS["fewclue-csldcp"].tables(tmp_path, 1000)["texts"]
    assert found.to_numpy().tolist() == [["文 0", "0", "train"], ["文 1", "1", "valid"], ["文 2", "2", "test"]]


def test_books_have_a_number(tmp_path):
    put(tmp_path / "goodbooks-10k", "books.csv", "title,authors,average_rating\nUp,A B,4.5\n")
    found = held_out.goodbooks("average_rating", tmp_path, 1000)["texts"]
    assert found.to_dict("records") == [{"text": "Up by A B", "average_rating": 4.5}]


def test_groceries_are_in_the_order_of_their_days(tmp_path):
    text = "Member_number,Date,itemDescription\n1,21-07-2015,milk \n1,05-01-2015,tea\n1,05-01-2015,tea\n"
    put(tmp_path / "groceries", "Groceries_dataset.csv", text)
    found = SETS["groceries"].tables(tmp_path, 1000)
    assert found["items"].to_numpy().tolist() == [["milk", "milk"], ["tea", "tea"]]
    assert found["events"]["item"].tolist() == ["tea", "milk"]
    assert pd.to_datetime(found["events"]["time"], unit="s").astype(str).tolist() == ["2015-01-05", "2015-07-21"]
