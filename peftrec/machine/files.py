"""Files that are on the disk when we say so: synced, listed with size and SHA-256; strict JSON; one word when full."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from peftrec.errors import UserError
from peftrec.machine.limits import no_room

MANIFEST = "manifest.json"


def partial(path: Path) -> Path:
    """Where `path` is prepared before it exists: a hidden sibling, so that one rename puts it in place."""
    return path.parent / f".{path.name}.partial"


def sync(path: Path) -> None:
    """Force a file's or a directory's data to the disk: errors such as a full disk may only show here."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: Path) -> None:
    """Write `manifest.json` over all other files, last; everything is on the disk when this returns."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        sync(path)
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }
    write_json(folder / MANIFEST, {"files": entries})
    sync(folder / MANIFEST)
    for directory in {path.parent for path in files} | {folder}:
        sync(directory)


def find_damage(folder: Path) -> str | None:
    """The first thing in `folder` that is not as its manifest says, as a sentence; None: all is as it was written."""
    manifest = folder / MANIFEST
    try:
        text = manifest.read_text(encoding="utf-8")
        listed = json.loads(text)
        expected = {name: (entry["bytes"], entry["sha256"]) for name, entry in listed["files"].items()}
    except FileNotFoundError:
        return f"{manifest}: missing"
    except ValueError as error:  # not UTF-8, or not JSON
        return f"{manifest}: not valid JSON: {error}"
    except (AttributeError, KeyError, TypeError):
        return f"{manifest}: damaged: expected files, each with bytes and sha256"
    if text != _json_text(listed):
        return f"{manifest}: damaged: not as it was written"
    for name, (size, digest) in expected.items():
        path = folder / name
        if not path.is_file():
            return f"{path}: missing, but {MANIFEST} lists it"
        if (found := path.stat().st_size) != size:
            return f"{path}: expected {size} bytes, found {found}"
        if (other := sha256(path)) != digest:
            return f"{path}: expected SHA-256 {digest}, found {other}"
    return None


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(folder: Path, temporary: Path) -> Iterator[Path]:
    """`temporary`, new and empty; leaving the block makes it `folder` in one rename.

    Whatever goes wrong inside (an error, an interruption, a full disk) removes it. Raises UserError when it cannot be
    made, when the disk is full, and when `folder` appeared meanwhile: the finished work then stays in `temporary`.
    """
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
    except OSError as error:
        remedy = "delete it, or name" if isinstance(error, FileExistsError) else "name"
        raise UserError(f"{temporary}: cannot be made: {error.strerror}; {remedy} another folder") from None
    finished = False
    try:
        yield temporary
        finished = True
        _rename(temporary, folder)
    except (OSError, SafetensorError) as error:
        limit = no_room(error, temporary)
        if limit is None:
            raise
        what, remedy = limit
        written = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
        raise UserError(
            f"{folder}: {what} after {written / 1e6:.1f} MB; {remedy}, or name a folder on another disk"
        ) from error
    finally:
        if not finished:
            shutil.rmtree(temporary, ignore_errors=True)


def _rename(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:  # somebody made the folder meanwhile: keep the finished work
        raise UserError(
            f"{folder}: appeared meanwhile ({error.strerror}); the finished work is in {temporary}: rename that folder"
        ) from None
    sync(folder.parent)


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
    """Write a text file whole or not at all, over an existing one. Raises UserError when it cannot be written.

    Several processes may do so at once: the last one's text stays.
    """
    temporary = partial(file.with_name(f"{file.name}.{os.getpid()}"))
    try:
        temporary.write_text(text, encoding="utf-8")
        sync(temporary)
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed
            temporary.unlink(missing_ok=True)
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def refuse_output(file: Path) -> None:
    """Raise UserError where a file that the user named exists, which is never written over; devices and pipes may."""
    if file.is_dir():
        raise UserError(f"{file}: a folder; name the file to write")
    if file.is_file():
        raise UserError(f"{file}: exists already and is never written over; name another file")


def write_output(file: Path, text: str) -> None:
    """Write a text file that the user named: a new one whole or not at all, a device or a pipe straight through.

    Of a link to nothing yet, what it points at is made. Raises UserError when it exists, or cannot be written.
    """
    refuse_output(file)
    if not file.exists():
        write_text(file.resolve() if file.is_symlink() else file, text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as strict JSON (see `to_json`)."""
    path.write_text(_json_text(value), encoding="utf-8")


def _json_text(value: Any) -> str:
    return to_json(value) + "\n"


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises UserError naming it when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(f"{path}: not JSON: {error}") from None
