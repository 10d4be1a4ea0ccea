"""A task's report as rows: each metric beside its interval, its best prior and the gain."""

import pytest

from peftrec.runs.metric_rows import Row, arrow, metric_rows, number, verdict

TASK = {
    "metrics": {"auc": 0.75, "log_loss": None, "mine": 3.0},
    "intervals": {"auc": [0.7, 0.8]},
    "priors": {"popularity": {"auc": 0.6}},
    "gains": {"auc": {"prior": "popularity", "by": 0.15, "interval": [0.1, 0.2]}},
}


def test_a_row_has_what_the_report_says_and_nothing_where_it_says_nothing():
    first, second, third = metric_rows(TASK)
    assert first == Row("auc", "↑", 0.75, [0.7, 0.8], "popularity", 0.6, 0.15, [0.1, 0.2], "better")
    assert second == Row("log_loss", "↓", None, None, None, None, None, None, None)
    assert (third.arrow, third.label) == ("", "mine")
    assert (first.label, second.label) == ("AUC", "log-loss")


@pytest.mark.parametrize(
    ("interval", "word"), [([0.1, 0.2], "better"), ([-0.2, -0.1], "worse"), ([-0.1, 0.1], "open"), ([0.0, 0.1], "open")]
)
def test_a_verdict_is_only_given_where_the_interval_is_on_one_side(interval, word):
    assert verdict(interval) == word


def test_numbers_have_four_digits_and_gains_their_sign():
    assert [number(0.5), number(None), number(0.5, "+"), number(-0.5, "+")] == ["0.5000", "-", "+0.5000", "-0.5000"]
    assert [arrow("ndcg@10"), arrow("mae"), arrow("nobody's")] == ["↑", "↓", ""]
