"""AdaLoRA for several tasks at once: budgets, absent tasks, the orthogonality term, resuming, the loop."""

import json

import pytest
import torch
from encoders import (
    ROWS,
    configured,
    gradients,
    hidden,
    make_encoder,
    parameters,
    plain_hidden,
    rebuilt,
    save_all,
    vectors,
)
from safetensors.torch import load_file, save_file
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.model.adapters.adalora import AdaLoraAdapter
from peftrec.model.backbone.families import tiny_backbone
from peftrec.model.encoder import AdaptedEncoder
from peftrec.training.loop import fit, prepare

pytestmark = pytest.mark.usefixtures("quick")

TASKS = ["query", "key", "never"]  # `key` has rows in every third step, `never` in none


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def made(sharing="private", family="BERT", quantize=None, **options) -> AdaptedEncoder:
    config = configured("adalora", sharing, **{"init_r": 6, "target_r": 4, **options})
    return make_encoder(tiny_backbone(family, quantize, layers=3), dict.fromkeys(TASKS, config)).train()


def adapter(encoder: AdaptedEncoder) -> AdaLoraAdapter:
    return encoder.adapter_of("query")


def train(encoder: AdaptedEncoder, steps=range(40), total=40, optimizer=None) -> torch.optim.Optimizer:
    optimizer = optimizer or torch.optim.AdamW(parameters(encoder).values(), lr=0.01)
    width = encoder.backbone.hidden_size
    for step in steps:
        losses = []
        for number, task in enumerate(TASKS):
            if task == "never" or (task == "key" and step % 3):
                continue
            target = torch.randn(len(ROWS), width, generator=torch.Generator().manual_seed(number))
            losses.append((encoder.encode(ROWS, task) - target).pow(2).mean() + adapter(encoder).penalty(task))
        torch.stack(losses).sum().backward()
        optimizer.step()
        encoder.after_step(step, total)
        optimizer.zero_grad()
    return optimizer


def ranks(encoder: AdaptedEncoder) -> dict[str, int]:
    held = encoder.parameters_by_owner()
    return {o: sum(int((p != 0).sum()) for n, p in ps.items() if ".lora_E." in n) for o, ps in held.items()}


@pytest.mark.parametrize(
    ("sharing", "family", "quantize"),
    [(sharing, "BERT", None) for sharing in ("shared", "private", "shared+private")]
    + [("shared", "BERT", "nf4"), ("private", "Llama", "int8"), ("shared+private", "GPT-2", None)],
)
def test_every_owner_ends_at_its_own_budget_and_exports_exactly(sharing, family, quantize, tmp_path):
    encoder = made(sharing, family, quantize)
    started = vectors(encoder.eval(), "query")
    train(encoder.train())
    modules = sum(".lora_E." in name for name in adapter(encoder).parameters_of(adapter(encoder).owners[0]))
    budget = 4 * modules
    assert modules == (2 if family == "GPT-2" else 4)
    assert {adapter(encoder).budget(owner) for owner in adapter(encoder).owners} == {budget}
    found = ranks(encoder)
    assert found.pop("never", 0) == 0
    assert set(found.values()) == {budget}
    encoder.eval()
    assert not torch.allclose(vectors(encoder, "query"), started, atol=1e-2)
    save_all(encoder, TASKS, tmp_path)
    configs = {task: configured("adalora", sharing, init_r=6, target_r=4) for task in TASKS}
    again = rebuilt(tiny_backbone(family, quantize, layers=3), configs, tmp_path)
    parts = {"shared": 1, "private": 1, "shared+private": 2}[sharing]
    for task in TASKS[:2]:
        torch.testing.assert_close(vectors(again, task), vectors(encoder, task), atol=1e-5, rtol=0)
        plain = plain_hidden(encoder, tiny_backbone(family, quantize, layers=3).model, tmp_path / task)
        torch.testing.assert_close(plain, hidden(encoder, task), atol=1e-5, rtol=0)
        state = load_file(tmp_path / task / "adapter_model.safetensors")
        assert sum(len(tensor) for name, tensor in state.items() if "lora_A" in name) == budget * parts
        described = json.loads((tmp_path / task / "adapter_config.json").read_text())
        assert described["peft_type"] == "LORA"
        assert len(described["target_modules"]) * 2 == len(state)


def test_a_task_without_rows_keeps_its_importances_and_its_weights():
    encoder = made(tinit=0)
    optimizer = train(encoder, range(1))
    before = {name: t.clone() for name, t in adapter(encoder).extra_state().items() if "/exp_avg" in name}
    assert {name.split("/")[0] for name in before} == {"query", "key"}
    weights = {name: p.clone() for name, p in parameters(encoder).items()}
    train(encoder, range(1, 3), optimizer=optimizer)  # of `query` alone
    after = adapter(encoder).extra_state()
    changed = {name.split("/")[0] for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"query"}
    moved = {
        n.split("/")[0] for n, p in parameters(encoder).items() if not torch.equal(p, weights[n]) and "_E." not in n
    }
    assert moved == {"query"}


def test_the_orthogonality_term_is_pefts_and_reaches_both_factors():
    encoder = made(orth_reg_weight=0.25)
    penalty = adapter(encoder).penalty("query")
    norms = []
    for name, parameter in adapter(encoder).parameters_of("query").items():
        if ".lora_E." not in name:
            factor = parameter if ".lora_A." in name else parameter.T
            norms.append((factor @ factor.T - torch.eye(6)).pow(2).sum().sqrt())
    assert len(norms) == 8
    torch.testing.assert_close(penalty, 0.25 * torch.stack(norms).mean())
    penalty.backward()
    reached = {name for name, gradient in gradients(encoder).items() if gradient.any()}
    assert reached == {n for n in parameters(encoder) if n.startswith("query/") and ".lora_E." not in n}


def test_the_shared_part_is_kept_orthogonal_too():
    encoder = made("shared+private")
    adapter(encoder).penalty("query").backward()
    assert {name.split("/")[0] for name, gradient in gradients(encoder).items() if gradient.any()} == {
        "shared",
        "query",
    }


@pytest.fixture(scope="module")
def whole():
    """A run that never stopped."""
    encoder = made("shared+private")
    train(encoder)
    return encoder


@pytest.mark.parametrize("stop", [7, 20, 35])
def test_a_run_continued_from_parameters_and_extra_state_is_the_run_that_never_stopped(whole, stop, tmp_path):
    first = made("shared+private")
    optimizer = train(first, range(stop))
    save_file(
        {name: t.contiguous() for name, t in adapter(first).extra_state().items()}, tmp_path / "state.safetensors"
    )
    second = made("shared+private")
    with torch.no_grad():
        for name, parameter in parameters(second).items():
            parameter.copy_(parameters(first)[name])
    adapter(second).load_extra_state(load_file(tmp_path / "state.safetensors"))
    resumed = torch.optim.AdamW(parameters(second).values(), lr=0.01)
    resumed.load_state_dict(optimizer.state_dict())
    train(second, range(stop, 40), optimizer=resumed)
    for name, parameter in parameters(whole).items():
        assert torch.equal(parameters(second)[name], parameter), name


@pytest.mark.parametrize("total", [1, 2, 3, 11])
def test_even_the_shortest_run_reaches_the_budget(total):
    encoder = made()
    train(encoder, range(total), total)
    assert ranks(encoder)["query"] == 16


def test_early_stopping_chooses_among_pruned_weights_only(shop):
    config = {"method": "adalora", "layers": "top-1", "options": {"init_r": 4, "target_r": 2}}
    stopping = {"early_stopping": {"patience": 9, "metric": "query.accuracy"}, "epochs": 4, "lr": 1e-6, "head_lr": 1e-6}
    setup = prepare(tiny_recipe(shop, tasks=THREE, adapter=config, train=stopping))
    setup.model.encoder.update()
    history = fit(setup).history
    scores = [line["valid"]["query"]["accuracy"] for line in history if "valid" in line]
    assert len(scores) == 4
    assert scores[0] == max(scores)  # the first epoch would be chosen, but is not pruned
    assert set(ranks(setup.model.encoder).values()) == {4}


def test_the_schedule_is_as_said_or_scaled_to_the_run():
    encoder = made(tinit=3)
    train(encoder, range(1), total=200)
    schedule = adapter(encoder).grafts["query"].configs["peftrec__query__"]
    assert (schedule.total_step, schedule.tinit, schedule.tfinal, schedule.deltaT) == (200, 3, 60, 2)
    encoder = made(total_step=20)
    train(encoder, range(20), total=40)
    assert ranks(encoder)["query"] == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tfinal": 40}, "tinit 4 and tfinal 40 leave none of the run's 40 steps for pruning"),
        ({"total_step": 41}, "adapter.options.total_step: the run has 40 steps; found 41"),
        ({"r": 8}, "adapter.options.r: AdaLoRA ignores it; the ranks are init_r and target_r"),
        ({"use_rslora": True}, "adapter.options.use_rslora: AdaLoRA ignores it"),
        ({"rank_pattern": {}}, "adapter.options.rank_pattern: AdaLoRA finds the ranks itself"),
        ({"target_r": 7}, "adapter.options.target_r: must be at most init_r = 6; found 7"),
        ({"target_r": 0}, "adapter.options.target_r: must be at least 1; found 0"),
        ({"init_r": 6.5}, "adapter.options.init_r: must be an integer; found 6.5"),
        ({"deltaT": 0}, "adapter.options.deltaT: must be at least 1; found 0"),
        ({"beta2": 1}, "adapter.options.beta2: must be between 0 and 1; found 1"),
        ({"init_rank": 7}, "adapter.options.init_rank: PEFT's AdaLoraConfig has none; did you mean"),
        ({"orth_reg_weight": -1}, "PEFT's AdaLoraConfig refuses them"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError) as raised:
        train(made(**options))
    assert message in str(raised.value)


def test_the_loop_adds_the_term_and_prunes(shop):
    options = {"init_r": 4, "target_r": 2, "orth_reg_weight": 0.0}
    found = {}
    for weight in (0.0, 10.0):
        config = {"method": "adalora", "layers": "top-1", "options": {**options, "orth_reg_weight": weight}}
        setup = prepare(tiny_recipe(shop, tasks=THREE, adapter=config, train={"max_steps": 4}))
        setup.model.encoder.update()
        found[weight] = fit(setup).history[-1]["train_loss"]
        assert set(ranks(setup.model.encoder).values()) == {4}  # 2 of each of two modules, for every owner
        assert len(ranks(setup.model.encoder)) == 4
    assert all(found[10.0][task] > found[0.0][task] + 5 for task in found[0.0])
