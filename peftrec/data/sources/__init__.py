"""Built-in data sets: a name, and the function that reads one into `Tables`."""

from pathlib import Path
from typing import Any

from peftrec.errors import UserError, looked_in, nearest
from peftrec.recipe.names import import_own

# Loaders are `(path: Path | None) -> Tables`; path is the folder that the user names, None the installed package's.
SOURCES = {
    "movielens-100k": "peftrec.data.sources.movielens:load",
    "clinc150": "peftrec.data.sources.clinc150:load",
    "esci": "peftrec.data.sources.esci:load",
}


def load_source(name: str, path: Path | None) -> Any:
    """The `Tables` of a source: a name in SOURCES, or 'package.module:function'. Raises UserError."""
    target = name if ":" in name else SOURCES.get(name)
    if target is None:
        raise UserError(
            f"data.source: no source {name!r} ({nearest(name, list(SOURCES))}); your own: package.module:name"
        )
    return import_own(target, "data.source")(path)


def source_file(path: Path, *names: str) -> Path:
    """The first of `names` that is a file in the folder `path`. Raises UserError."""
    if not path.is_dir():
        raise UserError(f"data.path: no such folder: {path}{looked_in(path)}")
    for name in names:
        if (path / name).is_file():
            return path / name
    raise UserError(f"data.path: the folder {path} holds no file {' or '.join(names)}")
