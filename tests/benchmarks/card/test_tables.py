"""Published files of a few rows, in their publishers' forms, become the tables that recipes and baselines read."""

import gzip
import json
import zipfile

import pandas as pd

from benchmarks.card import tables
from benchmarks.card.sets import SETS


def test_thinned_events_are_of_whole_users():
    events = pd.DataFrame({"user": [n // 10 for n in range(100)], "item": range(100)})
    kept = tables.some_users(events, 35)
    assert kept.groupby("user").size().tolist() == [10, 10, 10] and kept.index.is_monotonic_increasing
    assert tables.some_users(events, 1).groupby("user").size().tolist() == [10]  # one user at least
    assert tables.some_users(events, 1000).equals(events)


def test_validation_rows_are_drawn_from_train():
    frame = pd.DataFrame({"text": range(50), "split": ["train"] * 40 + ["test"] * 10})
    found = tables.drawn_valid(frame)
    assert found["split"].value_counts().to_dict() == {"train": 36, "test": 10, "valid": 4}
    assert (found["split"][40:] == "test").all() and (frame["split"][:40] == "train").all()


def test_turns_of_one_domain_are_kept(tmp_path):
    (folder := tmp_path / "crosswoz").mkdir()
    turns = [
        {
            "role": "usr",
            "content": "一",
            "dialog_act": [["General", "greet", "none", "none"], ["Inform", "餐馆", "a", "b"]],
        },
        {"role": "sys", "content": "二", "dialog_act": [["Inform", "餐馆", "a", "b"]]},
        {"role": "usr", "content": "三", "dialog_act": [["Inform", "餐馆", "a", "b"], ["Inform", "景点", "a", "b"]]},
        {"role": "usr", "content": "四", "dialog_act": [["Request", "酒店", "a", ""]]},
    ]
    for part in ("val", "test"):
        with zipfile.ZipFile(folder / f"{part}.json.zip", "w") as packed:
            packed.writestr(f"{part}.json", json.dumps({"1": {"messages": turns}}))
    found = SETS["crosswoz"].tables(tmp_path, 1000)["texts"]
    assert found.to_numpy().tolist() == [
        [t, d, s] for s in ("train", "test") for t, d in (("一", "餐馆"), ("四", "酒店"))
    ]


def test_files_without_a_header_have_their_columns(tmp_path):
    (folder := tmp_path / "movietweetings-100k").mkdir()
    for name, text in {
        "ratings": "1::007::8::100\n1::009::3::90\n",
        "movies": "007::Up (2009)::A|B\n008::X::\n",
    }.items():
        with gzip.open(folder / f"{name}.dat.gz", "wt") as file:
            file.write(text)
    found = SETS["movietweetings"].tables(tmp_path, 1000)
    assert found["events"].to_dict("records")[0] == {"user": "1", "item": "007", "rating": 8.0, "time": 100.0}
    assert found["items"].to_dict("records") == [{"item": "007", "text": "Up (2009). A, B"}]
