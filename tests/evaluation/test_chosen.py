"""Which metrics a task has, and what a recipe is told of those that do not fit."""

import numpy as np
import pytest
import yaml
from command import peftrec
from eventful import ITEMS, build, make, timeline
from made import made
from shown import make_shown, shown_recipe
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.dataset import Dataset
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.evaluation.at_k import AT_K
from peftrec.evaluation.beyond import BEYOND
from peftrec.evaluation.chosen import OF_LABELS, Measures, check_measures, check_shown, fitting, measures_of
from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.metric import Metric
from peftrec.evaluation.metrics import METRICS, OF_IMPRESSIONS, find_metric
from peftrec.model.scorer import Scorer
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import KINDS, resolve
from peftrec.tasks.losses import LOSSES, TAG_LOSSES

MINE = Metric(lambda prediction, label, group: lambda weight: 0.5, higher=True)
RANKED = [f"{name}@k" for name in (*AT_K, *BEYOND)]
NEXT = {"kind": "next-item"}
LIKED = {"kind": "interest", "threshold": 4}
GRADED = {"kind": "match-query"}


def test_without_the_key_metrics_are_the_kinds_own():
    three = ("hr@10", "ndcg@10", "mrr@10")
    assert measures_of(made(**NEXT), False) == Measures((), three, (), ("log_loss",))
    of_likes = ("auc", "gauc", "log_loss", "ece")
    assert measures_of(made(**LIKED), False) == Measures(of_likes, three)
    assert measures_of(made(**LIKED), True) == Measures((*of_likes, *OF_IMPRESSIONS), three)
    of_queries = ("mrr@10", "recall@1", "recall@10", "recall@100", "ndcg@10")
    matches = Measures((), of_queries, (), ("log_loss",))
    assert measures_of(made(kind="match-query", loss="softmax"), False) == matches
    assert measures_of(made(**GRADED), False) == Measures(("accuracy", "macro_f1", "auc", "ndcg@10", "log_loss"))
    assert measures_of(made(kind="interest", loss="mse"), False) == Measures(("mae", "rmse", "r2"))


def test_those_named_are_sorted_by_what_they_are_of_and_the_losss_own_stays():
    named = ["ndcg@5", "coverage@20", "recall@100"]
    assert measures_of(made(**NEXT, metrics=named), False) == Measures(
        (), ("ndcg@5", "recall@100"), ("coverage@20",), ("log_loss",)
    )
    assert measures_of(made(**LIKED, metrics=[*named, "impression_map@3"]), True) == Measures(
        ("impression_map@3", "log_loss"), ("ndcg@5", "recall@100"), ("coverage@20",)
    )
    assert measures_of(made(**GRADED, metrics=["ndcg@5", "ndcg@3"]), False) == Measures(
        ("ndcg@5", "ndcg@3", "log_loss")
    )
    assert not measures_of(made(**LIKED, metrics=["auc"]), False).ranks
    assert measures_of(made(**NEXT, metrics=[f"{__name__}:MINE"]), False).places == (f"{__name__}:MINE",)
    assert measures_of(made(**LIKED, metrics=[f"{__name__}:MINE"]), False).predictions[0] == f"{__name__}:MINE"
    assert measures_of(made(**NEXT, metrics=named), False).of_parts.lists == ()


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (NEXT, [*RANKED, "log_loss"]),
        (
            LIKED,
            ["accuracy", "macro_f1", "auc", "gauc", "log_loss", "ece", *RANKED, "impression_auc", "impression_mrr"]
            + [f"impression_{name}@k" for name in AT_K],
        ),
        (GRADED, ["accuracy", "macro_f1", "auc", "log_loss", "ece", "ndcg@k"]),
        ({"kind": "regression", "column": "x"}, ["mae", "rmse", "r2"]),
        ({"kind": "classification", "label": {"column": "x"}}, ["micro_f1", "macro_f1", "mean_ap", "log_loss"]),
    ],
)
def test_what_fits(task, names):
    assert sorted(fitting(made(**task))) == sorted(names)


def test_every_metric_fits_somewhere_and_every_loss_has_its_labels():
    known = {name for of in OF_LABELS.values() for name in of} | {"ndcg@10"}
    assert known | set(OF_IMPRESSIONS) == set(METRICS)
    assert {loss.labels for loss in (*LOSSES.values(), *TAG_LOSSES.values())} <= set(OF_LABELS)
    for kind in KINDS.values():
        for labels, names in kind.metrics.items():
            assert set(names) <= {*OF_LABELS[labels], "ndcg@10"}


@pytest.mark.parametrize("task", [NEXT, LIKED, GRADED, {"kind": "regression", "column": "x"}])
def test_all_that_fit_are_taken(task):
    names = [name.replace("@k", "@7") for name in fitting(made(**task))]
    with_all = made(**task, metrics=names)
    check_measures({"task": with_all})
    measures = measures_of(with_all, True)
    assert sorted([*measures.predictions, *measures.places, *measures.lists, *measures.choice]) == sorted(names)
    assert all(find_metric(name) for name in measures.predictions)


@pytest.mark.parametrize(
    ("task", "named", "unknown"),
    [
        (NEXT, ["ndcg@5", "auc", "ndgc@10"], "'auc', 'ndgc@10'"),
        (NEXT, ["recall@0", "recall", "gini", "mae@5"], "'recall@0', 'recall', 'gini', 'mae@5'"),
        (LIKED, ["rmse", "impression_auc@5", "micro_f1"], "'rmse', 'impression_auc@5', 'micro_f1'"),
        (GRADED, ["hr@5", "gauc"], "'hr@5', 'gauc'"),
        ({"kind": "regression", "column": "x"}, ["ndcg@5"], "'ndcg@5'"),
    ],
)
def test_those_that_do_not_fit_are_told_together_with_all_that_do(task, named, unknown):
    task = made(**task, metrics=named)
    with pytest.raises(UserError) as error:
        check_measures({"mine": task})
    message = str(error.value)
    assert message.startswith(
        f"tasks.mine.metrics: {task.config.kind} with loss {task.config.loss} has no {unknown}; it has "
    )
    assert all(name in message for name in fitting(task))
    assert ("with a whole number from 1 for k" in message) == any(name.endswith("@k") for name in fitting(task))


def test_one_of_ones_own_must_be_a_metric():
    check_measures({"mine": made(**NEXT, metrics=[f"{__name__}:MINE"])})
    with pytest.raises(UserError, match=r"metric: \S*test_chosen:NEXT must be a peftrec\.evaluation\.metric\.Metric"):
        check_measures({"mine": made(**NEXT, metrics=[f"{__name__}:NEXT"])})


def test_metrics_of_lists_need_lists():
    task = made(**LIKED, metrics=["impression_ndcg@3", "auc"])
    data = build("interest", make(timeline(40)), threshold=4)
    with pytest.raises(UserError, match=r"tasks\.mine\.metrics: impression_ndcg@3 needs lists that were shown"):
        check_shown({"mine": task}, Dataset(TextTable(), {}, [], {"mine": data}))
    assert len(ITEMS) == 6 and np.unique(data.train.label).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"metrics": []}, "tasks.next.metrics: List should have at least 1 item"),
        ({"metrics": "auc"}, "tasks.next.metrics: Input should be a valid list"),
        ({"metrics": ["hr@5", "hr@5"]}, "tasks.next.metrics: names each once; found ['hr@5', 'hr@5']"),
        (
            {"metrics": ["rmse"]},
            "tasks.next.metrics: next-item with loss softmax has no 'rmse'; it has hr@k, recall@k,",
        ),
        ({"metrics": ["nobody:here"]}, "tasks.next.metrics: metric: cannot import 'nobody:here'"),
        ({"slices": ["brand"]}, "tasks.next.slices: rows cannot be divided by 'brand', but by cold_items, cold_users"),
        ({"relevant": "window"}, "tasks.next.relevant: Input should be 'one' or 'all'; found 'window'"),
        ({"kind": "next-gap", "relevant": "all"}, "tasks.next: relevant: kind next-gap does not read it; found 'all'"),
        ({"slices": ["cold_items"] * 2}, "tasks.next.slices: names each once"),
    ],
)
def test_a_wrong_value_is_one_message_and_nothing_is_written(tmp_path, keys, message):
    shop = make_tiny_shop(tmp_path)
    recipe = tmp_path / "recipe.yaml"
    raw = tiny_recipe(shop).model_dump(mode="json", exclude_unset=True) | {"tasks": {"next": NEXT | keys}}
    recipe.write_text(yaml.safe_dump(raw))
    for verb in (["check"], ["train", "--run", tmp_path / "run"]):
        done = peftrec(verb[0], recipe, *verb[1:])
        assert done.exit_code == 2 and done.stderr.count(message) == 1, done.stderr
    assert not (tmp_path / "run").exists()


def test_lists_that_were_shown_are_measured_by_any_of_them(tmp_path):
    named = ["impression_recall@2", "impression_hr@1", "impression_ndcg@3"]
    recipe = shown_recipe(make_shown(tmp_path), {"click": {"kind": "interest", "metrics": named}})
    dataset, tasks = load_data(recipe), resolve(recipe)
    check_shown(tasks, dataset)
    rows = dataset.tasks["click"].test
    chance = np.random.default_rng(0).random(len(rows)).astype(np.float32)

    class ByChance(Scorer):
        def predict(self, task, examples):
            return chance

    report = evaluate(ByChance(), dataset, tasks, "test", resamples=20, ranking=True)["tasks"]["click"]
    assert list(report["metrics"]) == [*named, "log_loss"] and "ranked" not in report
    for name in named:
        assert report["metrics"][name] == find_metric(name)(chance, rows.label, rows.group)
        low, high = report["intervals"][name]
        assert low < report["metrics"][name] < high and name in report["priors"]["item_rate"]
