"""Training goes on where it stopped: in-process, with a tiny model; `test_resume_kill.py` kills real processes."""

import json
import os
import resource
import shlex
import shutil
import signal
from itertools import count

import pytest
import torch
from tiny import at_step, fail, make_tiny_shop, repeatable, trained_files
from tiny import kept_recipe as tiny_recipe
from typer.testing import CliRunner

import peftrec.training.finish
import peftrec.training.loop
from peftrec.cli.verbs import app
from peftrec.errors import UserError
from peftrec.machine.files import find_damage
from peftrec.machine.signals import Interrupted
from peftrec.recipe import dump_recipe
from peftrec.runs.checkpoints import checkpoint_folders, newest_checkpoint, read_checkpoint, step_of, write_checkpoint
from peftrec.training import weighting
from peftrec.training.fingerprint import describe_origin
from peftrec.training.loop import fit, prepare, train
from peftrec.training.resume import Checkpoints

pytestmark = pytest.mark.usefixtures("quick")

STEPS = 12


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory):
    """The run that nothing interrupted."""
    return train(tiny_recipe(shop), tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture(scope="module")
def stopped(shop, tmp_path_factory):
    """A training that failed in its eighth step, with checkpoints of steps 3 and 6. Copied by those who change it."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 7, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny_recipe(shop), run)
    return run


@pytest.fixture
def unfinished(stopped, tmp_path):
    """The same, one's own."""
    shutil.copytree(stopped.parent / ".run.partial", tmp_path / ".run.partial")
    return tmp_path / "run"


def steps(run):
    return [step_of(folder) for folder in checkpoint_folders(run)]


class Smoothed(weighting.Weighting):
    """A weighting with state: inverse running means of the losses."""

    needs = "losses"

    def __init__(self, lambdas):
        super().__init__(lambdas)
        self.register_buffer("mean", torch.ones(len(lambdas)))

    def forward(self, losses):
        self.mean.mul_(0.5).add_(0.5 * losses)
        return 1 / self.mean


SIDE = {"method": "side", "options": {"rank": 4}}
COOLS = {"schedule": "cooldown", "early_stopping": {}, "epochs": 2}  # from step 6 of 8 on
CASES = {
    "lora": {},
    "adalora": {"adapter": {"method": "adalora", "options": {"init_r": 4, "target_r": 2}}},
    "adalora, pruning over": {
        "adapter": {"method": "adalora", "options": {"init_r": 4, "target_r": 2, "tinit": 1, "tfinal": 8}}
    },
    "side": {"adapter": SIDE, "train": {"optimizer": "sgd", "clip": None}},
    "prefix": {"adapter": {"method": "prefix", "options": {"num_virtual_tokens": 2}}, "train": {"accumulate": 2}},
    "bottleneck": {"adapter": {"method": "bottleneck"}, "train": {"optimizer": "adafactor", "locality": "user"}},
    "head_only": {"adapter": {"method": "head_only", "sharing": "shared"}, "train": {"schedule": "constant"}},
    "full": {"adapter": {"method": "full", "sharing": "shared"}},
    "stopped early": {
        "adapter": SIDE,
        "train": {"early_stopping": {"patience": 1}, "lr": 0.1, "head_lr": 0.1, "epochs": 8},
    },
    "as it begins to cool down": {"train": COOLS},
    "cooling down": {"adapter": SIDE, "train": {**COOLS, "checkpoint": {"every": "1 step"}}},
    "what is learned of items": {
        "adapter": SIDE,
        "fusion": {"items": True, "dim": 4, "least": 1, "sharing": "private"},
        "train": {"accumulate": 2},
    },
    "what features of items add": {
        "adapter": SIDE,
        "item_features": {"title": "category"},
        "fusion": {"items": True, "features": True, "dim": 4, "least": 1},
    },
    "recomputed": {"train": {"gradient_checkpointing": True}},
    "weighting with state": {"adapter": SIDE, "weighting": {"method": "smoothed"}},
}


@pytest.mark.parametrize("case", CASES)
def test_every_method_goes_on_as_if_nothing_had_happened(shop, tmp_path, monkeypatch, case):
    monkeypatch.setitem(weighting.WEIGHTINGS, "smoothed", Smoothed)
    monkeypatch.setattr(peftrec.training.loop, "begin", lambda setup: None)  # that starts come back, whole runs show
    recipe = tiny_recipe(shop, **CASES[case])

    def session(run, resume=False):
        setup = prepare(recipe)
        setup.model.encoder.update()
        origin = describe_origin(recipe, setup.dataset, setup.model, 1)
        done = fit(setup, Checkpoints(run, recipe.train.checkpoint, origin, resume))
        return {name: p.detach() for name, p in setup.model.trainable().items()}, done

    expected, done = session(tmp_path / "whole")
    with monkeypatch.context() as patch:
        at_step(patch, 7, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            session(tmp_path / "run")
    found, again = session(tmp_path / "run", resume=True)
    assert repeatable(again.history) == repeatable(done.history)
    assert again.examples == done.examples
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert (done.step < recipe.train.epochs * 4) == (case == "stopped early")


def test_a_resumed_run_is_byte_equal_and_leaves_only_the_run(shop, whole, unfinished):
    assert steps(unfinished) == [3, 6]
    assert train(tiny_recipe(shop), unfinished, resume=True) == unfinished
    assert trained_files(unfinished) == trained_files(whole)
    assert len(trained_files(whole)) > 8
    assert os.listdir(unfinished.parent) == ["run"]


@pytest.mark.parametrize("threads", [2, 4])
def test_several_threads_resume_to_the_same_bytes(tmp_path, threads):
    torch.set_num_threads(threads)
    recipe = tiny_recipe(make_tiny_shop(tmp_path, users=400), train={"batch_size": 1024})  # enough that they share sums
    expected = trained_files(train(recipe, tmp_path / "whole"))
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 4, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, tmp_path / "run")
    found = trained_files(train(recipe, tmp_path / "run", resume=True))
    assert [name for name in expected if expected[name] != found.get(name)] == []
    assert json.loads((tmp_path / "run" / "report.json").read_text())["environment"]["threads"] == threads


def test_another_number_of_threads_is_said(shop, unfinished, notes):
    torch.set_num_threads(2)
    train(tiny_recipe(shop), unfinished, resume=True)
    assert "machine.threads: 1, now 2: the last bits of the results may differ" in notes.readouterr().err


def test_what_a_checkpoint_holds(unfinished):
    tensors, values = read_checkpoint(checkpoint_folders(unfinished)[-1])
    assert sorted(tensors) == [
        "adapters/interest",
        "adapters/query",
        "adapters/shared",
        "heads/interest",
        "heads/query",
        "optimizer",
    ]
    assert values["state"]["progress"]["step"] == 6
    assert {f.suffix for f in checkpoint_folders(unfinished)[-1].rglob("*") if f.is_file()} == {".safetensors", ".json"}


def damaged(content, how):
    if how == "truncated":
        return content[: len(content) // 2]
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "missing"])
def test_every_damage_to_every_file_is_found_and_the_previous_one_serves(unfinished, how):
    previous, newest = checkpoint_folders(unfinished)
    files = [path for path in newest.rglob("*") if path.is_file()]
    assert len(files) == 9  # six of tensors, state, origin, manifest
    for file in files:
        content = file.read_bytes()
        if how == "missing":
            file.unlink()
        else:
            file.write_bytes(damaged(content, how))
        used, skipped = newest_checkpoint(unfinished)
        assert used == previous
        assert len(skipped) == 1
        if file.name != "manifest.json":  # with another digest in it, another file seems wrong
            assert skipped[0].startswith(f"skipped the checkpoint of step 6: {file}: ")
        file.write_bytes(content)
    assert newest_checkpoint(unfinished) == (newest, [])


def test_a_damaged_checkpoint_is_skipped_and_written_anew(shop, whole, unfinished, notes):
    file = checkpoint_folders(unfinished)[-1] / "optimizer.safetensors"
    file.write_bytes(damaged(file.read_bytes(), "bit-flipped"))
    train(tiny_recipe(shop), unfinished, resume=True)
    said = notes.readouterr().err
    assert f"skipped the checkpoint of step 6: {file}: expected SHA-256" in said
    assert "continuing after step 3" in said
    assert trained_files(unfinished) == trained_files(whole)


def test_without_an_intact_checkpoint_nothing_is_begun(shop, unfinished):
    for folder in checkpoint_folders(unfinished):
        (folder / "state.json").unlink()
    with pytest.raises(UserError, match=r"step 6: (?s:.*)step 3: (?s:.*)no checkpoint of .* is intact; delete"):
        train(tiny_recipe(shop), unfinished, resume=True)
    assert steps(unfinished) == [3, 6]


def test_a_training_killed_before_its_first_checkpoint_starts_again(shop, whole, tmp_path, notes):
    (tmp_path / ".run.partial" / "run").mkdir(parents=True)
    (tmp_path / ".run.partial" / "run" / "half").write_text("half")
    with pytest.raises(UserError, match="it has no checkpoint, so delete it"):
        train(tiny_recipe(shop), tmp_path / "run")
    train(tiny_recipe(shop), tmp_path / "run", resume=True)
    assert "no checkpoint was written yet" in notes.readouterr().err
    assert trained_files(tmp_path / "run") == trained_files(whole)


def test_what_changed_is_listed_and_refused(shop, unfinished, tmp_path, monkeypatch, notes):
    folder = shutil.copytree(shop, tmp_path / "shop")
    lines = (folder / "queries.csv").read_text().splitlines()
    lines[1] = lines[1][:-1] + str(1 - int(lines[1][-1]))  # another label
    (folder / "queries.csv").write_text("\n".join(lines))
    recipe = tiny_recipe(shop, train={"lr": 2e-2, "checkpoint": {"every": "2 steps"}, "non_finite": "skip"})
    changed = recipe.model_copy(update={"data": tiny_recipe(folder).data})
    monkeypatch.setattr(peftrec.training.loop, "describe_origin", another_torch)
    with pytest.raises(UserError) as error:
        train(changed, unfinished, resume=True)
    listed = [line.strip() for line in str(error.value).splitlines()[1:-1]]
    assert sorted(listed) == sorted(
        [
            *(f"recipe.data.{t}.path: {shop / t}.csv, now {folder / t}.csv" for t in ("items", "events", "queries")),
            "recipe.train.lr: 0.01, now 0.02",
            "data.query.train: changed",
            f"versions.torch: {torch.__version__}, now 9.9",
        ]
    )
    assert "after its checkpoint of step 6" in str(error.value)
    assert "--allow-changes" in str(error.value)
    assert steps(unfinished) == [3, 6]
    train(changed, unfinished, resume=True, allow_changes=True)
    said = notes.readouterr().err
    assert "changed: recipe.train.lr: 0.01, now 0.02" in said
    assert "machine.threads: 1, now 64: the last bits of the results may differ" in said  # said, never refused
    assert json.loads((unfinished / "metrics.jsonl").read_text().splitlines()[-1])["step"] == STEPS


def another_torch(*arguments):
    origin = describe_origin(*arguments)
    origin["versions"]["torch"] = "9.9"
    origin["machine"]["threads"] = 64
    return origin


def test_a_checkpoint_of_other_tasks_does_not_fit(shop, unfinished):
    recipe = tiny_recipe(shop, tasks={"query": {"kind": "match-query"}})
    with pytest.raises(UserError, match=r"does not fit: adapters/interest: .* is in only one of checkpoint and model"):
        train(recipe, unfinished, resume=True, allow_changes=True)


def test_there_must_be_something_to_continue(shop, whole, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="finished already"):
        train(tiny_recipe(shop), whole, resume=True)
    with pytest.raises(UserError, match="no interrupted training of this run"):
        train(tiny_recipe(shop), tmp_path / "none", resume=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no interrupted training of mine"):
        train(tiny_recipe(shop), name="mine", resume=True)


def test_an_unfinished_run_is_not_started_afresh(shop, unfinished):
    with pytest.raises(UserError, match=r"was killed: continue it with --resume, or name another folder"):
        train(tiny_recipe(shop), unfinished)
    assert steps(unfinished) == [3, 6]


@pytest.mark.parametrize("every", ["5", "0 steps", "2.5 steps", "0.0 minutes", "10 hours", "steps"])
def test_when_checkpoints_are_written_must_be_clear(shop, every):
    with pytest.raises(UserError, match=f"train.checkpoint.every: write 'N steps' or 'M minutes', .*; found '{every}'"):
        tiny_recipe(shop, train={"checkpoint": {"every": every}})


def test_checkpoints_by_the_clock_and_how_many_are_kept(shop, tmp_path, monkeypatch):
    def dies(every, keep):
        run = tmp_path / every.replace(" ", "") / str(keep)
        with monkeypatch.context() as patch:
            at_step(patch, 7, fail)
            with pytest.raises(RuntimeError):
                train(tiny_recipe(shop, train={"checkpoint": {"every": every, "keep": keep}}), run)
        return steps(run)

    assert dies("1 step", 3) == [5, 6, 7]
    assert dies("10 minutes", 2) == []
    assert dies("0.000001 minutes", 1) == [7]


def test_a_failure_after_the_loop_costs_only_what_comes_after_it(shop, whole, tmp_path, monkeypatch, capsys):
    recipe = tiny_recipe(shop, train={"checkpoint": {"every": "10 minutes"}})
    with monkeypatch.context() as patch:
        patch.setattr(peftrec.training.finish, "save_run", lambda *_: fail())
        with pytest.raises(RuntimeError, match="power cut") as error:
            train(recipe, tmp_path / "run")
    assert error.value.__notes__ == ["the training is kept up to step 12"]
    assert steps(tmp_path / "run") == [STEPS]
    train(recipe, tmp_path / "run", resume=True)
    found, expected = trained_files(tmp_path / "run"), trained_files(whole)
    assert [name for name in expected if found.get(name) != expected[name]] == [
        "README.md",
        "adapters/interest/README.md",
        "adapters/query/README.md",
        "run.yaml",
    ]  # which say how often


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_and_says_how_to_continue(shop, whole, tmp_path, monkeypatch, sent, status):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my recipe.yaml").write_text(dump_recipe(tiny_recipe(shop)))
    before = signal.getsignal(sent)
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda: os.kill(os.getpid(), sent))
        done = CliRunner().invoke(app, ["train", "my recipe.yaml", "--checkpoint-every", "10 minutes", "train.seed=0"])
    assert done.exit_code == status
    assert done.stdout == ""
    *_, what, kept, command = done.stderr.splitlines()
    assert what == f"peftrec: stopped by {sent.name} after step 5"
    assert kept == "the training is kept up to step 5"
    assert signal.getsignal(sent) is before
    words = shlex.split(command.removeprefix("continue with: "))
    assert words[:3] == ["peftrec", "train", "my recipe.yaml"]
    assert steps(tmp_path / "runs" / "my recipe-1") == [5]
    again = CliRunner().invoke(app, words[1:])
    assert again.exit_code == 0, again.stderr
    for file in ("adapters/query/adapter_model.safetensors", "heads/interest.safetensors", "metrics.jsonl"):
        assert trained_files(tmp_path / "runs" / "my recipe-1")[file] == trained_files(whole)[file]


def test_a_second_interrupt_stops_at_once(shop, tmp_path, monkeypatch):
    def interrupt_twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    at_step(monkeypatch, 4, interrupt_twice)
    with pytest.raises(KeyboardInterrupt) as error:
        train(tiny_recipe(shop), tmp_path / "run")
    assert not isinstance(error.value, Interrupted)
    assert steps(tmp_path / "run") == [3]


def test_a_signal_in_the_last_step_leaves_the_rest_to_a_resumed_run(shop, whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        at_step(patch, STEPS - 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted, match="stopped by SIGTERM after step 12"):
            train(tiny_recipe(shop), tmp_path / "run")
    train(tiny_recipe(shop), tmp_path / "run", resume=True)
    assert trained_files(tmp_path / "run") == trained_files(whole)


def rewrite(run, step):
    """Write the newest checkpoint again, as of another step."""
    folder = checkpoint_folders(run)[-1]
    tensors, values = read_checkpoint(folder)
    write_checkpoint(run, step, tensors, values, keep=2)


def intact(run):
    assert steps(run) == [3, 6]
    assert [find_damage(folder) for folder in checkpoint_folders(run)] == [None, None]
    assert len(os.listdir(checkpoint_folders(run)[0].parent)) == 2  # nothing half-written stays


def test_a_full_disk_at_any_write_keeps_the_earlier_checkpoints(unfinished):
    sizes = {path.stat().st_size for path in checkpoint_folders(unfinished)[-1].rglob("*") if path.is_file()}
    assert len(sizes) > 5
    for size in sizes:
        # A file size limit: the kernel refuses the write in the same way as on a full disk.
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, limits[1]))
        try:
            with pytest.raises(UserError, match=r"step-000000009: the limit of a file's size is reached"):
                rewrite(unfinished, 9)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        intact(unfinished)


def test_a_disk_that_fills_as_data_reaches_it_keeps_the_earlier_checkpoints(unfinished, monkeypatch):
    kept = os.fsync
    for number in range(12):  # nine files, and three folders before the rename
        calls = count()

        def fsync(descriptor, number=number, calls=calls):
            if next(calls) == number:
                raise OSError(28, "No space left on device")
            kept(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(UserError, match="the disk is full"):
            rewrite(unfinished, 9)
        intact(unfinished)
    monkeypatch.setattr(os, "fsync", kept)
    rewrite(unfinished, 9)
    assert steps(unfinished) == [6, 9]


def test_a_full_disk_ends_training_with_one_message(shop, unfinished, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full") as error:
        train(tiny_recipe(shop), unfinished, resume=True)
    assert error.value.__notes__ == ["the training is kept up to step 6"]
    intact(unfinished)


def test_weights_that_are_not_finite_are_never_written(unfinished):
    tensors, values = read_checkpoint(checkpoint_folders(unfinished)[-1])
    tensors["heads/query"]["project.bias"][0] = float("inf")
    with pytest.raises(UserError, match=r"step 9: heads/query: project\.bias holds numbers that are not finite"):
        write_checkpoint(unfinished, 9, tensors, values, keep=2)
    intact(unfinished)
