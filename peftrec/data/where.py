"""Conditions such as `price < 20 and brand in ("acme", "zeta")`, on the features of items or the columns of a file.

Python's parser reads them and nothing runs them: comparisons of columns with literals, or of two numbers, joined by
`and`, `or` and `not`. A name that is no word of Python's stands in backticks. A comparison with a value that is missing
is false; `None` asks for those: `brand == None`.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np

from peftrec.errors import UserError, cut, first_line, shown

_ORDER: dict[type[ast.cmpop], Callable[..., np.ndarray]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_EQUAL, _MEMBER, _NEGATED = (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.NotEq, ast.NotIn)
# Texts, and names in backticks; a text that does not end goes on to the last letter, so that it is looked at once.
_TOKEN = re.compile(r"""'(?:\\.|[^'\\])*(?:'|\\?\Z)|"(?:\\.|[^"\\])*(?:"|\\?\Z)|`([^`]+)`""", re.DOTALL)
_MARK = "\u01c3"  # a letter that a name may begin with, and that no keyboard has: names in backticks are read as this


class Refused(ValueError):
    """A column cannot be compared so; the message goes on from the comparison, such as 'compares ...'."""


class Columns(Protocol):
    """What a condition compares. `missing` and `wrong`, bool (N,): rows without a value, or of which it cannot be told
    whether they fulfil a comparison."""

    @property
    def names(self) -> Sequence[str]:
        """What the columns are called."""

    @property
    def most(self) -> float:
        """The largest number that they are compared with."""

    def nearest(self, name: str) -> str:
        """What to say of a name that none has."""

    def numbers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A column's numbers (N,), NaN where there is none, and the wrong rows. Raises Refused."""

    def among(self, name: str, values: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows with one of the values, None for no value, bool (N,); the missing; the wrong. Raises Refused."""


@dataclass(frozen=True)
class Condition:
    """A condition that was read.

    given  as it was written
    text   the same with marks for names in backticks
    tree   the text's syntax
    marks  mark -> the name for which it stands
    key    where the condition stands, for messages
    noun   what its columns are, for messages
    """

    given: str
    text: str
    tree: ast.expr
    marks: dict[str, str]
    key: str
    noun: str

    @property
    def names(self) -> list[str]:
        """The columns that it names, whether or not they are there."""
        names = [self.name_of(node) for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        return list(dict.fromkeys(names))

    def name_of(self, node: ast.Name) -> str:
        """What a name stands for."""
        return self.marks.get(node.id, node.id)

    def of(self, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Which rows fulfil it, and which do not, bool (N,) each. Of rows in neither a wrong value decides it.

        Raises UserError naming the part that is wrong.
        """
        with _told(self.given, self.key, self.noun):
            return _Evaluation(self, columns).of(self.tree)


def parse(where: Any, key: str, noun: str) -> Condition:
    """The condition that a text is. `key`, `noun`: see `Condition`. Raises UserError."""
    if not isinstance(where, str) or not where.strip():
        raise UserError(f"{key} must be a text such as 'price < 20 and brand == \"x\"'; found {shown(where)}")
    marks: dict[str, str] = {}

    def marked(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        mark = f"{_MARK}{len(marks)}"
        marks[mark] = found[1]
        return mark

    with _told(where, key, noun):
        text = _TOKEN.sub(marked, where.strip())
        return Condition(where, text, ast.parse(text, mode="eval").body, marks, key, noun)


def _rule(noun: str) -> str:
    return f"a filter compares {noun}s with numbers, texts or lists of them, joined by and, or, not"


@contextmanager
def _told(where: str, key: str, noun: str) -> Iterator[None]:
    """Raise UserError for what Python's parser refuses, and for what is nested too deeply."""
    try:
        yield
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"{key}: {shown(where)} cannot be read: {error.msg}; {_rule(noun)}") from None
    except (ValueError, MemoryError, RecursionError) as error:  # a NUL, half a letter, thousands of brackets
        raise UserError(f"{key}: {shown(where)} cannot be read: {first_line(error)}; {_rule(noun)}") from None


class _Evaluation:
    """A condition over columns: each part gives the rows that fulfil it, and those that do not, bool (N,) each."""

    def __init__(self, condition: Condition, columns: Columns) -> None:
        self.condition, self.columns = condition, columns
        self.noun, self.rule = condition.noun, _rule(condition.noun)

    def of(self, node: ast.expr) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(node, ast.BoolOp):
            return _joined(node.op, [self.of(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yes, no = self.of(node.operand)
            return no, yes
        if not isinstance(node, ast.Compare):
            self._refuse(node, f"is no comparison; {self.rule}")
        sides = [node.left, *node.comparators]
        pairs = zip(sides[:-1], node.ops, sides[1:], strict=True)
        try:
            return _joined(ast.And(), [self._compare(node, left, op, right) for left, op, right in pairs])
        except Refused as problem:
            self._refuse(node, str(problem))

    def _compare(self, node: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(op, _EQUAL) and not isinstance(left, ast.Name) and isinstance(right, ast.Name):
            left, right = right, left
        if isinstance(op, _MEMBER) or (isinstance(op, _EQUAL) and not isinstance(right, ast.Name)):
            name = self._name(left)
            yes, missing, wrong = self.columns.among(name, self._values(right, isinstance(op, _MEMBER)))
            yes = ~yes & ~missing if isinstance(op, _NEGATED) else yes
            return yes & ~wrong, ~yes & ~wrong
        if type(op) not in _ORDER:
            self._refuse(node, f"compares by what is none of ==, !=, <, <=, >, >=, in and not in; {self.rule}")
        if not isinstance(right, ast.Name):
            self._name(left)  # one of both is a column
        sides = [self._numbers(node, side) for side in (left, right)]
        kind = next(numbers.dtype for numbers, wrong in sides if wrong is not None)
        one, other = (numbers.astype(kind) for numbers, _ in sides)
        wrong = np.logical_or.reduce([of for _, of in sides if of is not None])
        yes = ~(np.isnan(one) | np.isnan(other)) & _ORDER[type(op)](one, other) & ~wrong
        return yes, ~yes & ~wrong

    def _numbers(self, node: ast.expr, side: ast.expr) -> tuple[np.ndarray, np.ndarray | None]:
        """The numbers (N,) of a column and which of its rows are wrong; or a literal, () and None."""
        if isinstance(side, ast.Name):
            return self.columns.numbers(self._name(side))
        (value,) = self._values(side, many=False)
        if value is None or isinstance(value, str):
            self._refuse(node, f"compares with what is no number; found {shown(value)}")
        return np.array(float(value)), None

    def _values(self, node: ast.expr, many: bool) -> list[Any]:
        """The literals of a side: one, or those of a list."""
        if many != isinstance(node, ast.List | ast.Tuple | ast.Set):
            self._refuse(node, "is no list such as ('x', 'y')" if many else f"is no number and no text; {self.rule}")
        return [self._literal(of) for of in node.elts] if many else [self._literal(node)]  # type: ignore[attr-defined]

    def _literal(self, node: ast.expr) -> Any:
        sign = 1
        of = node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, of = -1, node.operand
        value = of.value if isinstance(of, ast.Constant) else ...
        if sign == 1 and (value is None or isinstance(value, str | bool)):
            return value
        most = self.columns.most
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= most:
            return sign * value
        self._refuse(node, f"is no text, and no number of at most {most:g} in size; {self.rule}")

    def _name(self, node: ast.expr) -> str:
        """The column that a side names."""
        if not isinstance(node, ast.Name):
            self._refuse(node, f"is no {self.noun}; there are {cut(', '.join(self.columns.names))}")
        name = self.condition.name_of(node)
        if name not in self.columns.names:
            self._refuse(node, f"is no {self.noun}{self.columns.nearest(name)}")
        return name

    def _refuse(self, node: ast.expr, problem: str) -> NoReturn:
        part = ast.get_source_segment(self.condition.text, node) or self.condition.text
        for mark, name in reversed(self.condition.marks.items()):  # the tenth before the first, with which it begins
            part = part.replace(mark, f"`{name}`")
        raise UserError(f"{self.condition.key}: {cut(part)} {problem}")


def _joined(op: ast.boolop, parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    yes, no = zip(*parts, strict=True)
    if isinstance(op, ast.And):
        return np.logical_and.reduce(yes), np.logical_or.reduce(no)
    return np.logical_or.reduce(yes), np.logical_and.reduce(no)
