"""What a training took: rates of its progress, and a swap that leaves the backbone as it was."""

import pytest
import torch
from tiny import make_tiny_shop, prepared

from peftrec.training.costs import costs, swap_seconds
from peftrec.training.snapshot import Progress


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return prepared(make_tiny_shop(tmp_path_factory.mktemp("tiny"))).model


def test_costs_are_of_all_sessions_and_of_this_model(model):
    found = costs(model, Progress(step=12, examples=300, skipped=2, seconds=6.0))
    assert (found["train_seconds"], found["examples_per_second"], found["skipped_steps"]) == (6.0, 50.0, 2)
    assert found["processes"] == 1
    assert found["trainable_parameters"] == sum(p.numel() for p in model.trainable().values())
    assert 0 < found["trainable_parameters"] < found["total_parameters"]
    assert found["backbone_fp32_mb"] == model.encoder.backbone.parameter_count() * 4 / 1e6
    assert found["peak_memory_mb"] > 50


def test_swapping_moves_no_weights(model):
    before = {name: value.clone() for name, value in model.encoder.backbone.model.state_dict().items()}
    assert swap_seconds(model, times=3) > 0
    after = model.encoder.backbone.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
