"""Nested objects as flat ones."""

from peftrec.recipe.dotted import dotted


def test_keys_are_joined_in_order_and_lists_stay_whole():
    nested = {"train": {"lr": 0.1, "checkpoint": {"keep": 2}}, "layers": [1, {"a": 2}], "name": None, "options": {}}
    assert list(dotted(nested)) == [
        ("train.lr", 0.1),
        ("train.checkpoint.keep", 2),
        ("layers", [1, {"a": 2}]),
        ("name", None),
    ]
    assert list(dotted({"a": {"b": 1}}, separator="/")) == [("a/b", 1)]
