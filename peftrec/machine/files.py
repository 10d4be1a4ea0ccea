"""Files that are on the disk when we say so: synced, listed with size and SHA-256; strict JSON; one word when full."""

import hashlib
import json
import math
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from peftrec.errors import UserError, first_line
from peftrec.machine.limits import no_room

MANIFEST = "manifest.json"
MOST_JSON = 1 << 28  # bytes of a JSON file; what it unpacks to is some ten times as large
DEEPEST = 64  # lists and objects inside each other in a JSON file
DEEPEST_FOLDER = 8  # parts of a listed name
READ = {".json", ".jsonl", ".parquet", ".safetensors", ".yaml"}  # endings of the files that we read


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
    """Write `manifest.json` over all other files, last; everything is on the disk when this returns.

    Whoever may read one file may read all: safetensors gives its own to their owner alone, and a service of another
    user, as a container's is, could not load the run.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        sync(path)
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }
    write_json(folder / MANIFEST, {"files": entries})
    mode = stat.S_IMODE((folder / MANIFEST).stat().st_mode)
    for path in files:
        if stat.S_IMODE(path.stat().st_mode) != mode:
            path.chmod(mode)
    sync(folder / MANIFEST)
    for directory in {path.parent for path in files} | {folder}:
        sync(directory)


def _read_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """File -> size and SHA-256, as `folder`'s manifest lists them. Raises UserError where it is not as written."""
    manifest = folder / MANIFEST
    try:
        listed = read_json(manifest)
        found = {name: (entry["bytes"], entry["sha256"]) for name, entry in listed["files"].items()}
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{manifest}: damaged: expected files, each with bytes and sha256") from None
    except UserError as error:
        raise UserError(f"{manifest}: damaged: {str(error).removeprefix(f'{manifest}: ')}") from None
    if manifest.read_text(encoding="utf-8") != _json_text(listed):
        raise UserError(f"{manifest}: damaged: not as it was written")
    for name, (size, digest) in found.items():
        if problem := _name_problem(name):
            raise UserError(f"{manifest}: damaged: it lists {name[:80]!r}: {problem}")
        if type(size) is not int or not isinstance(digest, str):
            raise UserError(f"{manifest}: damaged: {name}: bytes is a whole number, and sha256 a text")
    return found


def _name_problem(name: str) -> str | None:
    """Why a listed name is none of a file inside the folder; None: it is one."""
    parts = name.split("/")
    if {"", ".", ".."} & set(parts):
        return "a name leads from the folder down to a file"
    if not name.isprintable():
        return "a name holds letters that can be printed"
    if len(parts) > DEEPEST_FOLDER or max(len(os.fsencode(part)) for part in parts) > 255:
        return f"a name has at most {DEEPEST_FOLDER} parts, each of at most 255 bytes"
    return None


def find_damage(folder: Path) -> str | None:
    """The first thing in `folder` that is not as its manifest says, as a sentence; None: all is as it was written."""
    try:
        check_manifest(folder)
    except UserError as error:
        return str(error)
    return None


def check_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """What the manifest of `folder` lists, file -> size and SHA-256. Raises UserError for the first thing that is not
    as it says.

    Links, pipes and devices are refused and not opened. Nothing of the kinds that we read may be there unlisted, so
    whatever is read afterwards was held against the manifest; other files are no matter of ours.
    """
    if not os.path.lexists(folder / MANIFEST):
        raise UserError(f"{folder / MANIFEST}: missing")
    try:
        found = dict(_entries(folder, ""))
        for name, status in found.items():
            if not stat.S_ISREG(status.st_mode):
                raise UserError(
                    f"{folder / name}: neither file nor folder but a link, a pipe or a device, which is not opened"
                )
        expected = _read_manifest(folder)
        for name in sorted(found.keys() - expected.keys() - {MANIFEST}):
            if Path(name).suffix in READ:
                raise UserError(f"{folder / name}: {MANIFEST} does not list it")
        for name, (size, digest) in expected.items():
            path = folder / name
            if name not in found:
                raise UserError(f"{path}: missing, but {MANIFEST} lists it")
            if found[name].st_size != size:
                raise UserError(f"{path}: expected {size} bytes, found {found[name].st_size}")
            if (other := sha256(path)) != digest:
                raise UserError(f"{path}: expected SHA-256 {digest}, found {other}")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be read: {error.strerror}") from None
    return expected


def _entries(folder: Path, under: str) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of what is in a folder and its folders but the folders themselves; no link is followed."""
    for entry in os.scandir(folder):
        if not entry.is_dir(follow_symlinks=False):
            yield f"{under}{entry.name}", entry.stat(follow_symlinks=False)
        elif under.count("/") < DEEPEST_FOLDER:
            yield from _entries(Path(entry.path), f"{under}{entry.name}/")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Whatever goes wrong inside is one UserError that names `place`, a file or folder whoever made it.

    A message of ours that names it, or something in it, stays as it is.
    """
    try:
        yield
    except UserError as error:
        if str(place) in str(error):
            raise
        raise UserError(f"{place}: {error}") from None
    except Exception as error:
        raise UserError(f"{place}: cannot be read: {type(error).__name__}: {first_line(error)[:300]}") from error


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
    _write_whole(file, text.encode())


def _write_whole(file: Path, content: bytes) -> None:
    temporary = partial(file.with_name(f"{file.name}.{os.getpid()}"))
    try:
        temporary.write_bytes(content)
        sync(temporary)
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written, nothing can be removed
            temporary.unlink(missing_ok=True)
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def refuse_existing(folder: Path) -> None:
    """Raise UserError where a folder to be made exists: it is never written over."""
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already and is never written over; name another folder")


def refuse_output(file: Path) -> None:
    """Raise UserError where a file that the user named exists, which is never written over, or its folder does not;
    devices and pipes may."""
    if not file.parent.exists():
        raise UserError(f"{file}: cannot be written: No such file or directory")
    if file.is_dir():
        raise UserError(f"{file}: a folder; name the file to write")
    if file.is_file():
        raise UserError(f"{file}: exists already and is never written over; name another file")


def write_output(file: Path, content: str | bytes) -> None:
    """Write a file that the user named: a new one whole or not at all, a device or a pipe straight through.

    Of a link to nothing yet, what it points at is made. Raises UserError when it exists, or cannot be written.
    """
    refuse_output(file)
    content = content.encode() if isinstance(content, str) else content
    if not file.exists():
        _write_whole(file.resolve() if file.is_symlink() else file, content)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise UserError(f"{file}: cannot be written: {error.strerror}") from None


def write_json(path: Path, value: Any) -> None:
    """Write `value` as strict JSON (see `to_json`)."""
    path.write_text(_json_text(value), encoding="utf-8")


def _json_text(value: Any) -> str:
    return to_json(value) + "\n"


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises UserError naming it when it is missing, no file, too large or deep, or not JSON."""
    try:
        if not path.is_file():
            raise UserError(f"{path}: {'no file' if os.path.lexists(path) else 'no such file'}")
        if (size := path.stat().st_size) > MOST_JSON:
            raise UserError(f"{path}: {size:,} bytes are too many for JSON; at most {MOST_JSON:,}")
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=not_a_number, parse_float=finite)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except RecursionError:
        raise UserError(f"{path}: not JSON: nested more than {DEEPEST} deep") from None
    except UserError:
        raise
    except ValueError as error:  # not UTF-8, or not JSON
        raise UserError(f"{path}: not JSON: {error}") from None
    if is_deep(value):
        raise UserError(f"{path}: not JSON: nested more than {DEEPEST} deep")
    return value


def is_deep(value: Any) -> bool:
    """Whether a value of JSON has more than DEEPEST lists and objects inside each other."""
    level = [value]
    for _ in range(DEEPEST):
        lists = [of.values() if isinstance(of, dict) else of for of in level if isinstance(of, dict | list)]
        level = [one for of in lists for one in of]
    return bool(level)


def finite(number: str) -> float:
    """For `parse_float` of JSON's reader, which else takes 1e999 for infinity. Raises ValueError."""
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{number[:40]} is too large a number")
    return value


def not_a_number(name: str) -> Any:
    """For `parse_constant` of JSON's reader, which else takes NaN and Infinity. Raises ValueError."""
    raise ValueError(f"{name} is no number of JSON's")
