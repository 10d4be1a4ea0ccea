"""How tasks count beside each other in a training, as a recipe says it."""

from typing import Any

from pydantic import Field

from peftrec.recipe.strict import Strict


class WeightingConfig(Strict):
    """How task losses become weights each step; `static` keeps each task's `weight`."""

    method: str = Field("static", description="a name, or package.module:name of one's own")
    options: dict[str, Any] = Field(default_factory=dict, description="what the method takes")


class SamplingConfig(Strict):
    """How many rows an epoch has of each task that names no `share`: as many as all of them have rows, told out in
    proportion to rows ** temperature."""

    temperature: float = Field(1.0, ge=0, le=1, description="1: each task its own rows; 0: all alike; between: between")
