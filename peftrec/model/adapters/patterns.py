"""Regular expressions in an adapter's configuration, which PEFT matches by: tried where they can be stopped.

Python's matching cannot be interrupted, and some patterns take longer than anybody lives: `^(([a-z0-9_.])+)+X$`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from peftrec.errors import UserError, shown

MOST_LETTERS = 1000  # of a pattern, and of keys that are patterns
LIMIT_S = 5.0
_PLAIN = re.compile(r"[\w.-]*")  # a name or path, which takes no time
# What PEFT makes of a pattern: of `*_modules`, of `rank_pattern` and its like, of `layers_pattern`.
_TRIAL = r"""
import json, re, sys
patterns, paths = json.load(sys.stdin)
for form in ("{}", r"(.*\.)?({})$", r".*\.{}\.(\d+)\."):
    for pattern in patterns:
        try:
            made = re.compile(form.replace("{}", pattern))
        except re.error:
            continue
        for path in paths:
            made.match(path)
            made.fullmatch(path)
"""


def patterns_of(option: str, value: Any) -> list[str]:
    """The regular expressions that PEFT reads in an option's value."""
    if option.endswith("_pattern") and isinstance(value, list | dict):
        found = list(value)
    else:
        found = [value] if option.endswith(("_pattern", "_modules")) else []
    return [pattern for pattern in found if isinstance(pattern, str)]


def check_patterns(place: str, patterns: list[str], paths: Iterable[str]) -> None:
    """Raise UserError, with `place` before it, where one is no regular expression, or takes too long on the paths."""
    for pattern in patterns:
        if len(pattern) > MOST_LETTERS:
            raise UserError(f"{place}: a pattern has at most {MOST_LETTERS:,} letters; found {shown(pattern)}")
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise UserError(f"{place}: not a regular expression ({error}); found {shown(pattern)}") from None
    tried = tuple(pattern for pattern in patterns if not _PLAIN.fullmatch(pattern))
    if tried and not _is_quick(tried, tuple(paths)):
        raise UserError(
            f"{place}: to match it against the names of the model's modules takes more than {LIMIT_S:g} seconds; write "
            f"it without repeats inside repeats; found {shown(tried[0] if len(tried) == 1 else list(tried))}"
        )


@lru_cache(maxsize=64)
def _is_quick(patterns: tuple[str, ...], paths: tuple[str, ...]) -> bool:
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRIAL],
            input=json.dumps([patterns, paths]),
            text=True,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return True
