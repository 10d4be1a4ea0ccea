"""What `check` says training will take, from a few steps of it."""

import numpy as np
import pytest
from tiny import make_tiny_shop, tiny_recipe

from peftrec.evaluation.evaluate import text_rows
from peftrec.model.cache.folder import cache_root
from peftrec.tasks.kinds import resolve
from peftrec.training.preflight import check
from peftrec.training.prepare import prepare


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
