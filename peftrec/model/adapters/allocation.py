"""Whether there is room for a method's parts, found before they are made: allocating first may end the process."""

import math
from typing import Any, NoReturn

from torch.utils._python_dispatch import TorchDispatchMode

from peftrec.errors import UserError
from peftrec.machine.memory import free_memory_mb
from peftrec.recipe import AdapterConfig

BYTES = 16  # a trained number in fp32: itself, its gradient, and the optimiser's two moments


class Room(TorchDispatchMode):
    """Adds up the tensors that are made inside; raises UserError before one that could not be trained in free memory.

    What it counts are tensors made by their size, as all parts of adapters are, whichever method makes them.
    """

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config, self.free, self.made = config, free_memory_mb(), 0
        self.sizes = {name: value for name, value in config.options.items() if type(value) is int}
        if any(value >= 1 << 63 for value in self.sizes.values()):  # PyTorch takes no such number at all
            self._refuse()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what `func` will make, then let it."""
        size = args[0] if args else None
        if isinstance(size, list | tuple) and all(isinstance(length, int) for length in size):
            self.made += math.prod(size)
            if self.made * BYTES / 1e6 > self.free:
                self._refuse()
        return func(*args, **(kwargs or {}))

    def _refuse(self) -> NoReturn:
        found = ", ".join(f"adapter.options.{name}={value}" for name, value in self.sizes.items())
        raise UserError(
            f"{found or 'adapter.options'}: to train {self.config.method} with it would take more than the "
            f"{self.free:,.0f} MB of memory that are free; choose smaller sizes"
        )
