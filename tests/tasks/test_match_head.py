"""The head of matches: a scaled cosine at the beginning, one dot product always, features beside."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from peftrec.data.batches import HeadInput
from peftrec.tasks.heads import HeadShape
from peftrec.tasks.match_head import SCALE, MatchHead


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
