"""What is run, what is not run again, and what comes of it."""

import json

import pandas as pd
import pytest

from benchmarks import children
from benchmarks.ablation import run

LOGS = ["lastfm", "movietweetings"]


@pytest.fixture
def ran(monkeypatch):
    """Folders that were run; those of `fails` fail."""
    names: list[str] = []

    def pretend(module, folder, spec):
        assert module == "ablation.one"
        names.append(f"{spec['set']}/{folder.name}")
        if names[-1] == "lastfm/both-1":
            return "its last words"
        folder.mkdir(parents=True)
        of = {key: spec[key] for key in ("rows", "keys")} | {"commit": "abc", "kinds": {"artist": "next-item"}}
        (folder / "result.json").write_text(json.dumps(of))
        rows = {"user": [f"u{n}" for n in range(30)], "label": 1, "prediction": 1 + 2.0 * (spec["arm"] == "text")}
        pd.DataFrame(rows | {"cold_item": False, "cold_user": False}).to_parquet(folder / "artist.parquet")
        return ""

    monkeypatch.setattr(children, "run_anew", pretend)
    return names


def test_what_is_there_is_not_run_again(tmp_path, ran, capsys):
    asked = (tmp_path, tmp_path / "out", LOGS, 100, 1, [])
    found = run.run_ablation(*asked)
    arms = ["text-0", "id-0", "both-0", "features-0", "joined-0"]
    assert ran == [f"{name}/{arm}" for name in ("movietweetings", "lastfm") for arm in arms]
    assert "1/10 movietweetings: text, seed 0" in capsys.readouterr().err
    assert {key: found[key] for key in ("rows", "seeds", "keys")} == {"rows": 100, "seeds": 1, "keys": []}
    assert list(found["sets"]) == ["movietweetings", "lastfm"]
    slices = found["sets"]["lastfm"]["tasks"]["artist"]["slices"]
    assert list(slices) == ["all"]  # all rows are warm: that is no slice of its own
    whole = slices["all"]
    assert whole["values"] == {"text": 0.5, "id": 1, "both": 1, "features": 1, "joined": 1}
    assert run.run_ablation(*asked) == found and len(ran) == 10
    with pytest.raises(SystemExit, match=r"is of 100 rows and keys \[\]: give another --out"):
        run.run_ablation(tmp_path, tmp_path / "out", LOGS, 200, 1, [])


def test_what_fails_does_not_keep_the_others(tmp_path, ran):
    with pytest.raises(SystemExit, match="lastfm, both, seed 1: its last words"):
        run.run_ablation(tmp_path, tmp_path / "out", ["lastfm"], 100, 2, [])
    assert len(ran) == 10
    assert run.finished(tmp_path / "out", 2) == {} and list(run.finished(tmp_path / "out", 1)) == ["lastfm"]


def test_names_are_known(tmp_path, ran):
    with pytest.raises(SystemExit, match="no log esci; there are movielens-100k, ml-latest-small"):
        run.run_ablation(tmp_path, tmp_path / "out", ["esci"], 100, 1, [])
    assert not ran
