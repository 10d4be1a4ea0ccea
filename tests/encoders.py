"""Adapted encoders over tiny random backbones, for the tests of methods."""

from pathlib import Path

import numpy as np
import torch

from peftrec.adapters import attach
from peftrec.adapters.base import LayerAdapter
from peftrec.adapters.encoder import AdaptedEncoder
from peftrec.backbone import Backbone
from peftrec.data.texts import TextTable
from peftrec.recipe import AdapterConfig

TEXTS = ["w1 w2 w3 w4 w5 w6 w7 w8 w9", "w13", "w2 w14 w3 w15", "w20 w21 w22 w23 w24 w25", "w5 w4 w3", "w9 w30"]
ROWS = np.arange(len(TEXTS))


def configured(method: str, sharing: str = "private", layers: str | list[int] = "top-2", **options) -> AdapterConfig:
    return AdapterConfig(method=method, sharing=sharing, layers=layers, options=options)


def make_encoder(backbone: Backbone, configs: dict[str, AdapterConfig], recompute: bool = False) -> AdaptedEncoder:
    """In eval mode, so without dropout; every text is in the caches."""
    texts = TextTable()
    for text in TEXTS:
        texts.add(text)
    torch.manual_seed(0)
    encoder = AdaptedEncoder(backbone, texts, attach(backbone, configs), recompute=recompute)
    encoder.update()
    return encoder.eval()


def parameters(encoder: AdaptedEncoder) -> dict[str, torch.nn.Parameter]:
    return {
        f"{owner}/{name}": parameter
        for owner, held in encoder.parameters_by_owner().items()
        for name, parameter in held.items()
    }


def perturb(encoder: AdaptedEncoder, seed: int = 1, scale: float = 0.05) -> None:
    """Away from the start, where many methods do nothing and many gradients vanish."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters(encoder).values():
            parameter.add_((torch.randn(parameter.shape, generator=generator) * scale).to(parameter))


def vectors(encoder: AdaptedEncoder, task: str) -> torch.Tensor:
    with torch.no_grad():
        return encoder.encode(ROWS, task)


def hidden(encoder: AdaptedEncoder, task: str | None) -> torch.Tensor:
    """Token states of all texts with the task's modules, through all layers, zero where padded."""
    ids, mask, types = encoder.texts.pad(ROWS)
    encoder.activate(task)
    with torch.no_grad():
        adapter = None if task is None else encoder.adapter_of(task)
        if isinstance(adapter, LayerAdapter):
            states = adapter.run(task, ids, mask, types, None, 0)
        else:
            states = encoder.backbone.run(ids, mask, types)
    encoder.activate(None)
    return states * mask[..., None]


def plain_hidden(encoder: AdaptedEncoder, model: torch.nn.Module, folder: Path) -> torch.Tensor:
    """The same by PEFT alone: its PeftModel around a plain model of equal weights, from an adapter's folder."""
    from peft import PeftModel

    ids, mask, types = encoder.texts.pad(ROWS)
    loaded = PeftModel.from_pretrained(model, str(folder)).eval()
    with torch.no_grad():
        states = loaded(**encoder.backbone.arguments(ids, mask, types)).last_hidden_state
    return states * mask[..., None]


def save_all(encoder: AdaptedEncoder, tasks: list[str], folder: Path) -> None:
    for task in tasks:
        encoder.adapter_of(task).save(task, folder / task)


def rebuilt(backbone: Backbone, configs: dict[str, AdapterConfig], folder: Path) -> AdaptedEncoder:
    """From what `save_all` wrote, as a run is loaded: the files hold shared and private parts composed."""
    sharing = {task: "shared" if config.sharing == "shared" else "private" for task, config in configs.items()}
    encoder = make_encoder(
        backbone, {task: config.model_copy(update={"sharing": sharing[task]}) for task, config in configs.items()}
    )
    done = set()
    for task in configs:
        for owner in encoder.adapter_of(task).owners_of(task):
            if owner not in done:
                encoder.adapter_of(task).load(owner, folder / task)
                done.add(owner)
    return encoder.eval()


def task_losses(encoder: AdaptedEncoder, tasks: list[str], rows: np.ndarray = ROWS) -> list[torch.Tensor]:
    """A different smooth function of the vectors for every task, summed over rows."""
    return [((number + 1) * encoder.encode(rows, task).tanh().pow(2)).sum() for number, task in enumerate(tasks)]


def gradients(encoder: AdaptedEncoder) -> dict[str, torch.Tensor]:
    """And clear them; zeros where there are none."""
    found = {}
    for name, parameter in parameters(encoder).items():
        found[name] = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        parameter.grad = None
    return found
