"""Where no more can be written: which limit was met, and what to do."""

import errno
import re
from pathlib import Path

from safetensors import SafetensorError

# How the system says it -> what that is, and what to do.
_LIMITS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the quota is used up", "free some space"),
    errno.EFBIG: ("the limit of a file's size is reached", "raise it (ulimit -f)"),
}


def no_room(error: OSError | SafetensorError, folder: Path) -> tuple[str, str] | None:
    """What limit under `folder` the error means, and what to do; None for an error of another kind or place."""
    if isinstance(error, SafetensorError):  # carries the system's number in its text only
        found = re.search(r"os error (\d+)", str(error))
        return None if found is None else _LIMITS.get(int(found[1]))
    here = error.filename is None or Path(str(error.filename)).resolve().is_relative_to(folder.resolve())
    return _LIMITS.get(error.errno or 0) if here else None
