"""Shared and private adapters as one: what the composed one multiplies by is the sum, or product, of the parts."""

import pytest
import torch

from peftrec.errors import UserError
from peftrec.model.adapters.compose import COMPOSE, compose_ia3, compose_lora

NAME = "base_model.model.layer.query"


def lora(rank, scale, bias=False, paths=(NAME,)):
    generator = torch.Generator().manual_seed(rank)
    state = {}
    for path in paths:
        state[f"{path}.lora_A.weight"] = torch.randn(rank, 5, generator=generator)
        state[f"{path}.lora_B.weight"] = torch.randn(4, rank, generator=generator)
        if bias:
            state[f"{path}.lora_B.bias"] = torch.randn(4, generator=generator)
    return state, {path.removeprefix("base_model.model."): scale for path in paths}


def delta(state, name=NAME):
    return state[f"{name}.lora_B.weight"] @ state[f"{name}.lora_A.weight"]


def test_composed_loras_multiply_as_their_scaled_sum():
    one, two = lora(2, 0.5, bias=True), lora(3, 2.0, bias=True)
    state, changes = compose_lora([one, two])
    torch.testing.assert_close(delta(state), 0.5 * delta(one[0]) + 2.0 * delta(two[0]))
    bias = f"{NAME}.lora_B.bias"
    torch.testing.assert_close(state[bias], 0.5 * one[0][bias] + 2.0 * two[0][bias])
    assert (changes["r"], changes["lora_alpha"], changes["use_rslora"]) == (5, 5, False)  # so its own scale is 1
    assert changes["rank_pattern"] == changes["alpha_pattern"] == {}


def test_a_module_that_one_part_lacks_has_the_others_rank():
    other = "base_model.model.layer.value"
    state, changes = compose_lora([lora(2, 1.0), lora(3, 1.0, paths=(NAME, other))])
    assert state[f"{other}.lora_A.weight"].shape == (3, 5)
    assert changes["r"] == 5 and changes["rank_pattern"] == changes["alpha_pattern"] == {"layer.value": 3}


def test_what_cannot_be_composed_is_refused():
    state, scales = lora(2, 1.0)
    state[f"{NAME}.lora_magnitude_vector"] = torch.ones(4)
    with pytest.raises(UserError, match=r"adapter\.sharing: this adapter has lora_magnitude_vector, which cannot"):
        compose_lora([(state, scales)])


def test_composed_ia3_is_the_product():
    state, changes = compose_ia3([({"v": torch.tensor([2.0, 3.0])}, {}), ({"v": torch.tensor([0.5, 4.0])}, {})])
    assert state["v"].tolist() == [1.0, 12.0] and changes == {}
    assert set(COMPOSE) == {"LORA", "ADALORA", "IA3"}
