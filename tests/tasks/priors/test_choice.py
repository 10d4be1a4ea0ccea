"""What chooses a prior: rows that were not fitted to, and how sure its scores may be."""

from dataclasses import replace

import numpy as np
import pytest
from columns import rows
from scipy.special import log_softmax

from peftrec.data.dataset import Dataset, TaskData
from peftrec.data.joined import train_on_all
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.choice import Chosen, best, held_out, judge, predicted, spread, strictest


def made(label, group=None, valid=0):
    everything = rows(np.asarray(label), np.arange(len(label)) if group is None else group, None, None)
    empty = everything.take([])
    return TaskData(everything, everything.take(np.arange(valid)), empty)


def said(scores, tried, data):
    """What is predicted of rows of which a fitted predictor says `scores`, chosen by all train rows."""
    return predicted(Chosen(tried, data.train, lambda rows: lambda rows: scores, lambda rows: scores), data, data.test)


def test_validation_rows_choose_where_there_are_any():
    data = made([0, 1, 0, 1], valid=2)
    fitted, check = held_out(data)
    assert fitted is data.train and check is data.valid


def test_rows_that_are_train_rows_by_now_choose_as_they_did():
    data = made([0, 1, 0, 1], valid=2)
    joined = train_on_all(Dataset(TextTable(), {}, [], {"task": data})).tasks["task"]
    fitted, check = held_out(joined)
    assert fitted is data.train and check is data.valid
    assert len(joined.train) == 6 and len(joined.valid) == 0
    without = train_on_all(Dataset(TextTable(), {}, [], {"task": made([0, 1, 0, 1])})).tasks["task"]
    assert held_out(without)[0] is without.train


def test_else_a_fifth_of_the_train_groups_does_and_always_the_same():
    group = np.repeat(np.arange(50), 4)
    data = made(np.tile([0, 1], 100), group)
    fitted, check = held_out(data)
    assert len(fitted) == 160 and len(check) == 40
    assert not set(fitted.group) & set(check.group)
    assert np.array_equal(held_out(data)[1].group, check.group)


@pytest.mark.parametrize("label", [[0, 1, 0], [1, *[0] * 4], [0]])
def test_few_rows_choose_for_themselves_where_they_must(label):
    fitted, check = held_out(made(label))
    assert len(set(fitted.label)) == len(set(label)) or len(fitted) + len(check) == len(label)
    assert len(fitted) and len(check)


def test_scores_become_as_sure_as_the_rows_allow():
    random = np.random.default_rng(0)
    scores = random.normal(size=(4000, 3))
    label = np.array([random.choice(3, p=np.exp(row)) for row in log_softmax(2.5 * scores, axis=1)])
    tried = judge("way", scores, label)
    assert tried.sharpness == pytest.approx(2.5, rel=0.1)
    assert tried.loss == pytest.approx(-log_softmax(2.5 * scores, axis=1)[np.arange(4000), label].mean(), abs=0.01)


def test_a_few_rows_that_are_all_right_make_nothing_certain():
    tried = judge("way", np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 0, 1]))
    assert 0.8 < said(np.eye(2), tried, made([0, 1]))[0, 0] < 0.95


def test_rows_of_unknown_classes_do_not_count():
    scores = spread(np.array([2.0, -2.0, 2.0]), np.array([0, 2]), 4)
    assert scores[0].tolist() == [-1, -np.inf, 1, -np.inf]
    known = judge("way", scores[:2], np.array([2, 0]))
    assert np.isfinite(known.loss)
    assert judge("way", scores, np.array([1, 1, 3])).loss == np.inf
    assert judge("way", scores, np.array([2, 0, 1])).loss == pytest.approx(known.loss)
    chances = said(scores, known, made([0, 2]))
    assert chances.sum(1) == pytest.approx(1) and (chances[:, [1, 3]] == 0).all()


def test_numbers_are_judged_by_their_squares_and_stay_within_the_train_labels():
    near, far = (judge(name, np.array(of), np.array([1.0, 2.0])) for name, of in (("near", [1, 2.5]), ("far", [3, 2])))
    assert (near.loss, far.loss) == (0.125, 2.0) and best([far, near]) is near
    assert said(np.array([0.5, 1.5, 9.0]), near, made(np.array([1.0, 2.0]))).tolist() == [1.0, 1.5, 2.0]


def test_of_labels_of_few_levels_medians_are_predicted():
    label = np.repeat([1.0, 5, 5, 5], 50)
    scores = np.where(label > 1, 2.5, 2.0) + np.random.default_rng(0).normal(0, 0.02, 200)
    tried, asked = judge("way", scores, label), np.array([1.9, 2.1, 2.4, 2.6])
    plain = said(asked, tried, made(label))
    assert plain == pytest.approx(asked)
    near = said(asked, tried, replace(made(label), levels=(1.0, 5.0)))
    assert ((near > 3) == [False, False, True, True]).all()  # the middle of one and five


def test_the_strictest_way_that_is_not_surely_worse_is_taken():
    noise = np.tile([0.4, -0.4], 50)
    free, strict, far = np.ones(100), 1.03 + noise, 1.05 + noise  # by .03, a standard error of .04
    assert strictest([far, strict, free]) == 1
    assert strictest([far, 1.03 + noise / 2, free]) == 2  # a standard error of .02
    assert strictest([np.full(100, 0.9), strict, free]) == 0
    assert strictest([far, strict, np.full(100, 5.0)]) == 1  # row by row they differ by as much: surely
    assert strictest([far, strict, free], doubt=2) == 0
