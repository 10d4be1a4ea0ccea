"""What the models of a recipe share: which keys and which numbers any of them takes."""

import math
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from peftrec.errors import shown

LEAST, MOST = 1e-30, 1e30  # of what 32-bit numbers, which end at 1e-38 and 1e38, are multiplied by
MOST_WHOLE = 2**32 - 1  # also what seeds of numpy and scikit-learn may be


class Strict(BaseModel):
    """A group of keys: others are refused, and numbers are such as 32 bits compute with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # To Python, and so to pydantic, true is 1.
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and not {int, float}.isdisjoint(map(_bare, get_args(kind) or (kind,))):
            raise ValueError(f"must be a number; found {str(value).lower()}")
        return value

    @field_validator("*")
    @classmethod
    def _as_32_bits_hold_it(cls, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"must be a finite number; found {value}")
        if isinstance(value, float) and abs(value) > MOST:
            raise ValueError(f"must be at most {MOST:g} in size, for 32-bit numbers; found {value}")
        if isinstance(value, int) and value > MOST_WHOLE:
            raise ValueError(f"must be at most {MOST_WHOLE}; found {shown(value)}")
        return value


def not_lost(value: float) -> float:
    """The value. Raises ValueError where 32-bit numbers lose what is multiplied by it."""
    if 0 < value < LEAST:
        raise ValueError(
            f"must be 0 or at least {LEAST:g}: 32-bit numbers lose what is multiplied by less; found {value}"
        )
    return value


def _bare(kind: Any) -> Any:
    """A type without what `Annotated` says of it."""
    return getattr(kind, "__origin__", kind)


Factor = Annotated[float, AfterValidator(not_lost)]  # what losses or gradients are multiplied by
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(not_lost)]  # of learning
