"""What of a model a run keeps."""

from safetensors.torch import load_file


def test_saved_heads_and_adapters_are_safetensors_with_every_trained_tensor(shop_run):
    tensors = load_file(shop_run / "adapters/interest/adapter_model.safetensors")
    assert len(tensors) == 2 + 2 + 7 * 6 + 1  # down-projections, up-projection, six a rung, gates
