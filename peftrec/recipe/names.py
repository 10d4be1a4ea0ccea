"""What a table's name stands for: an entry of the table, or something of the user's own as `package.module:name`."""

import importlib
from collections.abc import Mapping
from typing import Any, TypeVar

from peftrec.errors import UserError, nearest

T = TypeVar("T")


def find(table: Mapping[str, T], name: str, key: str, of: type) -> T:
    """The entry called `name`, or what `package.module:name` names, an instance of `of`.

    Raises UserError beginning with the recipe's `key`: for an unknown name (with the nearest), for what cannot be
    imported, and for what is something else.
    """
    if ":" not in name:
        if name not in table:
            raise UserError(f"{key}: no {key.rpartition('.')[2]} {name!r}; {nearest(name, list(table))}")
        return table[name]
    own: T = import_own(name, key)
    if not isinstance(own, of):
        raise UserError(f"{key}: {name} must be a {of.__module__}.{of.__name__}; found a {type(own).__name__}")
    return own


def import_own(target: str, key: str) -> Any:
    """What `package.module:name` names. Raises UserError beginning with the recipe key when it cannot be imported."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is the user's own: whatever is wrong in it is said in one line
        said = f"{type(error).__name__}: {error}" if not isinstance(error, ImportError | AttributeError) else error
        raise UserError(f"{key}: cannot import {target!r}: {said}") from None
