"""Trackers get every line once, go on in the same log after an interruption, and never end a training."""

import importlib.machinery
import json
import os
import signal
import sqlite3
import sys
import types

import pytest
from tiny import at_step, fail, kept_recipe, make_tiny_shop

from peftrec.errors import UserError
from peftrec.machine.signals import Interrupted
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

STEPS = 12
SIDE = {"method": "side", "options": {"rank": 4}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def recipe(shop, *trackers):
    return kept_recipe(shop, adapter=SIDE, train={"track": list(trackers)})


def interrupted_then_resumed(shop, run, monkeypatch, *trackers):
    """A training that ends in its eighth step without a checkpoint of it, and goes on from that of the sixth."""
    with monkeypatch.context() as patch:
        at_step(patch, 7, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe(shop, *trackers), run)
    return train(recipe(shop, *trackers), run, resume=True)


def lines_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def events(folder):
    """tag -> [(step, value)] of a TensorBoard folder, as TensorBoard shows them; and the tags of its texts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder)).Reload()
    scalars = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    return scalars, read.Tags()["tensors"]


def test_tensorboard_gets_every_line_once_though_the_training_was_cut(shop, tmp_path, monkeypatch):
    run = interrupted_then_resumed(shop, tmp_path / "runs" / "mine-1", monkeypatch, "tensorboard")
    assert sorted(os.listdir(run.parent)) == ["mine-1", "tensorboard"]
    assert os.listdir(run.parent / "tensorboard") == ["mine-1"]
    scalars, texts = events(run.parent / "tensorboard" / "mine-1")
    lines = lines_of(run)
    for tag, of in {
        "train_loss/interest": [(line["step"], line["train_loss"]["interest"]) for line in lines],
        "gradient_norm/shared": [(line["step"], line["gradient_norm"]["shared"]) for line in lines],
        "learning_rate/head": [(line["step"], line["learning_rate"]["head"]) for line in lines],
        "valid/query/auc": [(line["step"], line["valid"]["query"]["auc"]) for line in lines if "valid" in line],
    }.items():
        assert [step for step, _ in scalars[tag]] == [step for step, _ in of]
        assert [value for _, value in scalars[tag]] == pytest.approx([value for _, value in of])
    assert len(scalars["train_loss/interest"]) == STEPS
    report = json.loads((run / "report.json").read_text())
    assert scalars["test/query/auc"] == [(STEPS, pytest.approx(report["tasks"]["query"]["metrics"]["auc"]))]
    assert texts == ["recipe/text_summary"]


def test_a_name_used_again_begins_a_new_log(shop, tmp_path, monkeypatch):
    run = tmp_path / "mine-1"
    with monkeypatch.context() as patch:
        at_step(patch, 2, fail)  # before the first checkpoint: nothing is left of the run, so its name is free
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe(shop, "tensorboard"), run)
    train(recipe(shop, "tensorboard"), run)
    scalars, _ = events(tmp_path / "tensorboard" / "mine-1")
    assert [step for step, _ in scalars["train_loss/query"]] == list(range(1, STEPS + 1))


def test_trackio_goes_on_in_the_same_run_without_a_network(shop, tmp_path, monkeypatch):
    trackio = pytest.importorskip("trackio", reason="the extra trackio is not installed")
    place = tmp_path / "trackio"
    for module in (trackio.sqlite_storage, trackio.utils):
        monkeypatch.setattr(module, "TRACKIO_DIR", place)
    run, own = tmp_path / "mine-1", recipe(shop, "trackio")
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            train(own, run)
    train(own, run, resume=True)
    with sqlite3.connect(place / "peftrec.db") as database:
        logged = database.execute("select run_name, step, metrics from metrics order by step, id").fetchall()
    assert len({name for name, _, _ in logged}) == 1
    assert logged[0][0].startswith("mine-1 ")
    losses = [
        (step, value["train_loss/query"])
        for _, step, text in logged
        if "train_loss/query" in (value := json.loads(text))
    ]
    assert losses == [(line["step"], line["train_loss"]["query"]) for line in lines_of(run)]
    assert logged[-1][1] == STEPS and "test/query/auc" in json.loads(logged[-1][2])


@pytest.fixture
def services(monkeypatch):
    """Stand-ins for the packages wandb and mlflow, which note what Accelerate's classes ask of them."""
    asked = []

    def service(name, **members):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)

    def noting(name, result=None):
        return lambda *values, **options: asked.append((name, values, options)) or result

    session = types.SimpleNamespace(id="w17", log=noting("wandb.log"), finish=noting("wandb.finish"))
    configuration = types.SimpleNamespace(update=noting("wandb.config"))
    service("wandb", init=noting("wandb.init", session), config=configuration)
    active = types.SimpleNamespace(info=types.SimpleNamespace(run_id="m42"))
    limits = types.SimpleNamespace(MAX_PARAM_VAL_LENGTH=6000, MAX_PARAMS_TAGS_PER_BATCH=100)
    service(
        "mlflow",
        search_experiments=noting("mlflow.search_experiments", []),
        create_experiment=noting("mlflow.create_experiment", 1),
        start_run=noting("mlflow.start_run", active),
        log_params=noting("mlflow.log_params"),
        log_metrics=noting("mlflow.log_metrics"),
        end_run=noting("mlflow.end_run"),
        utils=types.SimpleNamespace(validation=limits),
    )
    return asked


def test_wandb_and_mlflow_are_asked_by_name_and_by_their_own_number_when_resumed(shop, tmp_path, monkeypatch, services):
    interrupted_then_resumed(shop, tmp_path / "mine-1", monkeypatch, "wandb", "mlflow")
    first, second = (options for name, _, options in services if name == "wandb.init")
    assert first == {"project": "peftrec", "name": "mine-1"}
    assert second == {"project": "peftrec", "id": "w17", "resume": "must"}
    first, second = (options for name, _, options in services if name == "mlflow.start_run")
    assert (first["run_id"], first["run_name"]) == (None, "mine-1")
    assert second["run_id"] == "m42"
    names = [name for name, _, _ in services]
    logged = [key for name, values, _ in services if name == "mlflow.log_params" for key in values[0]]  # in hundreds
    assert names.count("wandb.config") == 1 and len(logged) == len(set(logged)) > 50  # the recipe, once
    assert names.count("wandb.finish") == names.count("mlflow.end_run") == 2
    named = {"wandb.log": set(), "mlflow.log_metrics": set()}
    for name, values, _ in services:
        if name in named:
            named[name] |= set(values[0])
    assert "test/query/ndcg@10" in named["wandb.log"]
    assert "test/query/ndcg_at_10" in named["mlflow.log_metrics"]  # MLflow takes no @
    assert not any("@" in metric for metric in named["mlflow.log_metrics"])
    steps = [options["step"] for name, _, options in services if name == "wandb.log"]
    assert steps == [*range(1, 8), *range(7, STEPS + 1), STEPS]  # step 7 again, and the test split's metrics


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("tensorboard", "peftrec[tensorboard]"),
        ("trackio", "peftrec[trackio]"),
        ("wandb", "wandb"),
        ("mlflow", "mlflow"),
    ],
)
def test_a_missing_package_is_refused_with_what_to_install(shop, tmp_path, monkeypatch, name, install):
    kept = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda of, *rest: None if of == name else kept(of, *rest))
    with pytest.raises(UserError) as error:
        train(recipe(shop, name), tmp_path / "run")
    assert f"train.track: {name} needs the package {name}" in str(error.value)
    assert f"pip install '{install}'" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_cannot_start_is_refused(shop, tmp_path):
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"train\.track: tensorboard cannot be started: .*leave it out to train"):
        train(recipe(shop, "tensorboard"), tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


def test_a_tracker_that_fails_is_left_out_and_the_training_goes_on(shop, tmp_path, monkeypatch, notes):
    from accelerate.tracking import TensorBoardTracker

    kept = TensorBoardTracker.log

    def log(self, values, step=None):
        if step == 5:
            raise OSError("the disk is full")
        kept(self, values, step)

    monkeypatch.setattr(TensorBoardTracker, "log", log)
    run = train(recipe(shop, "tensorboard"), tmp_path / "run")
    assert len(lines_of(run)) == STEPS
    said = [line for line in notes.readouterr().err.splitlines() if "tensorboard" in line]
    assert said == [
        "tensorboard failed, and is left out from here on (OSError: the disk is full); metrics.jsonl has all"
    ]
