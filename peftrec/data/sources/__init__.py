"""Built-in data sets: a name, and the function that reads one into `Tables`."""

from pathlib import Path

from peftrec.errors import UserError, looked_in

# Name -> where its function `(path: Path | None) -> Tables` is, imported when it is asked for.
SOURCES = {
    "movielens-100k": "peftrec.data.sources.movielens:load",
    "clinc150": "peftrec.data.sources.clinc150:load",
    "esci": "peftrec.data.sources.esci:load",
    "mind": "peftrec.data.sources.mind:load",
    "recbole": "peftrec.data.sources.recbole:load",
    "amazon": "peftrec.data.sources.amazon:load",
    "kuairec": "peftrec.data.sources.kuairec:load",
}


def source_file(path: Path, *names: str) -> Path:
    """The first of `names` that is a file in the folder `path`. Raises UserError."""
    if not path.is_dir():
        raise UserError(f"data.path: no such folder: {path}{looked_in(path)}")
    for name in names:
        if (path / name).is_file():
            return path / name
    raise UserError(f"data.path: the folder {path} holds no file {' or '.join(names)}")
