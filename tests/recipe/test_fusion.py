"""The keys of what is learned of items: off by default, and each wrong value is named with key, rule and value."""

import copy

import pytest
from minimal import MINIMAL

from peftrec.errors import UserError
from peftrec.recipe import make_recipe


def test_nothing_is_learned_of_items_where_nothing_is_said():
    assert make_recipe(MINIMAL).fusion.model_dump() == {
        "items": False,
        "features": False,
        "dim": 32,
        "least": 10,
        "dropout": 0.3,
        "sharing": "shared",
    }


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("fusion.items", "some", ["valid boolean", "found 'some'"]),
        ("fusion.features", "price", ["valid boolean", "found 'price'"]),
        ("fusion.dim", 0, ["greater than or equal to 1", "found 0"]),
        ("fusion.dim", 5000, ["less than or equal to 4096", "found 5000"]),
        ("fusion.least", 0, ["greater than or equal to 1", "found 0"]),
        ("fusion.dropout", 1, ["less than 1", "found 1"]),
        ("fusion.sharing", "both", ["'shared' or 'private'", "'both'"]),
        ("fusion", [1], ["fusion: must be a group of keys; found [1]"]),
    ],
)
def test_a_wrong_value_is_refused(key, value, said):
    raw = copy.deepcopy(MINIMAL)
    group, _, name = key.partition(".")
    raw[group] = {name: value} if name else value
    with pytest.raises(UserError) as error:
        make_recipe(raw, "r.yaml")
    assert all(part in str(error.value) for part in (key, *said)), str(error.value)
