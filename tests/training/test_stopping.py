"""Early stopping: the best epoch by a score, its weights, and patience."""

import numpy as np
import pytest
import torch
from made import made
from minimal import MINIMAL
from torch import nn

from peftrec.data.examples import Dataset, Examples, TaskData
from peftrec.data.texts import TextTable
from peftrec.errors import UserError
from peftrec.recipe import make_recipe
from peftrec.training.stopping import BestEpoch, check_metric, check_watched, is_higher_better, score

TASKS = {
    "query": made("query", kind="match-query", weight=1.0),
    "time": made("time", kind="next-gap", loss="mse", weight=0.5),
}


def recipe(**stopping):
    return make_recipe(MINIMAL | {"train": {"early_stopping": stopping or None}})


def watched(values, **stopping):
    """A BestEpoch that has seen `values` of interest.auc, one an epoch, with a weight that counts the epochs."""
    weight, best = nn.Parameter(torch.zeros(1)), BestEpoch(recipe(**stopping), TASKS)
    for epoch, value in enumerate(values, 1):
        weight.data.fill_(epoch)
        best.see({"query": {"auc": value, "log_loss": 1.0}}, {"w": weight})
    return best, weight


def test_the_best_epochs_weights_come_back_and_patience_ends():
    best, weight = watched([0.5, 0.8, 0.7, 0.8], patience=2, metric="query.auc")
    assert best.exhausted  # as good as the best is no better
    best.restore({"w": weight})
    assert weight.item() == 2
    assert not watched([0.5, 0.8, 0.7], patience=2, metric="query.auc")[0].exhausted


def test_without_early_stopping_nothing_is_kept():
    best, weight = watched([0.5, 0.4, 0.3])
    assert not best.exhausted
    best.restore({"w": weight})
    assert weight.item() == 3


def test_its_state_goes_on_and_has_no_infinity():
    fresh, _ = watched([], patience=2, metric="query.auc")
    assert fresh.state() == {"best": None, "waited": 0}
    best, _ = watched([0.8, 0.7], patience=2, metric="query.auc")
    fresh.load_state(best.state(), best.weights)
    fresh.see({"query": {"auc": 0.75}}, {"w": nn.Parameter(torch.ones(1))})
    assert fresh.exhausted and fresh.weights["w"].item() == 1


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
