"""What the documents take from the code: recipe keys, command line, public names, the size of the rooms.

mkdocs calls `on_page_markdown` for every page. A line `<!-- from the code: PART -->` is followed by what PART gives, so
these parts cannot grow old; the tests read them too.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent / "peftrec"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with what its marks stand for."""

    def fill(mark: re.Match[str]) -> str:
        return PARTS[mark[1]]()

    return re.sub(r"<!-- from the code: ([\w-]+) -->", fill, markdown)


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def recipe_keys() -> str:
    """Every key of a recipe, a table a top-level group, from the JSON schema."""
    from peftrec.recipe import json_schema

    schema = json_schema()
    top = schema["properties"]
    alone = [_row(name, node, name in schema["required"]) for name, node in top.items() if not _groups(schema, node)]
    parts = [table(["key", "value", "default", "meaning"], alone)]
    for name, node in top.items():
        if groups := _groups(schema, node):
            said = groups[0].get("description", "")
            rows = list(_rows(schema, name, node, name in schema["required"]))
            parts.append(f"## {name}\n\n{said}\n\n{table(['key', 'value', 'default', 'meaning'], rows)}")
    return "\n\n".join(parts)


def key_names() -> list[str]:
    """The dotted name of every key, in the order of the tables; NAME stands for a name of the user's own."""
    return re.findall(r"^\| `([\w.-]+)`", recipe_keys(), re.MULTILINE)


def _rows(schema: dict[str, Any], path: str, node: dict[str, Any], required: bool) -> Iterator[list[str]]:
    """The table's rows of a key and of all below it. A group that stands at the top is not repeated inside another."""
    if "additionalProperties" in node and node.get("type") == "object" and _groups(schema, node):
        path = f"{path}.NAME"
    groups = _groups(schema, node)
    if not groups:
        yield _row(path, node, required)
        return
    known = {ref["$ref"]: name for name, ref in schema["properties"].items() if "$ref" in ref}
    twin = next((known[ref] for ref in _references(node) if ref in known), None)
    if twin is not None and "." in path:
        yield [f"`{path}`", f"a group like [`{twin}`](#{twin})", _default(node, required), _meaning(path, node)]
        return
    if "." in path and "NAME" not in path.rpartition(".")[2]:
        said = node.get("description") or groups[0].get("description", "")
        yield [f"`{path}`", "a group", "absent" if node.get("default", 0) is None else "", said]
    seen = set()
    for group in groups:
        for name, inner in group["properties"].items():
            if name not in seen:
                seen.add(name)
                yield from _rows(schema, f"{path}.{name}", inner, name in group.get("required", []))


def _references(node: dict[str, Any]) -> list[str]:
    """The `$ref`s that a node is, or may be."""
    inner = node.get("additionalProperties")
    options = [node, *node.get("anyOf", []), *node.get("oneOf", []), *([inner] if isinstance(inner, dict) else [])]
    found = [option["$ref"] for option in options if "$ref" in option]
    return found or (_references(inner) if isinstance(inner, dict) else [])


def _groups(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The groups of keys that a node refers to; none for a plain value."""
    found = [schema["$defs"][ref.rpartition("/")[2]] for ref in _references(node)]
    return [group for group in found if "properties" in group]


def _row(path: str, node: dict[str, Any], required: bool) -> list[str]:
    return [f"`{path}`", _value(node), _default(node, required), _meaning(path, node)]


def _meaning(path: str, node: dict[str, Any]) -> str:
    if "description" not in node:
        raise ValueError(f"recipe key {path} has no description: give it one beside its type in peftrec/recipe")
    return str(node["description"])


def _default(node: dict[str, Any], required: bool) -> str:
    if required:
        return "**required**"
    value = node.get("default")
    return "" if value in (None, [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _value(node: dict[str, Any]) -> str:
    """What a key takes, in words."""
    if "anyOf" in node:
        return " or ".join(_value(option) for option in node["anyOf"])
    if "enum" in node or "const" in node:
        return ", ".join(f"`{name}`" for name in node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        return f"list of {_value(node['items'])}"
    words = {"integer": "whole number", "boolean": "`true` or `false`", "string": "text", "object": "a group"}
    said = words.get(node["type"], node["type"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign}\N{NO-BREAK SPACE}{node[name]:g}" for name, sign in signs.items() if name in node]
    return " ".join([said, ", ".join(bounds)]).strip()


def command_line() -> str:
    """Every verb with its arguments and options, from typer."""
    from typer.main import get_command

    from peftrec.cli.verbs import app

    return "\n\n".join(_verb(name, command) for name, command in walk(get_command(app)))


def walk(command: Any, name: str = "peftrec") -> Iterator[tuple[str, Any]]:
    """The verbs below a command, with their full names; a verb that has others below stands before them."""
    inner = getattr(command, "commands", {})
    for word, below in inner.items():
        full = f"{name} {word}"
        if not below.no_args_is_help:
            yield full, below
        yield from walk(below, full)


def _verb(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name, terminal_width=104, max_content_width=104)
    return f"## {name}\n\n```text\n{command.get_help(context).strip()}\n```"


def public_names() -> str:
    """`::: module.name` of every public name, which mkdocstrings fills."""
    import peftrec

    return "\n\n".join(f"::: {peftrec._NAMES[name]}.{name}" for name in peftrec.__all__)


def rooms() -> str:
    """The rooms in the order that they may import each other in: what each is, its files and lines."""
    tree = ast.parse((PACKAGE.parent / "tests/test_architecture.py").read_text(encoding="utf-8"))
    (order,) = (
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER"
    )
    rows = []
    for name in re.findall(r"\w+", ast.literal_eval(order)["peftrec"]):
        folder = PACKAGE / name
        files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]
        lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
        said = ast.get_docstring(ast.parse(files[0].read_text(encoding="utf-8"))) or ""
        shown = f"{name}/" if folder.is_dir() else f"{name}.py"
        rows.append([f"`{shown}`", said.partition("\n")[0], str(len(files)), f"{lines:,}"])
    return table(["room", "what it is", "files", "lines"], rows)


PARTS: dict[str, Callable[[], str]] = {
    "recipe-keys": recipe_keys,
    "command-line": command_line,
    "public-names": public_names,
    "rooms": rooms,
}
