"""The head of matches: a scaled cosine at the beginning, one dot product always, features beside."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.tasks.heads import HeadShape
from peftrec.tasks.match_head import LOUD, SCALE, MatchHead, Past


class Fitted:
    scale = 12.0


def batch(features=0):
    g = torch.Generator().manual_seed(0)
    barred = torch.zeros(4, 3, dtype=torch.bool)
    barred[1, 2] = True
    random = lambda *size: torch.randn(size, generator=g)  # noqa: E731
    return HeadInput(
        vectors=random(9, 16),
        slots={"query": torch.tensor([0, 1, 1, 2]), "item": torch.tensor([5, 6, 7, 8])},
        history=None,
        feedback=None,
        features=torch.zeros(4, 0),
        candidates=torch.tensor([6, 3, 7]),
        barred=barred,
        of_item=random(4, features) if features else None,
        of_asker=random(4, features) if features else None,
        of_candidates=random(3, features) if features else None,
    )


@pytest.mark.parametrize(("start", "scale"), [(None, SCALE), (Fitted, 12.0)])
def test_it_begins_as_the_scaled_cosine(start, scale):
    head, given = MatchHead(HeadShape(16, 0, 0, 0.0)), batch()
    if start:
        head.begin_beside(start)
    unit = F.normalize(given.vectors, dim=-1)
    found = head(given)
    expected = scale * unit[[0, 1, 1, 2]] @ unit[[6, 3, 7]].T
    expected[1, 2] = -torch.inf
    assert torch.allclose(found[:, 1:], expected, atol=1e-4)
    assert torch.allclose(found[:, 0], scale * (unit[[0, 1, 1, 2]] * unit[[5, 6, 7, 8]]).sum(-1), atol=1e-4)


def test_without_use_of_the_cosine_something_can_still_be_learnt():
    head = MatchHead(HeadShape(16, 0, 0, 0.0))
    head.begin_beside(type("Start", (), {"scale": 0.0}))
    found = head(batch())
    found[:, 0].sum().backward()
    assert head.log_scale.exp() == 1 and head.query.mlp[-1].weight.grad.abs().sum() > 0


def test_after_training_it_is_one_dot_product_with_features():
    torch.manual_seed(0)
    head, given = MatchHead(HeadShape(16, 0, 0, 0.0, of_item=(0, 0), of_asker=(0, 0))), batch(2)
    before = head(given)
    assert torch.allclose(before, MatchHead(HeadShape(16, 0, 0, 0.0))(given), atol=1e-5)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    head.double()
    given = HeadInput(
        **{
            n: v.double() if isinstance(v, torch.Tensor) and v.is_floating_point() else v
            for n, v in vars(given).items()
        }
    )
    users = head.users(given)
    offered, bias = head.with_features(*(of[given.candidates] for of in head.items(given.vectors)), given.of_candidates)
    expected = (users @ offered.T + bias).detach().numpy()
    found = head(given).detach().numpy()[:, 1:]
    open_ones = ~given.barred.numpy()
    assert (
        found[open_ones] == pytest.approx(expected[open_ones])
        and np.abs(expected - before[:, 1:].detach().numpy())[0].min() > 1e-3
    )


def test_a_past_is_read_by_two_attentions_and_speaks_for_what_is_like_it():
    random, past = np.random.default_rng(0), Past()
    items = random.normal(size=(7, 5))
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    query, history = items[[0, 1, 2]], [[-1, 3, 4, 3], [-1, -1, -1, -1], [5, 6, 0, 1]]
    heed, fade, amount = [0.3, -0.1], [0.5, 2.0], [0.02, -0.01]
    with torch.no_grad():
        for name, values in (("heed", heed), ("fade", fade), ("amount", amount)):
            getattr(past, name).copy_(torch.tensor(values))
    expected = np.zeros((3, 5))
    for row, events in enumerate(history):
        there = [(len(events) - place, item) for place, item in enumerate(events) if item >= 0]
        for h, f, a in zip(heed, fade, amount, strict=True):
            weight = np.array([np.exp(SCALE * h * (query[row] @ items[item])) / back**f for back, item in there])
            for share, (_, item) in zip(weight / weight.sum() if there else [], there, strict=True):
                expected[row] += LOUD * a * share * items[item]
    given = (torch.tensor(query), torch.tensor(items), torch.tensor(history))
    assert past.double()(*given).detach().numpy() == pytest.approx(expected)
    assert not past(*given[:2], torch.zeros(3, 0, dtype=torch.long)).any()


def test_a_past_says_nothing_at_first_and_its_amounts_are_learnt():
    shape = HeadShape(16, 0, 0, 0.0)
    torch.manual_seed(0)
    head = MatchHead(shape, reads_past=True)
    torch.manual_seed(0)
    blind, given = MatchHead(shape), replace(batch(), history=torch.tensor([[3, 4], [-1, 5], [-1, -1], [0, 1]]))
    found = head(given)
    assert torch.equal(found, blind(given)) and head.past.amount in set(head.outer())
    found[:, 0].sum().backward()
    assert head.past.amount.grad.abs().min() > 0
