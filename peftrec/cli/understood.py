"""What `check` understood, for people: a block of lines a table, then each task's first examples."""

import shutil
from collections.abc import Sequence
from typing import Any

WIDTH = 100  # of a line at most
COLUMNS = 12  # of a table that are described; those that nothing reads are named beyond it
NAME = 24  # letters of a column's name
HOLDS = 12  # of the name of a type that we do not read
ASKED = ("query", "text", "candidate")
INDENT = 16  # of what stands in an example


def tables_lines(tables: Sequence[dict[str, Any]]) -> list[str]:
    """Lines on `preflight.check`'s tables: each column's use, what it holds, missing and distinct values, and range."""
    lines = []
    for table in tables:
        read = [column for column in table["columns"] if column["use"]]
        shown = [*read, *(column for column in table["columns"] if not column["use"])][: max(COLUMNS, len(read))]
        cells = [["column", "use", "holds", "missing", "distinct", "values"], *map(_cells, shown)]
        widths = [max(_width(row[place]) for row in cells) for place in range(5)]
        lines += [_cut(f"{table['name']}: {table['rows']:,} {table['kind']} of {table['file']}")]
        for row in cells:
            left = [_padded(cell, width) for cell, width in zip(row[:3], widths[:3], strict=True)]
            right = [cell.rjust(width) for cell, width in zip(row[3:5], widths[3:], strict=True)]
            lines.append(_cut("  ".join(["", *left, *right, row[5]])))
        beyond = [column["name"] for column in table["columns"] if column not in shown] + table["others"]
        if beyond:
            lines.append(_cut(f"  and {len(beyond)} more that nothing reads: {', '.join(beyond)}"))
        lines.append("")
    return lines


def examples_lines(tasks: dict[str, dict[str, Any]]) -> list[str]:
    """Lines on the first training rows of every task, as `tasks.words.first_examples` tells them."""
    lines = []
    for name, task in tasks.items():
        lines.append(_cut(f"{name}: {task['question']}? The first training rows:"))
        for number, example in enumerate(task["first"], 1):
            lines += _example(number, example)
        lines.append("")
    return lines


def _example(number: int, example: dict[str, Any]) -> list[str]:
    head = [f"user {example['user']}"] if "user" in example else []
    head += [example["time"].replace("T", " ")] if "time" in example else []
    item = [f"item {example['item']}"] if "item" in example else []
    asked = [(key, _with(example[key], item if key == "candidate" else [])) for key in ASKED if key in example]
    rows = [*_history(example), *asked, ("label", _with(example["label"], []))]
    lines = [f"{f'     {key}':<{INDENT}}{text}" for key, text in rows]
    if head:
        lines.insert(0, _cut(f"     {', '.join(head)}"))
    return [f"  {number}. {lines[0][5:]}", *lines[1:]]


def _history(example: dict[str, Any]) -> list[tuple[str, str]]:
    if "history" not in example:
        return []
    then = "earlier, then" if "time" in example else "others, and"
    lines = [f"{example['before']:,} {then}"] if example["before"] else []
    for event in example["history"]:
        lines.append(_with(event["text"], [event[key] for key in ("table", "said") if key in event]))
    return [("history" if place == 0 else "", line) for place, line in enumerate(lines or ["none"])]


def _with(text: str, beside: list[str]) -> str:
    """A text of an example with what is said beside it, for which the text makes room."""
    said = _cut(f" ({', '.join(beside)})", NAME * 2) if beside else ""
    return _cut(_line(text), _room() - INDENT - _width(said)) + said


def _cells(column: dict[str, Any]) -> list[str]:
    distinct = "" if column["distinct"] is None else f"{column['distinct']:,}"
    missing = f"{column['missing']:,}" if column["missing"] else "-"
    return [
        _cut(column["name"], NAME),
        column["use"] or "-",
        _cut(column["holds"], HOLDS),
        missing,
        distinct,
        _values(column),
    ]


def _values(column: dict[str, Any]) -> str:
    """The range of numbers and days, or the most frequent values."""
    if column["least"] is not None:
        ends = [end[:10] if isinstance(end, str) else f"{end:.10g}" for end in (column["least"], column["most"])]
        return " to ".join(dict.fromkeys(ends))
    common = column["common"] or {}
    once = all(rows == 1 for rows in common.values())
    said = [value if once else f"{value} ({rows:,})" for value, rows in common.items()]
    return _line("; ".join(said)) + ("; ..." if column["distinct"] and column["distinct"] > len(common) else "")


def _line(text: str) -> str:
    return " ".join(text.split())


def _room() -> int:
    return min(WIDTH, shutil.get_terminal_size((WIDTH, 1)).columns)


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _cut(text: str, width: int | None = None) -> str:
    """The text in so many columns of a terminal, by default a line's; a Chinese letter takes two."""
    from rich.cells import set_cell_size

    room = width or _room()
    return text.rstrip() if _width(text) <= room else set_cell_size(text, room - 1).rstrip() + "…"
