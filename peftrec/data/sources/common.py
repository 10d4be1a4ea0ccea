"""What sources of people's own folders share: finding files, texts of several columns, and rows that cannot be used."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.entry import make_items
from peftrec.data.rows import Rows
from peftrec.data.tables import Items
from peftrec.errors import UserError, looked_in, shown
from peftrec.recipe import ItemsConfig


def only_file(folder: Path, form: str, files: Sequence[Path]) -> Path:
    """The one of `files`, which are those of a form. Raises UserError where they are none or several."""
    if not folder.is_dir():
        raise UserError(f"data.path: no such folder: {folder}{looked_in(folder)}")
    if len(files) != 1:
        found = f"found {', '.join(file.name for file in files)}" if files else "there is none"
        raise UserError(f"data.path: the folder {folder} must hold one file {form}; {found}")
    return files[0]


def text_of_columns(rows: Rows, names: Sequence[str], absent: str = "") -> list[str]:
    """The columns' values that are there, joined by '. ', for every row; `absent` is how the file writes none."""
    columns = [rows.strings(name).to_pylist() for name in names] or [[""] * len(rows)]
    kept = [[" ".join(part.split()) for part in parts] for parts in zip(*columns, strict=True)]
    return [". ".join(part for part in parts if part not in ("", absent)) for parts in kept]


def described_items(rows: Rows, column: str, texts: Sequence[str]) -> Items:
    """The catalogue of the rows whose text is not empty; of an id that stands again the first row is taken. Noted."""
    ids = rows.ids(column)
    there = np.fromiter((bool(text) for text in texts), bool, len(texts))
    codes = np.where(there, ids.indices.to_numpy(), -1)
    kept = np.sort(np.unique(codes, return_index=True)[1][not there.all() :])
    notes = []
    if not there.all():
        notes.append(f"{rows.file}: {int((~there).sum()):,} of {len(rows):,} items have no text, and are left out")
    if len(kept) < there.sum():
        notes.append(f"{rows.file}: {int(there.sum()) - len(kept):,} rows repeat an item's id; its first row is taken")
    table = pa.table({column: ids.cast(pa.string()), "text": pa.array(texts, pa.string())}).take(pa.array(kept))
    items = make_items(replace(rows, table=table, names=[]), ItemsConfig(path=rows.file, id=column, text="{text}"))
    return replace(items, notes=notes)


def of_known_items(rows: Rows, column: str, items: Items) -> tuple[Rows, list[str]]:
    """The rows whose item is in the catalogue, and a line on the others."""
    ids = rows.ids(column)
    there = pc.is_in(ids.dictionary, pa.array(items.ids, ids.dictionary.type)).to_numpy(zero_copy_only=False)
    known = there[ids.indices.to_numpy()]
    if known.all():
        return rows, []
    if not known.any():
        raise UserError(
            f"{rows.file}: column {shown(column)}: no row's item has a text, such as {shown(ids[0].as_py())}"
        )
    first = ids.dictionary[int(np.argmin(there))].as_py()
    lacking = f"{int((~there).sum()):,} items without a text, such as {shown(first)}"
    note = f"{rows.file}: {int((~known).sum()):,} of {len(rows):,} rows are of {lacking}, and are left out"
    return replace(rows, table=rows.table.filter(pa.array(known)), parts=[]), [note]
