"""AdaLoRA (Zhang et al. 2023, arXiv:2303.10512) for several tasks at once: PEFT's layers, one rank allocator an owner.

Each adapted module gets B diag(E) A of rank `init_r`; during training every owner prunes its own least important
singular values E until `target_r` times its number of modules are left. PEFT's AdaLoRA model trains one adapter, and
adds the orthogonality term only to outputs that carry a loss, so both are done here.
"""

from typing import Any

import torch
from torch import Tensor, nn

from peftrec.errors import UserError
from peftrec.model.adapters.base import SHARED, adapter_name
from peftrec.model.adapters.compose import Part, State, compose_lora
from peftrec.model.adapters.peft import PeftAdapter
from peftrec.model.backbone import Backbone
from peftrec.recipe import AdapterConfig

# Of the options that AdaLoraConfig inherits from LoraConfig, those that AdaLoRA's layers read; PEFT ignores the others.
_INHERITED = {"target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out"}
_INHERITED |= {"lora_alpha", "lora_dropout", "init_lora_weights"}
_UNKNOWN_YET = 2**40  # PEFT wants total_step at once; the run's is known at its first step


class Parameters:
    """An owner's parameters where PEFT's allocator expects a model."""

    def __init__(self, held: dict[str, nn.Parameter]) -> None:
        self._held = held

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Name and parameter, in order."""
        return list(self._held.items())


class AdaLoraAdapter(PeftAdapter):
    """`options` go to PEFT's AdaLoraConfig. `total_step` is the run's; where they are not given, `tinit` and `tfinal`
    are 10 % and 30 % of it and `deltaT` 1 %. Exported and loaded as plain LoRA."""

    def __init__(self, backbone: Backbone, config: AdapterConfig, tasks: list[str], shared: str = SHARED) -> None:
        _check_options(config.options)
        super().__init__(backbone, config, tasks, shared, kind="ADALORA", preset={"total_step": _UNKNOWN_YET})
        self._allocators = {owner: self._allocator(owner) for owner in self.owners}
        self._kept: dict[str, dict[str, list[bool]]] = {}
        self._scheduled = self._pruned = False

    def _config(self, owner: str) -> Any:
        return self.grafts[owner].configs[adapter_name(owner)]

    def _allocator(self, owner: str) -> Any:
        from peft.tuners.adalora.layer import RankAllocator

        return RankAllocator(Parameters(self.parameters_of(owner)), self._config(owner), adapter_name(owner))

    def budget(self, owner: str) -> int:
        """How many singular values the owner has in the end."""
        return int(self._allocators[owner].target_bgt)

    def penalty(self, task: str) -> Tensor | None:
        """`orth_reg_weight` times the mean of |P'P - I| over the owner's A and B, for each of the task's owners."""
        terms = []
        for owner in self.owners_of(task):
            held = self.parameters_of(owner).items()
            factors = [p if ".lora_A." in name else p.T for name, p in held if ".lora_E." not in name]
            norms = [torch.linalg.norm(f @ f.T - torch.eye(len(f)).to(f)) for f in factors]
            terms.append(self._config(owner).orth_reg_weight * torch.stack(norms).mean())
        return torch.stack(terms).sum()

    def after_step(self, step: int, total: int) -> None:
        """Update every trained owner's importances, and prune when its schedule says so."""
        for owner in self._trained_owners():
            schedule = self._config(owner)
            if not self._scheduled:
                _set_schedule(schedule, self.config.options, total)
            last = schedule.total_step - schedule.tfinal
            self._allocate(owner, step + 1, last)
            self._pruned = step + 1 >= last
        self._scheduled = True

    @property
    def settled(self) -> bool:
        """Whether every trained owner is down to its budget."""
        return self._pruned or not self._trained_owners()

    def _trained_owners(self) -> list[str]:
        return [owner for owner in self.owners if not self.is_frozen(owner)]

    def _allocate(self, owner: str, now: int, last: int) -> None:
        allocator, held = self._allocators[owner], Parameters(self.parameters_of(owner))
        if now > last:
            allocator.mask_using_rank_pattern(held, self._kept[owner])
            return
        # A task without rows in this step has no gradients; its importances stay as they are.
        gradients = [p.grad for _, p in held.named_parameters()]
        if now < last and all(g is not None for g in gradients) and any(g.any() for g in gradients if g is not None):
            allocator.update_ipt(held)
        budget, due = allocator.budget_schedule(now)
        if now == last:
            for name, p in held.named_parameters():  # an owner that never had a gradient keeps the first ones
                for known in (allocator.exp_avg_ipt, allocator.exp_avg_unc):
                    known.setdefault(name, torch.zeros_like(p))
        if (due or now == last) and allocator.exp_avg_ipt:
            self._kept[owner] = prune(allocator, self.parameters_of(owner), budget)

    def export(self, task: str) -> tuple[State, dict[str, Any]]:
        """As plain LoRA: singular values folded into A, pruned ones left out, shared and private composed."""
        from peft import LoraConfig

        state, changes = compose_lora([self._part(owner) for owner in self.owners_of(task)])
        config = self._config(self.owners_of(task)[0])
        targets = sorted({key.removeprefix("base_model.model.").split(".lora_")[0] for key in state})
        as_lora = LoraConfig(
            target_modules=targets, lora_dropout=config.lora_dropout, fan_in_fan_out=config.fan_in_fan_out
        )
        return state, {**as_lora.to_dict(), **changes}

    def _part(self, owner: str) -> Part:
        state, scales = super()._part(owner)
        if not any(".lora_E" in key for key in state):
            return state, scales  # loaded: plain LoRA already
        folded: State = {}
        values = {key: tensor.flatten() for key, tensor in state.items() if key.endswith(".lora_E")}
        trained = any(value.any() for value in values.values())
        for number, (key, value) in enumerate(values.items()):
            kept = value != 0
            kept[0] |= not trained and number == 0  # a LoRA has at least one module
            if kept.any():
                path = key.removesuffix(".lora_E")
                folded[f"{path}.lora_A.weight"] = (state[f"{path}.lora_A"] * value[:, None])[kept]
                folded[f"{path}.lora_B.weight"] = state[f"{path}.lora_B"][:, kept]
        # PEFT divides by the initial rank, plus a little, however many values are left.
        return folded, {path: scale / (self._config(owner).init_r + 1e-5) for path, scale in scales.items()}

    def extra_state(self) -> dict[str, Tensor]:
        """Every owner's running importances, and which singular values it keeps."""
        state: dict[str, Tensor] = {}
        for owner, allocator in self._allocators.items():
            for what in ("exp_avg_ipt", "exp_avg_unc"):
                state |= {f"{owner}/{what}/{name}": tensor for name, tensor in getattr(allocator, what).items()}
            state |= {f"{owner}/kept/{name}": torch.tensor(mask) for name, mask in self._kept.get(owner, {}).items()}
        return state

    def load_extra_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `extra_state` gave."""
        for key, tensor in state.items():
            owner, what, name = key.split("/", 2)
            if what == "kept":
                self._kept.setdefault(owner, {})[name] = tensor.tolist()
            else:
                getattr(self._allocators[owner], what)[name] = tensor.clone()
                self._allocators[owner].ipt[name] = torch.zeros_like(tensor)  # PEFT starts afresh where it is missing


@torch.no_grad()
def prune(allocator: Any, held: dict[str, nn.Parameter], budget: int) -> dict[str, list[bool]]:
    """Zero all singular values but the `budget` most important; by parameter name, which ones are kept.

    PEFT's `mask_to_budget`, except that exactly the budget is kept where importances tie; PEFT prunes all that tie.
    """
    scores: dict[str, Tensor] = {}
    for name in held:
        if ".lora_E." in name:
            e, a, b = (allocator._element_score(name.replace(".lora_E.", f".lora_{x}.")) for x in "EAB")
            scores[name] = e.flatten() + a.mean(1) + b.mean(0)
    together = torch.cat(list(scores.values()))
    keep = torch.zeros_like(together, dtype=torch.bool)
    keep[together.argsort(descending=True, stable=True)[:budget]] = True
    kept = dict(zip(scores, keep.split([len(s) for s in scores.values()]), strict=True))
    for name, mask in kept.items():
        held[name].masked_fill_(~mask[:, None], 0.0)
    return {name: mask.tolist() for name, mask in kept.items()}


def _check_options(options: dict[str, Any]) -> None:
    from peft import AdaLoraConfig, LoraConfig

    inherited = LoraConfig.__dataclass_fields__.keys() - AdaLoraConfig.__annotations__.keys() - set(_INHERITED)
    for name in sorted(options.keys() & inherited):
        raise UserError(f"adapter.options.{name}: AdaLoRA ignores it; the ranks are init_r and target_r")
    if "rank_pattern" in options:
        raise UserError("adapter.options.rank_pattern: AdaLoRA finds the ranks itself; leave it out")
    _check_numbers(options)


def _check_numbers(options: dict[str, Any]) -> None:
    """Refuse numbers that PEFT's allocator would stumble over later; that they are numbers is checked elsewhere."""
    from peft import AdaLoraConfig

    value = {name: options.get(name, field.default) for name, field in AdaLoraConfig.__dataclass_fields__.items()}
    number = {name: v for name, v in value.items() if isinstance(v, int | float)}
    for name, lowest in {"init_r": 1, "target_r": 1, "tinit": 0, "tfinal": 0, "deltaT": 1}.items():
        if number.get(name, lowest) < lowest:
            raise UserError(f"adapter.options.{name}: must be at least {lowest}; found {number[name]}")
    for name in ("beta1", "beta2"):
        if not 0 < number.get(name, 0.5) < 1:
            raise UserError(f"adapter.options.{name}: must be between 0 and 1; found {number[name]}")
    if {"init_r", "target_r"} <= number.keys() and number["target_r"] > number["init_r"]:
        raise UserError(
            f"adapter.options.target_r: must be at most init_r = {number['init_r']}; found {number['target_r']}"
        )


def _set_schedule(config: Any, options: dict[str, Any], total: int) -> None:
    """Fit PEFT's schedule to a run of `total` steps. Raises UserError where the options leave no step for pruning."""
    given = options.get("total_step", total)
    if given > total:
        raise UserError(f"adapter.options.total_step: the run has {total} steps; found {given}; leave it out")
    config.total_step = total = given
    config.tinit = options.get("tinit", total // 10)
    config.tfinal = options.get("tfinal", total * 3 // 10)
    config.deltaT = options.get("deltaT", max(1, total // 100))
    if config.tinit >= total - config.tfinal:
        raise UserError(
            f"adapter.options: tinit {config.tinit} and tfinal {config.tfinal} leave none of the run's {total} steps "
            "for pruning; lower them or train longer"
        )
