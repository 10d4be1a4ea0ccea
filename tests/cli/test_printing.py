"""Results on stdout: JSON, or tables for people."""

import json

from command import peftrec, put

from peftrec.cli.printing import echo, print_rich, show, show_report
from peftrec.cli.tables import format_comparison
from peftrec.errors import UserError
from peftrec.machine.progress import note


def test_check_prints_a_table_or_json(recipe, monkeypatch):
    put(
        monkeypatch,
        "training.preflight",
        check=lambda *given: {"parameters": {"trained": 10, "total": 1000}, "why": ["[a]", "b"]},
    )
    shown = [line.split() for line in peftrec("check", recipe).stdout.splitlines()]
    assert shown == [["parameters.trained", "10"], ["parameters.total", "1000"], ["why", "[a]"], ["b"]]
    assert json.loads(peftrec("check", recipe, "--json").stdout)["why"] == ["[a]", "b"]


def test_names_are_no_markup_and_command_no_terminal(capsys):
    """Of a task, a metric, a prior, a run, a title: in a table of a report, of a comparison, of answers, in JSON."""
    name = "[/x] [red]\x1b[31m"
    task = {
        "n": 3,
        "metrics": {name: 0.5},
        "intervals": {name: [0.25, 0.75]},
        "priors": {name: {name: 0.25}},
        "gains": {name: {"prior": name, "by": 0.25, "interval": [0.125, 0.375]}},
        "undefined": {name: name},
        "not_trained": name,
    }
    shown = "[/x] [red]\\u001b[31m"
    show_report({"tasks": {name: task}, "cost": {name: 1}}, as_json=False)
    printed = capsys.readouterr().out
    assert printed.count(shown) == 7 and "\x1b" not in printed and "better" in printed
    runs = {name: {"tasks": {name: {"n": 3, "metrics": {name: 0.5}, "differences": {}}}, "cost": {}}}
    print_rich(format_comparison(runs))
    printed = capsys.readouterr().out
    assert printed.count(shown) == 5 and "\x1b" not in printed
    show([{"item": name, name: name}], as_json=False)
    assert capsys.readouterr().out.count(shown) == 3
    show([{"item": name}], as_json=True)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and json.loads(printed) == [{"item": name}]
    echo(name)
    assert capsys.readouterr().out == f"{shown}\n"


def test_messages_and_notes_command_no_terminal(recipe, monkeypatch):
    def check(*given):
        note("noted \x1b[31m")
        raise UserError("wrong \x1b[31m")

    put(monkeypatch, "training.preflight", check=check)
    done = peftrec("check", recipe)
    assert done.exit_code == 2
    assert done.stderr == "noted \\u001b[31m\npeftrec: wrong \\u001b[31m\n"
