"""What is run, what is not run again, and what is printed of it."""

import json

import pytest

from benchmarks import children
from benchmarks.fields.run import run_fields

LINE = {
    "metric": "auc", "higher": True, "n": 9, "start": 0.5, "result": 0.75, "interval": [0.7, 0.8],
    "prior": {"name": "rates", "value": 0.7, "by": 0.05, "interval": [0.01, 0.1]},
    "baseline": {"name": "knn", "value": 0.6, "by": 0.15, "interval": [0.1, 0.2], "all": {"knn": 0.6}},
    "chance": 0.5, "rival": "rates", "verdict": "win", "kind": "interest",
}  # fmt: skip


@pytest.fixture
def ran(monkeypatch):
    """Names of the fields that were run; films fail."""
    names: list[str] = []

    def pretend(module, folder, spec):
        assert module == "fields.one"
        names.append(spec["field"])
        if spec["field"] == "films":
            return "its last words"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps({"field": spec["field"], "tasks": {"like": LINE}}))
        return ""

    monkeypatch.setattr(children, "run_anew", pretend)
    return names


def test_what_is_there_is_not_run_again(tmp_path, ran, capsys):
    found = run_fields(tmp_path, tmp_path / "out", ["video", "social"])
    assert ran == ["social", "video"] == list(found) and found["video"]["tasks"] == {"like": LINE}
    assert "video     like  AUC     0.5000  0.7500  0.7000 rates  0.6000 knn" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="films: its last words"):
        run_fields(tmp_path, tmp_path / "out", ["films", "chinese"])
    assert ran[2:] == ["chinese", "films"]
    assert list(run_fields(tmp_path, tmp_path / "out", ["video"])) == ["social", "video", "chinese"] and len(ran) == 4


def test_names_are_known(tmp_path, ran):
    with pytest.raises(SystemExit, match="no field news; there are e-commerce, social"):
        run_fields(tmp_path, tmp_path / "out", ["news"])
    assert not ran
