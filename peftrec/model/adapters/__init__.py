"""Methods: how a backbone is adapted. `METHODS` is the one place to add a method; `attach` builds the encoder."""

from collections.abc import Callable
from functools import partial

from peftrec.errors import Problems, UserError, nearest, shown
from peftrec.model.adapters.adalora import AdaLoraAdapter
from peftrec.model.adapters.allocation import Room
from peftrec.model.adapters.base import SHARED, Adapter, LayerAdapter, PooledAdapter
from peftrec.model.adapters.bottleneck import BottleneckAdapter
from peftrec.model.adapters.full import FullFineTuning
from peftrec.model.adapters.head_only import HeadOnly
from peftrec.model.adapters.peft import PeftAdapter, is_peft_type, peft_methods
from peftrec.model.adapters.prefix import PrefixAdapter
from peftrec.model.adapters.side import SideAdapter
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig
from peftrec.recipe.names import find_class

__all__ = ["METHODS", "Adapter", "LayerAdapter", "PooledAdapter", "attach", "find_method"]

# Name -> (backbone, config, tasks, shared=name of the shared part) -> Adapter
METHODS: dict[str, Callable[..., Adapter]] = {
    "lora": partial(PeftAdapter, kind="LORA"),
    "dora": partial(PeftAdapter, kind="LORA", preset={"use_dora": True}),
    "adalora": AdaLoraAdapter,
    "ia3": partial(PeftAdapter, kind="IA3"),
    "bottleneck": BottleneckAdapter,
    "prefix": PrefixAdapter,
    "side": SideAdapter,
    "head_only": HeadOnly,
    "full": FullFineTuning,
}


def find_method(name: str) -> Callable[..., Adapter]:
    """The method called `name`, one of PEFT's by its PEFT name, or `package.module:name`. Raises UserError."""
    if ":" in name:
        own: type[Adapter] = find_class({}, name, "adapter.method", Adapter)
        return own
    if name.lower() in METHODS:
        return METHODS[name.lower()]
    others = [method for method in peft_methods() if method not in METHODS]
    if name.lower() in others:
        return partial(PeftAdapter, kind=name.upper())
    hint = nearest(name, [*METHODS, *others])
    if is_peft_type(name):
        raise UserError(f"adapter.method: PEFT's {name} needs more than modules inside the layers; {hint}")
    raise UserError(f"adapter.method: no method {shown(name)}; {hint}")


def attach(backbone: Backbone, configs: dict[str, AdapterConfig], filled: bool = False) -> dict[str, Adapter]:
    """Attach every task's method to the backbone: task -> Adapter. Tasks with equal configurations share one Adapter.

    `filled`: every part will be loaded before it is used, so what is loaded whole need not be made first.
    Raises UserErrors where a method cannot work on this backbone, or two methods cannot live on it together.
    """
    groups: list[tuple[AdapterConfig, list[str]]] = []
    for task, config in configs.items():
        for known, tasks in groups:
            if known == config:
                tasks.append(task)
                break
        else:
            groups.append((config, [task]))
    if len(groups) > 1 and any(config.method == "full" for config, _ in groups):
        raise UserError(
            "tasks: method full changes the backbone under every other method; use it for all tasks or none"
        )
    adapters: dict[str, Adapter] = {}
    problems = Problems()
    for number, (config, tasks) in enumerate(groups):
        shared = SHARED if number == 0 else f"{SHARED}_{number}_"  # no task name ends with '_'
        with problems.collect(), Room(config):
            method = find_method(config.method)
            if filled and isinstance(method, partial):
                method = partial(method, filled=True)
            adapter = method(backbone, config, tasks, shared=shared)
            adapters.update(dict.fromkeys(tasks, adapter))
    problems.stop()
    return adapters
