"""Nested objects as flat ones."""

from collections.abc import Iterator
from typing import Any


def dotted(value: dict[str, Any], separator: str = ".") -> Iterator[tuple[str, Any]]:
    """Pairs of a joined key, such as train.lr, and a value that is no object."""
    for key, item in value.items():
        if isinstance(item, dict):
            for inner, plain in dotted(item, separator):
                yield f"{key}{separator}{inner}", plain
        else:
            yield key, item
