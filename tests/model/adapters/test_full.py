"""Method full: all weights are trained, by all tasks together, and stored once."""

import pytest
import torch
from encoders import configured, make_encoder, perturb, vectors

from peftrec.errors import UserError
from peftrec.model.backbone.families import tiny_backbone

FULL = configured("full", "shared", layers="all")


def test_all_weights_of_the_one_backbone_are_trained_for_every_task():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": FULL, "time": FULL})
    (owner,) = encoder.parameters_by_owner()
    assert owner == "shared"
    held = encoder.parameters_by_owner()["shared"]
    assert held.keys() == dict(encoder.backbone.model.named_parameters()).keys()
    assert all(parameter.requires_grad for parameter in held.values())
    assert torch.equal(vectors(encoder, "query"), vectors(encoder, "time"))


def test_its_weights_are_stored_once_and_read_back(tmp_path):
    encoder = make_encoder(tiny_backbone("BERT"), {"query": FULL, "time": FULL})
    perturb(encoder)
    adapter = encoder.adapter_of("query")
    for task in ("query", "time"):
        adapter.save(task, tmp_path / task)
    first, second = (tmp_path / task / "adapter_model.safetensors" for task in ("query", "time"))
    assert first.samefile(second)
    again = make_encoder(tiny_backbone("BERT"), {"query": FULL, "time": FULL})
    assert not torch.equal(vectors(again, "query"), vectors(encoder, "query"))
    again.adapter_of("query").load("shared", tmp_path / "query")
    assert torch.equal(vectors(again, "query"), vectors(encoder, "query"))


@pytest.mark.parametrize(
    ("config", "quantize", "message"),
    [
        (configured("full", "shared", layers="all", r=2), None, r"adapter.options: full has none; found \['r'\]"),
        (configured("full", "private", layers="all"), None, "adapter.sharing: full has one backbone for all tasks"),
        (configured("full", "shared", layers="top-1"), None, "adapter.layers: full trains every layer"),
        (FULL, "int8", "adapter.method: full cannot train int8 weights; set quantize: null"),
    ],
)
def test_what_it_cannot_be_is_refused(config, quantize, message):
    with pytest.raises(UserError, match=message):
        make_encoder(tiny_backbone("BERT", quantize), {"query": config})
