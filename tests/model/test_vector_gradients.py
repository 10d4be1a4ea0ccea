"""What tasks ask of text vectors, against gradients that are taken one by one."""

import numpy as np
import torch

from peftrec.model.vector_gradients import Gramian, VectorGradients

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


def test_before_the_backward_pass_each_task_s_own_gradient_is_known_and_nothing_below_is_touched():
    watched = VectorGradients(["a", "b", "c"])
    losses, each, vectors = step(watched, dict.fromkeys(ROWS, 1.0))
    asked = watched.of(losses * torch.tensor([1.0, 2.0, 3.0]))
    assert vectors.grad is None and not watched.products
    for (task, (rows, gradient)), times in zip(asked.items(), (1, 2, 3), strict=True):
        assert rows is ROWS[task]
        torch.testing.assert_close(gradient, times * each[task][rows])
    losses.sum().backward()
    torch.testing.assert_close(vectors.grad, sum(each.values()))


def test_the_gramian_sums_gradients_at_a_text_before_it_multiplies():
    """Whichever pieces they come from; over processes see tests/machine/test_processes.py."""
    random, whole, gramian = np.random.default_rng(0), torch.zeros(3, 9, 4), Gramian(9, 4)
    for _ in range(4):
        piece = {}
        for number, task in enumerate("abc"):
            rows = np.sort(random.permutation(9)[: random.integers(1, 6)])
            piece[task] = rows, torch.from_numpy(random.normal(size=(len(rows), 4)).astype(np.float32))
            whole[number, rows] += piece[task][1]
        gramian.add(piece)
    flat = whole.flatten(1)
    torch.testing.assert_close(gramian.of(["a", "b", "c"]), flat @ flat.T)


def test_a_task_that_asks_nothing_has_zeros():
    gramian = Gramian(9, 4)
    assert gramian.of(["a", "b"]).tolist() == [[0, 0], [0, 0]]
    gramian.add({"b": (np.array([3]), torch.ones(1, 4))})
    assert gramian.of(["a", "b"]).tolist() == [[0, 0], [0, 4]]
