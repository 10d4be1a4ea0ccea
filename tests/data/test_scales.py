"""Scales: numbers by their order of magnitude, and when they are learnt so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.scales import from_log, heavy_tails, levels_of, pulled, released, to_log


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20))
def test_the_log_scale_keeps_order_and_sign_and_comes_back(values):
    numbers = np.array(values)
    found = to_log(numbers)
    assert np.allclose(from_log(found), numbers, rtol=1e-9, atol=1e-12)
    order = np.argsort(numbers, kind="stable")
    assert (np.diff(found[order]) >= 0).all() and (np.sign(found) == np.sign(numbers)).all()


def test_it_is_the_logarithm_of_one_more():
    assert to_log([0, 9, -9, 99]).tolist() == pytest.approx([0, np.log(10), -np.log(10), np.log(100)])


@pytest.mark.parametrize(
    ("heavy", "draw"),
    [
        (False, lambda random: random.normal(size=20_000)),
        (False, lambda random: random.exponential(size=20_000)),
        (False, lambda random: random.integers(1, 6, 20_000)),
        (False, lambda random: random.poisson(3, 20_000)),
        (True, lambda random: np.exp(random.normal(size=20_000) * 1.2)),
        (True, lambda random: random.pareto(1.5, 20_000)),
        (True, lambda random: random.standard_t(1.5, 20_000)),
    ],
)
def test_tails_are_heavy_beyond_those_of_an_exponential(heavy, draw):
    values = draw(np.random.default_rng(0))
    assert heavy_tails(values) == heavy == heavy_tails(values * 1e-3) == heavy_tails(values + 5)


def test_numbers_that_are_alike_or_none_have_no_tails():
    assert not heavy_tails(np.ones(9)) and not heavy_tails(np.zeros(0))


def test_levels_are_few_numbers_that_come_again():
    assert levels_of(np.repeat([3.0, 1, 2.5], 5)) == (1, 2.5, 3)
    assert levels_of(np.append(np.repeat([3.0, 1, 2.5], 4), [1.0, 1])) == ()  # 14 rows of three numbers
    assert levels_of(np.repeat(np.arange(20.0), 5)) == tuple(range(20))
    assert levels_of(np.repeat(np.arange(21.0), 9)) == ()
    assert levels_of(np.ones(50)) == () == levels_of(np.zeros(0))


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=30),
    st.lists(st.integers(-40, 40), min_size=2, max_size=9, unique=True).map(sorted),
)
def test_what_is_drawn_near_levels_keeps_its_order_and_its_level(values, levels):
    numbers = np.sort(np.array(values))
    found = pulled(numbers, tuple(map(float, levels)))
    assert (np.diff(found) >= 0).all()
    assert ((np.diff(found) > 0) | (np.diff(numbers) < 1e-9)).all()  # what differed differs
    for one, drawn in zip(numbers, found, strict=True):
        away = min(abs(one - level) for level in levels)
        assert min(abs(drawn - level) for level in levels) == pytest.approx(away / 10, abs=1e-9)
        assert abs(one - drawn) == pytest.approx(0.9 * away, abs=1e-9)
    back = released(found, tuple(map(float, levels)))
    assert back == pytest.approx(numbers, abs=1e-6)


def test_of_labels_of_levels_what_is_drawn_near_them_errs_less():
    random = np.random.default_rng(0)
    median = random.uniform(1, 5, 20_000)
    label = (median + random.normal(size=20_000) * 0.8).round().clip(1, 5)
    near = pulled(median, levels_of(label))
    assert np.abs(near - label).mean() < np.abs(median - label).mean() - 0.02
    assert pulled(median, ()) is median and released(median, ()) is median
