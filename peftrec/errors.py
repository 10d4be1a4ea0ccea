"""A user's mistake, several of them at once, and the nearest known name to what was written."""

import difflib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_SHOWN = 200  # letters of a value that a message repeats


class UserError(ValueError):
    """A mistake in the user's input: the message names the place, the rule, the value found, and what to do.

    The command line prints it without a traceback and exits with status 2. `problems` are its mistakes one by one.
    """

    @property
    def problems(self) -> list[str]:
        """The message of every mistake; here of the one."""
        return [str(self)]


class Diverged(UserError):
    """Training came to numbers that are not finite: nothing in the recipe is malformed, but some value is too large."""


class RowError(UserError):
    """A mistake in one of the rows given: in `row`, counted from 1, the mistake `problem`."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(f"row {row}: {problem}")
        self.row, self.problem = row, problem


class UserErrors(UserError):
    """Several mistakes that do not depend on each other, told together."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self._problems = problems

    @property
    def problems(self) -> list[str]:
        """The message of every mistake."""
        return list(self._problems)


class Problems:
    """Collects mistakes, so that the user hears of all of them at once.

    Each `with problems.collect():` holds what does not depend on the others; `stop` raises UserErrors when any failed.
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def collect(self, prefix: str = "") -> Iterator[None]:
        """Keep the mistakes found inside, each once, with `prefix` before them."""
        try:
            yield
        except UserError as error:
            told = [prefix + problem for problem in error.problems]
            self.found += [problem for problem in told if problem not in self.found]

    def stop(self) -> None:
        """Raise UserErrors when there was a mistake."""
        if self.found:
            raise UserErrors(self.found)


def check_texts(name: str, given: Any) -> None:
    """Raise UserError where the parameter `name` is no list of texts; of a text alone the letters would be taken."""
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise UserError(f"{name} must be a list of texts; found {shown(given)}")


def cut(text: str, most: int = MOST_SHOWN) -> str:
    """A user's text for a message: whole, or what it begins with and how long it is."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} letters)"


def shown(value: Any) -> str:
    """A value found, for a message: its `repr`, cut where it is long."""
    if isinstance(value, str):
        return repr(value) if len(value) <= MOST_SHOWN else f"{value[:MOST_SHOWN]!r}... ({len(value):,} letters)"
    try:
        return cut(repr(value))
    except ValueError:  # Python's own limit, by which it does not write out a whole number for minutes
        return f"a whole number of more than {sys.get_int_max_str_digits():,} digits"


def nearest(name: str, known: list[str]) -> str:
    """'did you mean X?' for the closest known name, or the list of known names.

    Close is a name spelt nearly so; else the shortest that the given name abbreviates, or is abbreviated by (rank, r).
    """
    close = difflib.get_close_matches(name, known, n=1)
    close = close or sorted((k for k in known if name and (k.startswith(name) or name.startswith(k))), key=len)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"


def first_line(error: Exception) -> str:
    """The first line of what another library raised, or what kind of error it is where it says nothing."""
    return cut((str(error).strip() or type(error).__name__).splitlines()[0], 5 * MOST_SHOWN)


def looked_in(path: str | Path) -> str:
    """' (looked in FOLDER)' for a relative path, which counts from the working directory; '' for an absolute one."""
    return "" if Path(path).is_absolute() else f" (looked in {Path.cwd()})"
