"""What runs, what does not run again, and what is written from it."""

import json

import pytest

from benchmarks.matrix import run
from benchmarks.matrix.plan import read_experiments


def test_what_is_finished_and_unchanged_is_not_run_again(tmp_path, monkeypatch):
    ran, written = [], {}

    def pretend(folder, spec, threads):
        ran.append(folder.name)
        if len(ran) == fails_at:
            return "its last words"
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(json.dumps(spec))
        return ""

    monkeypatch.setattr(run, "child", pretend)
    monkeypatch.setattr(run, "summarise", lambda experiment, out: {})
    monkeypatch.setattr(run, "write_json", lambda path, value: written.update({path.stem: value}))
    small = read_experiments("full")["smollm2"]
    experiments = {name: json.loads(json.dumps(small)) for name in ("smollm2", "the same")}
    fails_at = 3
    with pytest.raises(SystemExit, match="its last words"):
        run.run(experiments, tmp_path, "full", 1, float("inf"))
    assert len(ran) == 3 and set(written) == {"smollm2", "the same"}
    run.run(experiments, tmp_path, "full", 2, float("inf"))
    run.run(experiments, tmp_path, "full", 2, float("inf"))
    assert len(ran) == 1 + 6
    experiments["smollm2"]["changes"]["train.clip"] = 2.0
    run.run(experiments, tmp_path, "full", 1, 0)
    assert len(ran) == 1 + 6  # the time is up
    run.run(experiments, tmp_path, "full", 1, float("inf"))
    assert len(ran) == 1 + 2 * 6


def test_two_at_a_time_in_one_folder_are_refused(tmp_path):
    refused = pytest.raises(SystemExit, match=r"another benchmark works there; .* another --out")
    with run.alone(tmp_path / "out"), refused, run.alone(tmp_path / "out"):
        pass
    with run.alone(tmp_path / "out"):
        pass
