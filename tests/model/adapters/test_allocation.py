import pytest
from encoders import configured

from peftrec.errors import UserError
from peftrec.model.adapters import METHODS, attach
from peftrec.model.adapters import allocation as room
from peftrec.model.backbone.families import tiny_backbone

WITHOUT_PARTS = {"head_only", "full"}


@pytest.mark.parametrize("value", [10**9, 10**18, 10**30])
@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("side", "rank"),
        ("lora", "r"),
        ("dora", "r"),
        ("adalora", "init_r"),
        ("bottleneck", "size"),
        ("prefix", "num_virtual_tokens"),
        ("vera", "r"),
    ],
)
def test_what_no_memory_holds_is_refused_by_option_and_value(method, option, value):
    with pytest.raises(UserError) as error:
        attach(tiny_backbone("BERT"), {"a": configured(method, "shared", "all", **{option: value})})
    assert str(error.value).startswith(f"adapter.options.{option}={value}: to train {method} with it would take more")
    assert str(error.value).endswith("MB of memory that are free; choose smaller sizes")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - WITHOUT_PARTS | {"vera", "loha", "oft", "randlora"}))
def test_the_parts_of_every_method_are_counted(method, monkeypatch):
    monkeypatch.setattr(room, "free_memory_mb", lambda: 1e-4)
    with pytest.raises(UserError, match=f"to train {method} with it would take more than the 0 MB of memory that are"):
        attach(tiny_backbone("BERT"), {"a": configured(method, "shared", "all")})


def test_a_backbone_is_plain_again_after_a_refusal():
    backbone = tiny_backbone("BERT")
    before = {name: type(module) for name, module in backbone.model.named_modules()}
    with pytest.raises(UserError):
        attach(backbone, {"a": configured("lora", "shared", "all", r=10**12)})
    assert {name: type(module) for name, module in backbone.model.named_modules()} == before
    attach(backbone, {"a": configured("lora", "shared", "all")})
