"""Method head_only: the frozen backbone's own vector for every task, and nothing to train."""

import json

import pytest
import torch
from encoders import ROWS, configured, make_encoder, vectors

from peftrec.errors import UserError
from peftrec.model.backbone.families import tiny_backbone

CONFIG = configured("head_only", layers="all")


def test_every_task_has_the_frozen_backbones_vector_and_nothing_is_trained():
    encoder = make_encoder(tiny_backbone("BERT"), {"query": CONFIG, "time": CONFIG})
    assert encoder.parameters_by_owner() == {}
    ids, mask, types = encoder.texts.pad(ROWS)
    with torch.no_grad():
        plain = encoder.backbone.pool(encoder.backbone.run(ids, mask, types), mask)
    for task in ("query", "time"):
        torch.testing.assert_close(vectors(encoder, task), plain, atol=1e-5, rtol=0)


def test_only_its_description_is_saved(tmp_path):
    adapter = make_encoder(tiny_backbone("BERT"), {"query": CONFIG}).adapter_of("query")
    adapter.save("query", tmp_path / "query")
    (file,) = (tmp_path / "query").iterdir()
    assert json.loads(file.read_text())["peft_type"] == "PEFTREC_HEAD_ONLY"


def test_it_has_no_options():
    with pytest.raises(UserError, match=r"adapter\.options: head_only has none; found \['r'\]"):
        make_encoder(tiny_backbone("BERT"), {"query": configured("head_only", r=2)})
