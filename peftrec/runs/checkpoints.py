"""Checkpoints of a run that is being trained: a folder a step, complete and verified or not there at all.

step-<number>/   *.safetensors, *.json, manifest.json with the SHA-256 of each, written last
"""

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from peftrec.errors import UserError
from peftrec.machine.files import (
    MANIFEST,
    find_damage,
    new_folder,
    partial,
    read_json,
    sync,
    write_json,
    write_manifest,
)
from peftrec.machine.tensors import finite, write_tensors

Tensors = dict[str, dict[str, Tensor]]  # file, without its ending -> the tensors in it by name


def _folder(run: Path) -> Path:
    return partial(run) / "checkpoints"


def checkpoint_folders(run: Path) -> list[Path]:
    """The checkpoints of an unfinished `run`, oldest first, verified or not."""
    return sorted(_folder(run).glob("step-*"))


def step_of(checkpoint: Path) -> int:
    """How many optimiser steps were done when the checkpoint was written."""
    return int(checkpoint.name.removeprefix("step-"))


def newest_checkpoint(run: Path) -> tuple[Path | None, list[str]]:
    """The newest checkpoint whose every file is as it was written, and why newer ones were skipped.

    None when there is no checkpoint yet. Raises UserError when there are some and all are damaged.
    """
    skipped: list[str] = []
    for folder in reversed(checkpoint_folders(run)):
        damage = find_damage(folder)
        if damage is None:
            return folder, skipped
        skipped.append(f"skipped the checkpoint of step {step_of(folder)}: {damage}")
    if skipped:
        raise UserError(
            "\n".join([*skipped, f"no checkpoint of {run} is intact; delete {partial(run)} to start again"])
        )
    return None, []


def read_checkpoint(folder: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the plain values (by file) of a checkpoint."""
    tensors = {
        path.relative_to(folder).with_suffix("").as_posix(): load_file(path) for path in folder.rglob("*.safetensors")
    }
    return tensors, {path.stem: read_json(path) for path in folder.glob("*.json") if path.name != MANIFEST}


def write_checkpoint(run: Path, step: int, tensors: Tensors, values: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint and verify it; then delete all but the newest `keep`. Returns its folder.

    `values` are plain values by file. Raises UserError, with the earlier checkpoints intact, when a trained number is
    not finite, the disk is full, or what was read back is not what was written.
    """
    for file, held in tensors.items():
        for name, tensor in held.items():
            if not finite(tensor):
                raise UserError(
                    f"step {step}: {file}: {name} holds numbers that are not finite, so no checkpoint is written; "
                    "lower train.lr"
                )
    folder = _folder(run) / f"step-{step:09d}"
    temporary = partial(folder)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process that was killed while it wrote
    with new_folder(folder, temporary):
        for file, held in tensors.items():
            path = temporary / f"{file}.safetensors"
            path.parent.mkdir(exist_ok=True)
            write_tensors(path, held)
        for file, value in values.items():
            write_json(temporary / f"{file}.json", value)
        write_manifest(temporary)
        if damage := find_damage(temporary):
            raise UserError(f"{damage}; what was just written reads back differently: the disk is failing")
        for later in [old for old in checkpoint_folders(run) if step_of(old) >= step]:
            shutil.rmtree(later)  # damaged ones, which resuming skipped
    for made in (partial(run), run.parent):  # they list what this training, or its first checkpoint, made
        sync(made)
    for old in checkpoint_folders(run)[:-keep]:
        shutil.rmtree(old)
    return folder
