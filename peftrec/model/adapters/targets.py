"""Which modules a PEFT method changes: PEFT's own defaults and options, written out as full paths in chosen layers."""

import re
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from torch import nn

from peftrec.errors import UserError, nearest, shown
from peftrec.model.adapters.patterns import check_patterns, patterns_of
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig

_DATA = "it needs data before training, which peftrec does not pass"
# Options of PEFT's that cannot work here, and why; all others go through.
REFUSED = {
    "modules_to_save": "heads are trained beside the adapters and saved under heads/, so none belongs to the adapter",
    "trainable_token_indices": "the embeddings lie below every layer and stay frozen for all tasks",
    "target_parameters": "only modules inside the layers are adapted; name them in target_modules",
    "layer_replication": "all tasks share the backbone's layers, so none can be repeated for one of them",
    "alora_invocation_tokens": "it takes effect in text generation only",
    "kasa_config": "it rewrites the backbone's weights, which all tasks share",
    "use_qalora": "it is for GPTQ weights only",
    "arrow_config": "it routes between adapters by the prompt; here the task chooses",
    "eva_config": _DATA,
    "corda_config": _DATA,
    "lora_ga_config": _DATA,
    "loftq_config": "it replaces the backbone's weights, which all tasks share; use backbone.quantize",
    "fan_in_fan_out": "it follows from the modules",
    "megatron_config": "PEFT would import the module that megatron_core names",
    "megatron_core": "PEFT would import the module that it names",
}
for _name in ("peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision"):
    REFUSED[_name] = "peftrec sets it"
REFUSED["inference_mode"] = "it would train nothing"
_INITS = {"eva": _DATA, "corda": _DATA, "lora_ga": _DATA, "loftq": REFUSED["loftq_config"]}
# Key and value projections, also where they are one module with the queries, by the last part of the module's path.
_KEY_VALUE = re.compile(r"(k|v|key|value)(_proj|_lin)?|w?qkv(_proj)?|c_attn|query_key_value", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A module inside a layer: its path in the model, the number of the layer."""

    path: str
    layer: int
    module: nn.Module

    @property
    def linear(self) -> bool:
        """Whether it is a linear layer, also a quantised one, also GPT-2's Conv1D."""
        from transformers.pytorch_utils import Conv1D

        return isinstance(self.module, nn.Linear | Conv1D)


def places(backbone: Backbone, layers: list[int]) -> list[Place]:
    """Every module inside the chosen layers, in the model's order; layers that are one (ALBERT) count as layer 0."""
    paths = {id(module): path for path, module in backbone.model.named_modules()}
    roots = [backbone.model.encoder] if backbone.layers is None else [backbone.layers[n] for n in layers]
    numbers = [0] if backbone.layers is None else layers
    return [
        Place(paths[id(module)], number, module)
        for number, root in zip(numbers, roots, strict=True)
        for module in root.modules()
        if module is not root
    ]


def peft_config(
    kind: str, config: AdapterConfig, backbone: Backbone, layers: list[int], preset: dict[str, Any]
) -> tuple[Any, int]:
    """PEFT's configuration object with its targets as full paths, and the lowest layer among them. Raises UserError.

    `preset` are option values that the method's name stands for; `config.options` override them.
    """
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS
    from peft import PeftType

    cls: Any = CONFIGS[PeftType(kind)]
    paths = [path for path, _ in backbone.model.named_modules()]
    known = [f for f in cls.__dataclass_fields__ if f not in REFUSED]
    for name, value in config.options.items():
        if name in REFUSED and name in cls.__dataclass_fields__:
            raise UserError(f"adapter.options.{name}: {REFUSED[name]}; leave it out")
        if name not in known:
            raise UserError(f"adapter.options.{name}: PEFT's {cls.__name__} has none; {nearest(name, known)}")
        _check_value(name, value, get_type_hints(cls)[name])
        check_patterns(f"adapter.options.{name}", patterns_of(name, value), paths)
    try:
        made = cls(**{**preset, **config.options})
    except (ValueError, TypeError, ImportError) as error:
        raise UserError(f"adapter.options: PEFT's {cls.__name__} refuses them: {error}") from None
    inside = places(backbone, layers)
    targets = _targets(kind, made, backbone, inside)
    made.target_modules = {place.path for place in targets}
    if kind == "IA3":
        made.feedforward_modules = _feedforward(made, backbone, inside, targets)
    _check_patterns(made)
    if hasattr(made, "fan_in_fan_out"):
        made.fan_in_fan_out = any(type(place.module).__name__ == "Conv1D" for place in targets)
    return made, min(place.layer for place in targets)


def _check_value(name: str, value: Any, annotation: Any) -> None:
    """Refuse a value that is not of the type PEFT states (PEFT does not look)."""
    place = f"adapter.options.{name}"
    if name == "init_lora_weights" and isinstance(value, str):
        if value in _INITS:
            raise UserError(f"{place}: {value}: {_INITS[value]}")
        return  # PEFT states some of its values as a pattern
    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = {problem["msg"].removeprefix("Input should be ") for problem in error.errors()}
        kinds = " or ".join(sorted(wanted)).replace("a valid integer", "an integer").replace("valid ", "")
        raise UserError(f"{place}: must be {kinds}; found {shown(value)}") from None
    except PydanticUserError:
        return  # a type of PEFT's own, which its class judges
    if name.endswith("dropout") and not 0 <= value < 1:
        raise UserError(f"{place}: must be from 0 to below 1; found {value}")


def _targets(kind: str, made: Any, backbone: Backbone, inside: list[Place]) -> list[Place]:
    """The places that the options, or the method's defaults, choose."""
    possible = inside if kind == "LN_TUNING" else [place for place in inside if place.linear]
    given = made.target_modules
    if given is None:
        names = _defaults(kind, backbone)
        return (names and _matching(made, names, possible)) or _fallback(kind, made, possible)
    if given == "all-linear":
        given = [place.path for place in possible if place.linear]
    found = _matching(made, given, possible)
    for name in [] if isinstance(given, str) else sorted(given):
        if not any(place.path == name or place.path.endswith(f".{name}") for place in possible):
            raise _nothing(name, possible)
    if not found:
        raise _nothing(given, possible)
    return found


def _matching(made: Any, names: Any, possible: list[Place]) -> list[Place]:
    """The places that PEFT itself would choose by `names` and the configuration's other options."""
    from peft.tuners.tuners_utils import check_target_module_exists

    made.target_modules = names if isinstance(names, str) else set(names)
    return [place for place in possible if check_target_module_exists(made, place.path)]


def _nothing(name: Any, possible: list[Place]) -> UserError:
    known = sorted({place.path.rsplit(".", 1)[-1] for place in possible})
    hint = nearest(name, known) if isinstance(name, str) else f"known: {', '.join(known)}"
    return UserError(f"adapter.options.target_modules: {shown(name)} matches nothing in the chosen layers; {hint}")


def _defaults(kind: str, backbone: Backbone) -> Any:
    """PEFT's own default modules of this method for this architecture, LoRA's where it has none, or None."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING as TUNERS
    from peft.utils import constants

    family = backbone.model.config.model_type
    if kind == "IA3":
        return constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(family)
    own = getattr(TUNERS[PeftType(kind)], "target_module_mapping", None) or {}
    if kind == "LN_TUNING":
        return own.get(family)
    return own.get(family) or constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(family)


def _fallback(kind: str, made: Any, possible: list[Place]) -> list[Place]:
    """What stands in for PEFT's defaults in a family it does not know: what the method's paper changes."""
    chosen = possible
    if kind == "IA3":
        chosen = [p for p in possible if _KEY_VALUE.fullmatch(p.path.rsplit(".", 1)[-1])] + _outputs(possible)
    elif kind == "LN_TUNING":
        chosen = [p for p in possible if "norm" in type(p.module).__name__.lower()]
    found = _matching(made, [place.path for place in chosen], possible)
    if not found:
        raise UserError(
            "adapter.options.target_modules: nothing in the chosen layers to adapt by default; name modules"
        )
    return found


def _outputs(linear: list[Place]) -> list[Place]:
    """The feed-forward output projection of every layer: in all families the layer's last linear module."""
    return list({place.layer: place for place in linear}.values())


def _feedforward(made: Any, backbone: Backbone, inside: list[Place], targets: list[Place]) -> set[str]:
    """The targets whose input IA3 scales instead of their output: feed-forward output projections."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD

    given, paths = made.feedforward_modules, {place.path for place in targets}
    if isinstance(given, str):
        chosen = {path for path in paths if re.fullmatch(given, path)}
        if not chosen:
            raise UserError(f"adapter.options.feedforward_modules: {shown(given)} matches none of the adapted modules")
        return chosen
    names = FEEDFORWARD.get(backbone.model.config.model_type) if given is None else sorted(given)
    if names is None:
        return paths & {place.path for place in _outputs([place for place in inside if place.linear])}
    chosen = {path for path in paths if any(path == name or path.endswith(f".{name}") for name in names)}
    for name in names if given is not None else []:
        if not any(path == name or path.endswith(f".{name}") for path in paths):
            raise UserError(f"adapter.options.feedforward_modules: {shown(name)} matches none of the adapted modules")
    return chosen


def _check_patterns(made: Any) -> None:
    """Refuse keys of LoRA's rank_pattern and alpha_pattern that match no target; PEFT would ignore them."""
    for option in ("rank_pattern", "alpha_pattern"):
        for pattern in getattr(made, option, None) or {}:
            if not any(re.match(rf"(.*\.)?({pattern})$", path) for path in made.target_modules):
                raise UserError(f"adapter.options.{option}: {shown(pattern)} matches none of the adapted modules")
