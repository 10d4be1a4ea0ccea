"""What is run, what is not run again, and what is printed of it."""

import pytest
from lines import pretend_runs

from benchmarks.card import run


@pytest.fixture
def ran(monkeypatch):
    """Names of the data sets that were run; esci fails."""
    return pretend_runs(monkeypatch, "card.one", "set", "esci")


def test_what_is_there_is_not_run_again(tmp_path, ran, capsys):
    asked = (tmp_path / "out", ["xquad-en", "bitext"], 100, [], "")
    found = run.run_card(tmp_path, *asked)
    assert ran == ["bitext", "xquad-en"] and set(found) == set(ran)
    said = capsys.readouterr()
    line = "bitext    like  AUC     0.5000  0.7500  0.7000 rates  0.6000 knn  0.5000  win"
    assert said.out.splitlines()[1] == line
    assert "1/2 bitext: support intents" in said.err
    run.run_card(tmp_path, *asked)
    assert len(ran) == 2 and capsys.readouterr().out == said.out
    with pytest.raises(SystemExit, match=r"is of 100 rows and keys \[\]: give another --out"):
        run.run_card(tmp_path, tmp_path / "out", ["bitext"], 200, [], "")


def test_results_with_other_keys_are_not_taken_for_these(tmp_path, ran):
    run.run_card(tmp_path, tmp_path / "out", ["bitext"], 100, ["train.epochs=2"], "")
    with pytest.raises(SystemExit, match=r"is of 100 rows and keys \['train.epochs=2'\]: give another --out"):
        run.run_card(tmp_path, tmp_path / "out", ["bitext"], 100, [], "")


def test_one_that_fails_does_not_keep_the_others(tmp_path, ran):
    with pytest.raises(SystemExit, match="esci: its last words"):
        run.run_card(tmp_path, tmp_path / "out", ["esci", "xquad-en"], 100, [], "")
    assert ran == ["esci", "xquad-en"] and set(run.finished(tmp_path / "out")) == {"xquad-en"}


def test_names_are_known(tmp_path, ran):
    with pytest.raises(SystemExit, match="no data set nothing; there are clinc150, bitext"):
        run.run_card(tmp_path, tmp_path / "out", ["nothing"], 100, [], "")
    assert not ran
