"""The loop through its public surface: a recipe in, a run folder out."""

import json
from typing import get_args

import numpy as np
import pytest
import torch
from shop import shop_recipe
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.recipe import load_recipe
from peftrec.recipe.models import Schedule, TrainConfig
from peftrec.training.loop import fit, prepare, train
from peftrec.training.starts import begin
from peftrec.training.validation import validate

SIDE = {"method": "side", "sharing": "shared+private"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def short(tiny, train, **changes):
    """Of the tiny model, where nothing has to be learnt."""
    return tiny_recipe(tiny, **{"adapter": SIDE, **changes}, train={"epochs": 2, "dropout": 0.0, **train})


def trained(recipe):
    setup = prepare(recipe)
    done = fit(setup)
    return setup, done.history, done.examples


def test_fit_computes_the_frozen_part_once_by_itself(tiny):
    recipe = short(tiny, {"epochs": 3})
    setup = prepare(recipe)
    cache = setup.model.encoder.caches["pooled"]
    computed, compute = [], cache.compute
    cache.compute = lambda rows: computed.extend(rows.tolist()) or compute(rows)
    fit(setup)
    assert computed and len(computed) == len(set(computed)) <= len(setup.dataset.texts)


def test_the_run_folder_holds_what_the_design_says(shop_run):
    names = {str(p.relative_to(shop_run)) for p in shop_run.rglob("*") if p.is_file()}
    assert {"run.yaml", "report.json", "metrics.jsonl", "manifest.json"} <= names
    for task in ("query", "interest", "time"):
        assert {f"adapters/{task}/adapter_config.json", f"adapters/{task}/adapter_model.safetensors"} <= names
        assert f"heads/{task}.safetensors" in names
    report = json.loads((shop_run / "report.json").read_text())
    assert set(report) >= {"tasks", "cost", "environment"}
    for task in report["tasks"].values():
        assert set(task) >= {"n", "metrics", "intervals", "priors", "start"}
    assert set(report["cost"]) >= {
        "train_seconds",
        "examples_per_second",
        "peak_memory_mb",
        "trainable_parameters",
        "adapter_bytes",
    }


def test_run_yaml_is_a_recipe_that_repeats_the_run(shop, shop_run, tmp_path):
    again = train(load_recipe(shop_run / "run.yaml"), tmp_path / "again")
    for file in sorted((shop_run / "adapters").rglob("*.safetensors")) + sorted((shop_run / "heads").iterdir()):
        assert (again / file.relative_to(shop_run)).read_bytes() == file.read_bytes()


def test_it_learns(shop):
    recipe = shop_recipe(shop, train={"epochs": 12, "lr": 2e-3})
    _, history, _ = trained(recipe)
    first, last = history[0]["train_loss"], history[-1]["train_loss"]
    assert last["query"] < 0.7 * first["query"]
    assert last["interest"] < 0.9 * first["interest"]
    assert history[-1]["valid"]["query"]["auc"] > 0.9


def test_another_seed_gives_other_weights(tiny):
    one, two = (trained(short(tiny, {"seed": seed, "max_steps": 2}))[0].model for seed in (0, 1))
    a, b = (load["adapter/shared/down"] for load in (one.trainable(), two.trainable()))
    assert not torch.equal(a, b)


def test_parts_of_a_batch_give_the_step_of_the_whole_batch(tiny):
    whole, parts = (
        trained(short(tiny, {"max_steps": 3, "accumulate": n, "clip": None}))[0].model.trainable() for n in (1, 4)
    )
    for name, parameter in whole.items():
        torch.testing.assert_close(parts[name], parameter, atol=2e-5, rtol=1e-3)


def test_an_epoch_gives_every_row_once(tiny):
    recipe = short(tiny, {"epochs": 1})
    setup, history, seen = trained(recipe)
    assert seen == sum(len(data.train) for data in setup.dataset.tasks.values())
    assert history[-1]["epoch"] == 1


def test_shares_change_how_often_a_task_is_seen(tiny):
    tasks = {
        "query": {"kind": "match-query", "share": 2.0},
        "interest": {"kind": "interest", "column": "stars", "threshold": 4, "share": 0.5},
    }
    setup, _, seen = trained(short(tiny, {"epochs": 1}, tasks=tasks))
    sizes = {name: len(data.train) for name, data in setup.dataset.tasks.items()}
    assert seen == 2 * sizes["query"] + round(sizes["interest"] / 2)


def test_early_stopping_puts_the_best_epochs_weights_back(shop):
    # A rising error: a learning rate that ruins the model sooner or later, whichever epoch is the best.
    config = {"epochs": 12, "lr": 0.01, "head_lr": 0.01, "schedule": "constant", "warmup": 0.0}
    recipe = shop_recipe(shop, train={**config, "early_stopping": {"patience": 1, "metric": "query.log_loss"}})
    began = prepare(recipe)
    begin(began)
    setup, history, _ = trained(recipe)
    ends = [line["valid"]["query"]["log_loss"] for line in history if "valid" in line]
    losses = [validate(began)["query"]["log_loss"], *ends]
    assert 1 < len(losses) < 13
    assert losses[-1] > min(losses)
    assert validate(setup)["query"]["log_loss"] == pytest.approx(min(losses), abs=1e-6)


def test_what_training_only_ruins_ends_as_it_began(tiny):
    tasks = {"interest": {"kind": "interest", "column": "stars", "threshold": 4}}
    ruinous = {"epochs": 8, "lr": 1.0, "head_lr": 1.0, "warmup": 0.0, "early_stopping": {"patience": 1}}
    recipe = short(tiny, ruinous, tasks=tasks)
    first = prepare(recipe)
    begin(first)
    began = first.model.trainable()
    setup, _, _ = trained(recipe)
    assert [name for name, p in setup.model.trainable().items() if not torch.equal(p, began[name])] == []


# Neither asks what the other is: each is tried once.
STEPPED = [("adamw", "linear"), ("sgd", "cosine"), ("adafactor", "constant")]


def test_every_optimizer_and_schedule_is_here():
    assert {of for of, _ in STEPPED} == set(get_args(TrainConfig.model_fields["optimizer"].annotation))
    assert {of for _, of in STEPPED} | {"cooldown"} == set(get_args(Schedule))  # which test_ending.py tries


@pytest.mark.parametrize(("optimizer", "schedule"), STEPPED)
def test_every_optimizer_and_schedule_moves_the_weights(tiny, optimizer, schedule):
    recipe = short(tiny, {"optimizer": optimizer, "schedule": schedule, "max_steps": 3, "lr": 0.1, "head_lr": 0.01})
    setup = prepare(recipe)
    before = {n: p.detach().clone() for n, p in setup.model.trainable().items()}
    fit(setup)
    moved = [n for n, p in setup.model.trainable().items() if not torch.equal(p, before[n])]
    # Below a head that begins at zero gradients are small, and what plain SGD makes of them in three steps is nothing.
    assert len(moved) > (0.6 if optimizer == "sgd" else 0.9) * len(before)
    assert all(torch.isfinite(p).all() for p in setup.model.trainable().values())


@pytest.mark.parametrize("method", ["side", "lora"])
def test_mixed_precision_changes_little_and_may_differ_between_trainings_of_one_process(tiny, method):
    losses = {}
    for precision in ("no", "bf16", "no again"):
        adapter = {"method": method, "sharing": "shared", "layers": "top-1"}
        recipe = short(tiny, {"mixed_precision": precision.split()[0], "max_steps": 4}, adapter=adapter)
        setup, history, _ = trained(recipe)
        assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in setup.model.trainable().values())
        losses[precision] = history[-1]["train_loss"]
    assert losses["no again"] == losses["no"] != losses["bf16"]
    for task, loss in losses["no"].items():
        assert losses["bf16"][task] == pytest.approx(loss, rel=0.02)


def test_a_loss_that_is_no_number_stops_the_run(tiny, tmp_path):
    recipe = short(tiny, {"lr": 1e20, "head_lr": 1e20, "clip": None, "warmup": 0.0, "optimizer": "sgd"})
    with pytest.raises(UserError, match=r"step .*not a finite number; lower train.lr"):
        train(recipe, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_a_regression_task_learns_the_level_of_its_label(shop, loss):
    recipe = shop_recipe(
        shop, tasks={"stars": {"kind": "regression", "column": "stars", "loss": loss}}, train={"epochs": 6}
    )
    _, history, _ = trained(recipe)
    assert history[-1]["valid"]["stars"]["mae"] < 1.3
    assert np.isfinite(history[-1]["train_loss"]["stars"])


def test_classification_and_joint_pairs(shop):
    tasks = {
        "genre": {"kind": "classification"},
        "pair": {"kind": "match-query", "input": "joint"},
    }
    texts = {"path": str(shop / "texts.csv"), "text": "{text}", "label": "genre"}
    recipe = shop_recipe(
        shop,
        tasks=tasks,
        data={"texts": texts, "split": {"kind": "by-group", "test": 0.2, "valid": 0.2}},
        train={"epochs": 20, "lr": 2e-3},
    )
    setup, history, _ = trained(recipe)
    assert history[-1]["valid"]["genre"]["accuracy"] > 0.8
    assert setup.dataset.tasks["pair"].train.slots.keys() == {"pair"}
