"""The population stability index: its sum by hand, which scores it is of, and what it is compared with."""

import math

import numpy as np
import pytest

from peftrec.evaluation.outcomes import read_outcome
from peftrec.serving.predictor import Predictor
from peftrec.serving.service import drift
from peftrec.serving.service.drift import Scores, labels_of, score_of, scores_of_test, stability


def test_the_index_by_hand():
    expected = (0.5 - 0.2) * math.log(0.5 / 0.2) + (0.3 - 0.3) * 0 + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert stability(np.array([50, 30, 20]), np.array([20, 30, 50])) == pytest.approx(expected)
    assert stability(np.array([7, 7]), np.array([3, 3])) == 0
    empty = stability(np.array([100, 0]), np.array([50, 50]))  # counts as half a score
    assert empty == pytest.approx((1 - 0.5) * math.log(2) + (0.005 - 0.5) * math.log(0.01))


def test_scores_are_counted_by_the_deciles_of_those_before_upper_ends_included():
    scores = Scores(np.arange(1, 1001) / 1000)
    assert scores.ends == pytest.approx(np.arange(1, 10) / 10)
    scores.add(np.array([-3.0, scores.ends[0], scores.ends[0] + 1e-9, 0.55, 7.0]))
    assert scores.counts.tolist() == [2, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert scores.sum == pytest.approx(4.75, abs=1e-6)


def test_as_many_of_each_as_before_is_nothing_and_others_are_much():
    before = np.random.default_rng(0).normal(size=5000)
    same, other = Scores(before), Scores(before)
    same.add(np.random.default_rng(1).normal(size=1000))
    other.add(np.random.default_rng(1).normal(1, size=1000))
    assert 0 < same.psi < 0.03
    assert other.psi > 0.5


def test_the_latest_count_however_they_come():
    before = np.random.default_rng(0).normal(size=5000)
    scores, latest = Scores(before), np.random.default_rng(1).normal(size=drift.LATEST)
    scores.add(np.full(3333, 9.0))
    for part in np.split(latest, [1, 700, 1400]):
        scores.add(part)
    alone = Scores(before)
    alone.add(latest)
    assert scores.psi == alone.psi
    assert scores.counts.sum() == 3333 + drift.LATEST


def test_of_few_scores_now_or_then_nothing_is_said():
    scores, few = Scores(np.arange(1000.0)), Scores(np.arange(drift.LEAST - 1.0))
    few.add(np.arange(1000.0))
    scores.add(np.arange(drift.LEAST - 1.0))
    assert (few.psi, scores.psi) == (None, None)
    scores.add(np.zeros(1))
    assert scores.psi > 0


def test_scores_of_few_values_have_fewer_bins():
    scores = Scores(np.repeat([0.0, 1.0], [900, 100]))
    assert scores.ends.tolist() == [0.0]
    assert Scores(np.full(9, 0.5)).ends.tolist() == [0.5]
    scores.add(np.repeat([0.0, 1.0], [500, 500]))
    assert scores.counts.tolist() == [500, 500]
    assert scores.psi == pytest.approx(0.4 * math.log(5 / 1) + -0.4 * math.log(5 / 9))


def test_what_counts_as_score_and_label_of_predictions():
    assert score_of({"score": 0.25, "grade": "E", "probabilities": {"E": 0.9}}) == 0.25
    assert score_of({"value": 3, "seconds": 19.0}) == 3
    assert score_of({"label": "a", "probabilities": {"a": 0.6, "b": 0.4}}) == 0.6
    assert score_of({"labels": [], "probabilities": {}}) is None
    assert labels_of({"label": "a", "probabilities": {}}) == ["a"]
    assert labels_of({"labels": ["a", "b"]}) == ["a", "b"]
    assert labels_of({"score": 1.0, "grade": "E"}) == ["E"]
    assert labels_of({"score": 1.0}) == []


def test_before_are_the_run_s_own_test_rows_as_predict_gives_them(runs):
    run = runs / "one"
    predictor = Predictor.load(run)
    liked = scores_of_test(run, predictor, "interest")
    assert np.array_equal(liked, read_outcome(run, "interest").prediction)
    assert ((liked >= 0) & (liked <= 1)).all()
    rows = read_outcome(run, "query")
    grades = predictor.run.tasks["query"].grades(predictor.run.described["query"]["classes"])
    assert np.allclose(scores_of_test(run, predictor, "query"), grades.score(rows.prediction))
    assert np.array_equal(scores_of_test(run, predictor, "time"), read_outcome(run, "time").prediction)
    assert scores_of_test(run, predictor, "next") is None  # it kept log-probabilities
    assert scores_of_test(run.parent, predictor, "interest") is None  # nothing is there
