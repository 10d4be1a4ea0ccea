"""Model cards: the hub's library reads them, their code runs, and they say where a prior wins."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from tiny import LORA, make_tiny_shop, tiny_recipe

import peftrec.training.loop
from peftrec.model.backbone.quantize import repair_layers
from peftrec.recipe import make_recipe
from peftrec.runs.cards import write_cards
from peftrec.runs.folder import export_adapter, read_report, verify_run
from peftrec.runs.report.page import render
from peftrec.runs.saved import load_run
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")

SIDE = {"method": "side", "options": {"rank": 4}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    return train(tiny_recipe(shop), tmp_path_factory.mktemp("runs") / "run")


def report_of(run):
    return json.loads((run / "report.json").read_text())


def python_of(card):
    (block,) = re.findall(r"```python\n(.*?)```", card, re.S)
    return block


def test_every_card_is_in_the_manifest(run):
    verify_run(run)
    listed = json.loads((run / "manifest.json").read_text())["files"]
    assert {"README.md", "adapters/query/README.md", "adapters/interest/README.md"} <= set(listed)


@pytest.mark.parametrize(
    ("file", "tasks", "library", "pipeline"),
    [
        ("README.md", ["query", "interest"], "peftrec", "text-ranking"),
        ("adapters/interest/README.md", ["interest"], "peft", "feature-extraction"),
    ],
)
def test_the_hub_s_library_reads_the_metrics_of_every_task(run, file, tasks, library, pipeline):
    data = ModelCard.load(run / file).data
    assert (data.library_name, data.pipeline_tag) == (library, pipeline)
    assert {"peftrec", "lora"} <= set(data.tags)
    report = report_of(run)
    found = {(of.task_name, of.metric_type): of.metric_value for of in data.eval_results}
    expected = {
        (task, metric): pytest.approx(value, abs=6e-5)
        for task in tasks
        for metric, value in report["tasks"][task]["metrics"].items()
        if value is not None
    }
    assert found == expected


def test_the_run_card_s_code_runs_in_the_run(run, monkeypatch, capsys):
    monkeypatch.chdir(run)
    exec(python_of((run / "README.md").read_text()), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert all("'score': " in line for line in printed)


@pytest.mark.parametrize("quantize", [None, "nf4", "int8"])
@pytest.mark.parametrize("adapter", [LORA, {"method": "prefix", "options": {"num_virtual_tokens": 2}}])
def test_the_adapter_card_s_code_gives_the_run_s_vectors_in_plain_peft(shop, tmp_path, monkeypatch, quantize, adapter):
    changes = tiny_recipe(shop, adapter=adapter).model_dump(mode="json")
    changes["backbone"]["quantize"], changes["train"]["lr"] = quantize, 0.1
    run = train(make_recipe(changes), tmp_path / "run")
    exported = export_adapter(run, "interest", tmp_path / "exported")
    names = {}
    monkeypatch.chdir(exported)
    exec(python_of((exported / "README.md").read_text()), names)
    repair_layers(names["backbone"])  # a CPU with AVX-512-BF16 would compute in bf16, as the card says
    encoder, rows = load_run(run).model.encoder.eval(), np.arange(4)
    encoder.update()
    ids, mask, _ = encoder.texts.pad(rows)

    with torch.inference_mode():
        hidden = names["model"](input_ids=ids, attention_mask=mask).last_hidden_state
        plain = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        own, other = (float((plain - encoder.encode(rows, task)).abs().max()) for task in ("interest", "query"))
    assert own < (1e-5 if quantize is None else 0.01)  # the token table, here in 32 bits, moves int8's roundings
    assert other > 0.05


def test_methods_of_our_own_say_that_plain_peft_cannot_load_them(shop, tmp_path):
    run = train(tiny_recipe(shop, adapter=SIDE, train={"max_steps": 1}), tmp_path / "run")
    card = ModelCard.load(run / "adapters" / "query" / "README.md")
    assert card.data.library_name == "peftrec"
    assert card.data.pipeline_tag is None
    assert "PEFT does not know it" in card.text and "PeftModel" not in card.text
    assert "plain PEFT loads none of its adapters" in (run / "README.md").read_text()


def test_a_loss_to_a_prior_is_said_first_of_the_limits(run):
    limits = (run / "README.md").read_text().split("## Limits")[1].strip().splitlines()
    gains = [(task, m, gain) for task, of in report_of(run)["tasks"].items() for m, gain in of["gains"].items()]
    lost = [gain for _, _, gain in gains if gain["interval"][1] < 0]
    assert lost
    assert limits[0].startswith("- It loses to a trivial prior: ")
    assert limits[0].count(" against `") == len(lost)


def test_a_method_that_trains_the_backbone_says_which_prior_that_costs(shop, tmp_path):
    full = {"method": "full", "sharing": "shared", "layers": "all"}
    run = train(tiny_recipe(shop, adapter=full, train={"max_steps": 1}), tmp_path / "run")
    why = "method full trains the backbone, and what it said before is gone"
    tasks = report_of(run)["tasks"]
    assert tasks["query"]["left_out"] == {"frozen_lr": why, "cosine": why} and "left_out" not in tasks["interest"]
    assert f"- The prior `frozen_lr` of query is left out: {why}.\n" in (run / "README.md").read_text()
    read_report(run)
    assert f"The prior frozen_lr is left out: {why}." in render(run)


def test_a_hub_id_is_named_as_base_model_and_a_local_path_is_not(run, shop, tmp_path):
    assert ModelCard.load(run / "README.md").data.base_model is None
    run = shutil.copytree(run, tmp_path / "run")
    changes = tiny_recipe(shop).model_dump(mode="json")
    changes["data"]["items"]["path"], changes["backbone"]["name"] = "someone/items", "someone/a-model"
    setup = peftrec.training.loop.prepare(tiny_recipe(shop))
    write_cards(run, make_recipe(changes), setup.tasks, setup.dataset, setup.model, report_of(run))
    data = ModelCard.load(run / "README.md").data
    assert data.base_model == "someone/a-model"
    assert data.datasets == ["someone/items"]
    assert 'from_pretrained("someone/a-model")' in (run / "adapters" / "query" / "README.md").read_text()
