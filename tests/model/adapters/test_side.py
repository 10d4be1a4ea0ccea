"""The side network: a ladder over the layers' pooled states, what tasks share of it, exact gradients, saving."""

import json

import pytest
import torch
from encoders import (
    ROWS,
    check_joint_gradient,
    check_one_task_alone,
    configured,
    gradients,
    make_encoder,
    perturb,
    rebuilt,
    save_all,
    task_losses,
    vectors,
)
from safetensors.torch import load_file
from torch.nn import functional

from peftrec.errors import UserError
from peftrec.model.adapters.side import Ladder
from peftrec.model.backbone.families import FAMILIES, QUANTIZATIONS, tiny_backbone

TASKS = ["query", "interest", "interest2"]
SHARINGS = ["shared", "private", "shared+private"]


def owned(encoder):
    """owner -> whether it has a ladder, whether it has gates."""
    return {
        owner: (any("gates" not in name for name in held), "gates" in held)
        for owner, held in encoder.parameters_by_owner().items()
    }


def test_what_tasks_share_follows_the_mode():
    found = {
        sharing: owned(make_encoder(tiny_backbone("BERT"), dict.fromkeys(TASKS, configured("side", sharing))))
        for sharing in SHARINGS
    }
    assert found == {
        "shared": {"shared": (True, True)},
        "private": dict.fromkeys(TASKS, (True, True)),
        "shared+private": {"shared": (True, False), **dict.fromkeys(TASKS, (False, True))},
    }


def by_hand(states, held, gates, depth):
    """The formula of the docstring, rung by rung; states (rungs, U, D)."""
    h = torch.zeros(1)
    for rung, x in enumerate(states):
        keep, level = gates[rung].sigmoid(), 0.3 * functional.layer_norm(x, x.shape[-1:])
        h = keep * h + (1 - keep) * (level @ held["down"][rung] + held["bias"][rung])
        for number in range(rung * depth, (rung + 1) * depth):
            mix = {name: held[f"mix.{number}.{name}"] for name in ("0.weight", "0.bias", "1.weight", "1.bias")}
            low = functional.layer_norm(h, h.shape[-1:], mix["0.weight"], mix["0.bias"])
            low = functional.gelu(functional.linear(low, mix["1.weight"], mix["1.bias"]))
            h = h + functional.linear(low, held[f"mix.{number}.3.weight"], held[f"mix.{number}.3.bias"])
    return states[-1] + functional.linear(h, held["up.weight"], held["up.bias"])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("layers", "rungs"), [("all", [0, 1, 2, 3, 4]), ("top-2", [3, 4]), ([0, 2], [1, 3, 4]), ([3], [4])]
)
def test_it_computes_the_ladder_over_the_chosen_layers(layers, rungs, depth):
    config = configured("side", "shared+private", layers, rank=6, depth=depth)
    encoder = make_encoder(tiny_backbone("BERT", layers=4), dict.fromkeys(TASKS, config))
    perturb(encoder, scale=0.3)
    with torch.no_grad():
        states = encoder.backbone.pooled_layers(*encoder.texts.pad(ROWS)).transpose(0, 1)
        owners = encoder.parameters_by_owner()
        for task in TASKS:
            expected = by_hand(states[rungs], owners["shared"], owners[task]["gates"], depth)
            torch.testing.assert_close(vectors(encoder, task), expected, atol=1e-5, rtol=0)
    assert not torch.allclose(vectors(encoder, "query"), vectors(encoder, "interest"), atol=1e-3)


@pytest.mark.parametrize("quantize", QUANTIZATIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_it_starts_as_the_backbone_and_never_runs_it_again(family, quantize, monkeypatch):
    encoder = make_encoder(tiny_backbone(family, quantize), dict.fromkeys(TASKS, configured("side", "shared+private")))
    ids, mask, types = encoder.texts.pad(ROWS)
    with torch.no_grad():
        expected = encoder.backbone.pool(encoder.backbone.run(ids, mask, types), mask)

    def run_again(*args, **kwargs):
        raise AssertionError("the backbone ran")

    monkeypatch.setattr(type(encoder.backbone.model), "forward", run_again)
    for task in TASKS:
        torch.testing.assert_close(vectors(encoder, task), expected, atol=1e-5, rtol=0)
    perturb(encoder)
    torch.stack(task_losses(encoder, TASKS)).sum().backward()
    assert all(gradient.any() for gradient in gradients(encoder).values())
    assert encoder.level("query")[0] == "pooled"


@pytest.mark.parametrize("sharing", SHARINGS)
def test_the_joint_gradient_is_the_sum_of_the_tasks_own(sharing):
    config = configured("side", sharing, "all", rank=8, depth=2)
    encoder = make_encoder(tiny_backbone("BERT", layers=3), dict.fromkeys(TASKS, config))
    check_joint_gradient(encoder, TASKS, sharing)


@pytest.mark.parametrize("sharing", ["private", "shared+private"])
def test_training_one_task_leaves_the_others_private_part_alone(sharing):
    encoder = make_encoder(tiny_backbone("BERT"), dict.fromkeys(TASKS, configured("side", sharing)))
    perturb(encoder)
    check_one_task_alone(encoder, TASKS, sharing)


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("family", ["BERT", "ALBERT", "Llama"])
def test_what_is_saved_is_complete_and_loads_again(family, sharing, tmp_path):
    configs = dict.fromkeys(TASKS, configured("side", sharing, "top-2", rank=8, depth=2, expansion=3))
    encoder = make_encoder(tiny_backbone(family, layers=3), configs)
    perturb(encoder)
    save_all(encoder, TASKS, tmp_path)
    again = rebuilt(tiny_backbone(family, layers=3), configs, tmp_path)
    for task in TASKS:
        assert torch.equal(vectors(again, task), vectors(encoder, task))
        described = json.loads((tmp_path / task / "adapter_config.json").read_text())
        assert described | {"base_model_name_or_path": ""} == {
            "peft_type": "PEFTREC_SIDE",
            "base_model_name_or_path": "",
            "layers": "top-2",
            "rank": 8,
            "depth": 2,
            "expansion": 3,
        }
        assert len(load_file(tmp_path / task / "adapter_model.safetensors")) == 5 + 2 * 2 * 6


def test_an_adapter_of_another_shape_is_refused(tmp_path):
    save_all(make_encoder(tiny_backbone("BERT"), {"query": configured("side", rank=8)}), ["query"], tmp_path)
    for options, message in (
        ({"rank": 9}, r"is \(.*\), not \(.*\)"),
        ({"depth": 2}, "is in only one of file and model"),
    ):
        with pytest.raises(UserError, match=f"its adapter does not fit: .* {message}"):
            rebuilt(tiny_backbone("BERT"), {"query": configured("side", **{"rank": 8, **options})}, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"adapter\.options\.rank: .* greater than or equal to 1; found 0"),
        ({"depth": 10**6}, r"adapter\.options\.depth: .* less than or equal to 100; found 1000000"),
        ({"depth": -1}, r"adapter\.options\.depth: .*; found -1"),
        ({"expansion": 1.5}, r"adapter\.options\.expansion: .*; found 1\.5"),
        ({"rank": True}, r"adapter\.options\.rank: .*; found True"),
        ({"ranks": 8}, r"adapter\.options\.ranks: side has no such option; did you mean 'rank'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_encoder(tiny_backbone("BERT"), {"query": configured("side", **options)})


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("layers", ["all", "top-2"])
def test_what_tasks_read_alike_is_read_once_with_the_same_vectors_and_gradients(layers, sharing, monkeypatch):
    encoder = make_encoder(tiny_backbone("BERT", layers=3), dict.fromkeys(TASKS, configured("side", sharing, layers)))
    perturb(encoder)
    rows = {"query": ROWS[:4], "interest": ROWS[1:], "interest2": ROWS[2:3]}
    read, times = Ladder.read, []
    monkeypatch.setattr(Ladder, "read", lambda self, states: times.append(len(states)) or read(self, states))

    def found():
        encoder.zero_grad()
        given = {task: encoder.encode(of, task) for task, of in rows.items()}
        sum(((n + 1) * of.square()).sum() for n, of in enumerate(given.values())).backward()
        return {task: of.detach() for task, of in given.items()}, gradients(encoder)

    apart = found()
    assert times == [4, 5, 1]
    with encoder.common_part_once(rows):
        together = found()
    assert times[3:] == ([4, 5, 1] if sharing == "private" else [6])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
    found()
    assert times[-3:] == [4, 5, 1]
