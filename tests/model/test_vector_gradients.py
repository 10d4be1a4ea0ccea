"""What tasks ask of text vectors, against gradients that are taken one by one."""

import numpy as np
import torch

from peftrec.model.vector_gradients import VectorGradients

ROWS = {"a": np.array([0, 2, 3, 7]), "b": np.array([2, 4, 7]), "c": np.array([1, 5])}


def step(watched, weights):
    """Losses of three tasks over vectors of nine texts, and their gradients at all nine, one by one."""
    random = torch.Generator().manual_seed(0)
    vectors = torch.randn(9, 5, generator=random, requires_grad=True)
    losses, each = [], {}
    for task, weight in weights.items():
        reads = torch.randn(len(ROWS[task]), 5, generator=random)
        loss = (vectors[ROWS[task]] * reads).tanh().square().sum()
        each[task] = weight * torch.autograd.grad(loss, vectors)[0]
        own = watched.watch(task, ROWS[task], vectors[ROWS[task]])
        losses.append((own * reads).tanh().square().sum())
    return torch.stack(losses), each, vectors


def test_products_are_those_of_the_gradients_over_the_texts_that_both_read():
    watched, weights = VectorGradients(["a", "b", "c"]), {"a": 1.0, "b": 0.5, "c": 0.0}
    expected: dict = {}
    for _ in range(2):  # two pieces
        losses, each, vectors = step(watched, weights)
        (losses * torch.tensor(list(weights.values()))).sum().backward()
        watched.take()
        torch.testing.assert_close(vectors.grad, sum(each.values()))
        for pair in (("a", "a"), ("a", "b"), ("b", "b"), ("c", "c")):
            expected[pair] = expected.get(pair, 0) + (each[pair[0]] * each[pair[1]]).sum()
    assert watched.products.keys() == expected.keys()  # c has no text in common with another
    for pair, value in expected.items():
        torch.testing.assert_close(watched.products[pair], value)
    assert watched.products["c", "c"] == 0
    watched.clear()
    assert not watched.products
