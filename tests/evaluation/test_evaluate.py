import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from command import printed

from peftrec.errors import UserError
from peftrec.evaluation import catalogue, ranking
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate, evaluate_task, weighted_loss
from peftrec.evaluation.metrics import METRICS
from peftrec.evaluation.ranking import each_alone, last_liked, rank_catalogue
from peftrec.model.scorer import Scorer
from peftrec.recipe import make_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve
from peftrec.tasks.priors import PRIORS, RANKING_PRIORS

USERS, ITEMS = 12, 25


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Ratings that items decide, watch seconds that users decide, queries of the items' names."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    items = [f"{number},film number{number}" for number in range(ITEMS)]
    (folder / "items.csv").write_text("id,title\n" + "\n".join(items))
    time = np.sort(rng.integers(10**9, 10**9 + 9_999, size=900))
    user, item = rng.integers(USERS, size=900), rng.integers(ITEMS, size=900)
    rating = (item % 5 + rng.integers(0, 2, size=900)).clip(0, 4)
    seconds = 100 * user + rng.integers(0, 50, size=900)
    events = [",".join(map(str, row)) for row in zip(user, item, time, rating, seconds, strict=True)]
    (folder / "events.csv").write_text("user,item,time,rating,seconds\n" + "\n".join(events))
    asked = [(f"number{k % ITEMS} please {k // ITEMS}", k % ITEMS, (3 * k + 1) % ITEMS) for k in range(150)]
    queries = [f"{text},{match},1\n{text},{other},0" for text, match, other in asked if match != other]
    (folder / "queries.csv").write_text("query,item,match\n" + "\n".join(queries))
    path = lambda name: str(folder / name)  # noqa: E731
    return make_recipe(
        {
            "backbone": {"name": "none"},
            "data": {
                "items": {"path": path("items.csv"), "id": "id", "text": "{title}"},
                "events": {
                    "path": path("events.csv"),
                    **{"user": "user", "item": "item", "time": "time", "columns": ["rating", "seconds"]},
                },
                "queries": {"path": path("queries.csv"), "text": "{query}", "item": "item", "label": "match"},
            },
            "tasks": {
                "query": {"kind": "match-query"},
                "interest": {"kind": "interest", "column": "rating", "threshold": 3},
                "stars": {"kind": "interest", "column": "rating", "loss": "mse"},
                "watch": {"kind": "regression", "column": "seconds"},
                "time": {"kind": "next-gap"},
            },
        }
    )


@pytest.fixture(scope="module")
def dataset(recipe):
    return load_data(recipe)


class Constant(Scorer):
    """Knows nothing: equal probabilities, or one number."""

    def predict(self, task, examples):
        shape = (len(examples), 2) if task == "query" else len(examples)
        return np.full(shape, 0.5, np.float32)


class Oracle(Scorer):
    """Has read the label; of a catalogue row it knows the item's quality."""

    def predict(self, task, examples):
        if task == "query":
            return np.eye(2, dtype=np.float32)[examples.label]
        return examples.label.astype(np.float32)


class ByItem(Scorer):
    """Scores items by number, several alike."""

    def predict(self, task, examples):
        return (examples.item // 3).astype(np.float32) / ITEMS


def test_report_of_every_task(recipe, dataset):
    report = json.loads(json.dumps(evaluate(Oracle(), dataset, resolve(recipe), "test", resamples=30), allow_nan=False))
    assert list(report["tasks"]) == ["query", "interest", "stars", "watch", "time"]
    for name, task in report["tasks"].items():
        of_grades = ["gain", "grades"] if name == "query" else []
        assert list(task) == ["n", "metrics", "intervals", "priors", "gains", "undefined", *of_grades]
        assert task["n"] == len(dataset.tasks[name].test)
        assert task["undefined"] == {}
        assert set(task["metrics"]) == set(task["intervals"]) == set(task["gains"])
        assert all(set(values) == set(task["metrics"]) for values in task["priors"].values())
        for metric, value in task["metrics"].items():
            low, high = task["intervals"][metric]
            assert low - 1e-9 <= value <= high + 1e-9
            best = task["priors"][task["gains"][metric]["prior"]][metric]
            sign = 1 if METRICS[metric].higher else -1
            assert task["gains"][metric]["by"] == pytest.approx(sign * (value - best))
            assert all(sign * best >= sign * other[metric] for other in task["priors"].values())
            assert task["gains"][metric]["by"] >= 0  # nothing beats the oracle
    assert report["tasks"]["interest"]["metrics"]["auc"] == 1
    assert report["tasks"]["watch"]["metrics"]["r2"] == 1


def test_values_and_priors_are_those_of_the_tables(recipe, dataset):
    report = evaluate_task(
        Oracle(),
        dataset,
        "interest",
        "valid",
        measures=Measures(("auc",)),
        priors=["item_rate", "user_rate"],
        resamples=0,
    )
    rows = dataset.tasks["interest"].valid
    expected = METRICS["auc"](PRIORS["item_rate"](dataset, "interest", rows), rows.label, rows.group)
    assert report["priors"]["item_rate"] == {"auc": pytest.approx(expected)}
    assert report["gains"]["auc"] == {"prior": "item_rate", "by": pytest.approx(1 - expected)}
    assert report["intervals"] == {}


class Encoding(Constant):
    """Has a backbone, which says of each text its row number, twice."""

    frozen_vectors = staticmethod(lambda rows: np.stack([rows, rows**2], 1).astype(np.float32))


class Trained(Constant):
    """Had a backbone."""

    no_vectors = "the backbone was trained"


def test_priors_on_vectors_are_given_those_of_the_scorer(dataset):
    options = {"measures": Measures(("auc",)), "priors": ["frozen_lr", "lexical"], "resamples": 0}
    report = evaluate_task(Encoding(), dataset, "query", "valid", **options)
    rows = dataset.tasks["query"].valid
    prediction = PRIORS["frozen_lr"](dataset, "query", rows, vectors=Encoding.frozen_vectors)
    assert list(report["priors"]) == ["frozen_lr", "lexical"] and "left_out" not in report
    assert report["priors"]["frozen_lr"] == {"auc": METRICS["auc"](prediction, rows.label, rows.group)}


def test_where_there_are_no_vectors_the_priors_on_them_are_left_out(dataset):
    options = {"measures": Measures(("auc",)), "priors": ["frozen_lr", "lexical"], "resamples": 0}
    report = evaluate_task(Trained(), dataset, "query", "valid", **options)
    assert list(report["priors"]) == ["lexical"]
    assert report["left_out"] == {"frozen_lr": "the backbone was trained"}
    assert "prior frozen_lr: left out, the backbone was trained" in printed({"tasks": {"query": report}})
    never = evaluate_task(Constant(), dataset, "query", "valid", **options)
    assert list(never["priors"]) == ["lexical"] and "left_out" not in never


def test_losing_to_a_prior_is_reported_as_a_loss(recipe, dataset):
    report = evaluate(Constant(), dataset, resolve(recipe), "test", resamples=50)
    gain = report["tasks"]["interest"]["gains"]["auc"]
    assert gain["by"] < 0 and gain["interval"][1] < 0
    error = report["tasks"]["watch"]["gains"]["mae"]  # smaller is better: the sign still says worse
    assert error["by"] < 0 and error["interval"][0] <= error["by"] <= error["interval"][1] < 0


def test_validation_can_be_metrics_alone(recipe, dataset):
    task = evaluate(Constant(), dataset, resolve(recipe), "valid", resamples=0, priors=False)["tasks"]["interest"]
    assert (task["intervals"], task["priors"], task["gains"]) == ({}, {}, {})
    assert task["metrics"]["auc"] == 0.5


def test_rows_with_weights_report_their_weighted_loss_and_metrics_without(recipe, dataset):
    weighed = {}
    for name in ("interest", "watch", "stars"):
        data = dataset.tasks[name]
        weight = np.random.default_rng(0).exponential(size=len(data.test)).astype(np.float32)
        weighed[name] = replace(data, test=replace(data.test, weight=weight))
    tasks = {name: task for name, task in resolve(recipe).items() if name in weighed}
    options = {"resamples": 0, "priors": False}
    report = evaluate(Constant(), replace(dataset, tasks=weighed), tasks, "test", **options)["tasks"]
    plain = evaluate(Constant(), dataset, tasks, "test", **options)["tasks"]
    for name, data in weighed.items():
        rows = data.test
        away = Constant().predict(name, rows) - rows.label
        each = np.full(len(rows), np.log(2)) if name == "interest" else away**2 if name == "stars" else np.abs(away)
        assert report[name].pop("weighted_loss") == pytest.approx((rows.weight * each).mean())
        assert report[name] == plain[name]
    none = replace(weighed["interest"].test, weight=np.zeros(len(weighed["interest"].test), np.float32))
    assert weighted_loss(tasks["interest"].loss, np.full(len(none), 0.5), none) == 0


def test_a_task_of_grades_names_its_gain(recipe, dataset):
    report = evaluate(Constant(), dataset, {"query": resolve(recipe)["query"]}, "test", resamples=0)["tasks"]["query"]
    assert report["gain"] == "exponential" and report["grades"] == {"0": 0, "1": 1}


def test_a_metric_without_a_value_is_null_with_its_reason(dataset):
    data = dataset.tasks["interest"]
    liked = replace(data, test=data.test.take(np.flatnonzero(data.test.label == 1)))
    only_liked = replace(dataset, tasks={"interest": liked})
    report = evaluate_task(
        Constant(),
        only_liked,
        "interest",
        "test",
        measures=Measures(("auc", "log_loss")),
        priors=["majority"],
        resamples=20,
    )
    assert report["metrics"]["auc"] is None and report["intervals"]["auc"] is None
    assert report["priors"]["majority"]["auc"] is None and "auc" not in report["gains"]
    assert report["undefined"] == {"auc": "needs rows of at least two classes"}
    assert report["metrics"]["log_loss"] == pytest.approx(np.log(2))


def test_an_empty_split_and_broken_predictions_are_refused(recipe, dataset):
    data = dataset.tasks["interest"]
    empty = replace(dataset, tasks={"interest": replace(data, valid=data.valid.take(np.arange(0)))})
    tasks = {"interest": resolve(recipe)["interest"]}
    with pytest.raises(UserError, match=r"task 'interest': the valid split has no rows.*data\.split\.valid"):
        evaluate(Constant(), empty, tasks, "valid")

    class Diverged(Scorer):
        def predict(self, task, examples):
            return np.full(len(examples), np.nan, np.float32)

    with pytest.raises(UserError, match=r"task 'interest': 180 of 180 predictions are not finite.*train\.lr"):
        evaluate(Diverged(), dataset, tasks, "test")


def ranks_by_hand(dataset, score):
    """Users and mid-ranks of their last liked item among all items, one user at a time: most rows here are repeats."""
    test = dataset.tasks["interest"].test
    users, ranks = [], []
    for user in range(USERS):
        liked = np.flatnonzero((test.group == user) & (test.label == 1))
        if not len(liked):
            continue
        target = test.item[liked[np.lexsort((liked, test.time[liked]))[-1]]]
        others, mine = [item for item in range(ITEMS) if item != target], score(target)
        users.append(user)
        ranks.append(1 + sum(score(o) > mine for o in others) + sum(score(o) == mine for o in others) / 2)
    return users, ranks


@pytest.mark.parametrize("rows_at_once", [1, 60, 1 << 20])
def test_full_catalogue_ranks_by_hand(dataset, monkeypatch, rows_at_once):
    monkeypatch.setattr(ranking, "RANKED_PAIRS", rows_at_once)
    data = dataset.tasks["interest"]
    targets = last_liked(data.test)
    priors = {name: partial(RANKING_PRIORS[name], dataset, "interest") for name in ("popularity", "random")}
    found = rank_catalogue(ByItem(), dataset, "interest", each_alone(targets), priors)
    ranks = {name: of.place for name, of in found.items()}
    expected_users, expected = ranks_by_hand(dataset, lambda item: item // 3)
    assert targets.group.tolist() == expected_users and ranks["model"].tolist() == expected
    popular = np.bincount(data.train.item, minlength=ITEMS)
    assert ranks["popularity"].tolist() == ranks_by_hand(dataset, lambda item: popular[item])[1]
    assert ((ranks["random"] >= 1) & (ranks["random"] <= ITEMS)).all()


def test_beyond_so_many_pairs_every_so_many_rows_are_ranked(recipe, dataset, monkeypatch):
    tasks = {"interest": resolve(recipe)["interest"]}
    everyone = len(last_liked(dataset.tasks["interest"].test))
    monkeypatch.setitem(catalogue.MOST_PAIRS, "users", 3 * ITEMS + 1)
    report = evaluate(Constant(), dataset, tasks, "test", resamples=0, ranking=True)["tasks"]["interest"]
    assert report["ranked"] == 3 < everyone and report["n"] == 180


def test_catalogue_rows_carry_the_item_and_the_users_own_history(dataset):
    test = dataset.tasks["interest"].test
    seen = []

    class Spy(Scorer):
        def predict(self, task, examples):
            seen.append(examples)
            return np.zeros(len(examples), np.float32)

    targets = last_liked(test)
    rank_catalogue(Spy(), dataset, "interest", each_alone(targets))
    (rows,) = seen
    assert (rows.slots["item"] == dataset.items["items"].rows[rows.item]).all()
    assert rows.item.tolist() == list(range(ITEMS)) * len(targets)
    for name in ("group", "stop", "time"):
        assert (getattr(rows, name) == np.repeat(getattr(targets, name), ITEMS)).all()


def test_ranking_goes_into_the_report_of_liked_or_not_only(recipe, dataset):
    report = evaluate(Constant(), dataset, resolve(recipe), "test", resamples=20, ranking=True)["tasks"]
    interest = report.pop("interest")
    assert 0 < interest["ranked"] <= USERS
    names = ["auc", "gauc", "log_loss", "ece", "hr@10", "ndcg@10", "mrr@10"]
    assert list(interest["metrics"]) == list(interest["intervals"]) == names
    assert list(interest["priors"]["random"]) == names
    assert list(interest["priors"]["popularity"]) == names[4:]
    assert list(interest["gains"]) == names
    assert not any("ranked" in task for task in report.values())


def test_printed_report_fits_a_terminal_and_shows_losses(recipe, dataset):
    text = printed(evaluate(Constant(), dataset, resolve(recipe), "test", resamples=20, ranking=True))
    assert "…" not in text and "interest: 180 rows" in text and "users ranked" in text
    for word in ("mrr@10", "item_and_user", "lexical", "user_median", "gain over *", "worse"):
        assert word in text
    assert text.splitlines()[-2:] == [
        "*     the best trivial prior by that metric",
        "open  the gain's interval holds 0: neither better nor worse can be told",
    ]


def test_a_task_of_weight_0_is_reported_as_not_trained(recipe, dataset):
    tasks = resolve(recipe)
    tasks["query"] = replace(tasks["query"], config=tasks["query"].config.model_copy(update={"weight": 0.0}))
    report = evaluate(Constant(), dataset, tasks, "test", resamples=20)
    assert [name for name, of in report["tasks"].items() if "not_trained" in of] == ["query"]
    assert printed(report).count("not trained: weight 0") == 1
