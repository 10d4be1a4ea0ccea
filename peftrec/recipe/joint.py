"""How tasks count beside each other in a training, as a recipe says it."""

from typing import Any

from pydantic import Field

from peftrec.recipe.strict import Rate, Strict


class WeightingConfig(Strict):
    """How task losses become weights each step; `static` keeps each task's `weight`."""

    method: str = Field("static", description="a name, or package.module:name of one's own")
    options: dict[str, Any] = Field(default_factory=dict, description="what the method takes")


class SamplingConfig(Strict):
    """How many rows an epoch has of each task that names no `share`: as many as all of them have rows, told out in
    proportion to rows ** temperature."""

    temperature: float = Field(1.0, ge=0, le=1, description="1: each task its own rows; 0: all alike; between: between")


class OwnTrainConfig(Strict):
    """What of `train` is another for a task's own parts: its head, and what it has of adapter and fusion for itself.
    What tasks share goes by `train`."""

    lr: Rate | None = Field(None, description="learning rate of its own part of the adapter")
    head_lr: Rate | None = Field(None, description="learning rate of its head, and of its own part of fusion")
    weight_decay: float | None = Field(
        None, ge=0, description="of all of these; not applied to norms, biases and gates"
    )
