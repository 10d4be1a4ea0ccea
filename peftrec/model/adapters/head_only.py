"""`head_only`: nothing of the encoder is trained, the least there is."""

from pathlib import Path

from torch import Tensor, nn

from peftrec.errors import UserError
from peftrec.model.adapters.base import SHARED, PooledAdapter, write_config
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig


class HeadOnly(PooledAdapter):
    """The frozen backbone's own vector for every task; there is nothing to share, so every sharing mode is the same."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        if config.options:
            raise UserError(f"adapter.options: head_only has none; found {sorted(config.options)}")

    @property
    def owners(self) -> list[str]:
        """Nobody owns anything."""
        return []

    def encodes_alike(self, task: str) -> str:
        """All tasks alike."""
        return self.shared

    def forward(self, states: Tensor, task: str) -> Tensor:
        """The last pooled state (U, D)."""
        return states[:, -1].float()

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """None."""
        return {}

    def save(self, task: str, folder: Path) -> None:
        """Only the description: there are no weights."""
        write_config(folder, {"peft_type": "PEFTREC_HEAD_ONLY", "base_model_name_or_path": self.backbone.config.name})

    def load(self, owner: str, folder: Path) -> None:
        """Nothing to load."""
