"""The YAML of recipes: plain values only, every key once, and no more than a reader can see.

Left out of YAML, because a recipe is data of whoever wrote it: aliases and merge keys (a few lines of them stand for
billions of values), tags (they ask for other constructors), depth and size without end.
"""

import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.events import AliasEvent, CollectionStartEvent, Event, ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.resolver import Resolver

from peftrec.errors import UserError, cut, shown

MOST_BYTES = 1_000_000
MOST_VALUES = 50_000  # keys and values; a thousand tasks with all that a task may hold are fewer
MOST_DEPTH = 32
MOST_DIGITS = 100  # letters of a number or a date: Python's whole numbers have no end
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_OLD = re.compile(r"[-+]?(0[0-9_]|[0-9_.]+:)")  # 010 would be 8, and 1:30 would be 90
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


class _Strict(Composer, SafeConstructor, Resolver):
    """YAML where a repeated key is an error (plain YAML keeps the last and drops the first in silence)."""

    depth = values = 0
    peek_event: Callable[[], Any]  # the parser's

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()
        self.depth, self.values = self.depth + 1, self.values + 1
        if problem := self._problem(event):
            raise ComposerError(None, None, problem, event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _problem(self, event: Event) -> str:
        """Why what begins here is not read; '' where it is."""
        if isinstance(event, AliasEvent):
            return f"aliases are not read; write out what *{cut(str(event.anchor))} stands for"
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
            return f"tags are not read; leave out {cut(event.tag.replace('tag:yaml.org,2002:', '!!'))}"
        if self.depth > MOST_DEPTH:
            return f"more than {MOST_DEPTH} groups and lists inside each other"
        return f"more than {MOST_VALUES:,} keys and values" if self.values > MOST_VALUES else ""

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        if isinstance(node, ScalarNode) and node.tag != _TEXT and len(node.value) > MOST_DIGITS:
            problem = f"a number or date of {len(node.value):,} letters; quote it where it is text"
            raise ConstructorError(None, None, problem, node.start_mark)
        if isinstance(node, ScalarNode) and node.tag in _NUMBERS and _OLD.match(node.value):
            problem = f"{node.value} has a colon or a zero before it, which YAML reads as another number"
            raise ConstructorError(None, None, f"{problem}; write it plainly, or quote it", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except ValueError as error:  # what looks like a number or date and is none, such as 2024-13-01
            raise ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                raise ConstructorError(None, None, "merge keys (<<) are not read; write the keys", key_node.start_mark)
            key = self.construct_object(key_node, deep=True) if isinstance(key_node, ScalarNode) else None
            if key is None or key in seen:
                problem = "a key must be plain text" if key is None else f"the key {shown(key)} is given twice"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Loader(_Strict, yaml.SafeLoader):
    """PyYAML's own parser, whose messages show the line."""


if yaml.__with_libyaml__:

    class _Quick(_Strict, yaml.CSafeLoader):
        """libyaml's parser, several times as fast."""

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            Composer.__init__(self)

else:
    _Quick = _Loader  # type: ignore[assignment, misc]


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader above would read as a number, and writes out what stands in several places."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


# YAML 1.1 reads 5e-4 as a string; recipes write learning rates this way.
for _side in (_Strict, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+\Z"), list("-+0123456789")
    )


def parse_yaml(text: str, where: str) -> Any:
    """YAML -> plain values; repeated keys are refused and 5e-4 is a number. Raises UserError naming line and column."""
    _check_size(len(text.encode("utf-8", "replace")), where)
    # Tabs, byte order marks and question marks are what the two parsers do not take alike.
    alike = text.replace("\n", "").isprintable() and "?" not in text
    problem = ""
    for loader in (_Quick, _Loader) if alike else (_Loader,):
        try:
            return yaml.load(text, Loader=loader)  # noqa: S506  subclasses of SafeLoader
        except yaml.YAMLError as error:  # PyYAML's own parser, which is asked last, tells it better
            problem = " ".join(str(error).split())
    raise UserError(f"{where}: not valid YAML: {problem}")


def read_yaml(path: Path) -> Any:
    """The values of a file that exists. Raises UserError, also for one too large, before it is read, or not UTF-8."""
    _check_size(path.stat().st_size, str(path))
    with path.open("rb") as file:  # of a device, which has no size, no more than is needed to refuse it
        content = file.read(MOST_BYTES + 1)
    _check_size(len(content), str(path))
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from None
    return parse_yaml(text, str(path))


def dump_yaml(values: Any) -> str:
    """Plain values as YAML that `parse_yaml` reads as the same."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _check_size(found: int, where: str) -> None:
    if found > MOST_BYTES:
        raise UserError(f"{where}: at most {MOST_BYTES:,} bytes are read; found {found:,}")
