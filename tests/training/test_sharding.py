"""Two processes with a share of the weights each make what one makes, and what cannot be shared out is refused."""

import pytest
import torch
from accelerate.commands.launch import launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from launched import assert_one_trains, ended, environment, plain_shop, train_together
from tiny import tiny_recipe, trained_files
from together import BROKEN_OFF, SHARDED, with_case
from torch import nn

from peftrec.errors import UserError
from peftrec.training.loop import train
from peftrec.training.sharding import check_sharding, clip, total_norm

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return plain_shop(tmp_path_factory.mktemp("tiny"))


def sharding():
    """What `accelerate launch --use_fsdp` sets for its processes."""
    options = ["--num_processes=2", "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--use_fsdp"]
    launched = launch_command_parser().parse_args([*options, "--fsdp_version=2", "-m", "peftrec"])
    return {name: value for name, value in prepare_multi_gpu_env(launched).items() if "FSDP" in name}


@pytest.fixture(scope="module")
def sharded(shop, tmp_path_factory):
    """The folder of what two processes trained with a share of the weights each."""
    return train_together(shop, tmp_path_factory.mktemp("sharded"), SHARDED, environment() | sharding())


@pytest.mark.parametrize("case", ["adamw", "uneven buckets, no rows"])
def test_two_processes_that_share_the_weights_out_train_what_one_trains(shop, sharded, tmp_path, case):
    assert_one_trains(shop, sharded, tmp_path, case, without="catalogue.safetensors")
    assert "2 processes, each with a share of every weight (FSDP)" in (sharded / "stderr").read_text()


def test_weights_that_are_shared_out_come_back_from_a_checkpoint_to_the_bit(sharded):
    whole, broken_off = (trained_files(sharded / case) for case in ("adamw", BROKEN_OFF))
    assert whole == broken_off


def test_what_cannot_share_its_weights_out_is_told_by_the_first_process(sharded):
    first, second = (ended(sharded, number) for number in (0, 1))
    for case, message in {
        "no number, sharded": "the loss of task query (its training rows 5) is not a finite number",
        "adafactor": "FSDP: train.optimizer: adafactor needs whole matrices; take adamw or sgd",
        "lora": "FSDP: shards what method full trains; found lora, whose backbone is frozen",
    }.items():
        assert message in first[case]
        assert second[case].startswith("ToldElsewhere: ")


@pytest.mark.parametrize(
    ("variable", "found", "instead"),
    [
        ("FSDP_VERSION", "1", "must be 2; found 1: --fsdp_version 2"),
        ("FSDP_OFFLOAD_PARAMS", "true", "must be false; found true: leave --fsdp_offload_params out"),
        ("FSDP_ACTIVATION_CHECKPOINTING", "true", "use train.gradient_checkpointing in its place"),
        ("FSDP_RESHARD_AFTER_FORWARD", "false", "must be true or full_shard; found false"),
    ],
)
def test_settings_of_the_launcher_that_do_not_work_here_are_refused(shop, monkeypatch, variable, found, instead):
    for name, value in {**sharding(), "WORLD_SIZE": "2", variable: found}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=instead):
        check_sharding(with_case(shop, "adamw"))


def test_one_process_has_nothing_to_share_out_and_says_so(shop, tmp_path, monkeypatch, notes):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    train(tiny_recipe(shop, train={"max_steps": 1}), tmp_path / "run")
    assert "one process: FSDP has nothing to share out" in notes.readouterr().err


def test_sparse_gradients_count_in_the_norm_and_are_clipped_with_the_others():
    dense, table = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(5, 2))
    dense.grad = torch.tensor([2.0])
    rows = torch.tensor([[4, 1, 4]])  # a row that came in two pieces: (1, 2)
    table.grad = torch.sparse_coo_tensor(rows, torch.tensor([[1.0, 0], [0, 4], [0, 2]]), (5, 2), check_invariants=True)
    norm = total_norm([dense.grad, table.grad])
    assert float(norm) == 5
    clip([dense, table], 1.0, norm)
    assert dense.grad.item() == pytest.approx(0.4, abs=1e-6)
    expected = torch.tensor([[0, 0], [0, 0.8], [0, 0], [0, 0], [0.2, 0.4]])
    assert table.grad.is_sparse
    torch.testing.assert_close(table.grad.to_dense(), expected, atol=1e-6, rtol=0)
