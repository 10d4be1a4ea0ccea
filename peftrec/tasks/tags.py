"""The classes that texts have several of, as files write them: divided by a separator, or lists."""

import re
from typing import Any

import pyarrow as pa

from peftrec.data.columns import plain, seen
from peftrec.data.rows import Rows
from peftrec.errors import shown

# A list as JSON and Python write it: ["a", "b"], ['a', 'b'], [1, 2], [a, b]. No member holds another list.
_MEMBER = r"""'[^']*'|"[^"]*"|[^\[\]'",]+"""
_LIST = re.compile(rf"\s*\[\s*(?:(?:{_MEMBER})\s*(?:,\s*(?:{_MEMBER})\s*)*)?\]\s*")
_MEMBERS = re.compile(_MEMBER)


def tags_of(rows: Rows, column: str, separator: str) -> tuple[list[set[str]], list[str]]:
    """The classes of every row, none where it has none, and what the user should know of how they were read.

    Members of lists are classes whatever they hold; so are those of lists written as texts, where all rows have such.
    """
    values, kind = rows.column(column), rows.column(column).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [_tags([plain(of) for of in value or []]) for value in values.to_pylist()], []
    texts = rows.strings(column).to_pylist()
    written = [text for text in texts if text.strip()]
    if written and all(_LIST.fullmatch(text) for text in written):
        found: list[set[str]] = [_tags([_unquoted(of) for of in _MEMBERS.findall(text)]) for text in texts]
        return found, [f"column {shown(column)}: its labels, such as {shown(written[0])}, are read as lists"]
    said = []
    if written and not any(separator in text for text in written):
        such = shown(written[0])
        said = [f"column {shown(column)}: no label, such as {such}, holds the separator {shown(separator)}"]
    return [_tags(text.split(separator)) for text in texts], said


def _unquoted(member: str) -> str:
    member = member.strip()
    return member[1:-1] if member[:1] in ("'", '"') else member


def _tags(given: list[Any]) -> set[str]:
    return set(seen(pa.array(given, pa.string())).to_pylist()) - {""}
