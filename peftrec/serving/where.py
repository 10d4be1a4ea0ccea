"""Filters on the features of items, such as `price < 20 and brand in ("acme", "zeta")`.

Python's parser reads them and nothing runs them: comparisons of features with literals, or of two numbers, joined by
`and`, `or` and `not`. A feature whose name is no word of Python's stands in backticks. A comparison with a value that
is missing is false; `None` asks for those: `brand == None`.
"""

import ast
import re
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.columns import plain
from peftrec.data.features import FeatureTable
from peftrec.data.rows import MOST
from peftrec.errors import UserError, cut, first_line, shown
from peftrec.serving.features import is_number

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
_RULE = "a filter compares features with numbers, texts or lists of them, joined by and, or, not"


def matching(where: Any, features: FeatureTable) -> np.ndarray:
    """Which of the items (I,) fulfil a filter, bool (I,). Raises UserError naming the part that is wrong."""
    if not isinstance(where, str) or not where.strip():
        raise UserError(f"where must be a text such as 'price < 20 and brand == \"x\"'; found {shown(where)}")
    if not features:
        raise UserError(
            f"where: {shown(where)}: the items of this run have no features; a recipe names them under `features` of "
            "the items' table"
        )
    names: dict[str, str] = {}

    def marked(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        mark = f"{_MARK}{len(names)}"
        names[mark] = found[1]
        return mark

    try:
        text = _TOKEN.sub(marked, where.strip())
        return _Filter(text, names, features).of(ast.parse(text, mode="eval").body)
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"where: {shown(where)} cannot be read: {error.msg}; {_RULE}") from None
    except (ValueError, MemoryError, RecursionError) as error:  # a NUL, half a letter, thousands of brackets
        raise UserError(f"where: {shown(where)} cannot be read: {first_line(error)}; {_RULE}") from None


class _Filter:
    def __init__(self, text: str, names: dict[str, str], features: FeatureTable) -> None:
        self.text, self.names, self.features = text, names, features

    def of(self, node: ast.expr) -> np.ndarray:
        """Which items fulfil a part, bool (I,)."""
        if isinstance(node, ast.BoolOp):
            joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return joined.reduce([self.of(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.of(node.operand)
        if not isinstance(node, ast.Compare):
            self._refuse(node, f"is no comparison; {_RULE}")
        sides = [node.left, *node.comparators]
        pairs = zip(sides[:-1], node.ops, sides[1:], strict=True)
        return np.logical_and.reduce([self._compare(node, left, op, right) for left, op, right in pairs])

    def _compare(self, node: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        if isinstance(op, _EQUAL) and not isinstance(left, ast.Name) and isinstance(right, ast.Name):
            left, right = right, left
        if isinstance(op, _MEMBER) or (isinstance(op, _EQUAL) and not isinstance(right, ast.Name)):
            name = self._name(left)
            found = self._any(node, name, self._values(right, isinstance(op, _MEMBER)))
            return ~found & ~self._missing(name) if isinstance(op, _NEGATED) else found
        if type(op) not in _ORDER:
            self._refuse(node, f"compares by what is none of ==, !=, <, <=, >, >=, in and not in; {_RULE}")
        if not isinstance(right, ast.Name):
            self._name(left)  # one of both is a feature
        one, other = self._number(node, left), self._number(node, right)
        there: np.ndarray = ~(np.isnan(one) | np.isnan(other))
        return there & _ORDER[type(op)](one, other)

    def _number(self, node: ast.expr, side: ast.expr) -> np.ndarray:
        """A side of a comparison of numbers, float32 (I,) or ()."""
        if not isinstance(side, ast.Name):
            (value,) = self._values(side, many=False)
            if value is None or isinstance(value, str):
                self._refuse(node, f"compares with what is no number; found {shown(value)}")
            return np.array(value, np.float32)
        name = self._name(side)
        if name not in self.features.numbers:
            self._refuse(node, f"asks for an order, or for another feature, of {name!r}, a category: give ==, != or in")
        return self.features.numbers[name]

    def _any(self, node: ast.expr, name: str, values: list[Any]) -> np.ndarray:
        """Which items have one of the values as a feature; None is that of those that have none."""
        if name in self.features.categories:
            of, texts = self.features.categories[name], ["" if v is None else plain(v).strip() for v in values]
            levels = pc.is_in(of.dictionary, value_set=pa.array(texts, pa.string())).to_numpy(zero_copy_only=False)
            return levels[of.indices.to_numpy()]
        if wrong := [value for value in values if isinstance(value, str)]:
            self._refuse(node, f"compares {name!r}, a number, with a text; found {shown(wrong[0])}")
        numbers = np.array([value for value in values if value is not None], np.float32)
        found = np.isin(self.features.numbers[name], numbers)
        return found | self._missing(name) if None in values else found

    def _missing(self, name: str) -> np.ndarray:
        if name in self.features.categories:
            return pc.equal(self.features.categories[name].cast(pa.string()), "").to_numpy(zero_copy_only=False)
        return np.isnan(self.features.numbers[name])

    def _values(self, node: ast.expr, many: bool) -> list[Any]:
        """The literals of a side: one, or those of a list."""
        if many != isinstance(node, ast.List | ast.Tuple | ast.Set):
            self._refuse(node, "is no list such as ('x', 'y')" if many else f"is no number and no text; {_RULE}")
        return [self._literal(of) for of in node.elts] if many else [self._literal(node)]  # type: ignore[attr-defined]

    def _literal(self, node: ast.expr) -> Any:
        sign = 1
        of = node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            sign, of = -1, node.operand
        value = of.value if isinstance(of, ast.Constant) else ...
        if sign == 1 and (value is None or isinstance(value, str | bool)):
            return value
        if isinstance(value, int | float) and is_number(value) and abs(value) <= MOST:
            return sign * value
        self._refuse(node, f"is no text, and no number of at most {MOST:g} in size; {_RULE}")

    def _name(self, node: ast.expr) -> str:
        """The feature that a side names."""
        if not isinstance(node, ast.Name):
            self._refuse(node, f"is no feature; {self._there}")
        name = self.names.get(node.id, node.id)
        if name not in self.features.numbers and name not in self.features.categories:
            self._refuse(node, f"is no feature; {self._there}")
        return name

    @property
    def _there(self) -> str:
        return f"there are {cut(', '.join([*self.features.numbers, *self.features.categories]))}"

    def _refuse(self, node: ast.expr, problem: str) -> NoReturn:
        part = ast.get_source_segment(self.text, node) or self.text
        for mark, name in reversed(self.names.items()):  # the tenth before the first, with which it begins
            part = part.replace(mark, f"`{name}`")
        raise UserError(f"where: {cut(part)} {problem}")
