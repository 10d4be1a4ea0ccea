"""The history head's fast form against the plain one."""

import numpy as np
import pytest
import torch

import peftrec.tasks.history_head
from peftrec.data.batches import HeadInput
from peftrec.data.examples import Examples
from peftrec.tasks.heads import HeadShape
from peftrec.tasks.history_head import HistoryHead
from peftrec.tasks.losses import LOSSES


def batch(n=40, u=25, h=6, d=16, f=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    history = torch.randint(0, u, (n, h), generator=g)
    lengths = torch.randint(0, h + 1, (n, 1), generator=g)
    history[torch.arange(h)[None] < h - lengths] = -1
    feedback = torch.rand(n, h, generator=g) * (history >= 0)
    return HeadInput(
        torch.randn(u, d, generator=g),
        {"item": torch.randint(0, u, (n,), generator=g)},
        history,
        feedback,
        torch.randn(n, f, generator=g),
    )


def plain(head: HistoryHead, b: HeadInput) -> torch.Tensor:
    """The same formula with (N, H, q) vectors gathered."""
    vectors = head.norm(b.vectors)
    x = head.project(vectors)
    present = b.history >= 0
    past, candidate = x[b.history.clamp(min=0)], x[b.slots["item"]]
    score = (head.attend(candidate)[:, None] * past).sum(-1) / x.shape[1] ** 0.5
    weight = score.masked_fill(~present, -1e4).softmax(-1) * present
    voice = head.feedback[0] + b.feedback[..., None] * head.feedback[1]
    user = (weight[..., None] * (past + voice)).sum(1)
    count = present.sum(1)
    z = [user, candidate, user * candidate, (b.feedback.sum(1) / count.clamp(min=1))[:, None]]
    z += [(weight * b.feedback).sum(1)[:, None], torch.log1p(count)[:, None], (b.features - head.centre) / head.spread]
    raw = head.mlp(torch.cat(z, -1))[:, 0] + head.item_bias(vectors)[b.slots["item"], 0]
    return raw * head.scale + head.shift


@pytest.mark.parametrize("all_pairs", [1 << 24, 0])
def test_scalars_gathered_give_the_same_as_vectors_gathered(monkeypatch, all_pairs):
    monkeypatch.setattr(peftrec.tasks.history_head, "ALL_PAIRS", all_pairs)
    torch.manual_seed(0)
    head = HistoryHead(HeadShape(16, 0, 3, 0.0)).double()
    b = batch()
    b = HeadInput(b.vectors.double().requires_grad_(), b.slots, b.history, b.feedback.double(), b.features.double())
    torch.testing.assert_close(head(b), plain(head, b), atol=1e-9, rtol=1e-9)
    parameters = [b.vectors, *head.parameters()]
    fast = torch.autograd.grad(head(b).square().sum(), parameters)
    slow = torch.autograd.grad(plain(head, b).square().sum(), parameters)
    for one, two in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, two, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("all_pairs", [1 << 24, 0])
def test_users_without_any_history(monkeypatch, all_pairs):
    monkeypatch.setattr(peftrec.tasks.history_head, "ALL_PAIRS", all_pairs)
    head = HistoryHead(HeadShape(16, 0, 0, 0.0))
    b = batch(f=0)
    empty = HeadInput(b.vectors, b.slots, b.history[:, :0], b.feedback[:, :0], b.features)
    padded = HeadInput(b.vectors, b.slots, torch.full_like(b.history, -1), torch.zeros_like(b.feedback), b.features)
    torch.testing.assert_close(head(empty), head(padded))
    assert torch.isfinite(head(empty)).all()


def test_the_first_prediction_is_the_labels_own_level():
    from peftrec.data.examples import Examples

    label = np.array([0, 1, 1, 1], np.float32)
    none = np.zeros(4)
    examples = Examples({}, label, np.ones((4, 0), np.float32), none, none, none)
    head = HistoryHead(HeadShape(16, 0, 0, 0.0))
    head.calibrate(examples, LOSSES["bce"])
    assert torch.sigmoid(head.shift).item() == pytest.approx(0.75)
    head.calibrate(examples, LOSSES["mae"])
    assert head.shift.item() == 1.0


def test_what_is_alike_in_all_training_rows_does_not_blow_up():
    head, ordinary = HistoryHead(HeadShape(16, 0, 3, 0.0)), np.array([1.0, 2.0, 3.0, 6.0])
    rounded = 0.25 + 1e-8 * np.array([0, 1, -1, 1])
    inputs = np.stack([ordinary, rounded, np.zeros(4)], 1).astype(np.float32)
    none = np.zeros(4, np.int64)
    head.calibrate(Examples({}, none % 2, inputs, none, none, none.astype(float)), LOSSES["mae"])
    assert head.centre.tolist() == [3, 0.25, 0]
    assert head.spread.tolist() == pytest.approx([ordinary.std() + 1e-6, 1, 1])
