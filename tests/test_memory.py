"""The memory plan: what is kept is measured, and beyond the budget it is recomputed with the same gradients."""

import numpy as np
import torch
from accelerate import Accelerator
from shop import shop_recipe

from peftrec.backbone import load_backbone
from peftrec.memory import bytes_per_token, plan_memory
from peftrec.model import build_model
from peftrec.tasks import load_data
from peftrec.training import fit, joint_backward, prepare


def made(shop, method="lora", layers="top-2", **train):
    recipe = shop_recipe(shop, adapter={"method": method, "sharing": "shared+private", "layers": layers}, train=train)
    dataset = load_data(recipe)
    torch.manual_seed(0)
    model = build_model(recipe, load_backbone(recipe.backbone), dataset)
    model.encoder.update()
    return recipe, dataset, model.train()


def batches(dataset, n=60):
    return {task: data.train.take(np.arange(n)) for task, data in dataset.tasks.items()}


def test_within_the_budget_everything_is_kept(shop):
    recipe, dataset, model = made(shop)
    line = plan_memory(model, batches(dataset), recipe.train.model_copy(update={"memory_mb": 100_000}))
    assert "within the budget of 100,000 MB" in line
    assert not model.encoder.recompute


def test_beyond_the_budget_the_gradient_is_the_same(shop):
    gradients = []
    for budget in (100_000, 1):
        recipe, dataset, model = made(shop)
        line = plan_memory(model, batches(dataset), recipe.train.model_copy(update={"memory_mb": budget}))
        assert model.encoder.recompute is (budget == 1), line
        tasks = {n: d.train for n, d in dataset.tasks.items()}
        rows = {n: np.arange(60) for n in tasks}
        joint_backward(model, tasks, rows, lambda losses: torch.ones(3), Accelerator())
        gradients.append({n: p.grad for n, p in model.trainable().items() if p.grad is not None})
    assert len(gradients[0]) > 10
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


def test_more_adapted_layers_keep_more_a_token(shop):
    kept = []
    for layers in ("top-1", "top-2", "all"):
        _, _, model = made(shop, layers=layers)
        kept.append(bytes_per_token(model, np.arange(20), "interest"))
    assert kept[0] > 384 * 4  # at the least one hidden state
    assert 1.5 < kept[1] / kept[0] < 2.5
    assert 4 < kept[2] / kept[0] < 9


def test_recomputing_bounds_what_a_step_keeps(shop):
    """Bytes saved for the backward pass, counted by autograd itself, stop growing with the batch."""

    def saved(budget, n):
        recipe, dataset, model = made(shop)
        plan_memory(model, batches(dataset, n), recipe.train.model_copy(update={"memory_mb": budget}))
        sizes: dict[int, int] = {}
        own = {p.untyped_storage().data_ptr() for p in model.encoder.backbone.model.parameters()}

        def pack(tensor):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            keep = model.encoder.encode(np.arange(n), "interest")
        assert keep.requires_grad
        return sum(sizes.values())

    assert saved(1, 50) < saved(100_000, 50) / 5


def test_pooled_methods_keep_nothing(shop):
    recipe, dataset, model = made(shop, "side", "all")
    assert "the backbone is not run" in plan_memory(model, batches(dataset), recipe.train)


def test_the_work_done_is_counted(shop):
    setup = prepare(shop_recipe(shop, train={"epochs": 1}))
    setup.model.encoder.update()
    fit(setup)
    work = setup.model.work
    assert work.referenced > work.encoded > 0
    assert "the backbone ran for none" in work.line()
    setup = prepare(
        shop_recipe(shop, adapter={"method": "lora", "sharing": "shared", "layers": "top-1"}, train={"epochs": 1})
    )
    setup.model.encoder.update()
    fit(setup)
    work = setup.model.work
    assert 0 < work.tokens <= work.padded_tokens < 2 * work.tokens
    assert f"{1 - work.tokens / work.padded_tokens:.1%}" in work.line()


def test_locality_encodes_fewer_texts_and_still_gives_every_row_once(shop):
    encoded = {}
    for locality in ("none", "user"):
        setup = prepare(shop_recipe(shop, train={"epochs": 1, "batch_size": 32, "locality": locality}))
        setup.model.encoder.update()
        seen = fit(setup).examples
        assert seen == sum(len(d.train) for d in setup.dataset.tasks.values())
        encoded[locality] = setup.model.work.encoded
    assert encoded["user"] < encoded["none"]
