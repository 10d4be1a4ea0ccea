"""The keys of what items are beside their texts."""

from typing import Literal

from pydantic import Field

from peftrec.recipe.strict import Strict


class FusionConfig(Strict):
    """What joins an item's text in its vector; it is the run's, and no part of an exported adapter."""

    items: bool = Field(
        False, description="whether anything is learned of each item itself: a vector an item, at first 0"
    )
    features: bool = Field(False, description="whether its features join its vector, at first with nothing")
    dim: int = Field(32, ge=1, le=4096, description="numbers an item")
    least: int = Field(10, ge=1, description="train rows of a task that an item must have for it")
    dropout: float = Field(0.3, ge=0, lt=1, description="share of a step's items that go by their texts alone")
    sharing: Literal["shared", "private"] = Field("shared", description="one vector for all tasks, or one for each")
