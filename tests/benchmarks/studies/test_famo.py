"""FAMO from outside: what falls slowly counts more."""

import pytest
import torch
from tiny import make_tiny_shop, tiny_recipe

from benchmarks.studies.famo import FAMO
from peftrec.training.weighting import make_weighting


def test_famo_weighs_up_what_falls_slowly_and_sums_to_the_recipe_s(tmp_path):
    shop = make_tiny_shop(tmp_path)
    recipe = tiny_recipe(shop, weighting={"method": "benchmarks.studies.famo:FAMO"})
    weighting = make_weighting(recipe.weighting, recipe)
    assert isinstance(weighting, FAMO)
    weights = [weighting(torch.tensor([0.9**step, 1.0])) for step in range(60)]
    assert all(float(of.sum()) == pytest.approx(1.5) for of in weights)
    shares = torch.softmax(weighting.logits, 0)
    assert shares[1] > shares[0]
    assert set(weighting.state_dict()) == {"mean", "logits"}
