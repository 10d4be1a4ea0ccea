"""Early stopping: the best epoch by a score, its weights, and patience."""

import numpy as np
import pytest
import torch
from made import made
from torch import nn

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import TrainConfig
from peftrec.training.defaults import settle
from peftrec.training.stopping import (
    BestEpoch,
    check_metric,
    check_watched,
    error,
    is_higher_better,
    score,
    unwatched_notes,
)

TASKS = {
    "query": made("query", kind="match-query", weight=1.0),
    "time": made("time", kind="next-gap", loss="mse", weight=0.5),
}


W = "adapter/shared/w"


def settings(stopping):
    return settle(TrainConfig(early_stopping=stopping), 100, ["lora"], watched=True)


def watched(values, **stopping):
    """A BestEpoch that has seen `values` of query.auc, one an epoch, with a weight that counts the epochs."""
    weight, best = nn.Parameter(torch.zeros(1)), BestEpoch(settings(stopping or None), TASKS)
    for epoch, value in enumerate(values, 1):
        weight.data.fill_(epoch)
        best.see(epoch, {"query": {"auc": value, "log_loss": 1.0}}, {W: weight})
    return best, weight


def test_the_best_epochs_weights_come_back_and_patience_ends():
    best, weight = watched([0.5, 0.8, 0.7, 0.8], patience=2, metric="query.auc")
    assert best.exhausted  # as good as the best is no better
    best.joint.restore({W: weight})
    assert (weight.item(), best.joint.step) == (2, 2)
    assert not watched([0.5, 0.8, 0.7], patience=2, metric="query.auc")[0].exhausted


def test_where_no_worse_is_enough_the_later_weights_are_kept():
    best, weight = watched([0.5, 0.8, 0.7], patience=9, metric="query.auc")
    best.see(4, {"query": {"auc": 0.8, "log_loss": 1.0}}, {W: weight}, no_worse=True)
    assert best.joint.step == 4 and best.joint.weights[W].item() == 3
    best.see(5, {"query": {"auc": 0.79, "log_loss": 1.0}}, {W: weight}, no_worse=True)
    assert best.joint.step == 4


def test_without_early_stopping_nothing_is_kept():
    best, weight = watched([0.5, 0.4, 0.3])
    assert not best.exhausted
    best.joint.restore({W: weight})
    assert weight.item() == 3


def test_its_state_goes_on_and_has_no_infinity():
    fresh, _ = watched([], patience=2, metric="query.auc")
    assert fresh.state() == {"joint": [None, 0], "own": {}, "waited": 0, "first": {}, "passed": {}}
    best, _ = watched([0.8, 0.7], patience=2, metric="query.auc")
    fresh.load_state(best.state(), best.tensors())
    fresh.see(3, {"query": {"auc": 0.75, "log_loss": 1.0}}, {W: nn.Parameter(torch.ones(1))})
    assert fresh.exhausted and fresh.joint.weights[W].item() == 1 and fresh.joint.step == 1


def test_several_tasks_are_judged_by_the_weighted_mean_of_what_is_left_of_their_errors():
    best = BestEpoch(settings({"patience": 5}), {**TASKS, "apart": made("apart", kind="next-gap", weight=0)})
    seen = [(0.7, 4.0), (0.35, 4.0), (0.7, 1.0), (0.42, 2.0)]  # of rows in millions of seconds it would be the same
    for step, (query, time) in enumerate(seen):
        scores = {"query": {"log_loss": query}, "time": {"rmse": time}, "apart": {"mae": step}}
        best.see(step, scores, {W: nn.Parameter(torch.ones(1))})
    # Weights 1 and .5: (1 * .5 + .5 * 1) / 1.5 = .667; (1 * 1 + .5 * .25) / 1.5 = .75; (1 * .6 + .5 * .5) / 1.5 = .567
    assert best.joint.step == 3
    assert best.joint.score == pytest.approx(1 - 0.85 / 1.5)
    assert best.state()["first"] == {"query": 0.7, "time": 4.0}


def epochs(seen, metric=None, patience=2):
    """A BestEpoch that has seen these errors of query and time, with weights that count the evaluations."""
    named = {name: nn.Parameter(torch.zeros(1)) for name in (W, "adapter/query/w", "head/query/w", "head/time/w")}
    best = BestEpoch(settings({"patience": patience, "metric": metric}), TASKS)
    for step, (query, time) in enumerate(seen):
        for p in named.values():
            p.data.fill_(step)
        best.see(step, {"query": {"log_loss": query}, "time": {"rmse": time}}, named)
    return best


def test_a_task_that_is_over_trained_takes_nothing_from_the_others():
    seen = [(1.0, 1.0), (0.9, 5.0), (0.8, 9.0), (0.85, 9.0)]
    best = epochs(seen)
    assert (best.joint.step, best.waited) == (2, 1)
    assert best.joint.score == pytest.approx(1 - (0.8 + 0.5) / 1.5)  # time counts as what it can fall back on
    assert {name: of.step for name, of in best.own.items()} == {"query": 2, "time": 0}
    assert {name: of.item() for name, of in best.own["query"].weights.items()} == {
        "adapter/query/w": 2,
        "head/query/w": 2,
    }
    assert {name: of.item() for name, of in best.own["time"].weights.items()} == {"head/time/w": 0}


def test_it_goes_on_as_long_as_any_task_grows_better():
    seen = [(1.0, 1.0), (0.5, 0.9), (0.9, 0.8), (0.9, 0.7)]  # jointly the second is the best
    best = epochs(seen)
    assert (best.joint.step, best.waited) == (1, 0)
    assert not best.exhausted
    chosen = epochs(seen, metric="query.log_loss")  # a metric of the recipe's choice alone says how long
    assert chosen.exhausted
    assert {name: of.step for name, of in chosen.own.items()} == {"time": 3}


def test_gains_too_small_to_go_on_for_are_kept_but_end_the_patience():
    slow = [(1.0, 1.0), (0.9996, 1.0), (0.9992, 1.0), (0.9988, 1.0)]  # the third gains more than GAIN since the first
    best = epochs(slow, patience=3)
    assert (best.joint.step, best.own["query"].step, best.waited) == (3, 3, 0)
    assert epochs(slow[:3], patience=2).exhausted
    still = epochs([(1.0, 1.0), (0.9996, 1.0), (1.0, 0.9996), (0.9995, 0.9995), (0.9994, 0.9994)], patience=4)
    assert still.exhausted and still.joint.step == 4
    fresh = epochs([])
    fresh.load_state(best.state(), best.tensors())
    assert fresh.passed == best.passed == {"query": 0.9988, "time": 1.0, "": 1.0}
    far = epochs([(1.0, 1.0), (0.01, 1.0), (0.00998, 1.0)])  # of what is left
    assert far.waited == 0
    assert epochs([(0.0, 0.0)] * 2).waited == 1
    of_choice = epochs([(1.0, 1.0), (0.9999, 1.0)], metric="query.log_loss")
    assert of_choice.waited == 0  # any gain


def test_where_nothing_was_gained_the_start_is_kept_and_not_the_end():
    best = epochs([(1.0, 1.0), (1.1, 1.2)])
    best.see(2, {"query": {"log_loss": 1.3}, "time": {"rmse": 1.1}}, {W: nn.Parameter(torch.ones(1))}, no_worse=True)
    assert best.joint.step == 0


def test_its_state_knows_each_tasks_own_best():
    best, fresh = epochs([(1.0, 1.0), (0.5, 2.0)]), epochs([])
    fresh.load_state(best.state(), best.tensors())
    assert (fresh.own, fresh.joint) == (best.own, best.joint)


def test_a_resumed_training_goes_on_from_the_same_first_evaluation():
    one, two = (BestEpoch(settings({"patience": 5}), TASKS) for _ in range(2))
    scores = {"query": {"log_loss": 0.5}, "time": {"rmse": 3.0}}
    one.see(0, scores, {})
    two.load_state(one.state(), {})
    assert two.loss({"query": {"log_loss": 0.25}, "time": {"rmse": 3.0}}) == pytest.approx((0.5 + 0.5) / 1.5)


def test_the_score_is_the_metric_or_minus_the_weighted_losses_higher_being_better():
    scores = {"query": {"auc": 0.7, "log_loss": 0.5}, "time": {"rmse": 3.0, "mae": 2.0}}
    assert score(scores, TASKS, "query.auc") == 0.7
    assert score(scores, TASKS, "query.log_loss") == -0.5
    assert score(scores, TASKS, None) == pytest.approx(-(1.0 * 0.5 + 0.5 * 3.0**2))
    assert score({"query": {"auc": None}}, TASKS, "query.auc") == float("-inf")
    assert [is_higher_better(metric) for metric in ("query.auc", "query.log_loss", None)] == [True, False, False]


def test_a_metric_that_no_task_has_is_refused_with_the_nearest():
    check_metric("query.auc", TASKS, "here")
    check_metric(None, TASKS, "here")
    with pytest.raises(UserError, match=r"here: 'query.acu' is no task.metric; did you mean 'query.auc'\?"):
        check_metric("query.acu", TASKS, "here")


def test_without_validation_rows_there_is_nothing_to_watch():
    dataset = data_of(query=3, time=0)
    check_watched("query.auc", TASKS, dataset, "here")
    check_watched(None, {**TASKS, "time": made("time", kind="next-gap", weight=0)}, dataset, "here")
    for metric in (None, "time.mae"):
        with pytest.raises(
            UserError, match=r"here: needs validation rows, of which there are none for time; give them a share"
        ):
            check_watched(metric, TASKS, dataset, "here")
    with pytest.raises(UserError, match="of which there are none for query, time"):
        check_watched(None, TASKS, data_of(query=0, time=0), "here")


def data_of(**rows):
    """A dataset whose tasks have so many validation rows."""
    tasks = {}
    for name, count in rows.items():
        plain = {key: np.zeros(count) for key in ("label", "features", "group", "item", "time")}
        tasks[name] = TaskData(*(Examples(slots={}, **plain) for _ in range(3)))
    return Dataset(TextTable(), {}, [], tasks)


def test_rows_with_weights_are_watched_by_their_weighted_loss():
    scores = {"query": {"log_loss": 0.5, "weighted_loss": 0.25}, "time": {"rmse": 3.0}}
    assert score(scores, TASKS, None) == pytest.approx(-(1.0 * 0.25 + 0.5 * 3.0**2))
    assert [error(TASKS[name], of) for name, of in scores.items()] == [0.25, 3.0]


def test_tasks_without_validation_rows_are_named():
    dataset = data_of(query=3, time=0)
    assert unwatched_notes(settings({"patience": 1}), TASKS, dataset) == [
        "time: no validation rows: early stopping does not watch it; give them a share "
        "(data.split.valid above 0) or, where the split is given, mark some rows 'valid'"
    ]
    (off,) = unwatched_notes(settings(None), TASKS, data_of(query=0, time=0))
    assert off.startswith("query, time: no validation rows: how long it trains is a guess; give them a share (")
    assert unwatched_notes(settings(None), TASKS, data_of(query=3, time=3)) == []
