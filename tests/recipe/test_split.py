import pytest
from pydantic import ValidationError

from peftrec.recipe import DataConfig, SplitConfig, TextsConfig
from peftrec.recipe.split import SPLIT_KINDS


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
        ({"kind": "random", "files": {"train": "*"}}, "files belongs to kind: given, found kind: random"),
        ({"kind": "given", "files": {"dev": "*"}}, "Input should be 'train', 'valid', 'validation' or 'test'"),
        ({"kind": "given", "column": "a", "files": {"train": "*"}}, "by its column or by its files; found both"),
        ({"test": 0.7, "valid": 0.4}, "test \\+ valid must stay below 1, found 0.7 \\+ 0.4"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        SplitConfig(**keys)
