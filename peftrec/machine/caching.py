"""Where what can be made again is kept.

PEFTREC_CACHE  the folder; default: $XDG_CACHE_HOME/peftrec, or ~/.cache/peftrec
"""

import os
from pathlib import Path

from peftrec.errors import UserError, shown


def cache_root() -> Path:
    """The folder; it need not exist. Raises UserError for a PEFTREC_CACHE that can be no folder."""
    if given := os.environ.get("PEFTREC_CACHE"):
        try:
            root = Path(given).expanduser().absolute()
        except RuntimeError:
            raise UserError(
                f"PEFTREC_CACHE must name a folder; found {shown(given)}, the home of an unknown user"
            ) from None
        try:
            file = next((part for part in (root, *root.parents) if part.is_file()), None)
        except OSError as error:
            raise UserError(f"PEFTREC_CACHE must name a folder; found {shown(given)}: {error.strerror}") from None
        if file is not None:
            raise UserError(f"PEFTREC_CACHE must name a folder; found {shown(given)}, but {file} is a file")
        return root
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (base if base.is_absolute() else Path("~/.cache").expanduser()) / "peftrec"
