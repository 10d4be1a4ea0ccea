"""One run as data: strict models of a recipe, its YAML loader, dotted overrides, JSON schema.

A recipe is complete and flat; it states everything a run depends on except the weights and the data files themselves.
"""

import copy
import difflib
import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator


class UserError(ValueError):
    """A mistake in the user's input: the message names the place, the rule, the value found, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Sharing = Literal["shared", "private", "shared+private"]


class BackboneConfig(_Strict):
    """The pretrained model: a hub id, a folder, or a folder or package holding a GGUF file."""

    name: str = Field(description="hub id (a packaged copy serves when the hub is out of reach), folder, or .gguf file")
    quantize: Literal["nf4", "fp4", "int8"] | None = Field(None, description="bitsandbytes format of the linear layers")
    double_quant: bool = Field(False, description="quantise the quantisation constants too (nf4 and fp4 only)")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="compute dtype; auto follows the hardware"
    )
    pooling: Literal["auto", "mean", "cls", "last"] = Field("auto", description="token states -> one vector")
    max_length: int = Field(64, ge=4, description="tokens kept of a text or text pair, special tokens included")

    @model_validator(mode="after")
    def _double_needs_4bit(self) -> "BackboneConfig":
        if self.double_quant and self.quantize not in ("nf4", "fp4"):
            raise ValueError(f"double_quant needs quantize: nf4 or fp4, found quantize: {self.quantize}")
        return self


class AdapterConfig(_Strict):
    """How the backbone is adapted. `options` go unchanged to the method (for PEFT methods: to PEFT's config class)."""

    method: str = "lora"
    sharing: Sharing = "shared+private"
    layers: str | list[int] = Field("all", description="all, top-K, or a list of layer numbers from 0")
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("layers")
    @classmethod
    def _layers_form(cls, value: str | list[int]) -> str | list[int]:
        if isinstance(value, str) and value != "all" and not re.fullmatch(r"top-[1-9]\d*", value):
            raise ValueError(f"layers must be 'all', 'top-K' with K >= 1, or a list of layer numbers; found {value!r}")
        if isinstance(value, list) and (not value or min(value) < 0 or len(set(value)) < len(value)):
            raise ValueError(f"a list of layers must be distinct numbers from 0, at least one; found {value}")
        return value


class ItemsConfig(_Strict):
    """The catalogue: a file with one row an item."""

    path: str
    id: str = Field(description="column of the unique item id")
    text: str = Field(description="template over columns, such as '{title} ({year}). {genres}'")


class EventsConfig(_Strict):
    """What users did: a file with one row an event."""

    path: str
    user: str
    item: str
    time: str = Field(description="column of seconds since 1970 or ISO dates")
    columns: list[str] = Field(default_factory=list, description="numeric columns that tasks use, such as rating")


class QueriesConfig(_Strict):
    """Queries with the item they refer to. Without `label` every row is a match and non-matches are sampled 1:1."""

    path: str
    text: str = Field(description="template over columns, such as '{query}'")
    item: str
    label: str | None = Field(None, description="column of the grade; two or more distinct numbers, higher is better")
    time: str | None = Field(None, description="column of the time; needed for a global-time split of queries")


class TextsConfig(_Strict):
    """Single labelled texts, for classification."""

    path: str
    text: str = Field(description="template over columns")
    label: str = Field(description="column of the class name")
    split: str | None = Field(None, description="column holding train, valid or test, for split kind 'given'")


class SplitConfig(_Strict):
    """How examples are divided. Shares are of the rows (of the groups for by-group)."""

    kind: Literal["global-time", "leave-last-out", "by-group", "given"] = "global-time"
    test: float = Field(0.2, gt=0, lt=1)
    valid: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _something_to_train(self) -> "SplitConfig":
        if self.test + self.valid >= 1:
            raise ValueError(f"test + valid must stay below 1, found {self.test} + {self.valid}")
        return self


class DataConfig(_Strict):
    """Where the tables come from: a built-in `source`, or one's own files."""

    source: str | None = None
    path: str | None = Field(None, description="folder of the source's files; default: the installed package")
    items: ItemsConfig | None = None
    events: EventsConfig | None = None
    queries: QueriesConfig | None = None
    texts: TextsConfig | None = None
    split: SplitConfig = SplitConfig()
    history: int = Field(20, ge=0, le=1000, description="most recent events kept as an example's history")

    @model_validator(mode="after")
    def _one_origin(self) -> "DataConfig":
        own = [name for name in ("items", "events", "queries", "texts") if getattr(self, name) is not None]
        if self.source is not None and own:
            raise ValueError(
                f"give either source or tables of your own, found source: {self.source} and {', '.join(own)}"
            )
        if self.source is None and not own:
            raise ValueError("give a source, or at least one of items, events, queries, texts")
        if self.source is None and self.path is not None:
            raise ValueError("path belongs to a source; tables of your own each have their own path")
        if (self.events or self.queries) and not self.items:
            raise ValueError("events and queries refer to items: give data.items too")
        return self


class TaskConfig(_Strict):
    """One signal. Which keys a kind reads is listed in `peftrec.tasks.KINDS`; others are refused there."""

    kind: str
    loss: str | None = Field(None, description="default: the kind's first loss")
    weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="the task's lambda in the joint loss")
    input: Literal["towers", "joint"] = Field(
        "towers", description="match-query: encode query and item apart, or as a pair"
    )
    column: str | None = Field(None, description="interest, regression: the numeric event column to predict")
    threshold: float | None = Field(None, description="interest with bce: liked means column >= threshold")
    share: float | None = Field(
        None, gt=0, description="rows an epoch as a multiple of the task's training rows; default 1"
    )
    adapter: AdapterConfig | None = Field(None, description="a method of this task's own instead of the recipe's")


class WeightingConfig(_Strict):
    """How task losses become weights each step; `static` keeps each task's `weight`."""

    method: str = "static"
    options: dict[str, Any] = Field(default_factory=dict)


class EarlyStopping(_Strict):
    """Stop when the validation score has not improved for `patience` epochs; the best weights are restored."""

    patience: int = Field(2, ge=1)
    metric: str | None = Field(
        None, description="'task.metric', such as interest.auc; default: the weighted validation loss"
    )


class TrainConfig(_Strict):
    """The loop: optimiser, schedule, batches, precision, seeds."""

    epochs: int = Field(3, ge=1)
    max_steps: int | None = Field(None, ge=1, description="stop after so many optimiser steps")
    batch_size: int = Field(1024, ge=1, description="rows of all tasks together in one optimiser step")
    accumulate: int = Field(1, ge=1, description="parts each optimiser step is cut into; the gradient is the same")
    optimizer: Literal["adamw", "sgd", "adafactor"] = "adamw"
    lr: float = Field(
        5e-4, gt=0, allow_inf_nan=False, description="learning rate of adapters (of the backbone for method full)"
    )
    head_lr: float = Field(2e-3, gt=0, allow_inf_nan=False, description="learning rate of the heads")
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="not applied to norms, biases and gates")
    dropout: float = Field(0.1, ge=0, lt=1, description="in the heads and in our own adapters")
    clip: float | None = Field(1.0, gt=0, description="largest global gradient norm; null: no clipping")
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    gradient_checkpointing: bool = Field(False, description="recompute the encoder in the backward pass to save memory")
    early_stopping: EarlyStopping | None = None
    seed: int = Field(0, ge=0)


_TASK_NAME = re.compile(r"[^\W_](?:[\w-]*[^\W_])?")


class Recipe(_Strict):
    """A complete run. Load with `load_recipe`."""

    backbone: BackboneConfig
    adapter: AdapterConfig = AdapterConfig()
    data: DataConfig
    tasks: dict[str, TaskConfig] = Field(min_length=1)
    weighting: WeightingConfig = WeightingConfig()
    train: TrainConfig = TrainConfig()

    @field_validator("tasks")
    @classmethod
    def _task_names(cls, tasks: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        for name in tasks:
            # Names become folder names and parts of module paths, and '__' separates the parts of an adapter's name.
            if not _TASK_NAME.fullmatch(name) or "__" in name or name == "shared" or len(name) > 64:
                raise ValueError(
                    "a task name is 1 to 64 letters, digits, '-' or single '_', starting and ending with a letter or "
                    f"digit, and not 'shared'; found {name!r}"
                )
        if len({name.casefold() for name in tasks}) < len(tasks):
            raise ValueError(f"task names must differ by more than case (they become folders); found {list(tasks)}")
        if not any(task.weight > 0 for task in tasks.values()):
            raise ValueError("at least one task needs a weight above 0")
        return tasks


def nearest(name: str, known: list[str]) -> str:
    """' (did you mean X?)' for the closest known name, or the list of known names."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"]) or "recipe"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown key; {nearest(str(problem['loc'][-1]), _keys_beside(problem['loc']))}"
        elif problem["type"] != "value_error" and problem["type"] != "missing":
            message = f"{message}; found {problem['input']!r}"
        lines.append(f"{where}: {place}: {message}")
    return "\n".join(lines)


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed where `location` ends, found by walking the models."""
    schema: dict[str, Any] = json_schema()
    definitions, node = schema["$defs"], schema
    for part in location[:-1]:
        following = node.get("properties", {}).get(part) or node.get("additionalProperties", {})
        options = following.get("anyOf", [following])
        node = next((definitions[o["$ref"].split("/")[-1]] if "$ref" in o else o for o in options), {})
    return list(node.get("properties", {}))


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML where a repeated key is an error (plain YAML keeps the last and drops the first in silence)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True) if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key in seen:
                problem = "a key must be plain text" if key is None else f"the key {key!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader above would read as a number."""


# YAML 1.1 reads 5e-4 as a string; recipes write learning rates this way.
for _side in (_UniqueKeyLoader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+\Z"), list("-+0123456789")
    )


def parse_yaml(text: str, where: str) -> Any:
    """YAML -> plain values; repeated keys are refused and 5e-4 is a number. Raises UserError naming line and column."""
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506  a subclass of SafeLoader
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date, such as 2024-13-01
        raise UserError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def apply_overrides(raw: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """A copy of `raw` with dotted `key=value` overrides applied, such as `train.lr=1e-4`; values are YAML."""
    result = copy.deepcopy(raw)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not all(key.split(".")):
            raise UserError(f"override {override!r}: write key=value with a dotted key, such as train.lr=1e-4")
        node = result
        *path, last = key.split(".")
        for part in path:
            if node.get(part) is None:
                node[part] = {}
            node = node[part]
            if not isinstance(node, dict):
                raise UserError(f"override {override!r}: {part!r} is a value, not a group of keys")
        node[last] = parse_yaml(value, f"override {override!r}")
    return result


def make_recipe(raw: Any, where: str = "recipe") -> Recipe:
    """Validate plain values into a `Recipe`. Raises UserError with one line for every problem found."""
    if not isinstance(raw, dict):
        raise UserError(
            f"{where}: a recipe is a group of keys (backbone, adapter, data, tasks, train); found {type(raw).__name__}"
        )
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise UserError(_explain(error, where)) from None


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe file, apply dotted overrides, validate. Raises UserError.

    Relative paths inside `data` stay relative to the working directory, as on any command line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such recipe file; `peftrec recipes` lists those that come with the package")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text: {error}") from None
    raw = parse_yaml(text, str(path))
    return make_recipe(apply_overrides(raw, overrides or []) if isinstance(raw, dict) else raw, str(path))


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default written out; `make_recipe(parse_yaml(...))` gives an equal recipe."""
    return yaml.dump(recipe.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def json_schema() -> dict[str, Any]:
    """The recipe's JSON schema, for editors."""
    return Recipe.model_json_schema()
