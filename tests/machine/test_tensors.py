import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from peftrec.machine.tensors import finite, misfit, write_tensors


def test_tensors_come_back_however_they_lie_in_memory(tmp_path):
    lying = torch.arange(6.0).view(2, 3).T
    write_tensors(tmp_path / "some.safetensors", {"lying": lying, "trained": nn.Parameter(torch.ones(2))})
    found = load_file(tmp_path / "some.safetensors")
    assert found["lying"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["trained"].tolist() == [1, 1]
    with safe_open(tmp_path / "some.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}  # Transformers reads no other


def test_a_misfit_names_the_tensor_and_both_forms():
    assert misfit({"a": (2, 3)}, {"a": (2, 3)}, "file") is None
    assert misfit({"a": (2, 3)}, {"a": (3, 2)}, "file") == "a is (2, 3), not (3, 2)"
    for one, other in (({"a": 1, "b": 2}, {"a": 1}), ({"a": 1}, {"a": 1, "b": 2})):
        assert misfit(one, other, "checkpoint") == "b is in only one of checkpoint and model"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_numbers_are_finite_in_every_dtype(dtype):
    assert finite(torch.ones(3, 2, dtype=dtype))
    assert finite(torch.ones(0, 2, dtype=dtype))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_is_found_wherever_it_stands(wrong):
    for place in range(9):
        numbers = torch.linspace(-1, 1, 9)
        numbers[place] = wrong
        assert not finite(numbers.view(3, 3).T)
