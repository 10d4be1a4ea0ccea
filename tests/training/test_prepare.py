"""What cannot work is refused before the first step."""

import pytest
import torch
from shop import shop_recipe
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.training.loop import train
from peftrec.training.prepare import prepare


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": {"method": "loras"}}, "did you mean 'lora'"),
        ({"adapter": {"method": "lora", "layers": "top-9"}}, "the backbone has 6 layers; found top-9"),
        ({"adapter": {"method": "lora", "layers": [2, 6]}}, "layers 0 to 5; found 6"),
        ({"adapter": {"method": "lora", "options": {"rank": 8}}}, "adapter.options.rank"),
        ({"adapter": {"method": "side", "options": {"rnk": 8}}}, "did you mean 'rank'"),
        ({"adapter": {"method": "full"}}, "sharing: shared; found shared\\+private"),
        ({"adapter": {"method": "full", "sharing": "shared"}, "backbone": {"quantize": "nf4"}}, "cannot train nf4"),
        ({"tasks": {"q": {"kind": "match-quary"}}}, "did you mean 'match-query'"),
        ({"tasks": {"q": {"kind": "match-query", "loss": "bce"}}}, "no loss 'bce'"),
        ({"weighting": {"method": "statik"}}, "did you mean 'static'"),
        ({"weighting": {"method": "static", "options": {"t": 1}}}, "does not take"),
        ({"train": {"early_stopping": {"metric": "interest.auk"}}}, "did you mean 'interest.auc'"),
        ({"train": {"mixed_precision": "fp16"}}, "fp16 needs a GPU"),
        (
            {"train": {"accumulate": 1_000_000, "batch_size": 2_000_000}},
            r"train.accumulate: cuts each step into parts, and the first step of .* has [1-9][\d,]* rows; found "
            r"1,000,000",
        ),
        ({"backbone": {"name": "no/such-model"}}, "cannot load 'no/such-model'"),
        ({"backbone": {"max_length": 100_000}}, "takes at most 512 tokens"),
    ],
)
def test_what_cannot_work_is_refused_before_training_and_nothing_is_written(shop, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        train(shop_recipe(shop, **changes), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sharing", ["private", "shared+private"])
def test_a_task_begins_with_the_same_weights_whichever_tasks_it_learns_with(tmp_path, sharing):
    shop = make_tiny_shop(tmp_path)
    interest = {"kind": "interest", "column": "stars", "threshold": 4}
    adapter = {"method": "lora", "sharing": sharing, "options": {"r": 2}}
    alone, beside = (
        prepare(tiny_recipe(shop, tasks=tasks, adapter=adapter)).model.trainable()
        for tasks in ({"like": interest}, {"next": {"kind": "next-item"}, "like": interest})
    )
    assert {name.split("/")[0] for name in alone} == {"adapter", "head"}
    assert [name for name, p in alone.items() if not torch.equal(p, beside[name])] == []
