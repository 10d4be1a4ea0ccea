"""Where a recipe names no method: LoRA where its epochs are short, else a side network, said and kept in the run."""

import json

import numpy as np
import pytest
import yaml
from tiny import make_tiny_shop, tiny_recipe

from peftrec.model.backbone import load_backbone
from peftrec.recipe import AdapterConfig
from peftrec.tasks.dataset import load_data
from peftrec.training import method
from peftrec.training.loop import train
from peftrec.training.prepare import prepare


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("shop"))


def open_recipe(shop, **changes):
    return tiny_recipe(shop, adapter={}, **changes)


def test_an_epoch_costs_what_its_texts_weights_and_steps_say(shop):
    recipe = tiny_recipe(shop, tasks={"query": {"kind": "match-query"}})
    dataset, backbone = load_data(recipe), load_backbone(recipe.backbone)
    rows = dataset.tasks["query"].train
    named = [row for slot in ("query", "item") for row in np.asarray(rows.slots[slot]).tolist()]
    length = {row: len(backbone.tokenizer(dataset.texts.texts[row])["input_ids"]) for row in set(named)}
    weights, mean = sum(of.numel() for of in backbone.layers.parameters()), sum(length.values()) / len(length)
    steps = -(-len(rows) // 32)  # its batches are of 32 rows
    assert steps * len(length) > len(named) > len(length)
    assert method.an_epoch(recipe, dataset, backbone) == pytest.approx(6 * len(named) * mean * weights)
    of_one = tiny_recipe(shop, tasks={"query": {"kind": "match-query"}}, train={"batch_size": 10_000})
    assert method.an_epoch(of_one, dataset, backbone) == pytest.approx(6 * sum(length.values()) * weights)


@pytest.mark.parametrize(("short", "expected"), [(1e18, "lora"), (1.0, "side")])
def test_lora_where_epochs_are_short_else_side(shop, monkeypatch, short, expected):
    monkeypatch.setitem(method.SHORT, "cpu", short)
    own = {"kind": "interest", "column": "stars", "threshold": 4, "adapter": {"method": "head_only"}}
    setup = prepare(open_recipe(shop, tasks={"query": {"kind": "match-query"}, "interest": own}))
    assert {name: task.adapter.method for name, task in setup.tasks.items()} == {
        "query": expected,
        "interest": "head_only",
    }
    (said,) = [line for line in setup.notes if line.startswith("adapter: ")]
    assert said.startswith(f"adapter: chosen method {expected}: an epoch of lora is ")


def test_what_is_named_stays_and_nothing_is_said(shop):
    setup = prepare(tiny_recipe(shop))
    assert not [line for line in setup.notes if line.startswith("adapter: ")]
    assert setup.recipe.adapter.method == "lora"


def test_a_run_keeps_what_was_chosen_and_another_goes_on_from_its_method(shop, tmp_path):
    first = train(open_recipe(shop), tmp_path / "first")
    kept = yaml.safe_load((first / "run.yaml").read_text())["adapter"]["method"]
    assert kept == "lora"
    assert any(
        "adapter: chosen method lora" in line for line in json.loads((first / "report.json").read_text())["notes"]
    )
    named = tiny_recipe(shop, adapter={"method": "bottleneck", "layers": "top-1"})
    second = train(named, tmp_path / "second")
    setup = prepare(open_recipe(shop, init_from=str(second)))
    assert setup.recipe.adapter == AdapterConfig(method="bottleneck", layers="top-1")
    assert any(line.endswith(f"that of {second}") for line in setup.notes)
