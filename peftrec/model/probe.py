"""The probe: whether a method works on a kind of backbone and a quantisation, found by trying it on tiny random models.

A method works when the gradient reaches every task's and the shared weights, an adapter's weights change its task's
output and no other task's, a saved adapter reloaded gives the same output, and plain PEFT, where it has the method,
computes that output too. What a probe finds wrong is the reason why training is refused.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from peftrec.data.texts import TextTable
from peftrec.errors import UserError, first_line
from peftrec.machine.draws import seed_all
from peftrec.machine.limits import no_room
from peftrec.machine.progress import bar
from peftrec.model.adapters import METHODS, attach
from peftrec.model.adapters.base import as_saved
from peftrec.model.adapters.peft import peft_methods
from peftrec.model.backbone import Backbone, architecture
from peftrec.model.backbone.families import FAMILIES, QUANTIZATIONS, random_backbone, shrink, tiny_backbone
from peftrec.model.encoder import AdaptedEncoder
from peftrec.recipe import AdapterConfig, Sharing

TASKS = ["one", "two"]
TEXTS = ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12", "w13", "w2 w14 w3 w15 w16 w17"]
# Of the largest number of a vector. For what is saved and loaded again, a layer: a composed adapter adds up in another
# order, and every layer carries that on.
TOLERANCE = 1e-5
WIDTH = 256  # of an unknown architecture's tiny model: methods' default ranks and block sizes fit
# Sharing -> what a method cannot do that works with it but not with those before.
SHARINGS: dict[Sharing, str] = {
    "shared+private": "",
    "private": "only with sharing: shared or private",
    "shared": "only with sharing: shared",
}
INT8_TOLERANCE = 0.05  # activations are rounded to 8 bits: what differs by 1e-7 may be rounded to neighbours


class ProbeFailure(Exception):
    """What went wrong, as a clause after 'on this backbone'."""


class NoTemporary(UserError):
    """The probe has nowhere to save an adapter to, which says nothing of the method."""


def probe_method(make: Callable[[], Backbone], config: AdapterConfig) -> None:
    """Try a method on two tasks. Raises UserError or ProbeFailure with the reason why it does not work.

    `make` gives a fresh backbone, equal each time.
    """
    with torch.random.fork_rng(devices=[]), _temporary() as folder:
        seed_all(0)
        encoder = _encoder(make(), config, TASKS)
        _check_gradients(encoder)
        expected = _check_outputs(encoder)[TASKS[0]]
        encoder.adapter_of(TASKS[0]).save(TASKS[0], folder)
        again = _check_reload(expected, config, make(), folder)
        _check_plain(expected, again, folder)


@contextmanager
def _temporary() -> Iterator[Path]:
    """A folder for the block. Raises NoTemporary where it cannot be made, or takes no more."""
    try:
        made = tempfile.TemporaryDirectory()
    except OSError as error:
        raise NoTemporary(f"no folder for temporary files: {error.strerror}; let TMPDIR name one") from None
    with made as folder:
        try:
            yield Path(folder)
        except (OSError, SafetensorError) as error:
            limit = no_room(error, Path(folder))
            if limit is None:
                raise
            what, remedy = limit
            message = f"{tempfile.gettempdir()}: {what}; {remedy}, or let TMPDIR name a folder on another disk"
            raise NoTemporary(message) from error


def _encoder(backbone: Backbone, config: AdapterConfig, tasks: list[str]) -> AdaptedEncoder:
    texts = TextTable()
    for text in TEXTS:
        texts.add(text)
    encoder = AdaptedEncoder(backbone, texts, attach(backbone, dict.fromkeys(tasks, config)))
    encoder.update()
    return encoder.eval()


def _vectors(encoder: AdaptedEncoder, task: str) -> Tensor:
    return encoder.encode(np.arange(len(TEXTS)), task)


@torch.no_grad()
def _outputs(encoder: AdaptedEncoder) -> dict[str, Tensor]:
    return {task: _vectors(encoder, task) for task in TASKS}


@torch.no_grad()
def _move(parameters: Iterable[Tensor]) -> None:
    for parameter in parameters:
        parameter.add_(0.1 * torch.randn_like(parameter))


def _check_gradients(encoder: AdaptedEncoder) -> None:
    """A joint backward pass reaches every owner's weights; if not at one random place (dead ReLUs), then at another."""
    owners = encoder.parameters_by_owner()
    trained = {(owner, name): p for owner, parameters in owners.items() for name, p in parameters.items()}
    start = {key: p.detach().clone() for key, p in trained.items()}
    reached: set[tuple[str, str]] = set()
    for _ in range(8):
        if reached == trained.keys():
            return
        with torch.no_grad():
            for key, parameter in trained.items():
                # Not where training starts: what is zero there hides the gradient of what it is multiplied with.
                parameter.copy_(start[key] + 0.2 * torch.randn_like(parameter))
        vectors = [_vectors(encoder, task) for task in TASKS]
        torch.stack([(v * torch.randn_like(v)).sum() for v in vectors]).sum().backward()
        reached |= {key for key, p in trained.items() if p.grad is not None and p.grad.any()}
    for owner in owners:
        without = [name for of, name in trained if of == owner and (of, name) not in reached]
        if without:
            some = ", ".join(without[:2]) + (f" and {len(without) - 2} more" if len(without) > 2 else "")
            raise ProbeFailure(f"no gradient reaches {some}")


def _check_outputs(encoder: AdaptedEncoder) -> dict[str, Tensor]:
    """Each owner's weights change the outputs of the tasks they belong to, and of no other. Returns the outputs."""
    before = _outputs(encoder)
    for owner, parameters in encoder.parameters_by_owner().items():
        _move(parameters.values())
        after = _outputs(encoder)
        for task in TASKS:
            concerned = owner in encoder.adapter_of(task).owners_of(task)
            if concerned and torch.allclose(before[task], after[task], atol=TOLERANCE):
                raise ProbeFailure("its weights do not change the output")
            if not concerned and not torch.equal(before[task], after[task]):
                raise ProbeFailure("one task's weights change another task's output")
        before = after
    return before


@torch.no_grad()
def _check_reload(expected: Tensor, config: AdapterConfig, backbone: Backbone, folder: Path) -> AdaptedEncoder:
    """A fresh backbone with the saved adapter gives the same vectors."""
    task = TASKS[0]
    again = _encoder(backbone, as_saved(config), [task])
    again.load({task: folder})
    again.eval()  # loading made new layers, whose dropout is on
    if not _close(_vectors(again, task), expected, backbone):
        raise ProbeFailure("a saved adapter, reloaded, gives another output")
    return again


@torch.no_grad()
def _check_plain(expected: Tensor, encoder: AdaptedEncoder, folder: Path) -> None:
    """PEFT alone, on the plain backbone, computes the same vectors from the folder, if the adapter's type is PEFT's."""
    kind = json.loads((folder / "adapter_config.json").read_text())["peft_type"]
    if kind.startswith("PEFTREC_"):  # importing PEFT, with bitsandbytes, takes 110 MB
        return
    from peft import PeftModel, PeftType

    if kind not in PeftType.__members__:
        return
    backbone = encoder.backbone
    # PEFT takes the model's dtype from its first table, which Transformers alone does not hold in 16 bits.
    table = backbone.model.get_input_embeddings()
    table.weight.data = table.weight.data.to(backbone.dtype)
    ids, mask, types = encoder.texts.pad(np.arange(len(TEXTS)))
    plain = PeftModel.from_pretrained(backbone.model, str(folder)).eval()
    states = plain(**backbone.arguments(ids, mask, types)).last_hidden_state
    if not _close(backbone.pool(states, mask), expected, backbone):
        raise ProbeFailure("plain PEFT computes another output from the saved adapter")


def _close(found: Tensor, expected: Tensor, backbone: Backbone) -> bool:
    tolerance = INT8_TOLERANCE if backbone.config.quantize == "int8" else TOLERANCE * backbone.num_layers
    return torch.allclose(found, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


_PASSED: set[str] = set()  # methods and backbones that this process has probed already


def check_method(config: AdapterConfig, backbone: Backbone) -> None:
    """Probe a method on a tiny random model of the backbone's architecture, depth and quantisation; takes seconds.

    Raises UserError with the reason where it does not work. Options that do not fit the tiny widths are no reason:
    attaching the method to the backbone itself judges them.
    """
    key = f"{config.model_dump_json()} {backbone.digest}"
    if key in _PASSED:
        return
    tiny, given = shrink(backbone.model.config, WIDTH), backbone.config
    options = given.model_dump(include={"quantize", "double_quant", "pooling", "max_length"})
    try:
        probe_method(lambda: random_backbone(tiny, given.name, **options), config)
    except NoTemporary:
        raise
    except UserError:
        return
    except Exception as error:
        raise UserError(f"adapter.method: {config.method} does not work on {given.name}: {_reason(error)}") from error
    _PASSED.add(key)


def method_matrix(backbone: str | None = None, families: Iterable[str] = FAMILIES) -> list[dict[str, Any]]:
    """Every method on every family and quantisation; or on one backbone, then with every other PEFT method too.

    Rows are {method, family, quantize, ok, reason}. A method that works counts whatever sharing it can do; what it
    cannot do is then the reason.
    """
    methods = list(METHODS)
    makers: dict[str, Callable[[str | None], Backbone]]
    makers = {family: partial(tiny_backbone, family, pooling="mean") for family in families}
    if backbone is not None:
        methods += [name for name in peft_methods() if name not in METHODS]
        tiny = shrink(architecture(backbone), WIDTH, layers=2)
        makers = {backbone: lambda quantize: random_backbone(tiny, backbone, **QUANTIZATIONS[quantize])}
    rows = []
    cells = list(product(methods, makers, QUANTIZATIONS))
    with bar(len(cells), "probing", "cells") as shown:
        for method, family, quantize in cells:
            ok, reason = _try_sharings(partial(makers[family], quantize), method)
            rows.append({"method": method, "family": family, "quantize": quantize, "ok": ok, "reason": reason})
            shown.update()
    return rows


def _try_sharings(make: Callable[[], Backbone], method: str) -> tuple[bool, str]:
    """Whether the method works, with the widest sharing it can do, and why not or what it cannot share."""
    for sharing, limit in SHARINGS.items():
        try:
            probe_method(make, AdapterConfig(method=method, sharing=sharing))
        except NoTemporary:
            raise
        except UserError as error:
            refused = _reason(error)
            if not str(error).startswith("adapter.sharing"):
                break
        except Exception as error:  # whatever goes wrong in other libraries, the method does not work here
            refused = _reason(error)
            break
        else:
            return True, limit
    return False, refused


def _reason(error: Exception) -> str:
    first = first_line(error)
    if isinstance(error, UserError | ProbeFailure):
        return re.sub(r"^adapter[.\w]*: ", "", first)  # the recipe's key says nothing here
    return f"{type(error).__name__}: {first}"
