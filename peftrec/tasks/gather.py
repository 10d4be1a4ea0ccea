"""Taking rows by index, such that training sums the gradient in one order however many threads compute it."""

from torch import Tensor
from torch.nn import functional as F


def gather(values: Tensor, index: Tensor) -> Tensor:
    """`values[index]`: numbers (U,) or vectors (U, D) at positions int64 of any shape -> (*index, ) or (*index, D).

    The gradient of plain indexing, where several threads of a CPU meet at one row, is added in the order in which they
    come: the last bits differ from run to run. On a GPU it is sorted.
    """
    if values.device.type != "cpu":
        return values[index]
    if values.dim() == 1:  # `embedding` takes many times as long for single numbers, `index_select` for vectors
        return values.index_select(0, index.flatten()).view(index.shape)
    return F.embedding(index, values)
