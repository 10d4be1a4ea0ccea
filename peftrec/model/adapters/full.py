"""`full`: all of the encoder is trained, the most there is."""

from pathlib import Path

from torch import nn

from peftrec.errors import UserError
from peftrec.machine.tensors import write_tensors
from peftrec.model.adapters.base import SHARED, WEIGHTS, LayerAdapter, read_tensors, write_config
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig


class FullFineTuning(LayerAdapter):
    """All of the backbone's weights are trained, by all tasks together."""

    trains_backbone = True

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        super().__init__(backbone, config, tasks, shared)
        if config.options:
            raise UserError(f"adapter.options: full has none; found {sorted(config.options)}")
        if config.sharing != "shared":
            raise UserError(
                f"adapter.sharing: full has one backbone for all tasks: sharing: shared; found {config.sharing}. "
                "For a fully tuned backbone a task, train each task in a run of its own"
            )
        if config.layers != "all":
            raise UserError(f"adapter.layers: full trains every layer: layers: all; found {config.layers}")
        if backbone.config.quantize is not None:
            raise UserError(f"adapter.method: full cannot train {backbone.config.quantize} weights; set quantize: null")
        if backbone.shared:
            raise UserError(
                "adapter.method: full changes the backbone's weights, which other runs use, too: load the run with a "
                "backbone of its own"
            )
        backbone.model.requires_grad_(True)
        self.lowest = 0

    def parameters_of(self, owner: str) -> dict[str, nn.Parameter]:
        """Every parameter of the model."""
        return dict(self.backbone.model.named_parameters())

    def activate(self, task: str | None) -> None:
        """The one model serves every task."""

    def train(self, mode: bool = True) -> "FullFineTuning":
        """The backbone's own dropout is on while it is trained."""
        super().train(mode)
        self.backbone.model.train(mode and not self.is_frozen(self.shared))
        return self

    def save(self, task: str, folder: Path) -> None:
        """The whole model; every task's folder but the first links to the same file, so it is stored once."""
        write_config(folder, {"peft_type": "PEFTREC_FULL", "base_model_name_or_path": self.backbone.config.name})
        file = folder / WEIGHTS
        first = folder.parent / self.tasks[0] / file.name
        if task != self.tasks[0] and first.exists():
            file.hardlink_to(first)
        else:
            # Tensors that share storage (tied embeddings) are written once; loading ties them again.
            write_tensors(file, dict(self.backbone.model.named_parameters()))

    def load(self, owner: str, folder: Path) -> None:
        """Replace the backbone's weights."""
        missing, unexpected = self.backbone.model.load_state_dict(read_tensors(folder), strict=False)
        if unexpected or any(name in dict(self.backbone.model.named_parameters()) for name in missing):
            raise UserError(f"{folder}: the weights do not fit the backbone: {[*unexpected, *missing][:3]}")
