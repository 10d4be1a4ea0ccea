import pytest
from pydantic import ValidationError

from peftrec.recipe import DataConfig, EventsConfig, SplitConfig, TextsConfig
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


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"impression": "list"}, "impression: needs time too"),
        ({"unclicked_in_history": True}, "unclicked_in_history: needs clicked"),
    ],
)
def test_keys_of_shown_lists_that_lack_another_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        EventsConfig(path="a.csv", user="u", item="i", **keys)
