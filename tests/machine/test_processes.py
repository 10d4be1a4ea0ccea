"""Two processes on a CPU, started by torchrun itself, make what one makes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from launched import WARM, assert_one_trains, ended, environment, plain_shop, torchrun, train_together
from tiny import tiny_recipe
from together import CASES, with_case
from typer.testing import CliRunner

from peftrec.cli.verbs import app
from peftrec.errors import UserError
from peftrec.evaluation.evaluate import text_rows
from peftrec.recipe import dump_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

EQUAL = ["lora", "uneven rows, rare task", "parts, weights by losses", "adalora", "full", "cool-down, refit"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return plain_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def two(shop, tmp_path_factory):
    """The folder of what two processes trained, one launch for all cases."""
    runs = tmp_path_factory.mktemp("two")
    (runs / "folder exists").mkdir()
    return train_together(shop, runs, CASES, environment())


@pytest.mark.parametrize("case", EQUAL)
def test_two_processes_train_what_one_trains(shop, two, tmp_path, case):
    assert_one_trains(shop, two, tmp_path, case)


def test_a_mistake_is_told_by_the_first_process_and_ends_both(two):
    first, second = (ended(two, number) for number in (0, 1))
    for case, message in {
        "no number": "step 1: the loss of task query (its training rows 5) is not a finite number",
        "folder exists": "exists already and is never written over",
        "mistake": "adapter.layers: the backbone has 2 layers; found top-9",
    }.items():
        assert message.replace("step 1: ", "") in first[case]
        assert first[case].partition(": ")[0] in ("UserError", "UserErrors", "Diverged")
        assert second[case] == "ToldElsewhere: " + first[case].partition(": ")[2]
    mistaken = {"no number", "folder exists", "mistake"}
    assert {case for case in CASES if {first[case], second[case]} != {"done"}} == mistaken


def test_steps_that_one_process_finds_not_finite_are_left_out_by_both(two):
    skipped = json.loads((two / "no number, skipped" / "report.json").read_text())["cost"]["skipped_steps"]
    assert skipped == 3  # the row comes once an epoch


def test_one_process_speaks_and_writes(two):
    began = set(CASES) - {"folder exists", "mistake"}
    assert (two / "stderr").read_text().count("2 processes, each with the whole model") == len(began)
    folders = {path.name for path in two.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders == {*CASES} - {"mistake", "no number"}


def test_the_frozen_part_is_computed_in_shares(shop, two):
    first, second = (ended(two, number)["uneven rows, rare task, computed"] for number in (0, 1))
    recipe = with_case(shop, "uneven rows, rare task")
    rows = text_rows(load_data(recipe), resolve(recipe), ["train", "valid", "test"], ranking=True)
    assert first + second == len(set().union(*rows.values()))
    assert min(first, second) > 20


def test_processes_take_leave_of_each_other_before_they_end(two):
    """Left to the interpreter, gloo aborted about every third process that had ended well."""
    assert [json.loads((two / f"left-{number}.json").read_text()) for number in (0, 1)] == [False, False]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [(["--version"], 0, "peftrec "), (["train"], 2, ""), (["check", "no-such-recipe"], 2, "")],
)
def test_none_of_several_processes_is_left_to_the_interpreter(arguments, status, says):
    """What aborts while the interpreter takes itself down does not change how a command has ended."""
    aborting = "import atexit, os; atexit.register(os.abort); from peftrec.__main__ import main; main()"
    command = [sys.executable, "-c", aborting, *arguments]
    for processes, ends in (("1", -signal.SIGABRT), ("2", status)):
        env = environment() | {"WORLD_SIZE": processes, "RANK": str(int(processes) - 1)}
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=100)
        assert (done.returncode, done.stdout[: len(says)]) == (ends, says)


def told(*arguments):
    """What a command of two processes that fails says on stderr, `arguments` being torchrun's."""
    done = torchrun(*arguments)
    assert done.returncode != 0
    return done.stderr


def test_what_ends_one_ends_both_and_as_many_go_on_to_the_same_bytes(shop, two, tmp_path):
    """Ctrl-C; then with one process, which is refused; then with two, one of which is killed; then with two."""
    run, file, ended = tmp_path / "run", tmp_path / "recipe.yaml", Path(__file__).parents[1] / "ended.py"
    recipe = with_case(shop, "dropout")
    file.write_text(dump_recipe(recipe))
    for options, happens, step, message in [
        ([], "press_ctrl_c", 4, "peftrec: stopped by SIGINT after step 5"),
        (
            ["--resume"],
            "kill_second",
            8,
            "peftrec: another process of this training has ended: its own message, ",
        ),
    ]:
        said = told(*WARM, ended, happens, step, "train", file, "--run", run, *options)
        assert not run.exists()
        assert said.count("peftrec: ") == said.count(message) == 1
        assert f"continue with: torchrun --nproc_per_node 2 -m -- peftrec train {file} --run {run} --resume" in said
        assert "Traceback" not in said.partition("peftrec: ")[0]
        with pytest.raises(UserError, match="processes: 2, now 1"):
            train(recipe, run, resume=True)
    resumed = torchrun(*WARM, ended, "nothing", 0, "train", file, "--run", run, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["cost"]["processes"] == 2
    files = [path.relative_to(two / "dropout") for path in (two / "dropout").rglob("*.safetensors")]
    assert len(files) >= 4
    assert [name for name in files if (run / name).read_bytes() != (two / "dropout" / name).read_bytes()] == []


def test_the_command_is_a_module_that_torchrun_starts():
    assert told("-m", "--", "peftrec", "train", "no-such-recipe", "--run", "x").count("peftrec: no-such-recipe: ") == 1


def test_the_first_process_tells_a_mistake_that_another_finds_earlier():
    late = 'test $RANK = 0 && sleep 2; exec "$0" -m peftrec train no-such-recipe'
    said = told("--no-python", "sh", "-c", late, sys.executable)
    assert said.count("peftrec: no-such-recipe: ") == 1


def test_launchers_that_run_a_model_whole_are_refused_with_the_reason(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    recipe = tiny_recipe(shop, adapter={"method": "full", "sharing": "shared"})
    with pytest.raises(UserError, match=r"DeepSpeed: cannot train here: it runs a model whole, .* full FSDP"):
        train(recipe, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_users_of_accelerate_launch_are_told_that_it_started_one_process(shop, tmp_path, monkeypatch, notes):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")  # what `accelerate launch --cpu --num_processes 2` sets
    train(tiny_recipe(shop, train={"max_steps": 1}), tmp_path / "run")
    assert "`accelerate launch` starts no more on a CPU, whatever its --num_processes says" in notes.readouterr().err


@pytest.mark.parametrize("number", [0, 1])
def test_mistakes_that_every_process_makes_are_told_by_the_first(tmp_path, monkeypatch, number):
    """What ends before the processes find each other: a recipe that is wrong, a verb that is no shared work."""
    for name, value in {"WORLD_SIZE": "2", "RANK": str(number), "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    for arguments, message in {
        ("train", "movielens-100k", "train.epochs=0"): "train.epochs: Input should be greater than or equal to 1",
        ("check", "movielens-100k"): "check: one process does it, only train shares its work",
    }.items():
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 2
        assert (message in done.stderr) is (number == 0)
        assert bool(done.stderr) is (number == 0)
