"""The types of a run's JSON: values come back as they are, or one message names key, rule and value found."""

import json

import pytest
from pages import ROOT

from peftrec.errors import UserError
from peftrec.runs.schemas import Line, Report, checked

LINE = {"step": 1, "epoch": 0, "train_loss": {"query": None}, "own": [1]}


def test_values_come_back_as_they_are():
    assert checked(Line, LINE, "x.jsonl, line 1") is LINE  # a whole number stays one, and what we do not know stays


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"step": "1"}, "step: Input should be a valid integer; found '1'"),
        ({"step": True}, "step: Input should be a valid integer; found True"),
        ({"step": -1}, "step: Input should be greater than or equal to 0; found -1"),
        ({"epoch": float("inf")}, "epoch: Input should be a finite number; found inf"),
        ({"valid": None}, "valid: Input should be a valid dictionary; found None"),
        ({"train_loss": {"query": "x" * 500}}, f"train_loss.query: Input should be a valid number; found '{'x' * 59}"),
    ],
)
def test_the_key_the_rule_and_the_value_are_named(change, told):
    with pytest.raises(UserError) as error:
        checked(Line, {**LINE, **change}, "x.jsonl, line 1")
    assert str(error.value) == f"x.jsonl, line 1: damaged: {told}"


def test_what_is_no_object_is_told():
    with pytest.raises(UserError, match=r"^x: damaged: the whole: Input should be a valid dictionary .*; found \[\]$"):
        checked(Line, [], "x")


@pytest.mark.parametrize("name", ["demo", "retrieval"])
def test_committed_reports_are_of_the_type(name):
    report = json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8"))
    assert checked(Report, report, name) is report
