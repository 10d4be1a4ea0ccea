"""The memory plan: what is kept is measured, and beyond the budget it is recomputed with the same gradients."""

import gc

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.model.backbone import load_backbone
from peftrec.model.co_learner import CoLearner, build_model
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import resolve
from peftrec.training.fingerprint import describe_origin
from peftrec.training.loop import fit, prepare
from peftrec.training.memory import bytes_per_token, plan_memory
from peftrec.training.resume import Checkpoints
from peftrec.training.step import joint_backward
from peftrec.training.weighting import Static, Weighting

pytestmark = pytest.mark.usefixtures("quick")

SIDE = {"method": "side", "sharing": "shared+private"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"), users=40, queries=200, layers=6)


def recipe_of(shop, adapter=SIDE, **train):
    """Three tasks, two quick epochs."""
    quick = {"epochs": 2, "batch_size": 128, "lr": 1e-3, "dropout": 0.0}
    return tiny_recipe(shop, tasks=THREE, adapter=adapter, train={**quick, **train})


def made(shop, method="lora", layers="top-2", **train):
    recipe = recipe_of(shop, {"method": method, "sharing": "shared+private", "layers": layers}, **train)
    dataset = load_data(recipe)
    torch.manual_seed(0)
    model = build_model(recipe, resolve(recipe), load_backbone(recipe.backbone), dataset, 0.0)
    model.encoder.update()
    return recipe, dataset, model.train()


def batches(dataset, n=60):
    return {task: data.train.take(np.arange(n)) for task, data in dataset.tasks.items()}


def test_within_the_budget_everything_is_kept(shop):
    recipe, dataset, model = made(shop)
    line = plan_memory(model, batches(dataset), recipe.train.model_copy(update={"memory_mb": 100_000}))
    assert "within the budget of 100,000 MB" in line
    assert not model.encoder.recompute


def test_a_task_without_a_row_in_the_first_step_keeps_nothing(shop):
    recipe, dataset, model = made(shop)
    config = recipe.train.model_copy(update={"memory_mb": 100_000})
    own = {"query": batches(dataset)["query"]}
    none = {**own, "interest": dataset.tasks["interest"].train.take(np.arange(0))}
    assert plan_memory(model, none, config) == plan_memory(model, own, config)


@pytest.mark.parametrize("method", ["side", "lora"])
def test_nothing_of_the_planning_stays_in_memory(shop, method):
    """Hooks that keep a saved tensor as it is keep its whole graph for ever: 80 MB in the demo."""
    recipe, dataset, model = made(shop, method)

    def computed():
        return sum(isinstance(o, torch.Tensor) and o.grad_fn is not None for o in gc.get_objects())

    before = computed()
    plan_memory(model, batches(dataset), recipe.train.model_copy(update={"memory_mb": 100_000}))
    gc.collect()
    assert computed() == before


def test_beyond_the_budget_the_gradient_is_the_same(shop):
    gradients = []
    for budget in (100_000, 1):
        recipe, dataset, model = made(shop)
        line = plan_memory(model, batches(dataset), recipe.train.model_copy(update={"memory_mb": budget}))
        assert model.encoder.recompute is (budget == 1), line
        tasks = {n: d.train for n, d in dataset.tasks.items()}
        rows = {n: np.arange(60) for n in tasks}
        joint_backward(model, tasks, rows, Static(torch.ones(3)), Accelerator())
        gradients.append({n: p.grad for n, p in model.trainable().items() if p.grad is not None})
    assert len(gradients[0]) > 10
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


def test_more_adapted_layers_keep_more_a_token(shop):
    kept = []
    for layers in ("top-1", "top-2", "all"):
        _, _, model = made(shop, layers=layers)
        kept.append(bytes_per_token(model, np.arange(20), "interest"))
    assert kept[0] > 32 * 4  # at the least one hidden state
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
    setup = prepare(recipe_of(shop, epochs=1))
    fit(setup)
    work = setup.model.work
    assert work.referenced > work.encoded > 0
    assert "the backbone ran for none" in work.line()
    setup = prepare(recipe_of(shop, {"method": "lora", "sharing": "shared", "layers": "top-1"}, epochs=1))
    fit(setup)
    work = setup.model.work
    assert 0 < work.tokens <= work.padded_tokens < 2 * work.tokens
    assert f"{1 - work.tokens / work.padded_tokens:.1%}" in work.line()


def test_locality_encodes_fewer_texts_and_still_gives_every_row_once(shop):
    encoded = {}
    for locality in ("none", "user"):
        setup = prepare(recipe_of(shop, epochs=1, batch_size=32, locality=locality))
        seen = fit(setup).examples
        assert seen == sum(len(d.train) for d in setup.dataset.tasks.values())
        encoded[locality] = setup.model.work.encoded
    assert encoded["user"] < encoded["none"]


def test_heads_and_side_networks_beyond_the_budget_are_made_in_parts_with_the_same_gradient(shop):
    """What they keep grows with the rows: the parts are so many that each keeps less than the budget."""
    gradients = []
    for budget in (100_000, 1):
        recipe, dataset, model = made(shop, "side", "all", dropout=0.0)
        some = batches(dataset, 90)
        line = plan_memory(model, some, recipe.train.model_copy(update={"memory_mb": budget}))
        assert ("heads" in line) is (budget == 1)
        assert (model.parts > 1) is (budget == 1)
        tasks, rows = {n: d.train for n, d in dataset.tasks.items()}, {n: np.arange(90) for n in some}
        joint_backward(model, tasks, rows, Static(torch.ones(3)), Accelerator())
        gradients.append({n: p.grad for n, p in model.trainable().items() if p.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4)


def short_of_memory(monkeypatch, rows, error):
    """A machine whose memory runs out in the backward pass of more than `rows` rows of all tasks together."""
    kept, tried = CoLearner.losses, []

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, losses):
            return losses.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise error

    def losses(self, batches):
        tried.append(sum(map(len, batches.values())))
        found = kept(self, batches)
        return Failing.apply(found) if tried[-1] > rows else found

    monkeypatch.setattr(CoLearner, "losses", losses)
    return tried


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_out_of_memory_halves_the_parts_until_they_fit_and_says_so_once(shop, monkeypatch, notes, error):
    whole = trained(shop)
    notes.readouterr()
    with monkeypatch.context() as patch:
        tried = short_of_memory(patch, 40, error)
        found = trained(shop)
    assert tried[0] > 80 and 40 < tried[1] < tried[0]
    assert len(tried) > 10 and max(tried[2:]) <= 40  # once a step is cut into four, it stays so
    assert notes.readouterr().err.count("out of memory: each step is now cut into 4 parts") == 1
    for name, tensor in whole.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-5, rtol=1e-3)


def trained(shop):
    setup = prepare(recipe_of(shop, max_steps=3, clip=None))
    fit(setup)
    return {name: p.detach().clone() for name, p in setup.model.trainable().items()}


def test_weights_that_depend_on_the_losses_see_each_step_once(shop, monkeypatch):
    """Cut into parts, and made again after running out of memory, a step's losses are those of the whole."""

    def steps(rows):
        _, dataset, model = made(shop, "side", "all", dropout=0.0)
        seen = []

        class Inverse(Weighting):
            needs = "losses"

            def forward(self, losses):
                seen.append(losses.clone())
                return 1 / losses

        weighting = Inverse(torch.ones(3))

        with monkeypatch.context() as patch:
            short_of_memory(patch, rows, torch.OutOfMemoryError("out of memory"))
            tasks = {n: d.train for n, d in dataset.tasks.items()}
            for first in (0, 30):
                model.zero_grad()
                joint_backward(model, tasks, {n: np.arange(first, first + 60) for n in tasks}, weighting, Accelerator())
        return seen, {n: p.grad for n, p in model.trainable().items() if p.grad is not None}, model.parts

    seen, gradients, parts = steps(1000)
    assert parts == 1
    again, found, parts = steps(50)
    assert parts == 4
    torch.testing.assert_close(again, seen)
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)


def test_memory_that_does_not_hold_one_row_is_said(shop, monkeypatch):
    short_of_memory(monkeypatch, 0, torch.OutOfMemoryError("out of memory"))
    with pytest.raises(UserError, match="out of memory, with one row of each task at a time"):
        trained(shop)


def test_training_goes_on_in_as_many_parts_as_it_had(shop, monkeypatch, tmp_path):
    recipe = recipe_of(shop, max_steps=4, checkpoint={"every": "1 step"})

    def session(run, resume=False, stop=0):
        setup = prepare(recipe)
        origin = describe_origin(recipe, setup.dataset, setup.model, 1)
        checkpoints = Checkpoints(tmp_path / run, recipe.train.checkpoint, origin, resume)
        kept = checkpoints.keep_up

        def keep_up(state, now):
            kept(state, now)
            if state.progress.step == stop:
                raise RuntimeError("power cut")

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "keep_up", keep_up)
            if not resume:
                short_of_memory(patch, 40, torch.OutOfMemoryError("out of memory"))
            fit(setup, checkpoints)
        assert setup.model.parts == 4
        return setup.model.trainable()

    whole = session("whole")
    with pytest.raises(RuntimeError, match="power cut"):
        session("run", stop=2)
    again = session("run", resume=True)
    assert [name for name in whole if not torch.equal(whole[name], again[name])] == []
