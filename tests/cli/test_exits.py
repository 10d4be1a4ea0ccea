"""How a command ends: one message on stderr and the status that says what kind of end it was."""

import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest
import warm
from command import peftrec, put


@pytest.mark.parametrize(
    "arguments",
    [
        ["train"],
        ["trian"],
        ["train", "x", "--nope"],
        ["evaluate", "r", "--split", "all"],
        ["compare"],
    ],
)
def test_a_usage_mistake_is_status_2_on_stderr(arguments):
    done = peftrec(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("movielens-10k", "neither a file nor a shipped recipe; did you mean 'movielens-100k'?"),
        ("nowhere.yaml", "no such recipe file; `peftrec recipes` lists"),
        ("folder/nowhere", "no such recipe file; `peftrec recipes` lists"),
        (".", "a folder, not a recipe; name the .yaml file in it"),
    ],
)
def test_an_unknown_recipe_is_refused(name, message):
    done = peftrec("train", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"peftrec: {name}: {message}")
    assert done.stderr.count("\n") == 1


def test_a_mistake_in_the_recipe_or_an_override_is_status_2(recipe):
    done = peftrec("train", recipe, "train.batch_size=0", "train.epoch=3")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"peftrec: {recipe}: train.batch_size: Input should be greater than or equal to 1; found 0\n"
        f"{recipe}: train.epoch: unknown key; did you mean 'epochs'?\n"
    )


@pytest.mark.parametrize(("arguments", "room"), [(["recipes"], 0), (["recipes"], 100), (["recipes", "--json"], 100)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_stdout_is_one_line_and_status_1(tmp_path, unbuffered, arguments, room):
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "peftrec", *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": unbuffered},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),  # a disk that is full
        )
    assert (done.returncode, done.stderr) == (1, "peftrec: stdout: cannot be written: File too large\n")


@pytest.mark.parametrize("name", ["a" * 5_000, "/".join(["a" * 200] * 30)])
@pytest.mark.parametrize(
    "arguments",
    [["check"], ["verify"], ["compare", "x"], ["check", "RECIPE", "data.path="], ["train", "RECIPE", "--run"]],
)
def test_a_path_that_is_too_long_is_status_2(recipe, arguments, name):
    given = [str(recipe) if word == "RECIPE" else word for word in arguments]
    done = peftrec(*given[:-1], given[-1] + name) if given[-1].endswith("=") else peftrec(*given, name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("peftrec: ") and len(done.stderr) < 600 and done.stderr.count("\n") == 1


def test_a_bug_is_status_1_with_its_traceback(recipe, monkeypatch):
    def check(*given):
        raise RuntimeError("a bug of ours")

    put(monkeypatch, "training.preflight", check=check)
    done = peftrec("check", recipe)
    assert done.exit_code == 1
    assert isinstance(done.exception, RuntimeError)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_leaves_nothing(recipe, tmp_path, sent, status):
    script = tmp_path / "interrupted.py"
    script.write_text(
        textwrap.dedent("""
        import sys, time, types
        from peftrec.runs.folder import write_run
        from peftrec.cli.verbs import main

        def train(recipe, run, **options):
            with write_run(run) as folder:
                (folder / "half").write_text("half")
                print("writing", flush=True)
                time.sleep(60)

        sys.modules["peftrec.training.loop"] = types.ModuleType("peftrec.training.loop")
        sys.modules["peftrec.training.loop"].train = train
        main()
    """)
    )
    runs = tmp_path / "runs"
    child = warm.Started(script, "train", recipe, "--run", runs / "one")
    said = ""
    while not said.endswith("writing\n"):  # a library's prints go to stderr
        line = child.stderr.readline()
        assert line, said
        said += line
    os.kill(child.process.pid, sent)
    ended = child.communicate()
    assert (ended.returncode, ended.stdout) == (status, "")
    assert "Traceback" not in said + ended.stderr
    assert os.listdir(runs) == []
