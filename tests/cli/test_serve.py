"""`peftrec serve`: its options reach the service, and what it lacks is one line."""

import sys
from pathlib import Path

import pytest
from command import peftrec, put

from peftrec.errors import UserError


def test_options_are_handed_on(monkeypatch):
    from peftrec.serving.service.server import Listening
    from peftrec.serving.service.state import Limits

    calls = []
    put(
        monkeypatch,
        "serving.service.server",
        Listening=Listening,
        serve=lambda *given, **more: calls.append((given, more)),
    )
    assert peftrec("serve", "a", "b").exit_code == 0
    assert peftrec(
        *("serve", "--runs", "r", "--host", "::1", "--port", 0, "--keys", "k", "--grace", "0.5", "--feedback", "f"),
        *("--queue-rows", 9, "--max-rows", 8, "--max-body", 7, "--no-cache", "--mask", "m:f"),
    ).exit_code == 0  # fmt: skip
    assert calls == [
        (
            ([Path("a"), Path("b")], None, Listening("127.0.0.1", 8000, 5.0), None, None, Limits(1024, 8 << 20), 8192),
            {"cache": True, "mask": None},
        ),
        (
            ([], Path("r"), Listening("::1", 0, 0.5), Path("k"), Path("f"), Limits(8, 7), 9),
            {"cache": False, "mask": "m:f"},
        ),
    ]


def test_a_mistake_is_one_line(monkeypatch):
    def serve(*given, **more):
        raise UserError("runs/one: no such run folder")

    put(monkeypatch, "serving.service.server", Listening=lambda *_: None, serve=serve)
    done = peftrec("serve", "runs/one")
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", "peftrec: runs/one: no such run folder\n")


@pytest.mark.parametrize("package", ["fastapi", "limits", "prometheus_client", "stdnum"])
def test_without_the_extra_it_says_what_to_install(monkeypatch, package):
    for name in [name for name in sys.modules if name.startswith("peftrec.serving.service")]:
        monkeypatch.delitem(sys.modules, name)  # which an earlier test may have imported, with the package
    monkeypatch.setitem(sys.modules, package, None)
    done = peftrec("serve", "runs/one")
    assert done.exit_code == 2
    assert done.stderr == f"peftrec: serve needs {package}: pip install 'peftrec[serve]'\n"


def test_there_is_no_way_to_trust_a_run_s_code():
    done = peftrec("serve", "runs/one", "--trust-code")
    assert done.exit_code == 2 and "No such option: --trust-code" in done.stderr
    assert "trust" not in peftrec("serve", "--help").stdout


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--port", "-1", "--port must be 0 or more; found -1"),
        ("--grace", "-2.5", "--grace must be 0 or more; found -2.5"),
        ("--queue-rows", "0", "--queue-rows must be 1 or more; found 0"),
        ("--max-rows", "0", "--max-rows must be 1 or more; found 0"),
        ("--max-body", "0", "--max-body must be 1 or more; found 0"),
    ],
)
def test_a_number_out_of_range_is_one_line(option, value, said):
    done = peftrec("serve", "runs/one", option, value)
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"peftrec: {said}\n")
