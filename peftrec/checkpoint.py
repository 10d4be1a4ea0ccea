"""The only reader and writer of a run folder: written whole or not at all, and checked before it is read.

A run is written into a hidden sibling (`.NAME.partial`) that also reserves the name. Only when every file is on the
disk and `manifest.json` lists its size and SHA-256 does one rename make it a run. Tensors are safetensors; nothing is
pickled.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from peftrec.recipe import UserError

MANIFEST = "manifest.json"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def _partial(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.partial"


def new_run_folder(name: str, explicit: Path | None = None, runs: Path = Path("runs")) -> Path:
    """The folder a new run will get: `explicit`, or the next free `runs/<name>-<number>`, numbers from 1.

    Nothing is created. Raises UserError when `explicit` exists: a run is never written over.
    """
    if explicit is not None:
        _refuse_existing(explicit)
        return explicit
    pattern = re.compile(rf"\.?{re.escape(name)}-(\d+)(\.partial)?")
    taken = [pattern.fullmatch(entry.name) for entry in runs.iterdir()] if runs.is_dir() else []
    return runs / f"{name}-{1 + max((int(match[1]) for match in taken if match), default=0)}"


@contextmanager
def write_run(folder: Path) -> Iterator[Path]:
    """A temporary folder to write a run's files into; leaving the block makes it the run `folder`.

    Open it before the training: it reserves the name, and a place that is not writable shows at once. Whatever goes
    wrong inside (an error, an interruption, a full disk) removes the temporary folder, so nothing is left that looks
    like a run. Raises UserError when the name is taken, the place is not writable, or the disk is full.
    """
    with _new_folder(folder) as temporary:
        yield temporary
        _write_manifest(temporary)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    temporary = _reserve(folder)
    finished = False
    try:
        yield temporary
        finished = True
        _rename(temporary, folder)
    except (OSError, SafetensorError) as error:
        if _is_full(error, temporary):
            raise UserError(_full_message(folder, temporary)) from error
        raise
    finally:
        if not finished:
            shutil.rmtree(temporary, ignore_errors=True)


def _reserve(folder: Path) -> Path:
    _refuse_existing(folder)
    temporary = _partial(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(temporary):
            raise UserError(
                f"{temporary}: exists, so another process is writing {folder} or was killed while it did; "
                "name another folder, or delete this one if none is running"
            )
        temporary.mkdir()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}; name another folder") from None
    return temporary


def _refuse_existing(folder: Path) -> None:
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already and is never written over; name another folder")


def _write_manifest(folder: Path) -> None:
    """Write `manifest.json` over all other files, last; everything is on the disk when this returns."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        _sync(path)
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in files
    }
    write_json(folder / MANIFEST, {"files": entries})
    _sync(folder / MANIFEST)
    for directory in {path.parent for path in files} | {folder}:
        _sync(directory)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:  # somebody made the folder meanwhile: keep the finished work
        raise UserError(
            f"{folder}: appeared meanwhile ({error.strerror}); the finished work is in {temporary}: rename that folder"
        ) from None
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Force a file's or a directory's data to the disk: errors such as a full disk may only show here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_full(error: OSError | SafetensorError, temporary: Path) -> bool:
    """Whether the disk under `temporary` is full; safetensors' errors carry the number in their text only."""
    if isinstance(error, SafetensorError):
        found = re.search(r"os error (\d+)", str(error))
        return found is not None and int(found[1]) in _NO_SPACE
    here = error.filename is None or Path(str(error.filename)).resolve().is_relative_to(temporary.resolve())
    return error.errno in _NO_SPACE and here


def _full_message(folder: Path, temporary: Path) -> str:
    written = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
    free = shutil.disk_usage(temporary).free
    return (
        f"{folder}: the disk is full, or a quota is used up, after {written / 1e6:.1f} MB ({free / 1e6:.1f} MB free); "
        "nothing is kept; free some space, or name a folder on another disk"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_run(folder: Path) -> None:
    """Check every file of a run against its manifest. Raises UserError naming the file, expected and found."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such run folder; `peftrec train` makes one and prints its name")
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: not a finished run: {MANIFEST} is missing")
    manifest = read_json(folder / MANIFEST)
    try:
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{folder / MANIFEST}: damaged: expected files, each with bytes and sha256") from None
    remedy = "the run is damaged; restore the file from a copy, or train again"
    for name, (size, digest) in expected.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing, but {MANIFEST} lists it; {remedy}")
        if (found := path.stat().st_size) != size:
            raise UserError(f"{path}: expected {size} bytes, found {found}; {remedy}")
        if (sha256 := _sha256(path)) != digest:
            raise UserError(f"{path}: expected SHA-256 {digest}, found {sha256}; {remedy}")


def to_json(value: Any, indent: int | None = 2) -> str:
    """Strict JSON: NaN and infinities (a metric that is not defined) become null, NumPy values plain ones."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, tensors
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(file: Path, text: str) -> None:
    """Write a text file whole or not at all, over an existing one. Raises UserError when it cannot be written."""
    temporary = _partial(file)
    try:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as strict JSON (see `to_json`)."""
    path.write_text(to_json(value) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises UserError naming it when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(f"{path}: not valid JSON: {error}") from None


def read_report(run: Path) -> dict[str, Any]:
    """The `report.json` of a verified run: tasks, cost, environment."""
    verify_run(run)
    return dict(read_json(run / "report.json"))


def export_adapter(run: Path, task: str, output: Path) -> Path:
    """Copy a task's adapter, complete as it is in the run, to the new folder `output`, for plain PEFT to load.

    Raises UserError when the run has no such task, its method is none of PEFT's, or `output` exists.
    """
    verify_run(run)
    adapters = run / "adapters"
    source = adapters / task
    if "/" in task or not (source / "adapter_config.json").is_file():
        known = sorted(path.parent.name for path in adapters.glob("*/adapter_config.json"))
        raise UserError(f"{run}: no adapter of a task {task!r}; tasks with one: {', '.join(known) or 'none'}")
    # Methods of our own say PEFTREC_..., so that PEFT refuses their folders rather than misreads them.
    if read_json(source / "adapter_config.json").get("peft_type", "PEFTREC").startswith("PEFTREC"):
        raise UserError(f"{source}: its method is none of PEFT's, so PEFT cannot load it; use peftrec.Predictor")
    with _new_folder(output) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
    return output
