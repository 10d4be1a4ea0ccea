"""Starting from another run: what is taken over, what stays to the bit, what is refused."""

import json
import os
import shutil

import pytest
import torch
from featured import featured_recipe, make_featured_shop
from safetensors.torch import load_file, save_file
from tiny import LORA, at_step, fail, kept_recipe, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.recipe import make_recipe
from peftrec.runs.checkpoints import checkpoint_folders
from peftrec.runs.evaluate import evaluate_run
from peftrec.runs.folder import write_run
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import prepare, train
from peftrec.training.preflight import check

pytestmark = pytest.mark.usefixtures("quick")

QUERY = {"kind": "match-query"}
INTEREST = {"kind": "interest", "column": "stars", "threshold": 4, "weight": 0.5}
TIME = {"kind": "next-gap", "weight": 0.3}
FROZEN = {"query": {**QUERY, "frozen": True}, "interest": {**INTEREST, "frozen": True}}
ROWS = {
    "query": [{"query": "w3 w9", "item": "i3"}, {"query": "w1", "item_text": "w4 w5 w6"}],
    "interest": [{"user": "u3", "item": "i5"}, {"history": ["i1", {"item": "i2", "value": 5}], "item": "i9"}],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    """Two tasks with LoRA, shared and private."""
    return train(tiny_recipe(shop, train={"epochs": 1}), tmp_path_factory.mktemp("runs") / "first")


def predictions(folder):
    predictor = Predictor.load(folder)
    return {task: predictor.predict(task, rows) for task, rows in ROWS.items()}


def files_of(folder, names):
    """What a run holds of some tasks and parts, but for cards, which tell of the whole training."""
    patterns = ("adapters/{}/*", "heads/{}.*", "parts/{}.*")
    found = [file for name in names for pattern in patterns for file in folder.glob(pattern.format(name))]
    found = [file for file in found if file.name != "README.md"]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def holds(model, part, folder):
    held = model.encoder.adapter_of(model.tasks[0]).part(part)
    stored = load_file(folder / f"parts/{part}.safetensors")
    return held.keys() == stored.keys() and all(torch.equal(held[name], t) for name, t in stored.items())


def losses_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["train_loss"], line.get("valid")) for line in lines]


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


CASES = {
    "lora": {"adapter": LORA},
    "lora, quantised": {"adapter": LORA, "quantize": "nf4"},
    "lora, cached trunk": {"adapter": {**LORA, "layers": "top-1"}},
    "lora, shared": {"adapter": {**LORA, "sharing": "shared"}},
    "lora, private": {"adapter": {**LORA, "sharing": "private"}},
    "lora, moved out of the weights": {
        "adapter": {"method": "lora", "sharing": "private", "options": {"r": 2, "init_lora_weights": "pissa"}}
    },
    "adalora": {"adapter": {"method": "adalora", "options": {"init_r": 4, "target_r": 2}}},
    "ia3": {"adapter": {"method": "ia3"}},
    "side": {"adapter": {"method": "side", "options": {"rank": 4}}},
    "side, shared": {"adapter": {"method": "side", "sharing": "shared", "options": {"rank": 4}}},
    "bottleneck": {"adapter": {"method": "bottleneck"}},
    "prefix": {
        "adapter": {
            "method": "prefix",
            "options": {"num_virtual_tokens": 2, "prefix_projection": True, "encoder_hidden_size": 8},
        }
    },
    "full": {"adapter": {"method": "full", "sharing": "shared"}},
}


@pytest.mark.parametrize("case", CASES)
def test_a_task_is_added_and_one_retrained_while_the_others_stay_to_the_bit(shop, tmp_path, case):
    adapter, quantize = CASES[case]["adapter"], CASES[case].get("quantize")
    backbone = {"name": str(shop / "model"), "dtype": "fp32", "max_length": 16, "quantize": quantize}
    same = {"adapter": adapter, "backbone": backbone, "train": {"epochs": 1}}
    first = train(tiny_recipe(shop, **same), tmp_path / "first")
    before = predictions(first)

    tasks = {"query": QUERY, "interest": FROZEN["interest"], "time": TIME}
    again = train(tiny_recipe(shop, tasks=tasks, init_from=str(first), **same), tmp_path / "again")
    after = predictions(again)
    assert after["interest"] == before["interest"]
    assert after["query"] != before["query"]
    assert (again / "adapters/time/adapter_model.safetensors").is_file()
    assert report_of(again)["tasks"]["interest"]["metrics"] == report_of(first)["tasks"]["interest"]["metrics"]
    assert files_of(again, ["interest", "shared"]) == files_of(first, ["interest", "shared"])
    own = files_of(again, ["query"]), files_of(first, ["query"])
    changed = {name.split("/")[0] for name in own[0] if own[0][name] != own[1][name]}
    assert changed == ({"heads"} if adapter.get("sharing") == "shared" else {"adapters", "parts", "heads"})


def test_a_task_is_added_while_all_others_stay_to_the_bit(shop, run, tmp_path):
    added = train(
        tiny_recipe(shop, tasks={**FROZEN, "time": TIME}, init_from=str(run), train={"epochs": 1}), tmp_path / "added"
    )
    assert predictions(added) == predictions(run)
    assert files_of(added, ["query", "interest", "shared"]) == files_of(run, ["query", "interest", "shared"])
    for task in ("query", "interest"):
        assert report_of(added)["tasks"][task]["metrics"] == report_of(run)["tasks"][task]["metrics"]


def test_another_method_for_the_new_task_leaves_the_others_alone(shop, run, tmp_path):
    tasks = {"time": {**TIME, "adapter": {"method": "side", "options": {"rank": 4}}}, **FROZEN}
    added = train(tiny_recipe(shop, tasks=tasks, init_from=str(run), train={"epochs": 1}), tmp_path / "added")
    assert predictions(added) == predictions(run)
    # The order of tasks gives the shared parts other names; what is in them stays.
    assert (added / "parts/shared_1_.safetensors").read_bytes() == (run / "parts/shared.safetensors").read_bytes()
    third = train(
        tiny_recipe(shop, tasks={**FROZEN, "time": tasks["time"]}, init_from=str(added), train={"epochs": 1}),
        tmp_path / "third",
    )
    assert predictions(third) == predictions(run)


def test_what_is_said_before_training(shop, run, tmp_path, notes):
    train(
        tiny_recipe(shop, tasks={**FROZEN, "time": TIME}, init_from=str(run), train={"epochs": 1}), tmp_path / "added"
    )
    said = notes.readouterr().err
    assert f"from {run}: adapter parts shared, query, interest; heads query, interest\n" in said
    assert "frozen: query, interest, and every adapter part that they read\n" in said
    assert "time: its own part and its head are trained, over the frozen shared part\n" in said
    shared = {"adapter": {**LORA, "sharing": "shared"}, "train": {"epochs": 1}}
    first = train(tiny_recipe(shop, **shared), tmp_path / "shared")
    recipe = tiny_recipe(shop, tasks={**FROZEN, "time": TIME}, init_from=str(first), **shared)
    described = check(recipe)
    assert "time: only its head is trained: sharing is shared, and the adapter is frozen" in described["data"]["notes"]
    assert "no adapter inside it is trained" in described["training"]["memory_plan"]
    head = prepare(recipe).model.head("time")
    assert described["training"]["trainable_parameters"] == sum(p.numel() for p in head.parameters())


def test_without_frozen_tasks_all_goes_on_from_the_run(shop, run, tmp_path):
    recipe = tiny_recipe(shop, tasks={"query": QUERY, "interest": INTEREST, "time": TIME}, init_from=str(run))
    model = prepare(recipe).model
    for part in ("shared", "query", "interest"):
        assert holds(model, part, run)
    again = train(recipe, tmp_path / "again")
    for task in ("query", "interest"):
        assert report_of(again)["tasks"][task]["start"] == {
            metric: value
            for metric, value in report_of(run)["tasks"][task]["metrics"].items()
            if "@10" not in metric or task == "query"
        }
    for part in ("shared", "query", "interest"):
        assert (again / f"parts/{part}.safetensors").read_bytes() != (run / f"parts/{part}.safetensors").read_bytes()


def test_a_new_task_alone_takes_the_shared_part(shop, run):
    model = prepare(tiny_recipe(shop, tasks={"time": TIME}, init_from=str(run))).model
    assert holds(model, "shared", run)
    assert {name.split("/")[1] for name in model.trainable()} == {"shared", "time"}


def test_early_stopping_may_keep_what_the_run_was(shop, run, tmp_path):
    ruinous = {"epochs": 4, "lr": 1.0, "head_lr": 1.0, "schedule": "constant", "warmup": 0.0}
    recipe = tiny_recipe(shop, init_from=str(run), train={**ruinous, "early_stopping": {"patience": 1}})
    again = train(recipe, tmp_path / "again")
    assert predictions(again) == predictions(run)


def test_early_stopping_watches_what_is_trained(shop, run):
    tasks = {"query": QUERY, "interest": FROZEN["interest"]}
    stop = {"early_stopping": {"metric": "interest.auc"}}
    with pytest.raises(UserError, match=r"train.early_stopping.metric: 'interest.auc' is no task.metric; "):
        prepare(tiny_recipe(shop, tasks=tasks, init_from=str(run), train=stop))


def test_dropout_leaves_frozen_parts_alone(shop, tmp_path):
    for sharing, own_vectors_vary in (("shared", False), ("shared+private", True)):
        same = {"adapter": {**LORA, "sharing": sharing, "options": {"r": 2, "lora_dropout": 0.5}}}
        first = train(tiny_recipe(shop, **same), tmp_path / sharing)
        setup = prepare(tiny_recipe(shop, tasks={**FROZEN, "time": TIME}, init_from=str(first), **same))
        model = setup.model.train()
        rows = setup.dataset.items["items"].rows
        with torch.no_grad():
            for tensor in model.encoder.parameters_by_owner().get("time", {}).values():
                tensor.add_(0.1)
            for task, varies in (("query", False), ("time", own_vectors_vary)):
                one, two = (model.encoder.encode(rows, task) for _ in range(2))
                assert torch.equal(one, two) is not varies


def test_adalora_prunes_what_is_trained_to_its_budget_and_nothing_else(shop, tmp_path):
    adapter = {"method": "adalora", "options": {"init_r": 4, "target_r": 2, "tinit": 1, "tfinal": 4}}
    first = train(tiny_recipe(shop, adapter=adapter), tmp_path / "first")
    recipe = tiny_recipe(shop, adapter=adapter, tasks={**FROZEN, "time": TIME}, init_from=str(first))
    added = train(recipe, tmp_path / "added")

    def left(part):
        tensors = load_file(added / f"parts/{part}.safetensors")
        return sum(int((t != 0).sum()) for name, t in tensors.items() if ".lora_E" in name)

    budget = prepare(recipe).model.encoder.adapter_of("time").budget("time")
    assert {part: left(part) for part in ("shared", "query", "interest", "time")} == dict.fromkeys(
        ("shared", "query", "interest", "time"), budget
    )


def test_whatever_does_not_fit_is_listed_at_once(shop, run, tmp_path):
    other = make_tiny_shop(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    weights = load_file(other / "model/model.safetensors")
    save_file({name: t + 1 for name, t in weights.items()}, other / "model/model.safetensors", {"format": "pt"})
    with pytest.raises(UserError) as error:
        prepare(
            tiny_recipe(
                shop,
                init_from=str(run),
                adapter={"method": "lora", "layers": "top-1", "options": {"r": 4, "lora_dropout": 0.1}},
                backbone={"name": str(other / "model"), "dtype": "fp32", "max_length": 16},
                tasks={"query": {"kind": "next-gap"}, "interest": INTEREST, "time": {**TIME, "frozen": True}},
            )
        )
    first, *listed, last = str(error.value).splitlines()
    assert first == f"init_from: {run} does not fit this recipe:"
    assert [line.strip() for line in listed[:-1]] == [
        "tasks.time.frozen: the run has no such task; it has query, interest",
        "tasks.query.kind: match-query, now next-gap",
        "tasks.query.adapter.layers: all, now top-1",
        "tasks.query.adapter.options.r: 2, now 4",
        "tasks.interest.adapter.layers: all, now top-1",
        "tasks.interest.adapter.options.r: 2, now 4",
    ]
    assert "other weights" in listed[-1]
    assert last == "change the recipe back, or start from another run"


def test_a_frozen_task_must_read_the_same_data(shop, run, tmp_path):
    folder = shutil.copytree(shop, tmp_path / "shop")
    text = (folder / "events.csv").read_text()
    (folder / "events.csv").write_text(text.replace(",1\n", ",5\n"))
    recipe = tiny_recipe(shop, init_from=str(run), tasks={**FROZEN, "time": TIME})
    data = tiny_recipe(folder).data.model_copy(update={"history": 7})
    with pytest.raises(UserError) as error:
        prepare(recipe.model_copy(update={"data": data}))
    assert "tasks.interest.history: 5, now 7" in str(error.value)
    assert "tasks.interest.base: " in str(error.value)
    assert "tasks.query" not in str(error.value)
    warm = tiny_recipe(shop, init_from=str(run))
    prepare(warm.model_copy(update={"data": data}))  # what is trained further may read more


def test_a_head_of_another_shape_begins_anew(shop, run, tmp_path):
    folder = shutil.copytree(shop, tmp_path / "shop")
    lines = (folder / "queries.csv").read_text().splitlines()
    lines[1:] = [f"{line[:-1]}{n % 3}" for n, line in enumerate(lines[1:])]
    (folder / "queries.csv").write_text("\n".join(lines))
    data = tiny_recipe(folder).data
    recipe = tiny_recipe(shop, init_from=str(run)).model_copy(update={"data": data})
    assert "query: its head begins anew: classes or features are not as many as in the run" in prepare(recipe).notes
    mse = tiny_recipe(
        shop,
        init_from=str(run),
        tasks={"query": QUERY, "interest": {"kind": "interest", "column": "stars", "loss": "mse"}},
    )
    assert "interest: its head begins anew" in " ".join(prepare(mse.model_copy(update={"data": data})).notes)


def test_a_head_that_reads_other_levels_begins_anew_and_other_means_are_no_reason(tmp_path):
    shop = make_featured_shop(tmp_path, 120)
    tasks = {"cheap": {"kind": "interest", "column": "cheap"}}
    run = train(featured_recipe(shop, tasks=tasks, adapter=LORA, train={"epochs": 1}), tmp_path / "run")
    again = featured_recipe(shop, tasks=tasks, adapter=LORA, init_from=str(run))
    events = (shop / "events.csv").read_text()
    (shop / "events.csv").write_text(events.replace(",11,desk", ",11.5,desk"))
    assert not any("begins anew" in note for note in prepare(again).notes)
    (shop / "events.csv").write_text(events.replace("desk", "desktop"))
    notes = prepare(again).notes
    assert "cheap: its head begins anew: features or their levels are others than in the run" in notes
    with pytest.raises(UserError, match="was trained on other features, or levels of them, than the data have now"):
        evaluate_run(run, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": FROZEN, "init_from": "run"}, "at least one task needs a weight above 0, and not to be frozen"),
        (
            {"tasks": {**FROZEN, "time": TIME}},
            r"init_from: name the run that the frozen tasks \(query, interest\) come",
        ),
        ({"init_from": "nowhere"}, r"init_from: nowhere: no such run folder \(looked in /"),
    ],
)
def test_what_makes_no_sense_is_refused(shop, changes, message):
    with pytest.raises(UserError, match=message):
        prepare(tiny_recipe(shop, **changes))


def test_a_run_with_nothing_in_common_is_refused(shop, run):
    recipe = tiny_recipe(shop, init_from=str(run), tasks={"time": TIME}, adapter={"method": "ia3"})
    with pytest.raises(UserError, match="has neither a task nor a method of this recipe"):
        prepare(recipe)


def test_a_method_that_is_more_than_what_it_trains_is_refused(shop, tmp_path):
    options = {"r": 2, "init_lora_weights": "pissa_niter_1"}  # a factorisation that begins at random
    recipe = tiny_recipe(shop, adapter={"method": "lora", "sharing": "private", "options": options})
    first = train(recipe, tmp_path / "first")
    again = recipe.model_dump(mode="json") | {"init_from": str(first)}
    again["train"]["seed"] = 1
    with pytest.raises(UserError, match="lora does not come back from the tensors that it trains"):
        prepare(make_recipe(again))


def test_runs_without_parts_are_read_but_not_started_from(shop, run, tmp_path):
    with write_run(tmp_path / "old") as folder:
        shutil.copytree(run, folder, dirs_exist_ok=True)
        shutil.rmtree(folder / "parts")
        described = json.loads((folder / "model.json").read_text())
        for task in described["tasks"].values():
            del task["parts"]
        (folder / "model.json").write_text(json.dumps(described))
        (folder / "manifest.json").unlink()
    assert predictions(tmp_path / "old") == predictions(run)
    with pytest.raises(
        UserError, match=r"init_from: .*old was written by an earlier peftrec.* peftrec train .*run.yaml"
    ):
        prepare(tiny_recipe(shop, init_from=str(tmp_path / "old")))


def test_such_a_training_resumes_to_the_same_bytes(shop, run, tmp_path, monkeypatch):
    start = shutil.copytree(run, tmp_path / "start")
    recipe = kept_recipe(
        shop, tasks={**FROZEN, "time": TIME}, init_from=str(start), train={"early_stopping": {"patience": 2}}
    )
    whole = train(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        at_step(patch, 4, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, tmp_path / "run")
    assert len(checkpoint_folders(tmp_path / "run")) == 1
    shutil.copytree(tmp_path / ".run.partial", tmp_path / ".other.partial")
    resumed = train(recipe, tmp_path / "run", resume=True)
    assert sorted(os.listdir(resumed)) == sorted(os.listdir(whole))
    names = ["query", "interest", "time", "shared"]
    assert files_of(resumed, names) == files_of(whole, names)
    assert losses_of(resumed) == losses_of(whole)

    shutil.rmtree(start)
    train(tiny_recipe(shop, train={"epochs": 1, "seed": 1}), start)
    with pytest.raises(UserError, match=r"this changed:\n  init_from: changed\n"):
        train(recipe, tmp_path / "other", resume=True)
