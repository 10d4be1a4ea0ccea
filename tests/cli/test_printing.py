"""Results on stdout: JSON, or tables for people."""

import json

from command import peftrec, put


def test_check_prints_a_table_or_json(recipe, monkeypatch):
    put(
        monkeypatch,
        "training.preflight",
        check=lambda recipe: {"parameters": {"trained": 10, "total": 1000}, "why": ["[a]", "b"]},
    )
    shown = [line.split() for line in peftrec("check", recipe).stdout.splitlines()]
    assert shown == [["parameters.trained", "10"], ["parameters.total", "1000"], ["why", "[a]"], ["b"]]
    assert json.loads(peftrec("check", recipe, "--json").stdout)["why"] == ["[a]", "b"]
