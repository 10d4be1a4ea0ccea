import gc
from dataclasses import replace

import pytest
import torch
from backbones import LAYERS, TEXTS, every_case, tokens, vectors

from peftrec.data.texts import Prompts, TextTable
from peftrec.model.backbone import share_backbone
from peftrec.model.backbone.families import tiny_backbone


@every_case
def test_a_text_has_the_same_vector_alone_and_in_any_batch(load, family, quantize):
    backbone = load(family, quantize)
    together = vectors(backbone, *TEXTS)
    assert together.shape == (3, 32) and together.dtype == torch.float32
    assert together.std(0).mean() > 0.05  # the texts differ
    for number, text in enumerate(TEXTS):
        torch.testing.assert_close(vectors(backbone, text)[0], together[number], atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors(backbone, *TEXTS[::-1]).flip(0), together, atol=1e-5, rtol=0)


@every_case
def test_cut_and_injected_layers_give_the_uncut_output(load, family, quantize):
    backbone = load(family, quantize)
    ids, mask, types = tokens(backbone, *TEXTS)
    present = mask.bool()
    with torch.no_grad():
        whole = backbone.run(ids, mask, types)[present]
        if family == "ALBERT":
            assert backbone.layers is None
            with pytest.raises(ValueError, match="cannot be cut"):
                backbone.run(ids, mask, types, stop=1)
            return
        for start in range(1, LAYERS):
            states = backbone.run(ids, mask, types, stop=start)
            assert torch.equal(backbone.run(ids, mask, types, states=states, start=start)[present], whole)
            assert not torch.equal(states[present], whole)
        assert torch.equal(backbone.run(ids, mask, types)[present], whole)  # and everything is put back


@every_case
def test_pooled_layers_end_in_the_output(load, family, quantize):
    backbone = load(family, quantize)
    ids, mask, types = tokens(backbone, *TEXTS)
    with torch.no_grad():
        pooled = backbone.pooled_layers(ids, mask, types)
    assert pooled.shape == (3, LAYERS + 1, 32)
    torch.testing.assert_close(pooled[:, -1], vectors(backbone, *TEXTS), atol=1e-6, rtol=0)


@every_case
def test_gradients_pass_after_a_forward_without_and_moving_changes_nothing(load, family, quantize):
    backbone = load(family, quantize)
    ids, mask, types = tokens(backbone, *TEXTS)
    before = vectors(backbone, *TEXTS)
    states = backbone.model.get_input_embeddings()(ids).float().detach().requires_grad_()
    hidden = (
        backbone.model(inputs_embeds=states, attention_mask=mask).last_hidden_state
        if backbone.layers is None
        else backbone.run(ids, mask, types, states=states, start=0)
    )
    hidden.square().sum().backward()
    backbone.model.to("cpu")  # PEFT and Accelerate move models that are where they should be
    assert states.grad.abs().sum() > 0
    assert torch.equal(vectors(backbone, *TEXTS), before)


def test_tables_of_the_same_texts_cut_alike_are_one_while_somebody_has_it():
    def table(*texts):
        made = TextTable()
        for text in texts:
            made.add(text, passage=True)
        return made

    backbone = tiny_backbone("BERT")
    shared = share_backbone(backbone, backbone.config)
    first = backbone.common(table("a", "b"))
    assert first.common
    assert shared.common(table("a", "b")) is first
    others = [replace(backbone, prompts=Prompts("q: ", "")), backbone, tiny_backbone("BERT")]
    others[1] = share_backbone(backbone, backbone.config.model_copy(update={"max_length": 8}))
    assert all(other.common(table("a", "b")) is not first for other in others)
    assert shared.common(table("b", "a")) is not first
    del first
    gc.collect()
    assert len(backbone.tables) == 0
