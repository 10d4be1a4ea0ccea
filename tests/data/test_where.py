"""Conditions as they are read: which names they hold, whether wrong values decide, and what is no condition.

What fulfils one, and what is refused of its parts: tests/serving/test_where.py, over features.
"""

import numpy as np
import pytest

from peftrec.data.where import _TOKEN, Refused, parse
from peftrec.errors import UserError

# For `a` and `b` each: what is compared is so, is not so, has no value, or has a wrong one.
VALUES = {"a": np.repeat([1, 0, np.nan, np.inf], 4), "b": np.tile([1, 0, np.nan, np.inf], 4)}


class Numbers:
    """Two columns of numbers, of which the infinite ones are wrong."""

    names = tuple(VALUES)
    most = 9.0

    def nearest(self, name):
        return f", nor is it near {name}"

    def numbers(self, name):
        return VALUES[name], np.isinf(VALUES[name])

    def among(self, name, values):
        if "x" in values:
            raise Refused("compares with x")
        numbers, wrong = self.numbers(name)
        found, missing = np.isin(numbers, [value for value in values if value is not None]), np.isnan(numbers)
        return found | missing if None in values else found, missing, wrong


def answers(where):
    """What is said of the sixteen rows: y(es), n(o), or ? where a wrong value decides."""
    yes, no = parse(where, "where", "column").of(Numbers())
    assert not (yes & no).any()
    return "".join("y" if y else "n" if n else "?" for y, n in zip(yes, no, strict=True))


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("a == 1", "yyyy nnnn nnnn ????"),
        ("a != 1", "nnnn yyyy nnnn ????"),
        ("not a == 1", "nnnn yyyy yyyy ????"),
        ("a == None", "nnnn nnnn yyyy ????"),
        ("a in (1, None)", "yyyy nnnn yyyy ????"),
        ("a not in [1]", "nnnn yyyy nnnn ????"),
        ("a == 1 and b == 1", "ynn? nnnn nnnn ?nn?"),
        ("b > 0 and 0 < a <= 1", "ynn? nnnn nnnn ?nn?"),
        ("a >= 1 or b == 1", "yyyy ynn? ynn? y???"),
        ("not (a == 1 or b == 1)", "nnnn nyy? nyy? n???"),
        ("a == b", "ynn? nyn? nnn? ????"),
        ("a < b", "nnn? ynn? nnn? ????"),
    ],
)
def test_a_wrong_value_is_nobody_s_business_where_the_others_decide(where, said):
    assert answers(where) == said.replace(" ", "")


def test_the_names_of_a_condition_each_once_whether_or_not_they_are_there():
    condition = parse('price < `unit price` and (brand in ("acme", x) or not price == 3)', "where", "column")
    assert condition.names == ["price", "unit price", "brand", "x"]
    assert parse("1 < 2", "where", "column").names == []


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("c == 1", "c is no thing, nor is it near c"),
        ("`a b` == 1", "`a b` is no thing, nor is it near a b"),
        ("a.b == 1", "a.b is no thing; there are a, b"),
        ("a == 10", "10 is no text, and no number of at most 9 in size; RULE"),
        ("a == -True", "-True is no text, and no number of at most 9 in size; RULE"),
        ("b == 1 and a in (1, 'x')", "a in (1, 'x') compares with x"),
        ("a", "a is no comparison; RULE"),
        ("a ==", "'a ==' cannot be read: invalid syntax; RULE"),
        ("a = 1", "'a = 1' cannot be read: invalid syntax; RULE"),
    ],
)
def test_a_message_names_the_key_the_part_and_what_it_compares(where, message):
    rule = "a filter compares things with numbers, texts or lists of them, joined by and, or, not"
    with pytest.raises(UserError) as error:
        parse(where, "data.log.where", "thing").of(Numbers())
    assert str(error.value).replace(rule, "RULE").split(". ")[0] == f"data.log.where: {message}"


@pytest.mark.parametrize("where", ["", " ", None, 3])
def test_a_condition_is_a_text(where):
    with pytest.raises(UserError, match=r"^data\.log\.where must be a text such as 'price < 20"):
        parse(where, "data.log.where", "column")


@pytest.mark.parametrize(
    ("where", "texts"),
    [("'\\" * 9_000, 1), ('"' * 19_999, 10_000), ("'" + "\\\n" * 9_000, 1), ("`" * 19_999, 0), ("'a\\", 1)],
)
def test_texts_that_do_not_end_are_looked_at_once(where, texts):
    assert len(_TOKEN.findall(where)) == texts
    with pytest.raises(UserError, match="cannot be read"):
        parse(where, "where", "column")
