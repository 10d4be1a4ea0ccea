"""`key.json`: what a key's states depend on, for people; a damaged one is as good as none."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from peftrec.model.cache.owned import open_own

MOST_BYTES = 1 << 16


def read_description(key: Path, folder: int) -> dict[str, Any] | None:
    """What the key in a folder, given by its descriptor, says of itself; None where that cannot be read."""
    try:
        with open_own(key / "key.json", folder, os.O_RDONLY) as file:
            raw = file.read(MOST_BYTES + 1)
        said = json.loads(raw) if len(raw) <= MOST_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    kinds = {"name": str, "level": str, "layer": int}
    fits = isinstance(said, dict) and all(type(said.get(name)) is kind for name, kind in kinds.items())
    return said if fits else None


def write_description(key: Path, folder: int, description: dict[str, Any]) -> None:
    """Replace whatever is at `key.json`. Raises OSError."""
    draft = key / f"key.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(draft.name, dir_fd=folder)  # of a killed process that had the same number
    with open_own(draft, folder, os.O_RDWR | os.O_CREAT | os.O_EXCL) as file:
        file.write(json.dumps(description, indent=2).encode())
    os.rename(draft.name, "key.json", src_dir_fd=folder, dst_dir_fd=folder)
