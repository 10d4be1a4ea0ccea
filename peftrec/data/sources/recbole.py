"""A folder of RecBole's atomic files: `NAME.inter`, `NAME.item` and, where there is one, `NAME.user`.

Zhao et al. 2021, RecBole (arXiv:2011.01731). Their first line gives every column its type, such as `rating:float`.

users, items   the columns user_id and item_id, else the first and the second token column of .inter
time           the column timestamp, if there is one
numbers        the other float columns of .inter that every row has
texts          all token and token_seq columns of .item but the id, in the file's order, joined by '. '
"""

from pathlib import Path

from peftrec.data.entry import make_events, make_users
from peftrec.data.files import read_rows
from peftrec.data.rows import Rows
from peftrec.data.sources import source_file
from peftrec.data.sources.common import described_items, of_known_items, only_file, text_of_columns
from peftrec.data.tables import Table, Tables
from peftrec.errors import UserError, shown
from peftrec.recipe import EventsConfig, FileConfig, UsersConfig

_TYPES = ("token", "token_seq", "float", "float_seq")


def load(path: Path | None) -> Tables:
    """Items, events, and users where there is a file of them. `path` is the folder. Raises UserError."""
    if path is None:
        raise UserError("data.path: recbole needs the folder of NAME.inter and NAME.item")
    inter = only_file(path, "NAME.inter", sorted(path.glob("*.inter")))
    log, types = _read(inter)
    user, item = _ids(log, types)
    described, columns = _read(source_file(path, f"{inter.stem}.item"))
    if item not in columns:
        raise UserError(f"{described.file}: no column {shown(item)} as {inter.name} has; found {', '.join(columns)}")
    words = [name for name, kind in columns.items() if kind.startswith("token") and name != item]
    if not words:
        raise UserError(f"{described.file}: no token or token_seq column beside {item}, so that items have no text")
    items = described_items(described, item, text_of_columns(described, words))
    log, notes = of_known_items(log, item, items)
    numbers = [name for name, kind in types.items() if kind == "float" and name != "timestamp"]
    lacking = {name: sum(not text.strip() for text in log.strings(name).to_pylist()) for name in numbers}
    notes += [
        f"{log.file}: {rows:,} of {len(log):,} rows have no {name}, which is left out"
        for name, rows in lacking.items()
        if rows
    ]
    config = EventsConfig(
        path=str(inter),
        user=user,
        item=item,
        time="timestamp" if "timestamp" in types else None,
        columns=[name for name in numbers if not lacking[name]],
    )
    events = make_events(log, config, items)
    tables: dict[str, Table] = {"items": items, "events": events}
    people = path / f"{inter.stem}.user"
    if people.is_file():
        rows, _ = _read(people)
        tables["users"] = make_users(rows, UsersConfig(path=str(people), id=user))
    return Tables(tables, [*items.notes, *notes, *events.notes])


def _read(file: Path) -> tuple[Rows, dict[str, str]]:
    """The rows of an atomic file, and each column's type. Raises UserError."""
    rows = read_rows(FileConfig(path=str(file)), "data")
    with file.open(encoding="utf-8-sig") as lines:
        header = lines.readline().rstrip("\r\n").split("\t")
    types = dict(name.rpartition(":")[::2] for name in header)
    wrong = [name for name in header if types.get(name.rpartition(":")[0]) not in _TYPES]
    if wrong:
        raise UserError(
            f"{file}: the first line names columns with a type of {', '.join(_TYPES)}; found {shown(wrong[0])}"
        )
    return rows, types


def _ids(log: Rows, types: dict[str, str]) -> tuple[str, str]:
    """The columns of users and of items. Raises UserError."""
    tokens = [name for name, kind in types.items() if kind == "token"]
    if "user_id" in tokens and "item_id" in tokens:
        return "user_id", "item_id"
    if len(tokens) < 2:
        raise UserError(f"{log.file}: needs token columns of users and of items; found {', '.join(types)}")
    return tokens[0], tokens[1]
