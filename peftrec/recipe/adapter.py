"""How the backbone is adapted, as a recipe says it."""

import re
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator

from peftrec.errors import shown
from peftrec.recipe.strict import Strict

Sharing = Literal["shared", "private", "shared+private"]
AUTO = "auto"


class AdapterConfig(Strict):
    """How the backbone is adapted. `options` go unchanged to the method (for PEFT methods: to PEFT's config class)."""

    method: str = Field(
        AUTO,
        description="a name that `peftrec methods` lists, or package.module:name of one's own; auto: lora on the two "
        "top layers where all tasks learn labels of texts, and an epoch of these is not too long, else side",
    )
    sharing: Sharing = Field("shared+private", description="one part for all tasks, one for each, or both together")
    layers: str | list[int] = Field("all", description="all, top-K, or a list of layer numbers from 0")
    options: dict[str, Any] = Field(default_factory=dict, description="what the method takes, such as r of lora")

    @field_validator("layers", mode="wrap")
    @classmethod
    def _layers_form(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> str | list[int]:
        try:  # here, so that what is neither text nor list is one mistake, not one a kind
            layers: str | list[int] = parse(value)
        except ValidationError:
            layers = []
        if isinstance(layers, str):
            good = layers == "all" or re.fullmatch(r"top-[1-9]\d{0,8}", layers) is not None
        else:
            good = bool(layers) and min(layers) >= 0 and len(set(layers)) == len(layers)
            good = good and not any(isinstance(number, bool) for number in value)
        if not good:
            raise ValueError(
                "layers must be 'all', 'top-K' with K >= 1, or a list of distinct numbers from 0, at least one; found "
                f"{shown(value)}"
            )
        return layers

    @model_validator(mode="after")
    def _of_a_method(self) -> "AdapterConfig":
        if self.method == AUTO and (self.options or self.layers != "all"):
            key = "options" if self.options else "layers"
            raise ValueError(f"{key} are a method's: name it (method); found {shown(getattr(self, key))}")
        return self
