import fcntl
import json
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
from command import peftrec, put

from peftrec.machine.files import write_json
from peftrec.runs.folder import write_run

VERBS = [
    "affinity",
    "cache",
    "check",
    "compare",
    "evaluate",
    "export",
    "methods",
    "monitor",
    "predict",
    "recipes",
    "recommend",
    "report",
    "serve",
    "train",
    "tune",
    "verify",
]
REPORT = {
    "tasks": {
        "interest": {"n": 3, "metrics": {"auc": 0.75}, "intervals": {}, "priors": {}, "gains": {}, "undefined": {}}
    },
    "cost": {"train_seconds": 2.5, "peak_memory_mb": 900.0},
    "environment": {"python": "3"},
}


def make_run(folder, report=REPORT):
    with write_run(folder) as temporary:
        write_json(temporary / "report.json", report)
        (temporary / "adapters" / "interest").mkdir(parents=True)
        write_json(temporary / "adapters" / "interest" / "adapter_config.json", {"peft_type": "LORA"})
    return folder


def test_help_lists_every_verb_and_every_verb_has_help():
    shown = peftrec("--help")
    assert shown.exit_code == 0
    listed = shown.stdout.partition("Commands:")[2]
    assert sorted(line.split()[0] for line in listed.splitlines() if line.startswith("  ")) == VERBS
    for verb in VERBS:
        assert peftrec(verb, "--help").exit_code == 0


def test_the_version_is_the_package_s():
    assert peftrec("--version").stdout == "peftrec 0.2.0\n"


@pytest.mark.parametrize("arguments", [["--help"], ["recipes"], ["recipes", "schema"], ["train", "no-such-recipe"]])
def test_what_needs_no_torch_does_not_import_it(arguments):
    script = textwrap.dedent(f"""
        import sys
        from peftrec.cli.verbs import main
        sys.argv = ["peftrec", *{arguments!r}]
        try:
            main()
        finally:
            heavy = {{"torch", "transformers", "peft", "datasets", "numpy", "pandas", "sklearn"}} & set(sys.modules)
            sys.stderr.write(f"heavy: {{sorted(heavy)}}")
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.endswith("heavy: []")


def test_check_goes_on_where_a_group_is_beyond_mending(recipe):
    done = peftrec("check", recipe, "backbone.double_quant=true", "train.epochs=none", "--json")
    assert done.exit_code == 2
    assert [problem.split(": ")[1] for problem in json.loads(done.stdout)["problems"]][:2] == [
        "backbone",
        "train.epochs",
    ]


def test_train_hands_on_recipe_overrides_folder_and_name(recipe, tmp_path, monkeypatch):
    calls, tables = [], []

    def train(recipe, run, **options):
        tables.append(list(options.pop("ahead").take().named))
        calls.append((recipe, run, options))
        return make_run(run)

    put(monkeypatch, "training.loop", train=train)
    monkeypatch.chdir(tmp_path)
    done = peftrec("train", recipe, "train.epochs=9", "--run", tmp_path / "one", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {"run": str(tmp_path / "one"), **REPORT}
    assert "auc" in (shown := peftrec("train", "movielens-100k").stdout)
    assert "runs/movielens-100k-1" in shown
    assert [run for _, run, _ in calls] == [tmp_path / "one", Path("runs/movielens-100k-1")]
    assert calls[0][0].train.epochs == 9
    assert tables == [["items", "events"], ["items", "events", "queries"]]
    assert calls[0][2] == {"cache": True, "resume": False, "allow_changes": False}
    peftrec("train", recipe, "--no-cache", "--checkpoint-every", "7 steps", "--run", tmp_path / "two")
    assert calls[-1][2]["cache"] is False
    assert calls[-1][0].train.checkpoint.every == "7 steps"
    (tmp_path / "runs" / ".mine-3.partial").mkdir()
    peftrec("train", recipe, "--resume", "--allow-changes")
    assert calls[-1][1:] == (Path("runs/mine-3"), {"cache": True, "resume": True, "allow_changes": True})


def test_train_tells_of_an_interrupted_one(recipe, tmp_path, monkeypatch):
    put(monkeypatch, "training.loop", train=lambda recipe, run, **options: make_run(run))
    monkeypatch.chdir(tmp_path)
    for number in (2, 3):
        (tmp_path / "runs" / f".mine-{number}.partial" / "checkpoints" / "step-000000005").mkdir(parents=True)
    (tmp_path / "runs" / ".mine-4.partial").mkdir()  # stopped before its first checkpoint: nothing to continue
    told = "runs/mine-{0}: its training was interrupted; --run runs/mine-{0} --resume continues it, this is another: "
    assert peftrec("train", recipe).stderr == f"{told.format(3)}runs/mine-5\n"
    with (tmp_path / "runs" / ".mine-3.partial" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # somebody continues it now
        assert peftrec("train", recipe).stderr == f"{told.format(2)}runs/mine-6\n"
    assert peftrec("train", recipe, "--run", "elsewhere").stderr == ""
    assert peftrec("train", "movielens-100k").stderr == ""


def test_tune_hands_on_what_is_searched_and_shows_the_trials(recipe, tmp_path, monkeypatch):
    calls = []

    def tune(recipe, search, study, name, trials, metric, seed, cache):
        calls.append((search, study, name, trials, metric, seed, cache))
        return {
            "metric": "interest.auc",
            "best": {"trial": 1, "value": 0.75},
            "trials": [{"trial": 1, "train.lr": 0.5, "state": "best"}],
            "command": "peftrec train x.yaml",
        }

    put(monkeypatch, "training.tune", tune=tune)
    done = peftrec("tune", recipe, "--search", "train.lr=1..2", "--search", "train.epochs=1..2", "--no-cache")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["trial", "train.lr", "state"],
        ["1", "0.5", "best"],
        [],
        ["best:", "trial", "1,", "interest.auc", "0.7500", "on", "the", "validation", "split"],
        ["train", "it", "with:", "peftrec", "train", "x.yaml"],
    ]
    assert calls == [(["train.lr=1..2", "train.epochs=1..2"], Path("studies/mine"), "mine", 20, None, 0, False)]
    done = peftrec("tune", recipe, "--search", "a=b", "--study", tmp_path, "--trials", "3", "--seed", "4", "--json")
    assert json.loads(done.stdout)["best"] == {"trial": 1, "value": 0.75}
    assert calls[-1] == (["a=b"], tmp_path, "mine", 3, None, 4, True)


def test_evaluate_takes_the_split(tmp_path, monkeypatch):
    put(
        monkeypatch,
        "runs.evaluate",
        evaluate_run=lambda run, split, cache, trust_code: {**REPORT, "split": split, "c": cache},
    )
    assert json.loads(peftrec("evaluate", "r", "--json").stdout)["split"] == "test"
    assert json.loads(peftrec("evaluate", "r", "--json", "--split", "valid").stdout)["split"] == "valid"
    assert "0.75" in peftrec("evaluate", "r").stdout
    cached = [json.loads(peftrec("evaluate", "r", "--json", *more).stdout)["c"] for more in ([], ["--no-cache"])]
    assert cached == [True, False]


def test_compare_takes_two_runs_and_names_a_damaged_one(tmp_path):
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    for runs, message in (
        ([one], "compare: name two runs or more; found 1"),
        ([one, two, one], "a run is named twice"),
        ([one, tmp_path / "no"], "no such run folder"),
    ):
        done = peftrec("compare", *runs)
        assert (done.exit_code, done.stdout) == (2, "")
        assert message in done.stderr
    (two / "report.json").unlink()
    done = peftrec("compare", one, two)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "report.json: missing" in done.stderr


def test_export_copies_the_adapter(tmp_path, monkeypatch):
    run = make_run(tmp_path / "one")
    monkeypatch.chdir(tmp_path)
    assert peftrec("export", run, "--task", "interest").stdout == "one-interest\n"
    assert os.listdir("one-interest") == ["adapter_config.json"]
    done = peftrec("export", run, "--task", "interest", "--format", "peft", "--output", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'out'}\n")
    assert os.listdir(tmp_path / "out") == ["adapter_config.json"]
    assert peftrec("export", run, "--task", "interest", "--output", tmp_path / "out").exit_code == 2


def test_methods_prints_the_matrix(monkeypatch):
    matrix = [{"method": "lora", "family": "bert", "quantize": None, "ok": True, "reason": ""}]
    put(monkeypatch, "model.probe", method_matrix=lambda backbone: matrix)
    assert json.loads(peftrec("methods", "--json").stdout) == matrix
    assert peftrec("methods").stdout.splitlines()[:2] == ["     bert ", "lora yes  "]
    assert peftrec("methods", "--markdown").stdout.splitlines()[2] == "| lora | yes |"


def test_libraries_are_silenced_and_our_warnings_are_not(recipe, monkeypatch):
    def check(recipe, ahead):
        print("a library's notice")
        warnings.warn_explicit("of theirs", FutureWarning, "x.py", 1, module="transformers.modeling")
        warnings.warn_explicit("of ours", UserWarning, "y.py", 1, module="peftrec.data")
        return {"fine": True}

    put(monkeypatch, "training.preflight", check=check)
    switches = ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY")
    for name in switches:
        monkeypatch.setenv(name, "")  # so that what is set below is undone after the test
        monkeypatch.delenv(name)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        done = peftrec("check", recipe, "--json")
    assert json.loads(done.stdout) == {"fine": True}
    assert "a library's notice" in done.stderr
    assert [str(w.message) for w in shown] == ["of ours"]
    assert all(os.environ.get(name) for name in switches)
