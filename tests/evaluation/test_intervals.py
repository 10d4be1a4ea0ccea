import numpy as np
import pytest
from sklearn import metrics as reference

from peftrec.evaluation.at_k import of_places
from peftrec.evaluation.intervals import bootstrap, draws, paired
from peftrec.evaluation.metrics import METRICS


def rows(count=200, groups=15, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=count).astype(np.float32)
    prediction = (0.3 * label + 0.7 * rng.random(count)).round(2)
    return prediction, label, rng.integers(groups, size=count)


def resampled(group, resamples, seed):
    """Row indexes and new group names of every resample, built the naive way from the same draws."""
    names = np.unique(group)
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = [np.flatnonzero(group == names[k]) for k in rng.integers(len(names), size=len(names))]
        yield np.concatenate(drawn), np.repeat(np.arange(len(drawn)), [len(part) for part in drawn])


@pytest.mark.parametrize("name", list(METRICS))
def test_equals_naive_resampling_of_whole_groups(name):
    prediction, label, group = rows()
    if name in ("micro_f1", "mean_ap"):  # of several labels a row
        prediction, label = (np.stack([column, column[::-1], 1 - column], 1) for column in (prediction, label))
    values = [METRICS[name](prediction[i], label[i], g) for i, g in resampled(group, 50, seed=3)]
    expected = np.percentile(values, [2.5, 97.5])
    assert bootstrap(METRICS[name], prediction, label, group, 50, seed=3) == pytest.approx(tuple(expected), abs=1e-9)


def test_equals_naive_resampling_with_scikit_learn():
    prediction, label, group = rows()
    values = [reference.roc_auc_score(label[i], prediction[i]) for i, _ in resampled(group, 50, seed=0)]
    assert bootstrap(METRICS["auc"], prediction, label, group, 50) == pytest.approx(
        tuple(np.percentile(values, [2.5, 97.5]))
    )


def test_paired_difference_equals_naive_resampling():
    prediction, label, group = rows()
    other = np.random.default_rng(9).random(len(label))
    values = [
        reference.roc_auc_score(label[i], prediction[i]) - reference.roc_auc_score(label[i], other[i])
        for i, _ in resampled(group, 50, seed=0)
    ]
    interval = paired(METRICS["auc"], prediction, other, label, group, 50)
    assert interval == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert paired(METRICS["auc"], prediction, prediction, label, group, 50) == (0, 0)


def test_clustered_intervals_are_wider_than_rows_when_groups_agree():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(20), 50)
    rank = np.where(rng.random(20) < 0.5, 1, 99)[group]  # every row of a user is a hit, or none
    hits, each = of_places("hr@10"), np.arange(len(group))
    by_user, by_row = (bootstrap(hits, rank, rank, each, cluster=cluster) for cluster in (group, each))
    assert by_user[1] - by_user[0] > 4 * (by_row[1] - by_row[0])


def test_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(60), 5)
        error = rng.normal(size=60)[group] + rng.normal(size=300)  # mean of |error| is sqrt(2) sqrt(2 / pi)
        low, high = bootstrap(METRICS["mae"], error, np.zeros(300), group, 200, seed)
        covered += low <= 2 / np.sqrt(np.pi) <= high
    assert 86 <= covered <= 100


def test_the_seed_decides_the_draws():
    group = np.array([5, 5, 8, 9])
    one, again, other = (np.stack(list(draws(group, 6, seed))) for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).any()
    assert (one[:, 0] == one[:, 1]).all() and (one[:, 1:].sum(1) == 3).all()


def test_no_interval_without_two_groups_or_mostly_without_a_value():
    prediction, label, _ = rows()
    assert np.isnan(bootstrap(METRICS["auc"], prediction, label, np.zeros(200, int), 20)).all()
    assert np.isnan(bootstrap(METRICS["auc"], prediction, np.ones(200), np.arange(200), 20)).all()
    assert np.isnan(bootstrap(METRICS["mae"], prediction[:0], label[:0], label[:0], 20)).all()
