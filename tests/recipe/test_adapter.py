"""How a recipe says which method it takes: by name, or not at all."""

import pytest
from pydantic import ValidationError

from peftrec.recipe.adapter import AUTO, AdapterConfig


def test_without_a_name_the_method_is_left_open_and_layers_may_be_given():
    assert AdapterConfig().method == AdapterConfig(method="auto").method == AUTO
    assert AdapterConfig(layers="top-1", sharing="private").method == AUTO


def test_options_without_a_method_are_refused_with_what_to_write():
    with pytest.raises(ValidationError, match=r"options are of a method: name it.*'r': 4"):
        AdapterConfig(options={"r": 4})
    assert AdapterConfig(method="lora", options={"r": 4}).options == {"r": 4}
