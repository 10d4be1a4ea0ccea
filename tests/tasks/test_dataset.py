import numpy as np
import pytest
from made import labelled, made

from peftrec.data.tables import Events, Items, Queries, Tables
from peftrec.errors import UserError
from peftrec.recipe import DataConfig
from peftrec.tasks.dataset import build_dataset

DATA = DataConfig(source="x", split={"test": 0.3, "valid": 0.2})


def tables() -> Tables:
    item = np.arange(40, dtype=np.int32) % 5
    named = {
        "items": Items([f"i{n}" for n in range(5)], ["a", "b", "c", "a", "d"]),
        "events": Events(item % 2, item, np.arange(40.0), {"rating": item.astype(float)}, ["u", "v"]).ordered(),
        "queries": Queries(["q", "r", "s", "t"] * 5, item[:20], np.arange(20) // 4 % 2.0),
    }
    return Tables(named, ["the source's remark"])


def tasks(**options):
    kinds = {
        "query": {"kind": "match-query"},
        "like": {"kind": "interest", "threshold": 2},
        "time": {"kind": "next-gap"},
    }
    return {name: made(name, **fields) for name, fields in (kinds | options).items()}


def test_tasks_share_one_text_table():
    data = build_dataset(tables(), tasks(), DATA, 0)
    assert list(data.tasks) == ["query", "like", "time"]
    assert data.texts.texts == ["a", "b", "c", "d", "q", "r", "s", "t"]  # each unique text once
    items = data.items["items"]
    assert items.rows.tolist() == [0, 1, 2, 0, 3] and items.rows.dtype == np.int32
    assert items.ids == ["i0", "i1", "i2", "i3", "i4"] and data.user_ids == ["u", "v"]
    for task in data.tasks.values():
        for name in ("train", "valid", "test"):
            examples = task.split(name)
            assert (examples.slots["item"] == items.rows[examples.item]).all()
    like, time = data.tasks["like"].train.log, data.tasks["time"].train.log
    assert like.times is time.times and like.items is time.items and like.user_start is time.user_start


def test_notes_name_the_task():
    notes = build_dataset(tables(), tasks(), DATA, 0).notes
    assert notes[:2] == [
        "the source's remark",
        "query: split by query, not global-time: whole queries are held out",
    ]
    assert "time: 2 moments left out: a user's last one has no next" in notes


def test_notes_say_what_no_loss_trains():
    like = {"kind": "interest", "threshold": 2, "weight": 0}
    notes = build_dataset(tables(), tasks(like=like), DATA, 0).notes
    assert [note for note in notes if "weight" in note] == ["like: weight 0: it is measured, but not trained"]


def test_texts_alone_need_no_catalogue():
    texts = labelled([f"t{n}" for n in range(10)], ["x", "y"] * 5)
    data = build_dataset(texts, {"intent": made("intent", kind="classification")}, DATA, 0)
    assert data.items == {} and data.user_ids == []


def test_errors_name_the_task():
    with pytest.raises(UserError, match=r"tasks\.like: threshold: loss bce needs it"):
        build_dataset(tables(), tasks(like={"kind": "interest"}), DATA, 0)
    with pytest.raises(UserError, match=r"tasks\.intent: kind: classification needs the table 'texts'"):
        build_dataset(tables(), tasks(intent={"kind": "classification"}), DATA, 0)


def test_the_seed_decides_what_is_drawn():
    first, again, other = (build_dataset(tables(), tasks(), DATA, seed) for seed in (0, 0, 1))
    assert first.tasks["query"].test.group.tolist() == again.tasks["query"].test.group.tolist()
    assert first.tasks["query"].test.group.tolist() != other.tasks["query"].test.group.tolist()
