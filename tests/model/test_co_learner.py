"""The joint step: gradients, and every unique text encoded once."""

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.data.examples import Examples
from peftrec.model.backbone import load_backbone
from peftrec.model.cache.states import StateCache
from peftrec.model.co_learner import CoLearner, build_model
from peftrec.model.scorer import Scorer
from peftrec.tasks.dataset import load_data
from peftrec.tasks.grades import Grades
from peftrec.tasks.kinds import resolve
from peftrec.training.step import joint_backward
from peftrec.training.weighting import Static, make_weighting

METHODS = [
    ("side", "shared", "all"),
    ("side", "private", "all"),
    ("side", "shared+private", "all"),
    ("lora", "shared", "top-1"),
    ("lora", "private", "top-1"),
    ("lora", "shared+private", "top-1"),
    ("lora", "shared+private", "all"),
    ("head_only", "shared", "all"),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def made(shop, method, sharing, layers, items=False, **train):
    fusion, adapter = {"items": items, "dim": 4, "least": 1}, {"method": method, "sharing": sharing, "layers": layers}
    recipe = tiny_recipe(shop, tasks=THREE, adapter=adapter, fusion=fusion, train=train)
    dataset = load_data(recipe)
    torch.manual_seed(0)
    model = build_model(recipe, resolve(recipe), load_backbone(recipe.backbone), dataset, 0.0)
    model.encoder.update()
    return recipe, dataset, model


def gradients(model: CoLearner) -> dict[str, torch.Tensor]:
    return {
        n: torch.zeros_like(p) if p.grad is None else p.grad.to_dense().clone() for n, p in model.trainable().items()
    }


def step(recipe, dataset, model, tasks, weights, parts=1):
    model.zero_grad()
    for parameter in model.trainable().values():
        parameter.grad = None
    data = {t: dataset.tasks[t].train for t in tasks}
    rows = {t: np.arange(23) for t in tasks}
    model.parts = parts
    return joint_backward(model, data, rows, Static(torch.tensor(weights)), Accelerator())[0]


def perturb(model: CoLearner) -> None:
    """Away from the zero start, where many gradients vanish."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)


@pytest.mark.parametrize(("method", "sharing", "layers"), METHODS)
@pytest.mark.parametrize(("recompute", "parts"), [(False, 1), (True, 1), (False, 3)])
def test_the_joint_gradient_is_the_weighted_sum_of_the_tasks_own(shop, method, sharing, layers, recompute, parts):
    items = parts > 1 or method == "head_only"  # what is learned of items with it, which a step drops alike everywhere
    recipe, dataset, model = made(shop, method, sharing, layers, items, gradient_checkpointing=recompute)
    perturb(model)
    weights = {"query": 1.0, "interest": 0.5, "time": 0.3}
    losses = step(recipe, dataset, model, list(weights), list(weights.values()), parts)
    joint = gradients(model)
    total = {name: torch.zeros_like(g) for name, g in joint.items()}
    for number, (task, weight) in enumerate(weights.items()):
        own = step(recipe, dataset, model, [task], [weight])
        torch.testing.assert_close(own[0], losses[number], atol=1e-5, rtol=1e-5)
        for name, gradient in gradients(model).items():
            total[name] += gradient
    scale = max(float(g.abs().max()) for g in joint.values())
    assert scale > 1e-3
    for name, gradient in joint.items():
        assert float((gradient - total[name]).abs().max()) <= 1e-6 * max(1.0, scale), name
        if not name.endswith("/gates") or method != "head_only":
            assert float(gradient.abs().max()) > 0, f"no gradient reaches {name}"


def test_each_unique_text_of_a_batch_is_encoded_once(shop, monkeypatch):
    _, dataset, model = made(shop, "lora", "shared", "all")
    batches = {task: data.train.take(np.arange(40)) for task, data in dataset.tasks.items()}
    wanted = set()
    for batch in batches.values():
        for rows in batch.slots.values():
            wanted |= set(rows.tolist())
        if batch.log is not None:
            wanted |= set(batch.history().rows.ravel().tolist()) - {-1}
    encoded = []
    run = model.encoder.backbone.run
    monkeypatch.setattr(
        model.encoder.backbone, "run", lambda ids, *a, **k: encoded.append(len(ids)) or run(ids, *a, **k)
    )
    model.outputs(batches)
    assert sum(encoded) == len(wanted)
    assert len(wanted) < sum(len(b) for b in batches.values())


def test_private_adapters_encode_only_their_own_tasks_texts(shop, monkeypatch):
    _, dataset, model = made(shop, "lora", "shared+private", "top-1")
    encoded = []
    encode = model.encoder.encode
    monkeypatch.setattr(
        model.encoder, "encode", lambda rows, task: encoded.append((task, len(rows))) or encode(rows, task)
    )
    model.outputs({task: data.train.take(np.arange(40)) for task, data in dataset.tasks.items()})
    assert [task for task, _ in encoded] == ["query", "interest", "time"]


def test_training_one_task_leaves_the_others_predictions_alone(shop):
    recipe, dataset, model = made(shop, "lora", "private", "top-1")
    perturb(model)
    before = {t: model.predict(t, dataset.tasks[t].test) for t in dataset.tasks}
    step(recipe, dataset, model, ["interest"], [1.0])
    with torch.no_grad():
        for parameter in model.trainable().values():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    after = {t: model.predict(t, dataset.tasks[t].test) for t in dataset.tasks}
    assert not np.array_equal(before["interest"], after["interest"])
    for task in ("query", "time"):
        np.testing.assert_array_equal(before[task], after[task])


@pytest.mark.parametrize(("method", "layers"), [("side", "all"), ("lora", "top-1"), ("lora", "all")])
def test_predictions_do_not_depend_on_batches_or_order(shop, method, layers):
    _, dataset, model = made(shop, method, "shared+private", layers)
    perturb(model)
    for task in dataset.tasks:
        test = dataset.tasks[task].test
        together = model.predict(task, test)
        order = np.random.default_rng(0).permutation(len(test))
        np.testing.assert_allclose(model.predict(task, test.take(order)), together[order], atol=1e-5)
        np.testing.assert_allclose(model.predict(task, test.take(np.arange(3))), together[:3], atol=1e-5)


def test_cached_and_uncached_top_layers_give_the_same_losses_and_gradients(shop):
    recipe, dataset, cached = made(shop, "lora", "shared+private", "top-1")
    perturb(cached)
    assert cached.encoder.level("interest")[0] == "layer"
    weights = [1.0, 0.5, 0.3]
    losses = step(recipe, dataset, cached, list(dataset.tasks), weights)
    with_cache = gradients(cached)
    cached.encoder.trunk, cached.encoder.caches = 0, {}  # the same model, computing its trunk every time
    again = step(recipe, dataset, cached, list(dataset.tasks), weights)
    torch.testing.assert_close(losses, again, atol=1e-6, rtol=1e-6)
    for name, gradient in gradients(cached).items():
        torch.testing.assert_close(with_cache[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("parts", [1, 3])
def test_where_no_states_are_kept_a_step_runs_the_trunk_once_for_texts_of_several_tasks(shop, parts):
    recipe, dataset, model = made(shop, "lora", "private", "top-1")
    perturb(model)
    weights = {"query": 1.0, "interest": 0.5, "time": 0.3}
    losses = step(recipe, dataset, model, list(weights), list(weights.values()), parts)
    kept = gradients(model)
    cache = StateCache(model.encoder.backbone, model.encoder.texts, "layer", model.encoder.trunk)
    model.encoder.caches["layer"] = cache
    computed, compute = [], cache.compute
    cache.compute = lambda rows: computed.append(rows) or compute(rows)
    again = step(recipe, dataset, model, list(weights), list(weights.values()), parts)
    torch.testing.assert_close(losses, again, atol=1e-6, rtol=1e-6)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(kept[name], gradient, atol=1e-6, rtol=1e-4)
    ran = np.concatenate(computed)
    if parts == 1:
        assert len(np.unique(ran)) == len(ran)
    computed.clear()
    for task, weight in weights.items():
        step(recipe, dataset, model, [task], [weight], parts)
    assert len(ran) < 0.8 * sum(map(len, computed))


def test_the_recipes_lambdas_are_the_weights(shop):
    recipe = tiny_recipe(shop, tasks=THREE)
    assert make_weighting(recipe.weighting, recipe)(torch.rand(3)).tolist() == pytest.approx([1.0, 0.5, 0.3])


def test_grades_are_ranked_by_their_numbers():
    class Even(Scorer):
        def predict(self, task, examples):
            return np.tile([0.5, 0.25, 0.25], (len(examples), 1))

    rows = Examples({"item": np.zeros(2, np.int32)}, *(np.zeros(2) for _ in range(5)))
    scores = Even().ranker("query", np.arange(3, dtype=np.int32), Grades(np.array([1.0, 2, 5]), "exponential"))(rows)
    assert scores.tolist() == [[2.25] * 3] * 2
