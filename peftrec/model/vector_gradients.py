"""What tasks ask of the text vectors: the gradient that each one's loss sends back to them."""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import torch
from torch import Tensor

from peftrec.machine import processes

Asked = tuple[np.ndarray, Tensor]  # the text rows (U,), ascending, and a gradient (U, D) at their vectors
Pair = tuple[str, str]  # in the order of the tasks


class VectorGradients:
    """Watches the vectors that a training step's heads read.

    products  of two tasks' weighted gradients the inner product, over the texts that both read; of a task with itself
              the squared norm. Pieces of a step, and processes, are each taken by itself and summed. Pairs without a
              text in common are left out
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = list(tasks)
        self.products: dict[Pair, Tensor] = {}
        self._come: dict[str, Asked] = {}

    def clear(self) -> None:
        """A step begins."""
        self.products.clear()
        self._come.clear()

    def watch(self, task: str, rows: np.ndarray, vectors: Tensor) -> Tensor:
        """The task's vectors (U, D) of text rows (U,), such that the gradient that comes back through them is seen."""
        own = vectors.view_as(vectors)

        def come(gradient: Tensor) -> None:
            self._come[task] = rows, gradient.detach()

        own.register_hook(come)
        return own

    def take(self) -> None:
        """Take into `products` what came back in the backward pass of a piece."""
        come = [task for task in self.tasks if task in self._come]
        for one, other in combinations_with_replacement(come, 2):
            (rows, gradient), (others, another) = self._come[one], self._come[other]
            if rows is not others:
                _, first, second = np.intersect1d(rows, others, assume_unique=True, return_indices=True)
                if not len(first):
                    continue
                gradient, another = gradient[torch.from_numpy(first)], another[torch.from_numpy(second)]
            product = (gradient.float() * another.float()).sum()
            self.products[one, other] = self.products.get((one, other), torch.zeros_like(product)) + product
        self._come.clear()

    def add_up(self, device: torch.device) -> None:
        """Give every process the sums of the products."""
        pairs, zero = list(combinations_with_replacement(self.tasks, 2)), torch.zeros((), device=device)
        values = torch.stack([self.products.get(pair, zero) for pair in pairs])
        have = torch.tensor([float(pair in self.products) for pair in pairs], device=device)
        values, have = processes.add_up(values), processes.add_up(have)
        self.products = {pair: v for pair, v, has in zip(pairs, values, have.tolist(), strict=True) if has}
