"""A task's whole catalogue, ranked and measured as its recipe says: in the report, on the terminal, in comparisons."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from command import peftrec, printed
from eventful import build, make
from sklearn.metrics.pairwise import cosine_similarity
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.catalogue import ItemTexts
from peftrec.data.dataset import Dataset
from peftrec.data.texts import TextTable
from peftrec.evaluation.at_k import AT_K, of_places
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.evaluation.values import AT_BEST
from peftrec.model.scorer import Scorer
from peftrec.runs.compare import compare_runs
from peftrec.runs.folder import read_report
from peftrec.training.loop import train

ITEMS, EACH, ALL = 6, ("novelty@2", "diversity@3", "popularity_bias@2"), ("coverage@2", "gini@2")
VECTORS = np.random.default_rng(1).normal(size=(99, 4)).astype(np.float32)


class ByNumber(Scorer):
    """Of two items the later scores higher, but for a user's favourite, and has read texts."""

    frozen_vectors = staticmethod(lambda rows: VECTORS[rows])

    def ranker(self, task, item_rows, grades=None, of_items=None):
        return lambda examples: np.arange(ITEMS) + 9.0 * (np.arange(ITEMS) == examples.users[:, None] % ITEMS)


class Trained(ByNumber):
    """Has forgotten what it read."""

    frozen_vectors, no_vectors = None, "the backbone was trained"


@pytest.fixture(scope="module")
def dataset():
    random = np.random.default_rng(0)
    events = make([(n % 8, random.integers(ITEMS), 100 * n, 5) for n in range(56)], users=8)
    data = build("next-item", events, repeats="allow")
    items = ItemTexts([f"i{n}" for n in range(ITEMS)], data.train.catalogue.rows)
    return Dataset(TextTable(), {"items": items}, [], {"t": data})


def measured(scorer, dataset, measures, **options):
    options = {"priors": (), "ranking": "rows", "ranking_priors": ("popularity",), "resamples": 20} | options
    return evaluate_task(scorer, dataset, "t", "test", measures=measures, **options)


def test_values_by_hand(dataset):
    report = measured(ByNumber(), dataset, Measures((), ("recall@2", "map@3"), (*EACH, *ALL), ("log_loss",)))
    data, found = dataset.tasks["t"], report["metrics"]
    assert list(found) == ["recall@2", "map@3", *EACH, *ALL, "log_loss"]
    scores = np.arange(ITEMS) + 9.0 * (np.arange(ITEMS) == data.test.users[:, None] % ITEMS)
    lists, rows = np.argsort(-scores, axis=1), np.bincount(data.train.item, minlength=ITEMS)
    place = 1 + (lists == data.test.item[:, None]).argmax(1)
    assert found["recall@2"] == pytest.approx(np.mean(place <= 2))
    assert found["map@3"] == pytest.approx(np.mean((place <= 3) / place))
    assert found["novelty@2"] == pytest.approx(-np.log2((rows + 1) / (rows + 1).sum())[lists[:, :2]].mean())
    alike = cosine_similarity(VECTORS[data.train.catalogue.rows])
    pairs = [[alike[line[a], line[b]] for a, b in ((0, 1), (0, 2), (1, 2))] for line in lists]
    assert found["diversity@3"] == pytest.approx(1 - np.mean(pairs), abs=1e-6)
    assert found["popularity_bias@2"] == pytest.approx(rows[lists[:, :2]].mean() / rows[data.test.item].mean() - 1)
    counts = np.sort(np.bincount(lists[:, :2].ravel(), minlength=ITEMS))
    assert found["coverage@2"] == np.mean(counts > 0)
    assert found["gini@2"] == pytest.approx(
        np.abs(counts[:, None] - counts).sum() / (2 * ITEMS * counts.sum())  # half the mean difference, over the mean
    )
    assert report["undefined"] == {} and set(report["priors"]["popularity"]) == set(found)
    # Of what lists are like no prior is the better, and how many lists there are is not drawn.
    assert set(report["gains"]) == {"recall@2", "map@3", "log_loss"}
    assert [name for name in found if report["intervals"][name] is None] == [*ALL]
    for name in ("recall@2", *EACH):
        low, high = report["intervals"][name]
        assert low <= found[name] <= high


@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_of_all_rows_of_a_user_each_is_to_be_found_at_once(repeats):
    """As RecBole and lenskit measure: a list a user, against all that is held out of the user."""
    random = np.random.default_rng(2)
    events = make([(n % 8, random.integers(ITEMS), 100 * n, 5) for n in range(48)], users=8)
    data = build("next-item", events, repeats=repeats)
    items = ItemTexts([f"i{n}" for n in range(ITEMS)], data.train.catalogue.rows)
    dataset = Dataset(TextTable(), {"items": items}, [], {"t": data})
    names, expected, losses = [f"{name}@2" for name in AT_K], [], []
    seen = {user: data.test.time[data.test.users == user].min() for user in np.unique(data.test.users).tolist()}
    for user, begin in seen.items():
        had = (
            set(events.item[(events.user == user) & (events.time < begin)].tolist()) if repeats == "exclude" else set()
        )
        held = set(data.test.item[data.test.users == user].tolist())
        assert not held & had
        scores = {n: n + 9.0 * (n == user % ITEMS) for n in range(ITEMS) if n not in had}
        order = sorted(scores, key=lambda n: -scores[n])
        hits = [item in held for item in order[:2]]
        expected.append(
            {
                "hr@2": float(any(hits)),
                "recall@2": sum(hits) / len(held),
                "precision@2": sum(hits) / 2,
                "map@2": (hits[0] + (hits[1] if len(hits) > 1 else 0) * sum(hits) / 2) / min(2, len(held)),
                "mrr@2": 1.0 if hits[0] else 0.5 if any(hits) else 0.0,
                "ndcg@2": sum(hit / np.log2(2 + n) for n, hit in enumerate(hits))
                / sum(1 / np.log2(2 + n) for n in range(min(2, len(held)))),
            }
        )
        total = np.log(np.exp(list(scores.values())).sum())
        losses += [total - scores[item] for item in held]
    measures = Measures((), tuple(names), ("novelty@2",), ("log_loss",))
    report = measured(ByNumber(), dataset, measures, relevant="all")
    assert report["relevant"] == "all" and report["ranked"] == len(seen) and report["n"] == len(losses)
    for name in names:
        assert report["metrics"][name] == pytest.approx(np.mean([of[name] for of in expected]))
        assert name in report["priors"]["popularity"]
    assert report["metrics"]["log_loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert len(losses) > len(seen) and "sample_of" not in report
    assert f"t: {len(losses)} rows, {len(seen)} lists ranked" in printed({"tasks": {"t": report}})
    one = measured(ByNumber(), dataset, measures)
    assert "relevant" not in one and one["n"] == len(data.test) == one["ranked"]


def test_parts_have_what_lists_are_like_but_not_all_together(dataset):
    measures = Measures((), ("recall@2",), ("novelty@2", "coverage@2"), ("log_loss",))
    report = measured(ByNumber(), dataset, measures, slices=["cold_users"])
    assert list(report["slices"]) == ["repeats", "cold_users"]
    again, new = report["slices"]["repeats"].values()
    assert list(again["metrics"]) == ["recall@2", "novelty@2", "log_loss"]
    for name, value in again["metrics"].items():
        both = (again["n"] * value + new["n"] * new["metrics"][name]) / report["n"]
        assert report["metrics"][name] == pytest.approx(both)
    (warm,) = report["slices"]["cold_users"].values()
    assert warm["metrics"] == {name: report["metrics"][name] for name in warm["metrics"]}
    assert warm["intervals"]["recall@2"] == report["intervals"]["recall@2"]
    shown = printed({"tasks": {"t": report}}).partition("t by repeats")[2]
    lines = [line.split() for line in shown.splitlines()]
    assert lines[1] == ["recall@2", "novelty@2", "log_loss"]
    assert lines[2] == ["repeats:", str(again["n"]), *(f"{value:.4f}" for value in again["metrics"].values())]
    best = again["gains"]["recall@2"]["prior"]
    assert ["best", "prior", f"{again['priors'][best]['recall@2']:.4f}", "-"] == lines[5][:4]
    assert "t by cold_users" in shown


def test_what_cannot_be_had_is_null_with_its_reason(dataset):
    report = measured(Trained(), dataset, Measures((), (), ("diversity@3", "novelty@2"), ("log_loss",)))
    assert report["metrics"]["diversity@3"] is None and report["metrics"]["novelty@2"] > 0
    assert report["undefined"] == {"diversity@3": "needs the frozen backbone's vectors: the backbone was trained"}
    assert "diversity@3: no value, needs the frozen backbone's vectors" in printed({"tasks": {"t": report}})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("shop"))
    named = ["ndcg@3", "recall@5", *EACH, *ALL]
    tasks = {
        "next": {"kind": "next-item", "metrics": named, "slices": ["cold_items"]},
        "interest": {"kind": "interest", "column": "stars", "threshold": 4, "metrics": ["auc", "hr@3", "coverage@3"]},
    }
    stopping = {"early_stopping": {"metric": "next.recall@5", "patience": 1}, "epochs": 2}
    recipes = {
        name: tiny_recipe(folder, tasks=tasks, train=stopping | {"lr": lr}) for name, lr in (("a", 1e-2), ("b", 0.1))
    }
    return {name: train(recipe, folder / name) for name, recipe in recipes.items()}


def test_a_run_is_measured_by_what_its_recipe_names(runs):
    report = read_report(runs["a"])["tasks"]
    assert list(report["next"]["metrics"]) == ["ndcg@3", "recall@5", *EACH, *ALL, "log_loss"]
    assert list(report["interest"]["metrics"]) == ["auc", "log_loss", "hr@3", "coverage@3"]
    kept = pq.read_table(runs["a"] / "test" / "next.ranks.parquet").to_pydict()
    assert list(kept) == ["group", "rank", *EACH]
    rank = np.array(kept["rank"])
    for name in ("ndcg@3", "recall@5"):
        assert report["next"]["metrics"][name] == of_places(name)(rank, rank, np.arange(len(rank)))
    assert report["next"]["metrics"]["novelty@2"] == pytest.approx(np.mean(kept["novelty@2"]))
    first = json.loads((runs["a"] / "metrics.jsonl").read_text().splitlines()[-1])["valid"]
    assert {"recall@5", "gini@2"} <= set(first["next"]) and list(first["interest"]) == ["auc", "log_loss", AT_BEST]
    card = (runs["a"] / "README.md").read_text()
    assert "recall@5" in card and "popularity bias@2" in card and "rows of items that train rows have: nDCG@3" in card


def test_evaluate_measures_the_same_again(runs):
    report = read_report(runs["a"])["tasks"]
    done = peftrec("evaluate", runs["a"], "--json")
    assert done.exit_code == 0
    again = json.loads(done.stdout)["tasks"]
    for task, of in report.items():
        assert again[task]["metrics"] == pytest.approx(of["metrics"], abs=1e-4)
        assert list(again[task].get("slices", {})) == list(of.get("slices", {}))
    shown = peftrec("evaluate", runs["a"]).stdout
    assert all(name in shown for name in (*EACH, *ALL, "recall@5", "hr@3"))


def test_runs_are_compared_by_all_but_what_lists_are_together(runs):
    a, b = compare_runs([runs["a"], runs["b"]]).values()
    found = b["tasks"]["next"]["differences"]
    assert set(found) == {*b["tasks"]["next"]["metrics"]} - {*ALL}
    for name in ("recall@5", *EACH):
        change = b["tasks"]["next"]["metrics"][name] - a["tasks"]["next"]["metrics"][name]
        assert found[name]["by"] == pytest.approx(-change if name.startswith("popularity") else change)
    assert set(b["tasks"]["interest"]["differences"]) == {"auc", "log_loss", "hr@3"}
    shown = peftrec("compare", runs["a"], runs["b"]).stdout
    assert all(name in shown for name in (*EACH, *ALL, "recall@5"))


def test_runs_that_find_all_rows_at_once_keep_their_lists(runs, tmp_path):
    folder = runs["a"].parent
    tasks = {"next": {"kind": "next-item", "metrics": ["recall@5", "novelty@2"], "relevant": "all"}}
    c, d = (
        train(tiny_recipe(folder, tasks=tasks, train={"lr": lr}), tmp_path / name)
        for name, lr in (("c", 1e-2), ("d", 0.1))
    )
    report = read_report(c)["tasks"]["next"]
    kept = pq.read_table(c / "test" / "next.ranks.parquet").to_pydict()
    rank, lists = np.array(kept["rank"]), np.array(kept["list"])
    assert len(np.unique(lists)) == report["ranked"] < report["n"] == len(rank)
    hits = [np.mean(rank[lists == n] <= 5) for n in np.unique(lists)]
    assert report["metrics"]["recall@5"] == pytest.approx(np.mean(hits))
    novel = [np.array(kept["novelty@2"])[lists == n] for n in np.unique(lists)]
    assert all((of == of[0]).all() for of in novel)
    assert report["metrics"]["novelty@2"] == pytest.approx(np.mean([of[0] for of in novel]))
    again = json.loads(peftrec("evaluate", c, "--json").stdout)["tasks"]["next"]
    assert again["metrics"] == pytest.approx(report["metrics"], abs=1e-4)
    found = compare_runs([c, d])[str(d)]["tasks"]["next"]
    change = {name: value - report["metrics"][name] for name, value in found["metrics"].items()}
    for name in ("recall@5", "novelty@2"):
        assert found["differences"][name]["by"] == pytest.approx(change[name])
    done = peftrec("compare", runs["a"], c)
    assert done.exit_code == 2 and "tasks.next.relevant differs: all against one" in done.stderr


def test_of_one_right_item_a_list_all_ranking_metrics_are_had(dataset):
    names = tuple(f"{name}@{k}" for name in AT_K for k in (1, 4))
    report = measured(ByNumber(), dataset, Measures((), names, (), ("log_loss",)), resamples=0)
    found = report["metrics"]
    assert list(found) == [*names, "log_loss"]
    assert found["recall@4"] == found["hr@4"] == pytest.approx(4 * found["precision@4"])
    assert found["map@4"] == found["mrr@4"] and found["ndcg@1"] == found["hr@1"]
