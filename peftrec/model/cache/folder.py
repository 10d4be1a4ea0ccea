"""All keys on disk: how large they may grow together, which go first.

PEFTREC_CACHE_GB   the most that the folder (`machine.caching`) may hold, in GB (1e9 bytes); default: 20
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peftrec.errors import UserError, shown
from peftrec.machine.caching import cache_root
from peftrec.model.cache.described import read_description
from peftrec.model.cache.owned import open_own, own_folder, own_root
from peftrec.model.cache.store import ENTRY

DEFAULT_GB = 20.0
_REMOVED = ".removed-"


def limit_bytes() -> int:
    """How large the folder may grow. Raises UserError for a PEFTREC_CACHE_GB that is no number from 0."""
    given = os.environ.get("PEFTREC_CACHE_GB") or str(DEFAULT_GB)
    try:
        limit = float(given)
        if not 0 <= limit < 1e9:
            raise ValueError
    except ValueError:
        raise UserError(f"PEFTREC_CACHE_GB must be a number of GB, 0 or more; found {shown(given)}") from None
    return int(limit * 1e9)


@dataclass(frozen=True)
class Key:
    """One key on disk: the states of some texts under one backbone, level and so on (`what`, from its key.json)."""

    folder: Path
    what: dict[str, Any]
    texts: int
    bytes: int
    used: float  # seconds since 1970


def list_keys() -> list[Key]:
    """Every key of this user, the most recently used first. Raises OSError where the folder cannot be used."""
    root, found = cache_root(), []
    if not os.path.lexists(root):
        return []
    with own_root(root) as opened:
        names = [name for name in os.listdir(opened) if not name.startswith(".")]
    for name in names:
        with suppress(OSError):  # another process removes it just now; or it is no key, and then left alone
            if (key := _read_key(root / name)) is not None:
                found.append(key)
    return sorted(found, key=lambda key: -key.used)


def _read_key(folder: Path) -> Key | None:
    with own_folder(folder) as opened:
        what = read_description(folder, opened)
        files = {name: os.stat(name, dir_fd=opened, follow_symlinks=False) for name in os.listdir(opened)}
    if what is None or not all(name in files and stat.S_ISREG(files[name].st_mode) for name in ("index", "use")):
        return None
    size = sum(file.st_size for file in files.values())
    return Key(folder, what, files["index"].st_size // ENTRY.itemsize, size, files["use"].st_mtime)


def describe_keys() -> list[dict[str, Any]]:
    """The keys as plain values, for the command line. Raises UserError where the folder cannot be used."""
    with _refused():
        keys = list_keys()
    return [
        {
            "key": key.folder.name,
            "backbone": key.what["name"],
            "level": key.what["level"] + (f" {key.what['layer']}" if key.what["level"] == "layer" else ""),
            "texts": key.texts,
            "megabytes": key.bytes / 1e6,
            "last_used": datetime.fromtimestamp(key.used, UTC).isoformat(timespec="seconds"),
        }
        for key in keys
    ]


def make_room(needed: int, keep: Path) -> str | None:
    """Remove keys, the least recently used first, until `needed` bytes more stay within the limit.

    Keys in use, and `keep`, stay. Returns None, or why there is no room. Raises OSError.
    """
    limit, keys = limit_bytes(), list_keys()
    _sweep()
    held = sum(key.bytes for key in keys)
    for key in reversed(keys):
        if held + needed <= limit:
            break
        if key.folder != keep and _remove(key.folder):
            held -= key.bytes
    if held + needed > limit:
        return (
            f"{needed / 1e9:.3g} GB more would exceed the cache's limit of {limit / 1e9:.3g} GB "
            f"({held / 1e9:.3g} GB are in use; PEFTREC_CACHE_GB sets the limit)"
        )
    free = shutil.disk_usage(keep).free
    return f"{needed / 1e9:.3g} GB are needed and {free / 1e9:.3g} GB are free" if needed > free else None


def clear_cache(name: str | None = None) -> list[Key]:
    """Remove the key whose name begins with `name`, or all; returns them. Raises UserError where one is in use."""
    with _refused():
        keys = [key for key in list_keys() if key.folder.name.startswith(name or "")]
    if name is not None and len(keys) != 1:
        found = "several keys begin" if keys else "no key begins"
        raise UserError(f"{found} with {shown(name)} in {cache_root()}; `peftrec cache ls` lists them")
    _sweep()
    used = [key.folder.name for key in keys if not _remove(key.folder)]
    if used:
        raise UserError(f"in use by a running process, so not removed: {', '.join(used)}")
    return keys


def _remove(folder: Path) -> bool:
    """Remove a key that no process uses; tells whether it is gone."""
    import fcntl

    try:
        with (
            own_folder(folder) as opened,
            open_own(folder / "use", opened, os.O_RDWR) as use,
        ):
            fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # At once out of everybody's sight, so that a new process begins anew instead of opening half of it.
            gone = folder.with_name(f"{_REMOVED}{folder.name}-{os.getpid()}")
            folder.rename(gone)
    except OSError:
        return not folder.exists()
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _sweep() -> None:
    """Remove what a process that was killed while removing has left."""
    for left in cache_root().glob(f"{_REMOVED}*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"the cache cannot be used: {error}") from None
