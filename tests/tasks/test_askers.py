"""Personalised search: what askers did before their queries is read, and served as it was measured."""

import os
from dataclasses import replace

import numpy as np
import pytest
from command import peftrec
from eventful import make
from made import build
from shop import write_csv
from tiny import QUICK, make_tiny_shop, tiny_recipe

from peftrec.data.tables import Items, Queries, Tables
from peftrec.errors import UserError
from peftrec.evaluation.outcomes import read_outcome
from peftrec.machine.files import read_json
from peftrec.recipe import dump_recipe
from peftrec.serving.predictor import Predictor
from peftrec.serving.vectors import export_vectors
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

ITEMS = Items([f"i{n}" for n in range(6)], [f"item {n}" for n in range(6)])
ASKED = Queries(
    [f"q{n}" for n in range(20)],
    np.arange(20, dtype=np.int32) % 6,
    time=np.arange(20.0) * 10 + 5,
    user=np.arange(20, dtype=np.int32) % 2,
    user_ids=["a", "b"],
)


def events(seed, count=30):
    random = np.random.default_rng(seed)
    return [(random.integers(2), random.integers(6), float(time), 1.0) for time in random.integers(0, 220, count)]


def rows_of(queries=ASKED, tables=("plays",), found=("plays", "buys"), **more):
    logs = {name: make(events(n), users=2) for n, name in enumerate(found)}
    every = Tables({"items": ITEMS, "queries": queries, **logs, **more})
    return build("match-query", every, {"test": 0.2, "valid": 0.1}, loss="softmax", history=list(tables)), logs


@pytest.mark.parametrize("tables", [("plays",), ("buys", "plays")])
def test_a_past_is_what_the_user_did_strictly_before(tables):
    (_, data), logs = rows_of(tables=tables)
    assert data.history == list(tables)
    for rows in (data.train, data.valid, data.test):
        past = rows.history()
        for n in range(len(rows)):
            before = sorted(
                (time, mark, place)
                for mark, name in enumerate(tables)
                for place, (user, time) in enumerate(zip(logs[name].user, logs[name].time, strict=True))
                if user == rows.users[n] and time < rows.time[n]
            )
            expected = [rows.catalogue.rows[logs[tables[mark]].item[place]] for _, mark, place in before]
            assert past.rows[n][past.rows[n] >= 0].tolist() == expected[-20:]
            if len(tables) > 1:
                assert past.marks[n][past.rows[n] >= 0].tolist() == [mark for _, mark, _ in before][-20:]


def test_other_matches_of_a_query_are_no_wrong_answers_and_what_was_done_before_stays_a_candidate():
    queries = replace(ASKED, text=[f"q{n // 2}" for n in range(20)])
    (_, data), _ = rows_of(queries)
    row, item = data.test.met()
    assert all(
        queries.item[2 * data.test.group[r]] == i or queries.item[2 * data.test.group[r] + 1] == i
        for r, i in zip(row.tolist(), item.tolist(), strict=True)
    )
    step = data.train.drawn(0, 0, np.arange(len(data.train)))
    assert step.barred().sum() < step.barred().size / 2 and not data.train.repeats


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tables": ("play",)}, "history: no event table 'play'; did you mean 'plays'"),
        ({"tables": ("plays", "plays")}, r"history: names each table once; found \['plays', 'plays'\]"),
        ({"queries": replace(ASKED, time=None)}, "history: what was before a query is told by times; queries has none"),
        ({"queries": replace(ASKED, user=None)}, "history: whose it is must be known; queries names no user"),
        (
            {"queries": replace(ASKED, catalogue="films"), "films": ITEMS},
            "history: its tables are of the queries' catalogue: queries is of films, plays of items",
        ),
        ({"queries": replace(ASKED, label=np.arange(20.0) % 2)}, "loss: softmax is for queries without grades"),
    ],
)
def test_what_has_no_past_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        rows_of(**change)


def test_a_timeless_log_has_nothing_before():
    timeless = replace(make(events(0), users=2), time=None)
    every = Tables({"items": ITEMS, "queries": ASKED, "plays": timeless})
    with pytest.raises(UserError, match="history: what was before a query is told by times; plays has none"):
        build("match-query", every, {"test": 0.2, "valid": 0.1}, loss="softmax", history=["plays"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Every query names a shelf of four items; which of them is meant is the one that the user looked at last."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("shop")), np.random.default_rng(0)
    items = [f"w{n // 4} w{n + 20} w{n + 60}" for n in range(20)]
    write_csv(folder / "items.csv", [{"id": f"i{n}", "title": title} for n, title in enumerate(items)])
    looked, asked, time = [], [], 1_600_000_000
    for _ in range(400):
        user, item, time = int(random.integers(100)), int(random.integers(20)), time + 100
        looked.append({"user": f"u{user}", "item": f"i{item}", "time": time})
        asked.append({"user": f"u{user}", "query": f"w{item // 4}", "item": f"i{item}", "time": time + 50})
    write_csv(folder / "events.csv", looked)
    write_csv(folder / "asked.csv", asked)
    return folder


def search_recipe(shop, history=("events",), **keys):
    recipe = tiny_recipe(
        shop,
        tasks={"find": {"kind": "match-query"}},
        adapter={"method": "head_only"},
        train=QUICK | {"epochs": 12, "batch_size": 16, "head_lr": 3e-3, "early_stopping": {"patience": 12}},
    )
    raw = recipe.model_dump(mode="json")
    raw["tasks"]["find"] |= {"history": list(history), **keys}
    raw["data"]["events"]["columns"] = []
    queries = {"text": "{query}", "item": "item", "user": "user", "time": "time"}
    raw["data"] |= {
        "queries": {"path": str(shop / "asked.csv"), **queries},
        "split": {"kind": "global-time", "test": 0.2, "valid": 0.2},
    }
    return type(recipe).model_validate(raw)


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory, quick):
    return train(search_recipe(shop), tmp_path_factory.mktemp("runs") / "run")


def test_where_the_past_decides_it_is_read(run):
    """The start knows the query alone, by which four items are alike."""
    report = read_json(run / "report.json")["tasks"]["find"]
    begun, found = report["start"], report["metrics"]
    assert begun["recall@10"] > 0.9 and begun["recall@1"] < 0.5
    assert found["recall@1"] > 0.8


def test_what_is_served_is_what_was_measured(run, shop):
    """By user and time, and by the events themselves; what the user did before may be named."""
    predictor, dataset = Predictor.load(run), load_data(search_recipe(shop))
    test, ids, kept = dataset.tasks["find"].test, dataset.items["items"].ids, read_outcome(run, "find")
    past = test.history()
    of_row = {row: ids[n] for n, row in enumerate(dataset.items["items"].rows)}
    for n in range(0, len(test), 9):
        query = dataset.texts.texts[test.slots["query"][n]]
        history = [of_row[row] for row in past.rows[n] if row >= 0]
        found = predictor.recommend("find", query=query, history=history, k=20)
        assert len(found) == 20
        others = {ids[item] for row, item in zip(*test.met(), strict=True) if row == n}
        listed = [row["item"] for row in found if row["item"] not in others]
        assert 1 + listed.index(ids[test.item[n]]) == kept.rank[n]
        asked = {"query": query, "item": found[0]["item"]}
        by_events, by_user = predictor.predict(
            "find",
            [
                asked | {"history": history},
                asked | {"user": dataset.user_ids[test.users[n]], "time": float(test.time[n])},
            ],
        )
        assert by_events["score"] == pytest.approx(by_user["score"], abs=1e-4)
        assert by_events["score"] == pytest.approx(found[0]["score"], abs=1e-4)


def test_what_the_command_is_asked(run, tmp_path, quick):
    options = ["--task", "find", "--query", "w3", "-k", "3"]
    done = peftrec("recommend", run, *options, "--user", "u1")
    assert done.exit_code == 0 and len(done.stdout.strip().splitlines()) >= 3
    rows = write_csv(tmp_path / "rows.csv", [{"query": "w3", "user": "u1"}, {"query": "w1", "user": "u2"}])
    done = peftrec("recommend", run, "--task", "find", "--input", rows, "-k", "3")
    assert done.exit_code == 0 and len(done.stdout.strip().splitlines()) == 2
    done = peftrec("recommend", run, *options)
    assert done.exit_code == 2 and "give one of 'user' (a user of the run's log) and 'history'" in done.stderr
    done = peftrec("recommend", run, *options, "--user", "nobody")
    assert done.exit_code == 2 and "no user 'nobody' in the run's log" in done.stderr


def test_a_wrong_table_is_one_message_and_nothing_is_written(shop, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(dump_recipe(search_recipe(shop, history=("event",))))
    done = peftrec("train", recipe, "--run", tmp_path / "run")
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "tasks.find: history: no event table 'event'; did you mean 'events'?" in done.stderr
    assert not (tmp_path / "run").exists()


def test_the_past_is_in_the_vector_of_what_is_asked(run, tmp_path):
    predictor = Predictor.load(run, cache=False)
    predictor.run.starts["find"].lexical = 0.0  # BM25 is in no vector
    rows = [{"query": "w3", "history": [item]} for item in ("i12", "i14")]
    for own, found in zip(predictor.query_vectors("find", rows), predictor.recommend_all("find", rows, 4), strict=True):
        scores = predictor.item_vectors("find") @ own
        assert [of["score"] for of in found] == pytest.approx([scores[int(of["item"][1:])] for of in found], abs=1e-4)
        assert found[0]["item"] == f"i{np.argmax(scores)}"
    export_vectors(run, "find", tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == ["README.md", "items.faiss", "items.parquet"]
    assert "[{'query': 'some words', 'history': []}]" in (tmp_path / "out" / "README.md").read_text()
