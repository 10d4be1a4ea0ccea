"""Matches alone: the whole catalogue is ranked, and no known match is ever a wrong answer."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from command import peftrec, printed
from hypothesis import given, settings
from hypothesis import strategies as st
from made import build
from shop import write_csv
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset
from peftrec.data.rows import Rows
from peftrec.data.tables import Items, Queries, Tables
from peftrec.errors import UserError
from peftrec.evaluation import catalogue as evaluation
from peftrec.evaluation.at_k import CHOICE
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.evaluation.outcomes import read_outcome
from peftrec.machine.files import read_json
from peftrec.model.scorer import Scorer
from peftrec.recipe import dump_recipe
from peftrec.runs.evaluate import evaluate_run
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.tasks.matches import MATCHES
from peftrec.training.loop import train
from peftrec.training.prepare import prepare
from peftrec.training.starts import begin

ITEMS = Items([f"i{n}" for n in range(8)], [f"item {n}" for n in range(8)])


def asked(queries) -> Tables:
    return Tables({"items": ITEMS, "queries": queries})


def matches(tables, *args, **keys):
    return build("match-query", tables, *args, loss="softmax", **keys)


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=20, max_size=60)


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.integers(0, 5), st.sampled_from(["by-group", "random"]))
def test_no_known_match_is_a_wrong_answer(pairs, seed, split):
    pairs = pairs + [(query, query) for query in range(6)]
    tables = asked(Queries([f"q{q}" for q, _ in pairs], np.asarray([i for _, i in pairs], np.int32)))
    _, data = matches(tables, {"kind": split, "test": 0.3, "valid": 0.2}, seed=seed)
    names = list(dict.fromkeys(f"q{q}" for q, _ in pairs))
    every = {(names.index(f"q{q}"), i) for q, i in pairs}
    trained = set(zip(data.train.group.tolist(), data.train.item.tolist(), strict=True))
    step = data.train.drawn(seed, 0, np.arange(len(data.train)))
    barred = step.barred()
    for n in range(len(step)):
        told = {(int(step.group[n]), int(item)) for item in step.candidates[~barred[n]]}
        assert not told & trained
        assert {item for _, item in told} == {
            item for item in set(data.train.item.tolist()) if (int(step.group[n]), item) not in trained
        }
    for examples in (data.valid, data.test):  # of a measure the matches of all splits
        row, item = examples.met()
        others = [
            (n, i)
            for n in range(len(examples))
            for q, i in sorted(every)
            if q == examples.group[n] and i != examples.item[n]
        ]
        assert list(zip(row.tolist(), item.tolist(), strict=True)) == others


def test_each_row_is_a_match_of_its_time_and_the_user_is_told():
    queries = Queries([f"q{n % 4}" for n in range(20)], np.arange(20, dtype=np.int32) % 4, time=np.arange(20.0))
    _, data = matches(asked(queries), {"test": 0.2, "valid": 0.1})
    assert data.test.time.tolist() == [16, 17, 18, 19] and data.test.label.tolist() == [1, 1, 1, 1]
    assert data.classes == [] and data.items == "items"
    assert data.notes == ["queries carry no grades: each row is a match, and the whole catalogue is ranked for it"]
    assert set(data.train.slots) == {"query", "item"}


def test_what_cannot_be_ranked_is_refused():
    queries = Queries(["few", *["all"] * 8], np.asarray([0, *range(8)], np.int32))
    with pytest.raises(UserError, match="queries: the query 'all' matches every item: there is nothing to tell"):
        matches(asked(queries))
    graded = Queries(["q"] * 8, np.arange(8, dtype=np.int32), np.arange(8.0))
    with pytest.raises(UserError, match="loss: softmax is for queries without grades, and these have some"):
        matches(asked(graded))
    with pytest.raises(UserError, match="class_weight: kind match-query does not read it"):
        matches(asked(replace(graded, label=None)), class_weight="balanced")


def test_rows_weigh_by_a_column():
    queries = Queries([f"q{n}" for n in range(20)], np.arange(20, dtype=np.int32) % 8)
    rows = Rows("queries.csv", pa.table({"w": np.arange(20)}))
    _, data = matches(asked(replace(queries, rows=rows)), row_weight="w")
    own = np.array([int(name) for name in data.train.group])
    assert data.train.weight == pytest.approx(own / own.mean(), rel=1e-6)


class ByNumber(Scorer):
    """Of two items the later is the better match."""

    def ranker(self, task, item_rows, grades=None, of_items=None):
        return lambda examples: np.tile(np.arange(len(item_rows), dtype=np.float32), (len(examples), 1))


def test_ranks_are_those_among_all_items_but_other_matches(monkeypatch):
    pairs = [(q, (3 * q + n) % 8) for q in range(20) for n in range(1 + q % 3)]
    queries = Queries([f"q{q}" for q, _ in pairs], np.asarray([i for _, i in pairs], np.int32))
    rows = Rows("queries.csv", pa.table({"w": np.arange(len(pairs)) % 5}))
    tables = asked(replace(queries, rows=rows))
    texts, data = matches(tables, row_weight="w")
    items = {"items": ItemTexts(ITEMS.ids, data.train.catalogue.rows)}
    dataset = Dataset(texts, items, [], {"task": data})
    measures = Measures((), MATCHES.lists, (), tuple(CHOICE))
    options = {
        "measures": measures,
        "priors": (),
        "ranking": "rows",
        "ranking_priors": ("random", "bm25"),
        "resamples": 0,
    }
    report = evaluate_task(ByNumber(), dataset, "task", "test", **options)
    known = {(f"q{q}", i) for q, i in pairs}
    ranks, losses = [], []
    for group, item in zip(data.test.group.tolist(), data.test.item.tolist(), strict=True):
        name = list(dict.fromkeys(queries.text))[group]
        rivals = [other for other in range(8) if other == item or (name, other) not in known]
        ranks.append(1 + sum(other > item for other in rivals))
        losses.append(np.log(np.exp(rivals).sum()) - item)
    assert report["n"] == len(data.test) and "sample_of" not in report
    assert report["metrics"]["mrr@10"] == pytest.approx(np.mean(1 / np.array(ranks)))
    assert report["metrics"]["recall@1"] == pytest.approx(np.mean(np.array(ranks) == 1))
    assert report["metrics"]["log_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert report["weighted_loss"] == pytest.approx((data.test.weight * losses).mean(), rel=1e-5)
    assert set(report["priors"]) == {"random", "bm25"}
    monkeypatch.setattr(evaluation, "MOST_MATCHES", 8 * 3)
    report = evaluate_task(ByNumber(), dataset, "task", "test", **options)
    assert report["n"] == report["ranked"] == 3 and report["sample_of"] == len(data.test)
    assert f"task: 3 rows, every so many of {len(data.test)}" in printed({"tasks": {"task": report}})


def test_all_matches_of_a_query_may_be_found_in_one_list():
    """As BEIR measures: a list a query, in which all its matches are right."""
    pairs = [(q, (3 * q + n) % 8) for q in range(20) for n in range(1 + q % 3)]
    texts, data = matches(asked(Queries([f"q{q}" for q, _ in pairs], np.asarray([i for _, i in pairs], np.int32))))
    items = {"items": ItemTexts(ITEMS.ids, data.train.catalogue.rows)}
    dataset = Dataset(texts, items, [], {"task": data})
    measures = Measures((), ("recall@3", "precision@3", "mrr@8"), (), tuple(CHOICE))
    options = {"measures": measures, "priors": (), "ranking": "rows", "ranking_priors": ("bm25",), "resamples": 0}
    report = evaluate_task(ByNumber(), dataset, "task", "test", relevant="all", **options)
    held = [data.test.item[data.test.group == query] for query in np.unique(data.test.group)]
    assert max(map(len, held)) == 3 and report["ranked"] == len(held) and report["n"] == len(data.test)
    hits = np.array([(of >= 5).sum() for of in held])  # the last three of eight stand first
    assert report["metrics"]["recall@3"] == pytest.approx(np.mean(hits / [len(of) for of in held]))
    assert report["metrics"]["precision@3"] == pytest.approx(np.mean(hits / 3))
    assert report["metrics"]["mrr@8"] == pytest.approx(np.mean([1 / (8 - of.max()) for of in held]))
    assert list(report["priors"]["bm25"]) == list(report["metrics"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("shop"))
    random = np.random.default_rng(0)
    items = [f"w{n} w{n + 20} w{n + 40}" for n in range(20)]
    write_csv(folder / "items.csv", [{"id": f"i{n}", "title": title} for n, title in enumerate(items)])
    rows = []
    for n in range(120):
        item = n % 20
        rows.append(
            {
                "query": f"w{item + 60} w{random.integers(100, 120)} w{item + 20 * random.integers(0, 3)}",
                "item": f"i{item}",
            }
        )
    write_csv(folder / "matches.csv", rows)
    return folder


def match_recipe(shop, **changes):
    recipe = tiny_recipe(shop, tasks={"find": {"kind": "match-query"}}, **changes)
    raw = recipe.model_dump(mode="json")
    raw["data"] |= {
        "events": None,
        "queries": {"path": str(shop / "matches.csv"), "text": "{query}", "item": "item"},
        "split": {"kind": "by-group", "test": 0.25, "valid": 0.15},
    }
    return type(recipe).model_validate(raw)


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory, quick):
    recipe = match_recipe(
        shop, adapter={"method": "side"}, train={"epochs": 12, "early_stopping": {"patience": 4}, "lr": 1e-3}
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "run")


def test_a_run_begins_at_its_priors_and_is_not_below_them(run):
    report = read_json(run / "report.json")["tasks"]["find"]
    assert list(report["metrics"]) == ["mrr@10", "recall@1", "recall@10", "recall@100", "ndcg@10", "log_loss"]
    assert set(report["priors"]) == {"random", "cosine", "bm25"} and "bm25" in report["began_at"]
    best = min(of["log_loss"] for of in report["priors"].values())
    assert report["start"]["log_loss"] < best + 0.05
    assert report["metrics"]["log_loss"] < report["start"]["log_loss"] + 0.1
    assert report["metrics"]["mrr@10"] > 0.5


def test_a_run_measured_again_gives_the_same(run, quick):
    again, kept = evaluate_run(run, "test")["tasks"]["find"], read_json(run / "report.json")["tasks"]["find"]
    assert again["metrics"] == pytest.approx(kept["metrics"], abs=1e-5)
    assert {name: pytest.approx(of, abs=1e-5) for name, of in again["priors"].items()} == kept["priors"]


def test_what_is_served_is_what_was_measured(run, shop):
    """Ranks by `recommend`, other known matches taken out of its list, against the measured ones."""
    predictor, dataset = Predictor.load(run), load_data(match_recipe(shop))
    test, ids = dataset.tasks["find"].test, dataset.items["items"].ids
    kept = read_outcome(run, "find")
    other = {n: set() for n in range(len(test))}
    for row, item in zip(*test.met(), strict=True):
        other[int(row)].add(ids[item])
    for n in range(0, len(test), 5):
        query = dataset.texts.texts[test.slots["query"][n]]
        found = predictor.recommend("find", query=query, k=20)
        listed = [row["item"] for row in found if row["item"] not in other[n]]
        assert 1 + listed.index(ids[test.item[n]]) == kept.rank[n]
        scores = {row["item"]: row["score"] for row in found}
        one = {"query": query, "item": ids[test.item[n]]}
        new = {"query": query, "item_text": dataset.texts.texts[test.slots["item"][n]]}
        for answer in predictor.predict("find", [one, new]):
            assert answer["score"] == pytest.approx(scores[ids[test.item[n]]], abs=1e-4)


def test_approximate_search_finds_what_exact_search_does(run):
    pytest.importorskip("faiss")
    predictor = Predictor.load(run)
    exact = predictor.recommend("find", query="w3 w63 w110", k=5)
    near = predictor.recommend("find", query="w3 w63 w110", k=5, approximate=True)
    assert [row["item"] for row in near] == [row["item"] for row in exact]
    assert [row["score"] for row in near] == pytest.approx([row["score"] for row in exact], abs=1e-4)


@pytest.mark.parametrize("method", ["side", "lora"])
def test_before_the_first_step_scores_are_the_priors(shop, method):
    recipe = match_recipe(shop, adapter={"method": method})
    setup = prepare(recipe)
    setup.model.encoder.update()
    begin(setup)
    data = setup.dataset.tasks["find"]
    vectors = setup.model.frozen_vectors(np.arange(len(setup.dataset.texts)))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    start = data.train.offsets
    rows = data.test.take(np.arange(len(data.test)))
    items = setup.dataset.items["items"].rows
    lexical = start(replace(rows, candidates=np.arange(20)))[:, 1:]
    expected = max(start.scale, 1) * unit[rows.slots["query"]] @ unit[items].T + lexical
    found = setup.model.ranker("find", items)(rows)
    assert found == pytest.approx(expected, abs=1e-3)
    assert data.train.matches.rivals is not None and lexical.any()


def test_check_says_what_is_ranked(shop, tmp_path):
    file = tmp_path / "find.yaml"
    file.write_text(dump_recipe(match_recipe(shop)))
    result = peftrec("check", file)
    assert result.exit_code == 0 and "the whole catalogue is ranked for it" in result.output
