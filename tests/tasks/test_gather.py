"""Taking rows: as indexing does, but the gradient is the same bytes each time, at any number of threads."""

import pytest
import torch

from peftrec.tasks.gather import gather

SHAPES = {
    "vectors": ((40, 64), (3000,)),
    "vectors of a table": ((40, 16), (3000, 4)),
    "numbers": ((40,), (3000, 50)),
    "a long table": ((90_000,), (3000, 50)),
    "nothing": ((40, 8), (0,)),
}


def gradient(take, values, index, towards):
    own = values.clone().requires_grad_()
    take(own, index).backward(towards)
    return own.grad


@pytest.mark.parametrize("case", SHAPES)
def test_values_are_those_of_indexing_and_the_gradient_is_in_one_order(case):
    rows, places = SHAPES[case]
    random = torch.Generator().manual_seed(0)
    values, index = torch.randn(rows, generator=random), torch.randint(rows[0], places, generator=random)
    towards = torch.randn(*places, *rows[1:], generator=random)
    assert torch.equal(gather(values, index), values[index])
    expected = gradient(lambda values, index: values[index], values, index, towards)  # of one thread
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        for _ in range(5):
            assert torch.equal(gradient(gather, values, index, towards), expected)
