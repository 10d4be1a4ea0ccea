import pytest
from pydantic import ValidationError

from peftrec.recipe import DataConfig, ItemsConfig, SplitConfig, TextsConfig
from peftrec.recipe.tables import SPLIT_KINDS


def test_a_text_alone_is_a_kind_or_a_column():
    assert SplitConfig.model_validate("by-text") == SplitConfig(kind="by-text")
    assert SplitConfig.model_validate("part") == SplitConfig(kind="given", column="part")
    assert TextsConfig(path="a.csv", text="{a}", split="part").split == SplitConfig(kind="given", column="part")
    assert DataConfig(source="x", split="random").split == SplitConfig(kind="random")
    assert len(SPLIT_KINDS) == 7
    for kind in SPLIT_KINDS:
        assert TextsConfig(path="a.csv", text="{a}", split=kind).split == SplitConfig(kind=kind)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kind": "by-item"}, "Input should be 'global-time', 'leave-last-out', 'random', 'stratified'"),
        ({"kind": "by-group", "by": "text"}, "Input should be 'user', 'item' or 'query'"),
        ({"kind": "random", "by": "item"}, "by belongs to kind: by-group, found kind: random"),
        ({"kind": "random", "column": "part"}, "column belongs to kind: given, found kind: random"),
        ({"test": 0.7, "valid": 0.4}, "test \\+ valid must stay below 1, found 0.7 \\+ 0.4"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        SplitConfig(**keys)


ITEMS = {"path": "a.csv", "id": "id", "text": "{a}"}


def test_features_are_numbers_or_categories():
    items = ItemsConfig(**ITEMS, features={"price": "number", "brand": "category"})
    assert items.features == {"price": "number", "brand": "category"}
    with pytest.raises(ValidationError, match=r"features.price\n  Input should be 'number' or 'category'"):
        ItemsConfig(**ITEMS, features={"price": "float"})
    with pytest.raises(ValidationError, match="features\n  Extra inputs are not permitted"):
        TextsConfig(path="a.csv", text="{a}", features={"price": "number"})


def test_a_feature_of_users_stands_in_one_of_their_tables():
    people = {"kind": "users", "path": "a.csv", "id": "id", "features": {"age": "number"}}
    with pytest.raises(ValidationError) as error:
        DataConfig(tables={"one": people, "other": people})
    rule = "tables.other.features: users are one set over all tables, and one has the feature 'age' already"
    assert rule in str(error.value)
