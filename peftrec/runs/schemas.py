"""What the JSON files of a run hold, as types: whoever reads one gets values of these types, or an error."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from peftrec.errors import UserError

Number = FiniteFloat | None  # None: a value that is not defined
Ends = Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)] | None
Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Name = Annotated[str, Field(max_length=1000)]
Numbers = dict[Name, Number]
_ABSENT: Any = None  # of a key that may be missing; where it is there, null is no value of it


class _Strict(BaseModel):
    """No text for a number and no number for a truth; keys that we do not know are left alone."""

    model_config = ConfigDict(strict=True)


class DescribedFeatures(_Strict):
    """How features are encoded; see `data.features.Encoding`."""

    numbers: dict[Name, Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]]
    categories: dict[Name, list[str]]


class DescribedTask(_Strict):
    """One task of model.json: what of its data its predictions depend on; see `saved.describe_task`."""

    slots: list[Name]
    history: bool
    untimed: bool = _ABSENT
    classes: list[str]
    features: list[Name]
    scale: Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]
    log_scale: bool = _ABSENT
    levels: list[FiniteFloat] = _ABSENT
    base: Number
    items: Name
    tables: list[Name]
    apart: bool = _ABSENT
    impressions: bool
    hides: list[Name]
    log: Count | None
    rated: Count | None
    catalogue: bool = _ABSENT
    repeats: bool = _ABSENT
    parts: list[Name] = _ABSENT
    encodings: dict[Literal["item", "user", "event"], DescribedFeatures] = _ABSENT
    start: dict[Name, Any] = _ABSENT


class Described(_Strict):
    """model.json."""

    backbone_digest: Name
    tasks: dict[Name, DescribedTask]
    fusion: dict[Name, DescribedFeatures] = _ABSENT


class Gain(_Strict):
    """What the model gains over the best prior."""

    prior: Name
    by: FiniteFloat
    interval: Ends = _ABSENT


class Part(_Strict):
    """What was measured of some of a task's rows."""

    n: Count
    metrics: Numbers
    intervals: dict[Name, Ends]
    priors: dict[Name, Numbers]
    gains: dict[Name, Gain]
    undefined: dict[Name, str]
    ranked: Count = _ABSENT


class TaskReport(Part):
    """One task of report.json; see `evaluation.evaluate`."""

    relevant: Literal["all"] = _ABSENT
    sample_of: Count = _ABSENT
    slices: dict[Name, dict[Name, Part]] = _ABSENT
    not_trained: str = _ABSENT
    gain: str = _ABSENT
    grades: dict[Name, FiniteFloat] = _ABSENT
    weighted_loss: Number = _ABSENT
    start: Numbers = _ABSENT
    began_at: str = _ABSENT
    own_step: Count = _ABSENT
    kept: FiniteFloat = _ABSENT
    left_out: dict[Name, str] = _ABSENT


class Report(_Strict):
    """report.json."""

    tasks: dict[Name, TaskReport]
    cost: dict[Name, FiniteFloat | str | dict[Name, FiniteFloat] | None]
    environment: dict[Name, Any] = _ABSENT
    train: dict[Name, bool | FiniteFloat | str | list[str] | dict[Name, Any] | None] = _ABSENT
    refit: dict[Name, FiniteFloat | dict[Name, Count]] = _ABSENT
    notes: list[str] = _ABSENT


class Line(_Strict):
    """A line of metrics.jsonl."""

    step: Count
    epoch: Annotated[FiniteFloat, Field(ge=0)]
    train_loss: Numbers
    valid: dict[Name, Numbers] = _ABSENT
    weight: Numbers = _ABSENT
    gradient_norm: Numbers = _ABSENT
    vector_gradient_norm: Numbers = _ABSENT
    vector_cosine: Numbers = _ABSENT
    learning_rate: Numbers = _ABSENT
    memory_mb: Numbers = _ABSENT
    examples_per_second: Number = _ABSENT
    padding: Number = _ABSENT
    refit: bool = _ABSENT


def checked(schema: type[BaseModel], value: Any, place: str | Path) -> Any:
    """The value as it is. Raises UserError naming `place`, the key, the rule and what was found where it is another."""
    try:
        schema.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        key, found = ".".join(str(part) for part in problem["loc"])[:200], repr(problem["input"])[:60]
        raise UserError(f"{place}: damaged: {key or 'the whole'}: {problem['msg']}; found {found}") from None
    return value
