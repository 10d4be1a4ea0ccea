"""The test of surges: held against scipy's distributions, and over months of made windows."""

import numpy as np
import pytest
from scipy.stats import betabinom, binom, chi2

from peftrec.serving.monitor.surges import LEAST, Surges, over_dispersion, surge, tail


@pytest.mark.parametrize(("rate", "spread"), [(0.15, 0.05), (0.5, 0.3), (0.02, 0.001)])
def test_the_tail_is_that_of_scipys_beta_binomial(rate, spread):
    a, b = rate * (1 / spread - 1), (1 - rate) * (1 / spread - 1)
    for count in (0, 1, 7, 40):
        assert tail(40, count, rate, spread) == pytest.approx(betabinom.sf(count - 1, 40, a, b), rel=1e-6)
    assert tail(40, 9, rate, 1e-7) == pytest.approx(binom.sf(8, 40, rate), rel=1e-3)


def test_over_dispersion_is_bounded_from_above():
    random = np.random.default_rng(0)
    of = random.integers(5, 60, 200).astype(float)

    def estimated(spread):
        rate = random.beta(0.2 * (1 / spread - 1), 0.8 * (1 / spread - 1), 200) if spread else 0.2
        found = random.binomial(of.astype(int), rate).astype(float)
        return found, over_dispersion(of, found, 0.2)

    found, spread = estimated(0.1)
    pearson = ((found - of * 0.2) ** 2 / (of * 0.16 * (1 + (of - 1) * spread))).sum()
    assert pearson == pytest.approx(chi2.ppf(0.1, 199), rel=1e-6)
    above = np.mean([estimated(0.1)[1] > 0.1 for _ in range(60)])
    assert above > 0.75  # 0.9 by chi-squared, whose tails are lighter
    assert max(estimated(0)[1] for _ in range(20)) < 0.03
    assert over_dispersion(of, np.round(of * 0.2), 0.2) == 0  # more alike than chance makes them


def test_the_expected_count_is_that_of_the_rate():
    past = np.array([[10, 2]] * 30, float)
    expected, p = surge(past, 20, 4)
    assert expected == pytest.approx(20 * 60.5 / 301)
    assert 0.4 < p < 0.7
    assert surge(past, 20, 0)[1] == pytest.approx(1)
    assert surge(past, 20, 20)[1] < 1e-8


def test_a_topic_is_judged_once_enough_is_known():
    surges = Surges(0.04, 30)
    for number in range(40):
        found = surges.judge({"a": (10, 1 + number % 2), None: (5, 1)} if number % 2 else {"a": (10, 1 + number % 2)})
        assert (found["a"].p is None) == (number < LEAST) == (found["a"].expected is None)
    assert found[None].p is None  # of which there were 20 windows
    assert not surges.judge({"new": (50, 50)})["new"].alarm


def test_what_lasts_becomes_usual():
    random, surges = np.random.default_rng(3), Surges(0.04, 48)
    said = []
    for number in range(200):
        found = surges.judge({None: (30, random.binomial(30, 0.1 if number < 60 else 0.6))})
        said.append(found[None].alarm)
    assert said[60] and not any(said[:60])
    assert sum(said[120:]) <= 80 * 0.04  # as many as are allowed


def days(random, rate, spread, texts, topics=6, days=35, injected=()):
    """Alarms a day after the first two, and which windows had one, where at most one a day is allowed."""
    surges, alarmed = Surges(1 / 24, 168), []
    for window in range(24 * days):
        busy = texts * (1 + 0.8 * np.sin(2 * np.pi * window / 24))
        counted = {}
        for topic in range(topics):
            if of := int(random.poisson(busy)):
                own = random.beta(rate * (1 / spread - 1), (1 - rate) * (1 / spread - 1)) if spread else rate
                own = 0.7 if (window, topic) in injected else own
                counted[str(topic)] = (of, int(random.binomial(of, own)))
        alarmed += [(window, int(topic)) for topic, of in surges.judge(counted).items() if of.alarm]
    return len([w for w, _ in alarmed if w >= 48]) / (days - 2), alarmed


@pytest.mark.parametrize(
    ("rate", "spread", "texts"),
    [(0.15, 0, 15), (0.15, 0.1, 15), (0.03, 0.05, 15), (0.4, 0.2, 40), (0.15, 0, 2), (0.03, 0.2, 60)],
)
def test_false_alarms_are_at_most_those_allowed(rate, spread, texts):
    found, _ = days(np.random.default_rng(7), rate, spread, texts)
    assert found <= 1


def test_surges_are_found():
    injected = [(486, 0), (606, 3), (607, 3), (798, 5)]  # at the busiest hours
    for spread in (0, 0.05):
        found, alarmed = days(np.random.default_rng(8), 0.12, spread, 25, injected=injected)
        assert set(injected) <= set(alarmed) and found <= 1
