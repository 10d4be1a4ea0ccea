"""Templates that make a text of a row's columns, such as '{title} ({year})'."""

import string

from peftrec.errors import UserError, shown


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
