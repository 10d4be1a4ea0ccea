"""Intervals, groups and sentences, over effects made by hand."""

import numpy as np
import pytest

from peftrec.training.affinity.advice import Estimate, advise, estimate, groups, in_words, level

SURE = {1: (0.02, 0.01, 0.03), 0: (0.01, -0.02, 0.04), -1: (-0.02, -0.03, -0.01)}


def effects_of(signs):
    return {tuple(pair): Estimate(*SURE[sign]) for pair, sign in signs.items()}


def test_the_interval_is_student_s_and_rounds_without_a_value_are_left_out():
    found = estimate(np.array([1.0, 2.0, np.nan, 3.0]), 0.95)
    # t(.975, 2) = 4.302653, times 1 / sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2 - 2.484138, 2 + 2.484138), rel=1e-6)
    assert found.sign == 0 and Estimate(0.1, 0.05, 0.15).sign == 1 and Estimate(-0.1, -0.2, -0.01).sign == -1
    assert estimate(np.array([1.0, 2.0, np.nan]), 0.95).described() is None
    assert estimate(np.zeros(4), 0.95).described() == {"value": 0.0, "low": 0.0, "high": 0.0, "sign": 0}


def test_all_intervals_hold_together():
    assert level(1) == 0.95
    assert level(6) == pytest.approx(1 - 0.05 / 6)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ({"ab": 0, "ba": 0}, ["ab"]),
        ({"ab": 1, "ba": 0}, ["ab"]),
        ({"ab": 1, "ba": -1}, ["a", "b"]),
        ({"ab": 1, "ba": 0, "ac": 0, "ca": 0, "bc": -1, "cb": 0}, ["ab", "c"]),
        ({"ab": 0, "ba": 0, "ac": 1, "ca": 1, "bc": 0, "cb": -1}, ["ac", "b"]),
        ({"ab": 1, "ba": 0, "cd": 1, "dc": 0, "ac": 0, "ca": 0, "bc": 0, "cb": 0, "bd": -1, "db": 0}, ["ab", "cd"]),
    ],
)
def test_no_group_has_a_task_that_harms_another_of_it(signs, expected):
    tasks = sorted({task for pair in signs for task in pair})
    assert ["".join(group) for group in groups(tasks, effects_of(signs))] == expected


@pytest.mark.parametrize(
    ("there", "back", "sharing", "said"),
    [
        (0, 0, "shared", []),
        (1, 0, "shared", ["a helps b (+2.0%): learn them together"]),
        (0, 1, "shared", ["b helps a (+2.0%): learn them together"]),
        (1, 1, "shared", ["a helps b (+2.0%), and b helps a (+2.0%): learn them together"]),
        (
            -1,
            1,
            "shared",
            [
                "b helps a (+2.0%) and is harmed by it (-2.0%): train b first, then a from its run with init_from, b "
                "frozen; or lower tasks.a.weight and measure again"
            ],
        ),
        (
            0,
            -1,
            "shared",
            [
                "b harms a (-2.0%): measure again with adapter.sharing=shared+private; if they still do, train them "
                "apart"
            ],
        ),
        (-1, 0, "shared+private", ["a harms b (-2.0%): train them apart, or with adapter.sharing=private"]),
        (
            -1,
            -1,
            "shared+private",
            ["a and b harm each other (-2.0% and -2.0%): train them apart, or with adapter.sharing=private"],
        ),
    ],
)
def test_a_pair_of_which_something_is_sure_gets_a_sentence(there, back, sharing, said):
    effects = effects_of({"ab": there, "ba": back})
    assert advise(effects, [["a", "b"]], {"a": sharing, "b": sharing}) == said


def test_groups_are_said_where_there_are_several():
    effects = effects_of({"ab": 0, "ba": 0})
    assert advise(effects, [["a"], ["b", "c"]], {}) == ["groups to train apart: a; b, c"]


def test_values_in_words():
    assert in_words("effect", {"value": 0.0312, "low": 0.02, "high": 0.0432}) == "+3.12 % ±1.20"
    assert in_words("cosine", {"value": -0.123, "low": -0.2, "high": -0.046}) == "-0.12 ±0.08"
    assert in_words("cosine", None) == "-"
