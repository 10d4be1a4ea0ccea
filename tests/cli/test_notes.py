"""Who shows what peftrec says while it works: the command on stderr, other programs as they like."""

import logging
import subprocess
import sys

import pytest
from command import peftrec
from tqdm import tqdm

from peftrec.cli.notes import notes_shown
from peftrec.errors import UserError
from peftrec.machine.progress import bar, note


def test_a_program_that_imports_peftrec_hears_of_notes_by_logging_alone(capfd, caplog):
    with caplog.at_level(logging.INFO, "peftrec"):
        note("100 % of the texts")
    assert caplog.record_tuples == [("peftrec", logging.INFO, "100 % of the texts")]
    script = "from peftrec.machine.progress import note; note('unheard')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert logging.getLogger("peftrec").handlers == []
    assert capfd.readouterr() == ("", "")


def test_the_command_shows_notes_on_stderr_once_and_leaves_logging_as_it_was(monkeypatch, capsys):
    log = logging.getLogger("peftrec")
    before = log.level, log.propagate, list(log.handlers)
    loud = logging.StreamHandler(sys.stdout)  # as some library may set up
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers, loud])

    def find_recipe(name):
        note(f"looking for {name}")
        raise UserError("found none")

    monkeypatch.setattr("peftrec.cli.verbs.find_recipe", find_recipe)
    done = peftrec("check", "mine")
    assert (done.stdout, done.stderr) == ("", "looking for mine\npeftrec: found none\n")
    assert (log.level, log.propagate, log.handlers) == before


def test_a_note_stands_above_a_bar_that_is_shown(monkeypatch, capsys):
    cleared = []
    kept = tqdm.clear
    monkeypatch.setattr(tqdm, "clear", lambda self, *args, **options: cleared.append(self) or kept(self, nolock=True))
    with notes_shown(), bar(3, "texts", "texts") as shown:
        note("in between")
        assert cleared == [shown]
        shown.update(3)
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert "in between" in [line.strip() for line in lines]


@pytest.mark.parametrize("number", ["0", "1"])
def test_of_several_processes_the_first_one_speaks_and_any_of_itself(monkeypatch, notes, number):
    for name, value in {"WORLD_SIZE": "2", "RANK": number}.items():
        monkeypatch.setenv(name, value)
    note("all")
    note("own", of_any=True)
    assert notes.readouterr().err == {"0": "all\nprocess 0: own\n", "1": "process 1: own\n"}[number]
