"""Two processes on a CPU, started by torchrun itself, make what one makes."""

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from tiny import make_tiny_shop, tiny_recipe, trained_files
from together import BROKEN_OFF, CASES, SHARDED, with_case
from typer.testing import CliRunner

import peftrec.training.loop
from peftrec.cli.verbs import app
from peftrec.errors import UserError
from peftrec.evaluation.evaluate import text_rows
from peftrec.machine.processes import ProcessLost, listening
from peftrec.machine.signals import StopSignals
from peftrec.recipe import dump_recipe
from peftrec.runs.folder import verify_run
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve
from peftrec.training.loop import train
from peftrec.training.sharding import check_sharding

pytestmark = pytest.mark.usefixtures("quick_intervals")

EQUAL = ["lora", "uneven rows, rare task", "parts, weights by losses", "adalora", "full"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def sharding():
    """What `accelerate launch --use_fsdp` sets for its processes."""
    options = ["--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--use_fsdp"]
    launched = launch_command_parser().parse_args([*options, "--fsdp_version=2", "-m", "peftrec"])
    return {name: value for name, value in prepare_multi_gpu_env(launched).items() if "FSDP" in name}


def environment():
    """What torchrun's processes are to see; each computes with one thread."""
    here = os.pathsep.join([str(Path(peftrec.__file__).parents[1]), str(Path(__file__).parents[1])])
    return {**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The tiny shop; its backbone has no dropout of its own, which method full would switch on."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    config = folder / "model" / "config.json"
    plain = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config.write_text(json.dumps(json.loads(config.read_text()) | plain))
    return folder


@pytest.fixture(scope="module")
def two(shop, tmp_path_factory):
    """The folder of what two processes trained, one launch for all cases."""
    runs = tmp_path_factory.mktemp("two")
    (runs / "folder exists").mkdir()
    return train_together(shop, runs, CASES, environment())


@pytest.fixture(scope="module")
def sharded(shop, tmp_path_factory):
    """The folder of what two processes trained with a share of the weights each."""
    return train_together(shop, tmp_path_factory.mktemp("sharded"), SHARDED, environment() | sharding())


def train_together(shop, runs, cases, env):
    command = [*TORCHRUN, str(Path(__file__).parents[1] / "together.py"), str(shop), str(runs), *cases]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    (runs / "stderr").write_text(done.stderr)
    return runs


def lines(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("case", EQUAL)
def test_two_processes_train_what_one_trains(shop, two, tmp_path, case):
    assert_one_trains(shop, two, tmp_path, case)


@pytest.mark.parametrize("case", ["adamw", "uneven buckets, no rows"])
def test_two_processes_that_share_the_weights_out_train_what_one_trains(shop, sharded, tmp_path, case):
    assert_one_trains(shop, sharded, tmp_path, case)
    assert "2 processes, each with a share of every weight (FSDP)" in (sharded / "stderr").read_text()


def test_weights_that_are_shared_out_come_back_from_a_checkpoint_to_the_bit(sharded):
    whole, broken_off = (trained_files(sharded / case) for case in ("adamw", BROKEN_OFF))
    assert whole == broken_off


def test_what_cannot_share_its_weights_out_is_told_by_the_first_process(sharded):
    first, second = (ended(sharded, number) for number in (0, 1))
    for case, message in {
        "no number, sharded": "the loss of task query (its training rows 5) is not a finite number",
        "adafactor": "FSDP: train.optimizer: adafactor needs whole matrices; take adamw or sgd",
        "lora": "FSDP: shards what method full trains; found lora, whose backbone is frozen",
    }.items():
        assert message in first[case]
        assert second[case].startswith("ToldElsewhere: ")


@pytest.mark.parametrize(
    ("variable", "found", "instead"),
    [
        ("FSDP_VERSION", "1", "must be 2; found 1: --fsdp_version 2"),
        ("FSDP_OFFLOAD_PARAMS", "true", "must be false; found true: leave --fsdp_offload_params out"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "use train.gradient_checkpointing in its place"),
        ("FSDP_RESHARD_AFTER_FORWARD", "false", "must be true or full_shard; found false"),
    ],
)
def test_settings_of_the_launcher_that_do_not_work_here_are_refused(shop, monkeypatch, variable, found, instead):
    for name, value in {**sharding(), "WORLD_SIZE": "2", variable: found}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=instead):
        check_sharding(with_case(shop, "adamw"))


def assert_one_trains(shop, two, tmp_path, case):
    one = train(with_case(shop, case), tmp_path / "one")
    verify_run(two / case)
    mine, theirs = lines(one), lines(two / case)
    assert len(mine) == len(theirs) > 5
    for first, second in zip(mine, theirs, strict=True):
        assert first["step"] == second["step"]
        for task, loss in first["train_loss"].items():
            assert second["train_loss"][task] == (None if loss is None else pytest.approx(loss, abs=1e-5))
        for task, metrics in first.get("valid", {}).items():
            assert second["valid"][task] == pytest.approx(metrics, abs=1e-4)
    for file in one.rglob("*.safetensors"):
        other = load_file(two / case / file.relative_to(one))
        for name, tensor in load_file(file).items():
            torch.testing.assert_close(other[name], tensor, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    first, second = (json.loads((run / "report.json").read_text()) for run in (one, two / case))
    assert (first["cost"]["processes"], second["cost"]["processes"]) == (1, 2)
    for task, of in first["tasks"].items():
        assert second["tasks"][task]["n"] == of["n"]
        assert second["tasks"][task]["metrics"] == pytest.approx(of["metrics"], abs=1e-4)


def ended(two, number):
    """How each case ended in a process."""
    return json.loads((two / f"ended-{number}.json").read_text())


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


@pytest.fixture
def own_signals():
    """A test may leave signals ignored, as a process that is about to end does."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def told(*arguments):
    """What a command of two processes that fails says on stderr, `arguments` being torchrun's."""
    done = subprocess.run([*TORCHRUN, *map(str, arguments)], capture_output=True, text=True, env=environment())
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
        said = told("--", ended, happens, step, "train", file, "--run", run, *options)
        assert not run.exists()
        assert said.count("peftrec: ") == said.count(message) == 1
        assert f"continue with: torchrun --nproc_per_node 2 -m -- peftrec train {file} --run {run} --resume" in said
        assert "Traceback" not in said.partition("peftrec: ")[0]
        with pytest.raises(UserError, match="processes: 2, now 1"):
            train(recipe, run, resume=True)
    command = [*TORCHRUN, "-m", "--", "peftrec", "train", file, "--run", run, "--resume", "--json"]
    resumed = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["cost"]["processes"] == 2
    files = [path.relative_to(two / "dropout") for path in (two / "dropout").rglob("*.safetensors")]
    assert len(files) >= 4
    assert [name for name in files if (run / name).read_bytes() != (two / "dropout" / name).read_bytes()] == []


def test_the_first_process_tells_a_mistake_that_another_finds_earlier():
    late = 'test $RANK = 0 && sleep 2; exec "$0" -m peftrec train no-such-recipe'
    said = told("--no-python", "sh", "-c", late, sys.executable)
    assert said.count("peftrec: no-such-recipe: ") == 1


@pytest.mark.usefixtures("own_signals")
def test_a_signal_that_came_to_another_process_is_received_and_its_echo_disturbs_nothing(monkeypatch):
    """torchrun signals one after the other: this one's comes when it has left the loop, where others wait for it."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("peftrec.machine.signals.largest", lambda received: max(received, signal.SIGINT))
    with StopSignals() as signals:
        assert signals.received is None
        assert signals.agree() == signals.received == signal.SIGINT
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)  # torchrun's, once another has ended


@pytest.mark.usefixtures("own_signals")
def test_a_signal_that_comes_while_the_processes_agree_waits_for_the_next_step(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("peftrec.machine.signals.largest", lambda received: received or os.kill(os.getpid(), 15) or 0)
    with StopSignals() as signals:
        assert (signals.agree(), signals.received) == (0, signal.SIGTERM)  # the others would go on
        assert signals.agree() == signal.SIGTERM


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize("training", [StopSignals, nullcontext])  # in its loop, and before or after it
def test_what_torchrun_sends_those_that_are_left_does_not_keep_them_from_saying_why(monkeypatch, training):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessLost), training(), listening():
        raise RuntimeError("[/gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:5312")
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("own_signals")
def test_a_second_ctrl_c_which_torchrun_passes_on_as_sigterm_stops_at_once(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KeyboardInterrupt), StopSignals() as signals:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the same one, from torchrun and from whoever sent it to all
        assert signals.received == signal.SIGINT
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # nor may it disturb the end


def test_launchers_that_run_a_model_whole_are_refused_with_the_reason(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    recipe = tiny_recipe(shop, adapter={"method": "full", "sharing": "shared"})
    with pytest.raises(UserError, match=r"DeepSpeed: cannot train here: it runs a model whole, .* full FSDP"):
        train(recipe, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_one_process_has_nothing_to_share_out_and_says_so(shop, tmp_path, monkeypatch, notes):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    train(tiny_recipe(shop, train={"max_steps": 1}), tmp_path / "run")
    assert "one process: FSDP has nothing to share out" in notes.readouterr().err


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
