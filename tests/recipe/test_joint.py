"""How tasks count beside each other: defaults, and each wrong value named with key, rule and value."""

import copy

import pytest
from minimal import MINIMAL

from peftrec.errors import UserError
from peftrec.recipe import make_recipe


def test_where_nothing_is_said_weights_stay_and_each_task_gives_its_own_rows():
    recipe = make_recipe(MINIMAL)
    assert recipe.weighting.model_dump() == {"method": "static", "options": {}}
    assert recipe.sampling.model_dump() == {"temperature": 1.0}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sampling.temperature", -0.1, ["greater than or equal to 0", "found -0.1"]),
        ("sampling.temperature", 1.5, ["less than or equal to 1", "found 1.5"]),
        ("sampling.temperature", "hot", ["valid number", "found 'hot'"]),
        ("sampling.temperature", True, ["must be a number", "found true"]),
        ("sampling.temprature", 0.5, ["unknown key", "temperature"]),
        ("tasks.interest.train.lr", 0, ["greater than 0", "found 0"]),
        ("tasks.interest.train.head_lr", 1e-40, ["32-bit numbers lose", "found 1e-40"]),
        ("tasks.interest.train.weight_decay", -1, ["greater than or equal to 0", "found -1"]),
        ("tasks.interest.train.epochs", 3, ["unknown key", "head_lr"]),
        ("sampling", 0.5, ["must be a group of keys", "found 0.5"]),
    ],
)
def test_a_wrong_value_is_refused(key, value, said):
    raw = copy.deepcopy(MINIMAL)
    *groups, name = key.split(".")
    place = raw
    for group in groups:
        place = place.setdefault(group, {})
    place[name] = value
    with pytest.raises(UserError) as error:
        make_recipe(raw, "r.yaml")
    assert all(part in str(error.value) for part in (key, *said)), str(error.value)
