"""Adapted encoders over tiny random backbones, for the tests of methods."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from peftrec.data.texts import TextTable
from peftrec.machine.draws import seed_all
from peftrec.model.adapters import attach
from peftrec.model.adapters.base import LayerAdapter, as_saved
from peftrec.model.backbone import Backbone
from peftrec.model.encoder import AdaptedEncoder
from peftrec.recipe import AdapterConfig

TEXTS = ["w1 w2 w3 w4 w5 w6 w7 w8 w9", "w13", "w2 w14 w3 w15", "w20 w21 w22 w23 w24 w25", "w5 w4 w3", "w9 w30"]
ROWS = np.arange(len(TEXTS))


def configured(method: str, sharing: str = "private", layers: str | list[int] = "top-2", **options) -> AdapterConfig:
    return AdapterConfig(method=method, sharing=sharing, layers=layers, options=options)


def make_encoder(
    backbone: Backbone, configs: dict[str, AdapterConfig], recompute: bool = False, filled: bool = False
) -> AdaptedEncoder:
    """In eval mode, so without dropout; every text is in the caches."""
    texts = TextTable()
    for text in TEXTS:
        texts.add(text)
    seed_all(0)
    encoder = AdaptedEncoder(backbone, texts, attach(backbone, configs, filled), recompute=recompute)
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
    with torch.no_grad(), nullcontext() if task is None else encoder.active(task):
        adapter = None if task is None else encoder.adapter_of(task)
        if isinstance(adapter, LayerAdapter):
            states = adapter.run(task, ids, mask, types, None, 0)
        else:
            states = encoder.backbone.run(ids, mask, types)
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
    encoder = make_encoder(backbone, {task: as_saved(config) for task, config in configs.items()}, filled=True)
    encoder.load({task: folder / task for task in configs})
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


def check_joint_gradient(encoder: AdaptedEncoder, tasks: list[str], sharing: str) -> None:
    """The gradient of all tasks' losses together is the sum of each task's own, accumulated over parts of the rows."""
    perturb(encoder)
    torch.stack(task_losses(encoder, tasks)).sum().backward()
    joint = gradients(encoder)
    total = {name: torch.zeros_like(g) for name, g in joint.items()}
    for number in range(len(tasks)):
        for rows in (ROWS[:2], ROWS[2:]):
            task_losses(encoder, tasks, rows)[number].backward()
        for name, gradient in gradients(encoder).items():
            total[name] += gradient
    owners = {name.split("/")[0] for name in joint}
    assert owners == {"shared": {"shared"}, "private": {*tasks}, "shared+private": {"shared", *tasks}}[sharing]
    largest = max(float(gradient.abs().max()) for gradient in joint.values())
    for name, gradient in joint.items():
        assert gradient.any(), f"no gradient reaches {name}"
        assert float((gradient - total[name]).abs().max()) <= 1e-6 * max(1.0, largest), name


def check_one_task_alone(encoder: AdaptedEncoder, tasks: list[str], sharing: str) -> None:
    """Training the second task changes its own and the shared weights, and no other task's."""
    before, values = {t: vectors(encoder, t) for t in tasks}, {n: p.clone() for n, p in parameters(encoder).items()}
    optimizer = torch.optim.AdamW(parameters(encoder).values(), lr=0.01)
    task_losses(encoder, tasks)[1].backward()
    optimizer.step()
    others = [task for task in tasks if task != tasks[1]]
    for name, parameter in parameters(encoder).items():
        assert torch.equal(parameter, values[name]) is (name.split("/")[0] in others), name
    assert not torch.equal(vectors(encoder, tasks[1]), before[tasks[1]])
    assert torch.equal(vectors(encoder, tasks[0]), before[tasks[0]]) is (sharing == "private")
