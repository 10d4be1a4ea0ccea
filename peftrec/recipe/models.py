"""The models of a recipe: strict, typed, one a concept."""

import re
from typing import Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from peftrec.errors import shown
from peftrec.recipe.adapter import AdapterConfig
from peftrec.recipe.fusion import FusionConfig
from peftrec.recipe.joint import OwnTrainConfig, SamplingConfig, WeightingConfig
from peftrec.recipe.strict import Factor, Rate, Strict
from peftrec.recipe.tables import DataConfig

Schedule = Literal["linear", "cosine", "constant", "cooldown"]


class PromptsConfig(Strict):
    """What goes before a text for its tokens."""

    query: str = Field("", description="before queries, and texts that are of no item")
    passage: str = Field("", description="before the texts of items")


MOST_TOKENS = 256  # of a text, where nothing is said: of longer ones attention costs more and more


class BackboneConfig(Strict):
    """The pretrained model: a hub id, a folder, or a folder or package holding a GGUF file."""

    name: str = Field(description="hub id (a packaged copy serves when the hub is out of reach), folder, or .gguf file")
    quantize: Literal["nf4", "fp4", "int8"] | None = Field(None, description="bitsandbytes format of the linear layers")
    double_quant: bool = Field(False, description="quantise the quantisation constants too (nf4 and fp4 only)")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="compute dtype; auto follows the hardware"
    )
    pooling: Literal["auto", "mean", "cls", "last"] = Field("auto", description="token states -> one vector")
    cache_dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="what cached states of the frozen part are stored in; auto: the compute dtype, exactly"
    )
    prompts: PromptsConfig | None = Field(
        None,
        description="what goes before texts, such as {query: 'query: ', passage: 'passage: '} of e5 models; default: "
        "what the model's config_sentence_transformers.json says",
    )
    max_length: int = Field(
        MOST_TOKENS,
        ge=4,
        description="tokens kept of a text or text pair, special tokens included; by default as many as the backbone "
        "takes where that is less",
    )

    @model_validator(mode="after")
    def _double_needs_4bit(self) -> "BackboneConfig":
        if self.double_quant and self.quantize not in ("nf4", "fp4"):
            raise ValueError(f"double_quant needs quantize: nf4 or fp4, found quantize: {self.quantize}")
        return self


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class LabelConfig(Strict):
    """A column whose values are several classes at once."""

    column: str = Field(description="column of a text table")
    separator: str = Field("|", min_length=1, description="what stands between two classes of one text")


class TaskConfig(Strict):
    """One signal. Which keys a kind reads is listed in `peftrec.tasks.kinds.KINDS`; others are refused there."""

    kind: str = Field(description="what sort of task it is, or package.module:name of one's own")
    loss: str | None = Field(None, description="default: the kind's first loss")
    weight: Factor = Field(1.0, ge=0, allow_inf_nan=False, description="the task's lambda in the joint loss")
    input: Literal["towers", "joint"] = Field(
        "towers", description="match-query: encode query and item apart, or as a pair"
    )
    table: str | None = Field(None, description="the table that its rows are of; default: the only one of its sort")
    history: list[str] = Field(
        default_factory=list,
        description="the event tables that histories are of, the task's own among them; default: its own alone. Of "
        "match-query without grades: what the users of the queries did before; default: nothing",
    )
    label: str | LabelConfig | None = Field(
        None, description="classification, regression: the column of a text table to predict; default: the table's"
    )
    column: str | None = Field(None, description="interest, regression: the numeric event column to predict")
    threshold: float | None = Field(None, description="interest with bce: liked means column >= threshold")
    repeats: Literal["allow", "exclude"] | None = Field(
        None,
        description="next-item, interest: whether what a user had before is ranked and recommended again; default: "
        "allow where 5 % or more of the train rows are such",
    )
    gain: Literal["exponential", "linear"] | None = Field(
        None,
        description="match-query: what grade g gains in nDCG: 2^g - 1 or g; default: exponential for whole grades of 0 "
        "to 6, else linear",
    )
    class_weight: Literal["balanced"] | dict[str, Factor] | None = Field(
        None,
        description="classification, match-query, interest with bce: how much rows of each class count in the loss, 1 "
        "where a label is not named; balanced: in inverse proportion to the class's train rows",
    )
    row_weight: str | None = Field(
        None,
        description="classification, match-query, interest, regression: numeric column of the table that says how much "
        "each row counts in the loss",
    )
    scale: Literal["linear", "log"] | None = Field(
        None,
        description="regression with mae: what numbers are learnt on, as they are or by log1p of their size; default: "
        "log where the train labels have heavy tails",
    )
    share: float | None = Field(
        None, gt=0, le=1e6, description="rows an epoch as a multiple of the task's training rows; default: by sampling"
    )
    metrics: list[str] | None = Field(
        None, min_length=1, description="what it is measured by, such as [ndcg@5, recall@100]; default: the kind's"
    )
    relevant: Literal["one", "all"] | None = Field(
        None,
        description="next-item, match-query without grades: what a ranking must find: each row's own item (default), "
        "or at once those of all rows that a user or query has in the split",
    )
    slices: list[str] = Field(
        default_factory=list,
        description="what else to measure by itself: cold_items, cold_users, features of kind category",
    )
    adapter: AdapterConfig | None = Field(None, description="a method of this task's own instead of the recipe's")
    train: OwnTrainConfig | None = Field(None, description="what of `train` is another for the task's own parts")
    frozen: bool = Field(
        False,
        description="with init_from: neither its head nor any adapter part that it reads, shared ones too, changes",
    )

    @field_validator("class_weight", mode="wrap")
    @classmethod
    def _class_weight_form(
        cls, value: Any, parse: ValidatorFunctionWrapHandler
    ) -> Literal["balanced"] | dict[str, float] | None:
        """Labels that YAML reads as numbers, such as grades, are the names of classes too."""
        named = value
        if isinstance(value, dict):
            named = {str(label).removesuffix(".0") if _is_number(label) else label: of for label, of in value.items()}
        try:  # here, so that what is neither is one mistake, not one a kind
            weights: Literal["balanced"] | dict[str, float] | None = parse(named)
            good = not isinstance(named, dict) or all(_is_number(of) and 0 <= of <= 1e6 for of in named.values())
        except ValidationError:
            good = False
        if not good or named == {}:
            raise ValueError(
                "class_weight must be 'balanced', or labels with a number from 0 to 1,000,000 each; found "
                f"{shown(value)}"
            )
        return weights

    @field_validator("metrics", "slices")
    @classmethod
    def _named_once(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError(f"names each once; found {shown(value)}")
        return value

    @property
    def label_column(self) -> str | None:
        """The column of `label`."""
        return self.label.column if isinstance(self.label, LabelConfig) else self.label

    @property
    def only_measured(self) -> bool:
        """Whether it is neither trained, nor kept as it was trained before."""
        return self.weight == 0 and not self.frozen


class EarlyStopping(Strict):
    """Stop when the validation score has not improved for `patience` epochs; the best weights are restored."""

    patience: int | None = Field(
        None, ge=1, description="epochs without a better score before training stops; default: chosen from rows"
    )
    metric: str | None = Field(
        None, description="'task.metric', such as interest.auc; default: the mean gain of all tasks in their losses"
    )


class CheckpointConfig(Strict):
    """When an unfinished training is written to disk, so that it can be continued; always also at the loop's end."""

    every: str = Field("10 minutes", description="'N steps' or 'M minutes'; short runs need none")
    keep: int = Field(2, ge=1, description="newest checkpoints kept; each also holds the best epoch's weights")

    @field_validator("every")
    @classmethod
    def _every_form(cls, value: str) -> str:
        if not re.fullmatch(r"[1-9]\d{0,8} steps?|(?=.*[1-9])\d{1,9}(\.\d{1,9})? minutes?", value):
            raise ValueError(f"write 'N steps' or 'M minutes', such as '500 steps'; found {shown(value)}")
        return value


class TrainConfig(Strict):
    """The loop: optimiser, schedule, batches, precision, seeds."""

    epochs: int | None = Field(
        None, ge=1, description="most times that every task's training rows are gone through; default: chosen from rows"
    )
    max_steps: int | None = Field(None, ge=1, description="stop after so many optimiser steps")
    batch_size: int | None = Field(
        None, ge=1, description="rows of all tasks together in one optimiser step; default: chosen from rows"
    )
    accumulate: int = Field(1, ge=1, description="parts each optimiser step is cut into; the gradient is the same")
    optimizer: Literal["adamw", "sgd", "adafactor"] = Field("adamw", description="what steps on the gradients")
    lr: Rate | None = Field(
        None,
        description="learning rate of adapters (of the backbone for method full); default: chosen from method and "
        "batch_size",
    )
    head_lr: Rate | None = Field(None, description="learning rate of the heads; default: chosen from batch_size")
    schedule: Schedule | None = Field(
        None,
        description="how the learning rates fall to 0: until the last step, in a last stretch (cooldown), or not at "
        "all; default: cooldown where validation is watched, else linear",
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps over which the learning rate rises")
    weight_decay: float | None = Field(None, ge=0, description="not applied to norms, biases and gates; default: 0.01")
    dropout: float | None = Field(None, ge=0, lt=1, description="in the heads; methods have their own; default: 0.1")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm of each owner; null: no clipping")
    mixed_precision: Literal["no", "bf16", "fp16"] = Field("no", description="what autocast computes in")
    gradient_checkpointing: bool = Field(False, description="recompute the encoder in the backward pass to save memory")
    memory_mb: int | None = Field(
        None,
        ge=1,
        description="what encoder and heads may each keep for the backward pass; default: half of the free memory",
    )
    locality: Literal["none", "user"] = Field(
        "none", description="user: a user's rows share a step where they can, so that a step encodes fewer texts"
    )
    early_stopping: EarlyStopping | None = Field(
        EarlyStopping(), description="null: off; default: on for the tasks that have validation rows"
    )
    refit: bool | None = Field(
        None,
        description="once validation has chosen how long: train again, as long, on the rows of train and valid; "
        "default: where these are few",
    )
    checkpoint: CheckpointConfig = CheckpointConfig()
    non_finite: Literal["stop", "skip"] = Field(
        "stop", description="a loss or gradient that is NaN or infinite: stop, or leave the step out and count it"
    )
    log_every: int | None = Field(
        None, ge=1, description="steps between two lines of metrics.jsonl; default: a hundredth of the training's"
    )
    track: list[Literal["tensorboard", "trackio", "wandb", "mlflow"]] = Field(
        default_factory=list, description="trackers that get the lines of metrics.jsonl while training"
    )
    seed: int = Field(0, ge=0, description="of weights, order, dropout and whatever is drawn")

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _false_is_off(cls, value: Any) -> Any:
        return None if value is False else value

    @model_validator(mode="after")
    def _parts_have_rows(self) -> "TrainConfig":
        if self.batch_size is not None and self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate cuts a step's batch_size rows into parts: at most {self.batch_size}; found "
                f"{self.accumulate}"
            )
        return self


_NAME_BYTES = 200  # of the 255 that a file's name may have
_TASK_NAME = re.compile(r"[^\W_](?:[\w-]*[^\W_])?")


class Recipe(Strict):
    """A complete run. Load with `load_recipe`."""

    init_from: str | None = Field(None, description="folder of the run whose adapters and heads training starts from")
    backbone: BackboneConfig
    adapter: AdapterConfig = AdapterConfig()
    fusion: FusionConfig = FusionConfig()
    data: DataConfig
    tasks: dict[str, TaskConfig] = Field(min_length=1)
    weighting: WeightingConfig = WeightingConfig()
    sampling: SamplingConfig = SamplingConfig()
    train: TrainConfig = TrainConfig()

    @field_validator("tasks")
    @classmethod
    def _task_names(cls, tasks: dict[str, TaskConfig]) -> dict[str, TaskConfig]:
        for name in tasks:
            # Names become folder names and parts of module paths, and '__' separates the parts of an adapter's name.
            long = len(name) > 64 or len(name.encode("utf-8", "replace")) > _NAME_BYTES
            if long or not _TASK_NAME.fullmatch(name) or "__" in name or name == "shared":
                raise ValueError(
                    "a task name is 1 to 64 letters, digits, '-' or single '_', starting and ending with a letter or "
                    f"digit, at most {_NAME_BYTES} bytes as UTF-8, and not 'shared'; found {shown(name)}"
                )
        if len({name.casefold() for name in tasks}) < len(tasks):
            raise ValueError(
                f"task names must differ by more than case (they become folders); found {shown(list(tasks))}"
            )
        if not any(task.weight > 0 and not task.frozen for task in tasks.values()):
            raise ValueError("at least one task needs a weight above 0, and not to be frozen")
        return tasks

    @model_validator(mode="after")
    def _frozen_as_what(self) -> "Recipe":
        frozen = [name for name, task in self.tasks.items() if task.frozen]
        if frozen and self.init_from is None:
            raise ValueError(f"init_from: name the run that the frozen tasks ({', '.join(frozen)}) come from")
        return self

    @property
    def adapters(self) -> dict[str, AdapterConfig]:
        """Each task's method: its own, or the recipe's."""
        return {name: task.adapter or self.adapter for name, task in self.tasks.items()}

    @property
    def trained(self) -> dict[str, TaskConfig]:
        """The tasks that are not frozen."""
        return {name: task for name, task in self.tasks.items() if not task.frozen}
