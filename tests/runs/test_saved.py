"""What of a model a run keeps, and that it is found again."""

import shutil

import pytest
from safetensors.torch import load_file

from peftrec.errors import UserError
from peftrec.machine.files import write_manifest
from peftrec.recipe import load_recipe
from peftrec.runs.saved import read_recipe


def test_saved_heads_and_adapters_are_safetensors_with_every_trained_tensor(shop_run):
    tensors = load_file(shop_run / "adapters/interest/adapter_model.safetensors")
    assert len(tensors) == 2 + 2 + 7 * 6 + 1  # down-projections, up-projection, six a rung, gates


@pytest.mark.parametrize("said", ["null", "{epochs: 2}"])
def test_a_run_may_name_a_stage_of_training_that_left_and_a_recipe_may_not(shop_run, tmp_path, said):
    run = shutil.copytree(shop_run, tmp_path / "run")
    file = run / "run.yaml"
    file.write_text(f"{file.read_text()}specialise: {said}\n")
    (run / "manifest.json").unlink()
    write_manifest(run)
    assert read_recipe(run) == read_recipe(shop_run)
    with pytest.raises(UserError, match="specialise: unknown key; known: "):
        load_recipe(file)
