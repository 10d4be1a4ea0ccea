"""The page and the figure of learning curves, from results made up."""

from benchmarks.report.curves import aims, curves_page, tally
from benchmarks.report.figures import draw_all


def cell(gain, low, high):
    other = {"value": 0.4, "gain": 0.0, "interval": [-0.1, 0.1]}
    arms = {"together": {"value": 0.4 + gain, "gain": gain, "interval": [low, high]}}
    arms |= {"begun": other, "after": {"value": 0.3, "gain": -0.1, "interval": [-0.2, -0.05]}}
    return {"draws": 5, "alone": 0.4, "arms": arms, "priors": {"frozen_lr": 0.5, "majority": 0.1}}


RESULT = {
    "others": 2000,
    "methods": {
        "side": {
            "a": {
                "said": "one beside another",
                "commit": "abc",
                "over": "test rows",
                "metrics": {
                    "log_loss": {"60": cell(0.1, 0.05, 0.15), "1000": cell(0.01, -0.01, 0.03)},
                    "macro_f1": {"60": cell(0.0, -0.05, 0.05), "1000": cell(0.01, -0.01, 0.03)},
                },
            },
            "b": {
                "said": "two beside three",
                "commit": "def",
                "over": "25 users",
                "metrics": {"mae": {"60": cell(-0.1, -0.2, -0.05)}},
            },
        }
    },
    "foretold": {
        "side": {
            "cells": [
                {"pair": "b", "size": 60, "forecast": -0.011, "found": 0.2},
                {"pair": "a", "size": 1000, "forecast": 0.052, "found": -0.03},
            ],
            "correlation": -0.5,
            "interval": [-0.9, 0.1],
        }
    },
}


def by(place):
    """The cells of all pairs, by log-loss or macro-F1 where there are both."""
    pairs = RESULT["methods"]["side"]
    return {name: [*[*of["metrics"].values()][place % len(of["metrics"])].values()] for name, of in pairs.items()}


def test_gains_are_told_by_intervals_that_leave_out_zero():
    said = tally(by(0))
    assert "| together | 3 | 1 | 1 | 1 |" in said
    assert "| begun | 3 | 0 | 0 | 3 |" in said
    assert "| after | 3 | 0 | 3 | 0 |" in said
    assert "| together | 3 | 0 | 1 | 2 |" in tally(by(1))


def test_what_was_foretold_stands_beside_what_came_of_it():
    said = curves_page(RESULT)
    assert "these 2 cells is -0.50 (-0.90 to +0.10 over resampled cells)" in " ".join(said.split())
    lines = [line for line in said.splitlines() if line.startswith(("| a | 1,000 |", "| b | 60 |"))]
    assert lines == ["| a | 1,000 | +5.2 % | -3.0 % |", "| b | 60 | -1.1 % | +20.0 % |"]
    assert "foretold" not in curves_page(RESULT | {"foretold": {"side": None}})


def dict_of_gain(cell, gain, high):
    """The cell, if learning together gained so much, by an interval up to `high`."""
    arm = {**cell["arms"]["together"], "gain": gain, "interval": [gain - high, high]}
    return {**cell, "arms": {**cell["arms"], "together": arm}}


def test_what_was_chosen_elsewhere_is_named_and_counted():
    cells = {"60": cell(0.1, 0.05, 0.15), "1000": cell(0.01, -0.01, 0.03)}
    cells["60"]["arms"]["chosen"] = cells["60"]["arms"]["together"] | {"arm": "together"}
    cells["1000"]["arms"]["chosen"] = {"value": 0.4, "gain": 0.0, "interval": [0.0, 0.0], "arm": "alone"}
    pair = RESULT["methods"]["side"]["a"] | {"metrics": {"log_loss": cells}}
    text = curves_page(RESULT | {"methods": {"side": {"a": pair}}})
    lines = [line for line in text.splitlines() if line.startswith(("| 60 |", "| 1,000 |"))]
    assert [line.split(" | ")[-2] for line in lines] == ["together", "alone"]
    assert "| chosen | 2 | 1 | 0 | 1 |" in text


def test_aims_are_met_or_not():
    said = aims(by(0))
    assert (
        "| together below alone by more than 0.002, and by more than chance, nowhere | not met "
        "| 1 cells lie below, 1 by more than chance |" in said
    )
    within = {name: [dict_of_gain(cell, -0.01, 0.02) for cell in of] for name, of in by(0).items()}
    assert "nowhere | met | 3 cells lie below, 0 by more than chance |" in aims(within)
    assert "in 3 pairs or more | not met | 1 pairs |" in said
    assert "in 3 pairs or more | not met | 0 pairs |" in aims(by(1))


def test_the_page_has_a_line_a_size_and_the_figure():
    text = curves_page(RESULT)
    assert "at most 2,000 of its own" in text and "## Method `side`" in text
    level, worse = "+0.0000 (-0.1000 to +0.1000)", "-0.1000 (-0.2000 to -0.0500) **worse**"
    gain = "+0.1000 (+0.0500 to +0.1500) **better**"
    assert "| rows | draws | alone: log-loss | begun | together | after | frozen_lr |\n" in text
    assert f"| 60 | 5 | 0.4000 | {level} | {gain} | {worse} | 0.5000 |\n" in text
    assert f"| 1,000 | 5 | 0.4000 | {level} | +0.0100 (-0.0100 to +0.0300) |" in text
    assert "### Two beside three" in text and "| alone: MAE |" in text and "](figures/curves-side.png)" in text
    assert text.index("| alone: log-loss |") < text.index("| alone: macro-F1 |")


def test_each_pair_says_when_it_was_measured_over_what_and_by_what():
    text = curves_page(RESULT)
    assert "### One beside another\n\nMeasured at commit abc; intervals are over draws and test rows.\n" in text
    assert "### Two beside three\n\nMeasured at commit def; intervals are over draws and 25 users.\n" in text
    assert text.index("By log-loss (a); MAE (b):") < text.index("By macro-F1 (a); MAE (b):")


def with_events():
    """The results with a third pair, which has all arms, and priors of events; of one size a prior is not known."""
    cells = {"250": cell(0.1, 0.05, 0.15), "1000": cell(0.1, 0.05, 0.15)}
    for of in cells.values():
        of["arms"] |= {
            "reading": {"value": 0.5, "gain": 0.1, "interval": [0.05, 0.15]},
            "co-training": {"value": 0.5, "gain": 0.0, "interval": [-0.1, -0.05]},
        }
        of["priors"] = {"item_rate": 0.6, "rates_so_far": 0.7}
    del cells["1000"]["priors"]["item_rate"]
    events = {"said": "likes beside orders", "commit": "012", "over": "25 users", "metrics": {"log_loss": cells}}
    return RESULT | {"methods": {"side": RESULT["methods"]["side"] | {"events": events}}}


def test_a_pair_of_events_has_columns_of_its_own():
    text = curves_page(with_events())
    arms = "reading | begun | together | co-training | after"
    heading = f"| rows | draws | alone: log-loss | {arms} | rates_so_far | item_rate |"
    assert heading in text and "| 0.7000 | 0.6000 |" in text and "| 0.7000 | - |" in text
    assert "| reading | 2 | 2 | 0 | 0 |" in text and "| co-training | 2 | 0 | 2 | 0 |" in text
    assert "| reading | 2 |" not in curves_page(RESULT) and "| together | 5 |" in text


def test_the_figure_is_drawn(tmp_path):
    for result in (RESULT, with_events()):
        assert draw_all({"curves": result}, tmp_path) == {"curves-side"}
        assert (tmp_path / "curves-side.png").read_bytes().startswith(b"\x89PNG")
    methods = {"side": RESULT["methods"]["side"], "lora": RESULT["methods"]["side"]}
    assert draw_all({"curves": RESULT | {"methods": methods}}, tmp_path) == {"curves-side", "curves-lora"}
