import pytest
import torch
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.tasks.heads import HeadShape, TextHead, input_norm


def test_the_norm_brings_vectors_of_any_size_to_one():
    vectors = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    norm = input_norm(16)
    assert norm(vectors).std(-1, unbiased=False).tolist() == pytest.approx([0.3] * 5, rel=1e-3)
    assert torch.allclose(norm(vectors), norm(1000 * vectors), atol=1e-4)


@pytest.mark.parametrize("slot", ["text", "pair"])
def test_a_text_s_logits_are_its_own_wherever_it_stands(slot):
    vectors = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    head = TextHead(HeadShape(16, 3, 0, 0.5)).eval()
    batch = HeadInput(vectors, {slot: torch.tensor([2, 0, 2])}, None, None, torch.zeros(3, 0))
    logits = head(batch)
    by_hand = F.layer_norm(vectors, (16,)) @ head.out.weight.T + head.out.bias
    assert torch.allclose(logits, by_hand[[2, 0, 2]], atol=1e-6)
    assert torch.equal(logits[0], logits[2])
