"""Things of the user's own, named as `package.module:name` where a table's name could stand."""

import importlib
from typing import Any

from peftrec.errors import UserError


def import_own(target: str, key: str) -> Any:
    """What `package.module:name` names. Raises UserError beginning with the recipe key when it cannot be imported."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}: cannot import {target!r}: {error}") from None
