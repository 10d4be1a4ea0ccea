"""The keys of what is learned of items beside their texts."""

from typing import Literal

from pydantic import Field

from peftrec.recipe.strict import Strict


class FusionConfig(Strict):
    """What is learned of each item itself, beside its text; it is the run's, and no part of an exported adapter."""

    items: bool = Field(False, description="whether anything is: a vector an item, at first 0")
    dim: int = Field(32, ge=1, le=4096, description="numbers an item")
    least: int = Field(10, ge=1, description="train rows of a task that an item must have for it")
    dropout: float = Field(0.3, ge=0, lt=1, description="share of a step's items that go by their texts alone")
    sharing: Literal["shared", "private"] = Field("shared", description="one vector for all tasks, or one for each")
