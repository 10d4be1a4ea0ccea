"""The page of the score card says what was measured, now and before."""

from lines import LOST

from benchmarks.report.card import card_page, outside, tally

ASKED = {"rows": 20_000, "keys": []}
NOW = {"esci": {"commit": "abc", **ASKED, "tasks": {"a": LOST, "b": LOST | {"verdict": "win"}}}}
BEFORE = {"esci": {"commit": "old", **ASKED, "tasks": {"a": LOST | {"prior": None, "result": 3.0}}}}


def test_the_page_has_every_line_with_its_verdict():
    text = card_page({"now": NOW, "before": {}, "keyed": {}})
    row = (
        "| esci | a | MAE | 1,200 | 2.0000 | 1.5000 (1.400\u00a0to\u00a01.600) "
        "| 1.9000 median | 1.2000 boosting | 2.5000 |"
    )
    assert row in text and "at most 20,000 events, of whole users, or 4,000 texts" in text
    assert "Now: of 2 tasks 1 win, 0 are level, 1 lose; beside the baseline alone" in text and "Before" not in text
    assert "- `esci`: product search, graded (abc)" in text


def test_what_was_held_out_stands_apart():
    out = {"banking77": {"commit": "abc", **ASKED, "tasks": {"c": LOST | {"verdict": "level"}}}}
    text = card_page({"now": NOW | out, "before": {}, "keyed": {}})
    assert "Now: of 2 tasks 1 win" in text and "it stands here" in text
    usual, held = text.split("## Held out")
    assert (
        "of 1 tasks 0 win, 1 are level, 0 lose; beside the baseline alone 0 win" in held and "| banking77 | c |" in held
    )
    assert "| banking77 |" not in usual and "| esci |" not in held


def test_what_was_before_stands_beside():
    text = card_page({"now": NOW, "before": BEFORE, "keyed": {}})
    assert "Before, at commit old: of 1 tasks 0 win, 0 are level, 1 lose." in text
    assert "| esci | a | MAE | 2.0000 | 3.0000 | 1.2000 | loss | 2.0000 | 1.5000 | 1.2000 | loss |" in text
    assert "| esci | b | MAE |" not in text.split("## Before and now")[1]


def test_what_keys_make_of_it_stands_beside():
    keyed = {"esci": NOW["esci"] | {"keys": ["train.refit=true"], "tasks": {"b": LOST | {"result": 1.25}}}}
    text = card_page({"now": NOW, "before": {}, "keyed": keyed})
    assert "With `train.refit=true`, which a user of such data may set: of 1 tasks 0 win" in text
    assert "| esci | b | MAE | 2.0000 | 1.5000 | 1.2000 | win | 2.0000 | 1.2500 | 1.2000 | loss |" in text


def test_a_tally_counts_all_tasks():
    assert tally(NOW | {"xquad-en": BEFORE["esci"]}) == "of 3 tasks 1 win, 0 are level, 2 lose"


def test_beside_the_baseline_alone_intervals_that_leave_out_zero_count():
    tasks = {
        name: LOST | {"baseline": LOST["baseline"] | {"interval": interval}}
        for name, interval in {"a": [0.01, 0.2], "b": [0.02, 0.3], "c": [-0.1, 0.1], "d": [-0.2, -0.1]}.items()
    }
    assert outside({"esci": {"tasks": tasks}}) == "beside the baseline alone 2 win, 1 are level, 1 lose"
