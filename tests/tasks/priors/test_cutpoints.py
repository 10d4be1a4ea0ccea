"""Cutpoints: where half of the labels are above, found again where it is known; none where scores say nothing."""

from dataclasses import replace

import numpy as np
import pytest
from columns import rows
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from peftrec.data.dataset import TaskData
from peftrec.tasks.priors.cutpoints import Cutpoints, fit_cutpoints, middles_of, read_cutpoints

MIDDLES = np.array([1.5, 2.5, 3.5, 4.5])


def stars(count, at, seed=0, slope=3.0):
    """Scores, and stars of 1 to 5 whose log-odds of being above a middle are a multiple of the distance from `at`."""
    random = np.random.default_rng(seed)
    scores = random.normal(3, 1.5, count)
    level = (random.random(count)[:, None] < expit(slope * (scores[:, None] - at))).sum(1)
    return scores, 1.0 + level


def test_what_labels_were_drawn_by_is_found_again():
    at = np.array([0.5, 1.0, 2.6, 3.0])
    found = fit_cutpoints(*stars(20_000, at), MIDDLES)
    assert found.at == pytest.approx(at, abs=0.1)
    assert found(at) == pytest.approx(MIDDLES, abs=0.3) and found(found.at) == pytest.approx(MIDDLES)


def test_medians_err_less_than_means_of_mostly_the_highest():
    at = np.array([-2.0, -1.0, 0.0, 1.0])
    (scores, label), (more, truth) = stars(2000, at, slope=1), stars(2000, at, 1, slope=1)
    mean = np.poly1d(np.polyfit(scores, label, 1))
    found = fit_cutpoints(mean(scores), label, MIDDLES)
    error = {name: np.abs(np.round(of).clip(1, 5) - truth).mean() for name, of in {
        "mean": mean(more), "median": found(mean(more))}.items()}  # fmt: skip
    assert error["median"] < 0.9 * error["mean"]


@given(
    arrays(np.float64, st.integers(1, 30), elements=st.floats(-9, 9, width=32)),
    st.lists(st.floats(-4, 4, width=16), min_size=4, max_size=4),
)
def test_order_stays_and_beyond_the_ends_distances_do(scores, at):
    at = np.sort(np.array(at))
    found = Cutpoints(at, MIDDLES)(np.sort(scores))
    assert (np.diff(found) >= -1e-12).all()
    high, low = np.sort(scores) > at[-1], np.sort(scores) < at[0]
    assert found[high] == pytest.approx(np.sort(scores)[high] - at[-1] + 4.5)
    assert found[low] == pytest.approx(np.sort(scores)[low] - at[0] + 1.5)


def test_there_are_none_where_they_would_be_guesses():
    scores, label = stars(300, MIDDLES)
    assert fit_cutpoints(scores, label, MIDDLES[:0]) is None
    assert fit_cutpoints(scores[:0], label[:0], MIDDLES) is None
    assert fit_cutpoints(np.ones(300), label, MIDDLES) is None
    assert fit_cutpoints(-scores, label, MIDDLES) is None  # the other way round
    assert fit_cutpoints(scores, np.ones(300), MIDDLES) is None and fit_cutpoints(scores, label, MIDDLES - 9) is None
    assert fit_cutpoints(label, label, MIDDLES) is None  # nothing is on the wrong side


def test_many_rows_are_thinned(monkeypatch):
    scores, label = stars(3000, MIDDLES - 1)
    monkeypatch.setattr("peftrec.tasks.priors.cutpoints.MOST", 4000)
    assert np.array_equal(fit_cutpoints(scores, label, MIDDLES).at, fit_cutpoints(scores[::3], label[::3], MIDDLES).at)


def test_middles_are_on_the_scale_that_labels_are_learnt_on():
    none = rows(np.zeros(0), np.zeros(0, np.int64), None, None)
    data = TaskData(none, none, none, levels=(0.0, 2.0, 8.0))
    assert middles_of(data).tolist() == [1, 5]
    assert middles_of(replace(data, log_scale=True)) == pytest.approx(np.log([2, 6]))
    assert middles_of(replace(data, levels=())).shape == (0,)


def test_what_is_kept_says_the_same_and_what_is_none_is_refused():
    found = Cutpoints(np.array([0.0, 1, 1, 4]), MIDDLES)
    scores = np.linspace(-2, 6, 33)
    assert np.array_equal(read_cutpoints(found.tensors())(scores), found(scores))
    for wrong, said in (
        ({"cutpoints.at": np.zeros(3)}, "cutpoints.middles: 3 numbers"),
        ({"cutpoints.at": np.array([2.0, 1, 3, 4])}, "cutpoints.at: one at least, ascending"),
        ({"cutpoints.at": np.zeros(0), "cutpoints.middles": np.zeros(0)}, "cutpoints.at: one at least"),
        ({"cutpoints.middles": MIDDLES.astype(int)}, "cutpoints.middles: 4 numbers; found int64"),
    ):
        with pytest.raises(ValueError, match=said):
            read_cutpoints(found.tensors() | wrong)
