"""Docstrings as Markdown: their aligned lists (`name  what it is`) become bullet lists on the pages."""

import re

from griffe import Extension, Object

_ENTRY = re.compile(r"^([\w.,/<>*]+(?: [\w.,/<>*]+)?)\s{2,}(\S.*)$")


class AlignedLists(Extension):
    """Rewrites the docstrings of everything that is shown."""

    def on_instance(self, *, obj: Object, **_: object) -> None:
        """Called for every module, class, function and attribute that was read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """The docstring with a bullet for every line of an aligned list, what is indented below it included."""
    lines, inside = [], False
    for line in docstring.splitlines():
        if entry := _ENTRY.match(line):
            lines += [""] * (not inside) + [f"- `{entry[1]}`: {entry[2]}"]
            inside = True
        elif inside and line.startswith("  "):
            lines.append(f"    {line.strip()}")
        else:
            lines += [""] * (inside and bool(line.strip())) + [line]
            inside = False
    return "\n".join(lines)
