"""Filters on features: what each item fulfils as Python itself would have it, and what is refused by name."""

import numpy as np
import pyarrow as pa
import pytest

from peftrec.data.features import NO_FEATURES, FeatureTable, category
from peftrec.errors import UserError
from peftrec.serving.where import matching

PRICES = [5, 19.99, 20, 35.5, -3, None, 0, 1e6]
BRANDS = ["acme", "zeta", "acme", "", "nova", "Zeta", "1995", "true"]
SIZES = [1, 30, 20, 2, None, None, 0, 7]
ITEMS = [
    {"price": price, "brand": brand or None, "unit size": size}
    for price, brand, size in zip(PRICES, BRANDS, SIZES, strict=True)
]
FEATURES = FeatureTable(
    {
        "price": np.array([np.nan if of is None else of for of in PRICES], np.float32),
        "unit size": np.array([np.nan if of is None else of for of in SIZES], np.float32),
    },
    {"brand": category(pa.array(BRANDS, pa.string()))},
)


def known(*values):
    return all(value is not None for value in values)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("price < 20", lambda p, b, s: known(p) and p < 20),
        ("price<=19.99", lambda p, b, s: known(p) and p <= 19.99),
        ("20 <= price", lambda p, b, s: known(p) and p >= 20),
        ("0 < price <= 20.0", lambda p, b, s: known(p) and 0 < p <= 20),
        ("price == 20 or price == -3", lambda p, b, s: p in (20, -3)),
        ("price != 20", lambda p, b, s: known(p) and p != 20),
        ("price in (5, 0, None)", lambda p, b, s: p in (5, 0, None)),
        ("price not in [5, 0]", lambda p, b, s: known(p) and p not in (5, 0)),
        ("price == None", lambda p, b, s: p is None),
        ("None != price", lambda p, b, s: p is not None),
        ("brand == 'acme'", lambda p, b, s: b == "acme"),
        ('"acme" != brand', lambda p, b, s: known(b) and b != "acme"),
        ("brand == None", lambda p, b, s: b is None),
        ("brand in {'zeta', 'nova', 'nobody'}", lambda p, b, s: b in ("zeta", "nova")),
        ("brand not in ('zeta', None)", lambda p, b, s: known(b) and b != "zeta"),
        ("brand == 1995 or brand == True", lambda p, b, s: b in ("1995", "true")),
        ("brand == ' acme '", lambda p, b, s: b == "acme"),
        ("not price < 20", lambda p, b, s: not (known(p) and p < 20)),
        (
            'price < 20 and brand == "acme" or not (brand != "nova")',
            lambda p, b, s: (known(p) and p < 20 and b == "acme") or not (known(b) and b != "nova"),
        ),
        ("`unit size` < price", lambda p, b, s: known(p, s) and s < p),
        ("price == `unit size`", lambda p, b, s: known(p, s) and p == s),
        ("price != `unit size`", lambda p, b, s: known(p, s) and p != s),
        ("brand == '`unit size`' or `unit size` > 2", lambda p, b, s: known(s) and s > 2),
        ("brand == 'a' and brand == 'b'", lambda p, b, s: False),
    ],
)
def test_what_fulfils_a_filter(where, holds):
    expected = [bool(holds(*item.values())) for item in ITEMS]
    assert matching(where, FEATURES).tolist() == expected
    assert matching(f"  ({where})\n", FEATURES).tolist() == expected


RULE = "a filter compares features with numbers, texts or lists of them, joined by and, or, not"
THERE = "there are price, unit size, brand"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("prise < 20", f"prise is no feature; {THERE}"),
        ("`size` < 20", f"`size` is no feature; {THERE}"),
        ("price", f"price is no comparison; {RULE}"),
        ("True", f"True is no comparison; {RULE}"),
        ("price < 20 and brand", f"brand is no comparison; {RULE}"),
        ("__import__('os').system('x') == 1", f"__import__('os').system('x') is no feature; {THERE}"),
        ("price < len('x')", f"len('x') is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("price.real < 3", f"price.real is no feature; {THERE}"),
        ("price + 1 < 3", f"price + 1 is no feature; {THERE}"),
        ("price < 1e19", f"1e19 is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("price < 3j", f"3j is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("price == f'{1}'", f"f'{{1}}' is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("price == -'x'", f"-'x' is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("(lambda: 1)() < price", f"(lambda: 1)() is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("price == 'x'", "price == 'x' compares 'price', a number, with a text; found 'x'"),
        ("price < 'x'", "price < 'x' compares with what is no number; found 'x'"),
        ("price < None", "price < None compares with what is no number; found None"),
        (
            "brand < 'x'",
            "brand < 'x' asks for an order, or for another feature, of 'brand', a category: give ==, != or in",
        ),
        (
            "brand == price",
            "brand == price asks for an order, or for another feature, of 'brand', a category: give ==, != or in",
        ),
        ("brand in 'acme'", "'acme' is no list such as ('x', 'y')"),
        ("brand in ('x', price)", f"price is no text, and no number of at most 1e+18 in size; {RULE}"),
        ("brand == ('x', 'y')", f"('x', 'y') is no number and no text; {RULE}"),
        (
            "brand is None",
            f"brand is None compares by what is none of ==, !=, <, <=, >, >=, in and not in; {RULE}",
        ),
        ("1 < 2", f"1 is no feature; {THERE}"),
        ("1 == 2", f"1 is no feature; {THERE}"),
    ],
)
def test_what_is_refused_names_the_part(where, message):
    with pytest.raises(UserError) as error:
        matching(where, FEATURES)
    assert str(error.value) == f"where: {message}"


@pytest.mark.parametrize(
    "where",
    ["price <", "price = 3", "x := 3", "import os", "price < 2; 1", "price < '\ud800'", "price <\x00 1", "(" * 9999],
)
def test_what_is_no_expression_is_one_message(where):
    with pytest.raises(UserError, match=r"^where: .* cannot be read: ") as error:
        matching(where, FEATURES)
    assert str(error.value).endswith(RULE) and "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["not " * 3000 + "price < 1", "price < " + "9" * 5000])
def test_what_is_far_too_long_is_one_message(where):
    with pytest.raises(UserError, match=r"^where: "):
        matching(where, FEATURES)


@pytest.mark.parametrize("where", ["", "  ", 3, ["price < 3"]])
def test_a_filter_is_a_text(where):
    with pytest.raises(UserError, match=r"^where must be a text such as 'price < 20"):
        matching(where, FEATURES)


def test_without_features_there_is_nothing_to_filter_by():
    with pytest.raises(
        UserError, match=r"the items of this run have no features; a recipe names them under `features`"
    ):
        matching("price < 3", NO_FEATURES)


def test_more_than_ten_names_in_backticks_are_told_apart():
    numbers = {f"a {n}": np.array([n], np.float32) for n in range(12)}
    where = " and ".join(f"`a {n}` == {n}" for n in range(12))
    assert matching(where, FeatureTable(numbers)).tolist() == [True]
    with pytest.raises(UserError, match=r"^where: `a 12` is no feature"):
        matching(f"{where} and `a 12` == 1", FeatureTable(numbers))
