"""What `check` says training will take, from a few steps of it."""

import os

import numpy as np
import pytest
import torch
from tiny import make_tiny_shop, tiny_recipe, trained_files

from peftrec.errors import Diverged
from peftrec.evaluation.evaluate import text_rows
from peftrec.machine.caching import cache_root
from peftrec.model.co_learner import CoLearner
from peftrec.tasks.kinds import resolve
from peftrec.training.loop import train
from peftrec.training.preflight import check
from peftrec.training.prepare import prepare
from peftrec.training.rehearsal import rehearse

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PEFTREC_CACHE", str(tmp_path / "cache"))
    return cache_root()


@pytest.mark.parametrize(
    "adapter",
    [
        {"method": "side"},
        {"method": "lora", "layers": "top-1"},
        {"method": "adalora", "options": {"init_r": 4, "target_r": 2}},
    ],
    ids=lambda adapter: adapter["method"],
)
def test_the_parts_of_the_estimate_fit_together_and_nothing_is_kept(shop, root, adapter):
    said = check(tiny_recipe(shop, adapter=adapter, train={"epochs": 5}))["training"]
    assert said["seconds_per_step"] > 0
    epoch = said["steps_per_epoch"] * said["seconds_per_step"] + said["seconds_to_validate"]
    assert said["seconds_per_epoch"] == pytest.approx(epoch)
    assert said["seconds_at_most"] == pytest.approx(5 * epoch)
    assert said["peak_memory_mb"] > 50
    assert not root.exists()


def test_a_run_cut_short_takes_its_own_steps_only(shop, root):
    said = check(tiny_recipe(shop, train={"max_steps": 1}))["training"]
    assert said["seconds_at_most"] == pytest.approx(said["seconds_per_step"] + said["seconds_to_validate"])


@pytest.mark.parametrize("adapter", [{"method": "side"}, {"method": "lora", "layers": "top-1"}])
def test_states_that_are_made_up_take_the_room_of_those_that_are_computed(shop, root, adapter):
    """What the disk has is taken from there; the shapes of all are those that training sees."""
    recipe = tiny_recipe(shop, adapter=adapter)
    real, made_up = (prepare(recipe).model.encoder for _ in range(2))
    dataset = prepare(recipe).dataset
    rows = np.arange(len(dataset.texts))
    some = text_rows(dataset, resolve(recipe), ["test"], ranking=False)["query"]
    real.disk = True
    real.update({task: some for task in recipe.tasks})
    real.update({task: rows for task in recipe.tasks})
    for level, cache in made_up.caches.items():
        cache.rehearse(rows)
        expected = real.caches[level].states(rows)
        assert cache.in_memory(rows)
        assert cache.states(rows).shape == expected.shape
        assert cache.states(some).equal(real.caches[level].states(some))


ADALORA = {"method": "adalora", "options": {"init_r": 4, "target_r": 2}}


@pytest.mark.usefixtures("root")
def test_a_training_after_it_is_the_one_without_it(shop, tmp_path, monkeypatch):
    """What is random follows from train.seed and the step, whatever the process did before."""
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(shop, adapter=ADALORA)
    alone = train(recipe, tmp_path / "alone")
    before = os.listdir(tmp_path)
    check(recipe)
    assert os.listdir(tmp_path) == before
    assert trained_files(train(recipe, tmp_path / "after")) == trained_files(alone)


@pytest.mark.parametrize("adapter", [{"method": "side"}, ADALORA], ids=lambda adapter: adapter["method"])
def test_its_steps_leave_no_gradient_and_no_graph_behind(shop, root, adapter):
    setup = prepare(tiny_recipe(shop, adapter=adapter, train={"max_steps": 3}))
    needed = text_rows(setup.dataset, setup.tasks, ["train", "valid"], ranking=False)
    before = {name: p.detach().clone() for name, p in setup.model.trainable().items()}
    rehearse(setup, needed)
    after = setup.model.trainable()
    assert any(not torch.equal(after[name], kept) for name, kept in before.items())  # real steps of the optimiser
    assert [name for name, p in setup.model.named_parameters() if p.grad is not None] == []
    assert [p for p in setup.model.encoder.backbone.model.parameters() if p.grad is not None] == []
    assert all(product.grad_fn is None for product in setup.model.vector_gradients.products.values())
    assert not setup.model.vector_gradients._come


def test_steps_that_are_not_finite_end_a_training_and_no_rehearsal(shop, root, tmp_path, monkeypatch, capsys):
    kept = CoLearner.losses
    monkeypatch.setattr(CoLearner, "losses", lambda self, batches: kept(self, batches) * float("nan"))
    recipe = tiny_recipe(shop)
    assert check(recipe)["training"]["seconds_per_step"] > 0
    assert "finite" not in capsys.readouterr().err
    with pytest.raises(Diverged, match=r"step 1: the loss of task query \(.*\) and .* is not a finite number"):
        train(recipe, tmp_path / "run")
