"""What is run, what is not run again, and what is printed of it."""

import pytest
from lines import WON, pretend_runs

from benchmarks.fields.run import run_fields


@pytest.fixture
def ran(monkeypatch):
    """Names of the fields that were run; films fail."""
    return pretend_runs(monkeypatch, "fields.one", "field", "films")


def test_what_is_there_is_not_run_again(tmp_path, ran, capsys):
    found = run_fields(tmp_path, tmp_path / "out", ["video", "social"])
    assert ran == ["social", "video"] == list(found) and found["video"]["tasks"] == {"like": WON}
    assert "video     like  AUC     0.5000  0.7500  0.7000 rates  0.6000 knn" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="films: its last words"):
        run_fields(tmp_path, tmp_path / "out", ["films", "chinese"])
    assert ran[2:] == ["chinese", "films"]
    assert list(run_fields(tmp_path, tmp_path / "out", ["video"])) == ["social", "video", "chinese"] and len(ran) == 4


def test_names_are_known(tmp_path, ran):
    with pytest.raises(SystemExit, match="no field news; there are e-commerce, social"):
        run_fields(tmp_path, tmp_path / "out", ["news"])
    assert not ran
