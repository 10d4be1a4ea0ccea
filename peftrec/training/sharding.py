"""FSDP for method `full`: every process keeps a part of each weight, its gradient and the optimiser's state.

A layer's weights are gathered when it is run, forward and backward, and let go after it. Every process takes part in
that, so while training all run the backbone equally often: one with less to run runs something that counts for nothing
(`AdaptedEncoder.encode`). Whatever else reads the weights does so while they are `whole`. Heads are not sharded.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from peftrec.errors import Problems
from peftrec.machine import processes
from peftrec.model.co_learner import CoLearner
from peftrec.recipe import Recipe
from peftrec.runs.checkpoints import Tensors

# What Accelerate's launcher sets -> the values that work here, and what to do about others.
_SETTINGS = {
    "FSDP_VERSION": (("2",), "--fsdp_version 2"),
    "FSDP_RESHARD_AFTER_FORWARD": (("true", "full_shard"), "leave --fsdp_reshard_after_forward out"),
    "FSDP_OFFLOAD_PARAMS": (("false",), "leave --fsdp_offload_params out"),
    "FSDP_ACTIVATION_CHECKPOINTING": (("false",), "use train.gradient_checkpointing in its place"),
}


def check_sharding(recipe: Recipe) -> None:
    """Raise UserErrors for what FSDP cannot do here, when the launcher asks for it."""
    if not processes.sharded():
        return
    problems = Problems()
    for variable, (works, instead) in _SETTINGS.items():
        found = os.environ.get(variable, "1" if variable == "FSDP_VERSION" else works[0])
        if found.lower() not in works:
            problems.found.append(f"FSDP: {variable} must be {' or '.join(works)}; found {found}: {instead}")
    others = sorted({config.method for config in recipe.adapters.values()} - {"full"})
    if others:
        problems.found.append(
            f"FSDP: shards what method full trains; found {', '.join(others)}, whose backbone is frozen, may be "
            "quantised and keeps neither gradients nor an optimiser's state: start it with torchrun"
        )
    if recipe.train.optimizer == "adafactor":
        problems.found.append("FSDP: train.optimizer: adafactor needs whole matrices; take adamw or sgd")
    if recipe.train.mixed_precision == "fp16":
        problems.found.append("FSDP: train.mixed_precision: fp16 scales each process's gradient apart; take bf16 or no")
    if not hasattr(_fsdp_module(), "set_gradient_divide_factor"):
        problems.found.append(f"FSDP: needs torch 2.8 or newer; found {torch.__version__}")
    problems.stop()


def shard(model: CoLearner) -> None:
    """Share the backbone's weights out, each layer's apart; the parameters are others from here on."""
    if not processes.sharded():
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    backbone = model.encoder.backbone
    mesh = init_device_mesh(backbone.device.type, (processes.count(),))
    for module in [*(backbone.layers or []), backbone.model]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    for module in _shards(model):
        module.set_gradient_divide_factor(1.0)  # the sum, as for everything else, not the mean
        module.set_force_sum_reduction_for_comms(True)
    model.encoder.sharded = True


@contextmanager
def whole(model: CoLearner) -> Iterator[None]:
    """Inside the block, which all processes enter, each holds all weights and may run the model alone."""
    with processes.listening():
        for module in _shards(model):
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()
    try:
        yield
    finally:
        for module in _shards(model):
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def gather(tensors: Tensors) -> Tensors:
    """Tensors as one process has them; all processes take part."""
    return {file: {name: _gathered(tensor) for name, tensor in held.items()} for file, held in tensors.items()}


def share(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's part of a tensor, which all have, where `like` is sharded; else the tensor."""
    if not is_shard(like) or tensor.shape != like.shape:  # an optimiser's counters are whole
        return tensor
    from torch.distributed.tensor import distribute_tensor

    parts: Any = like
    return distribute_tensor(tensor.to(parts.device), parts.device_mesh, parts.placements, src_data_rank=None)


def total_norm(gradients: list[Tensor]) -> Tensor:
    """The norm of the gradients together, sparse ones among them."""
    numbers = [gradient.coalesce().values() if gradient.is_sparse else gradient for gradient in gradients]
    norms = [_gathered(torch.nn.utils.get_total_norm(group)) for group in _alike(numbers)]
    return norms[0] if len(norms) == 1 else torch.nn.utils.get_total_norm(norms)


def clip(parameters: list[nn.Parameter], most: float, norm: Tensor) -> None:
    """Scale the gradients, whose norm together is `norm`, down to the norm `most`."""
    others = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad * (most / (norm + 1e-6)).clamp(max=1.0)
        else:
            others.append(parameter)
    for group in _alike(others):
        torch.nn.utils.clip_grads_with_norm_(group, most, norm)


def is_shard(tensor: Tensor) -> bool:
    """Whether this process holds only a part of it."""
    return hasattr(tensor, "full_tensor")


def _alike(tensors: list[Any]) -> list[list[Any]]:
    """Sharded and other tensors apart, since no operation takes both."""
    groups = [[t for t in tensors if is_shard(t) == sharded] for sharded in (True, False)]
    return [group for group in groups if group]


def _gathered(tensor: Any) -> Tensor:
    with processes.listening():
        full: Tensor = tensor.full_tensor() if is_shard(tensor) else tensor
    return full


def _shards(model: CoLearner) -> list[Any]:
    kind = _fsdp_module()
    return [module for module in model.encoder.backbone.model.modules() if isinstance(module, kind)]


def _fsdp_module() -> Any:
    from torch.distributed.fsdp import FSDPModule

    return FSDPModule
