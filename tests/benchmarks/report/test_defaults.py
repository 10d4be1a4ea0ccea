"""The page of `defaults`: the rule that a data set is tried on is chosen by the others alone."""

import pytest

from benchmarks.report.defaults import chosen_by_others, defaults_page, share


def of(start, **errors):
    """A data set whose rules have these (validation, test) errors."""
    runs = {
        rule: [{"valid": valid, "test": test, "steps": 10, "metrics": {"auc": 1 - test}}]
        for rule, (valid, test) in errors.items()
    }
    return {"rows": 1000, "begins": {"valid": start, "test": start, "metrics": {"auc": 1 - start}}, "rules": runs}


def rules(own, fast, before):
    return {"as chosen": own, "fast": fast, "before": before}


SETS = {
    "one": of(0.5, **rules((0.1, 0.4), (0.5, 0.1), (0.0, 0.0))),
    "two": of(2.0, **rules((1.8, 1.9), (1.0, 1.1), (0.0, 0.0))),
    "three": of(1.0, **rules((0.9, 1.0), (0.6, 0.7), (0.0, 0.0))),
}


def test_the_others_choose_by_validation_errors_as_shares_of_the_starts():
    # Of one by two and three: own (.9 + .9) / 2, fast (.5 + .6) / 2. Of two: own (.2 + .9) / 2, fast (1 + .6) / 2.
    assert [chosen_by_others(SETS, name) for name in SETS] == ["fast", "as chosen", "as chosen"]
    assert share(SETS["two"], "fast", "test") == pytest.approx(0.55)


def test_the_page_has_what_it_came_to():
    text = defaults_page({"seeds": 1, "sets": SETS})
    assert "| one | 1,000 | AUC | 0.500 | 0.600 | 1.000 | 10 |" in text
    assert "| two | 0.950 | 0.550 | 0.000 | 0.950 (as chosen) |" in text
    # .1 / .5, .95 and 1: a rule of the others' choice on each.
    assert "| mean | 0.917 | 0.483 | 0.000 | 0.717 |" in text
