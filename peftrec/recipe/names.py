"""What a table's name stands for: an entry of the table, or something of the user's own as `package.module:name`.

A name of one's own is code: it is imported for recipes that the user trains, never unasked for a run that is loaded
(`refuse_foreign`), and never from inside a run's folder, which is data whoever asks.
"""

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from inspect import isabstract
from pathlib import Path
from typing import Any, TypeVar

from peftrec.errors import UserError, nearest, shown
from peftrec.recipe.models import Recipe

T = TypeVar("T")

_OWN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
RUN_FILES = ("run.yaml", "manifest.json")  # a folder that has one of them, and what lies below it, is a run's


def find(table: Mapping[str, T], name: str, key: str, of: type) -> T:
    """The entry called `name`, or what `package.module:name` names, an instance of `of`.

    Raises UserError beginning with the recipe's `key`: for an unknown name (with the nearest), for what cannot be
    imported, and for what is something else.
    """
    if ":" not in name:
        if name not in table:
            raise UserError(f"{key}: no {key.rpartition('.')[2]} {shown(name)}; {nearest(name, list(table))}")
        return table[name]
    own: T = import_own(name, key)
    if not isinstance(own, of):
        raise UserError(f"{key}: {name} must be a {of.__module__}.{of.__name__}; found a {type(own).__name__}")
    return own


def find_class(table: Mapping[str, type[T]], name: str, key: str, of: type) -> type[T]:
    """As `find`, of a table of classes: one of one's own must be a subclass of `of` with nothing abstract left."""
    if ":" not in name:
        return find(table, name, key, type)
    own: type[T] = import_own(name, key)
    if not (isinstance(own, type) and issubclass(own, of)) or isabstract(own):
        abstract = [f"a `{method}`" for method in sorted(getattr(of, "__abstractmethods__", ()))]
        has = f" with {', '.join(abstract)}" if abstract else ""
        raise UserError(f"{key}: {name} must be a subclass of {of.__module__}.{of.__name__}{has}; found {own!r}")
    return own


def import_own(target: str, key: str) -> Any:
    """What `package.module:name` names. Raises UserError beginning with the recipe key when it cannot be imported."""
    if not _OWN.fullmatch(target):
        raise UserError(f"{key}: cannot import {shown(target)}: write package.module:name")
    module, _, name = target.partition(":")
    try:
        _refuse_run_folders(module)
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is the user's own: whatever is wrong in it is said in one line
        said = f"{type(error).__name__}: {error}" if not isinstance(error, ImportError | AttributeError) else error
        raise UserError(f"{key}: cannot import {shown(target)}: {said}") from None


def _refuse_run_folders(module: str) -> None:
    """Raise ImportError for a module, or a package above it, whose file lies in a run's folder; nothing of it is run.

    From the outermost package inward: finding a module imports what is above it, which by then has been looked at.
    """
    if module in sys.modules:
        return  # nothing of it is run any more
    names = module.split(".")
    for depth in range(1, len(names) + 1):
        spec = importlib.util.find_spec(".".join(names[:depth]))
        if spec is None:
            return  # importing says so
        origin = [spec.origin] if spec.origin and spec.has_location else []
        for place in (Path(one).absolute() for one in [*origin, *(spec.submodule_search_locations or ())]):
            for folder in (place, *place.parents):
                if any((folder / file).is_file() for file in RUN_FILES):
                    raise ImportError(f"{folder} is a run: it is data, and no code in it is imported")


def foreign_names(recipe: Recipe) -> dict[str, str]:
    """Key -> `package.module:name`, of everything in the recipe that is code of somebody's own."""
    tasks = recipe.tasks.items()
    named = {
        "data.source": recipe.data.source,
        "adapter.method": recipe.adapter.method,
        "weighting.method": recipe.weighting.method,
        **{f"tasks.{name}.kind": task.kind for name, task in tasks},
        **{f"tasks.{name}.loss": task.loss for name, task in tasks},
        **{f"tasks.{name}.metrics.{n}": of for name, task in tasks for n, of in enumerate(task.metrics or ())},
        **{f"tasks.{name}.adapter.method": task.adapter.method for name, task in tasks if task.adapter},
    }
    return {key: name for key, name in named.items() if name is not None and ":" in name}


def refuse_foreign(recipe: Recipe, where: str) -> None:
    """Raise UserError naming each name of one's own that a run's recipe holds; `where` is the recipe's file."""
    if foreign := foreign_names(recipe):
        listed = ", ".join(f"{key}: {name}" for key, name in foreign.items())
        raise UserError(
            f"{where}: the run names code from outside peftrec, which loading it would run: {listed}; if you trust who "
            "wrote it, say so with --trust-code (in Python: trust_code=True)"
        )
