import numpy as np
import pytest
import torch
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.data.examples import Examples
from peftrec.tasks.heads import HeadShape, TextHead, input_norm
from peftrec.tasks.losses import LOSSES, TAG_LOSSES


def test_the_norm_brings_vectors_of_any_size_to_one():
    vectors = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    norm = input_norm(16)
    assert norm(vectors).std(-1, unbiased=False).tolist() == pytest.approx([0.3] * 5, rel=1e-3)
    assert torch.allclose(norm(vectors), norm(1000 * vectors), atol=1e-4)


def test_where_a_row_may_have_several_labels_it_starts_at_their_rates():
    label = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    rows = Examples({}, label, *(np.zeros(4) for _ in range(4)))
    head = TextHead(HeadShape(16, 3, 0, 0.0))
    head.calibrate(rows, TAG_LOSSES["bce"])
    assert head.out.bias.sigmoid().tolist() == pytest.approx([0.75, 0.25, 1e-3])
    before = head.out.bias.clone()
    head.calibrate(rows, LOSSES["cross_entropy"])
    assert torch.equal(head.out.bias, before)


@pytest.mark.parametrize("slot", ["text", "pair"])
def test_a_text_s_logits_are_its_own_wherever_it_stands(slot):
    vectors = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    head = TextHead(HeadShape(16, 3, 0, 0.5)).eval()
    batch = HeadInput(vectors, {slot: torch.tensor([2, 0, 2])}, None, None, torch.zeros(3, 0))
    logits = head(batch)
    by_hand = F.layer_norm(vectors, (16,)) @ head.out.weight.T + head.out.bias
    assert torch.allclose(logits, by_hand[[2, 0, 2]], atol=1e-6)
    assert torch.equal(logits[0], logits[2])
