"""Templates that make a text of a row's columns, such as '{title} ({year})'."""

import string

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.columns import blank as blank_of
from peftrec.data.rows import Rows
from peftrec.errors import Problems, UserError, shown


def parse_template(template: str, key: str) -> list[tuple[str, str | None]]:
    """(literal, column) parts of a template such as '{title} ({year})'. Raises UserError naming the recipe key."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(f"{key}: not a template: {error}; found {shown(template)}") from None
    parts = []
    for literal, column, spec, conversion in parsed:
        if column == "" or spec or conversion:
            raise UserError(f"{key}: a template holds plain column names such as '{{title}}'; found {shown(template)}")
        parts.append((literal, column))
    if all(column is None for _, column in parts):
        raise UserError(f"{key}: a template names at least one column, such as '{{title}}'; found {shown(template)}")
    return parts


def template_columns(template: str, key: str) -> list[str]:
    """The columns that a template names."""
    return [column for _, column in parse_template(template, key) if column is not None]


def texts_of(rows: Rows, template: str, key: str, where_none: pa.Array | None = None) -> list[str]:
    """`template` filled in for every row. `key` is the recipe key that holds the template.

    where_none  with `on_bad_rows: fill` the texts (N,) that rows have which leave all columns of the template empty
    Raises UserError for such a row otherwise.
    """
    parts = parse_template(template, key)
    columns = [column for _, column in parts if column is not None]
    problems, filled = Problems(), {}
    for name in columns:
        with problems.collect():
            filled[name] = rows.strings(name)
    problems.stop()
    blank = np.logical_and.reduce([blank_of(values) for values in filled.values()])
    named, rule, mends = ", ".join(filled), "the text must not be empty", rows.config.on_bad_rows == "fill"
    if blank.any() and not (mends and where_none is not None):
        rows.refuse(blank, named, rule, lambda row: "")
    # Texts of more than 2 GiB, and those of pandas' files, have wider offsets; Arrow joins one kind only.
    kind = pa.large_string() if any(pa.types.is_large_string(of.type) for of in filled.values()) else pa.string()
    pieces: list[pa.Array | pa.Scalar] = []
    for literal, column in parts:
        pieces += [pa.scalar(literal, kind), *([] if column is None else [filled[column].cast(kind)])]
    texts = pc.binary_join_element_wise(*pieces, pa.scalar("", kind))
    if blank.any():
        assert where_none is not None
        said = f"{key}: {int(blank.sum()):,} rows have their id as text"
        rows.mended(said, blank, named, rule, lambda row: "")
        texts = pc.if_else(pa.array(blank), where_none.cast(kind), texts)
    return texts.to_pylist()
