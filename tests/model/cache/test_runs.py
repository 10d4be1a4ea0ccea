"""Runs, evaluation and prediction compute each text's frozen part once, and only of texts that they use."""

import numpy as np
import pytest
from safetensors.torch import load_file
from shop import shop_recipe

from peftrec.model.backbone import Backbone
from peftrec.runs.evaluate import evaluate_run
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train
from peftrec.training.preflight import check

pytestmark = pytest.mark.usefixtures("quick")

SHORT = {"max_steps": 2, "epochs": 1}
METHODS = [{"method": "side"}, {"method": "lora", "layers": "top-2"}]


@pytest.fixture
def ran(monkeypatch):
    """Texts that the frozen part was computed for; the probe's tiny models are no part of that."""
    texts = []
    run, pooled = Backbone.run, Backbone.pooled_layers

    def counted_run(self, ids, mask, types, states=None, start=0, stop=None, **extra):
        if self.hidden_size == 384 and stop is not None and stop < self.num_layers:
            texts.extend(range(len(ids)))
        return run(self, ids, mask, types, states=states, start=start, stop=stop, **extra)

    def counted_pooled(self, ids, mask, types):
        if self.hidden_size == 384:
            texts.extend(range(len(ids)))
        return pooled(self, ids, mask, types)

    monkeypatch.setattr(Backbone, "run", counted_run)
    monkeypatch.setattr(Backbone, "pooled_layers", counted_pooled)
    return texts


def used_texts(recipe):
    """By brute force: the texts that examples refer to, and the catalogue, which the interest task ranks."""
    dataset = load_data(recipe)
    rows = set(dataset.items["items"].rows.tolist()) if "interest" in recipe.tasks else set()
    for data in dataset.tasks.values():
        for part in (data.train, data.valid, data.test):
            for slot in part.slots.values():
                rows |= set(slot.tolist())
            if part.log is not None:
                rows |= set(part.history().rows.ravel().tolist()) - {-1}
    return rows, len(dataset.texts)


@pytest.mark.parametrize("adapter", METHODS, ids=["side", "lora"])
def test_later_runs_evaluation_and_prediction_compute_nothing_again(shop, tmp_path, ran, adapter):
    recipe = shop_recipe(shop, adapter=adapter, train=SHORT)
    first = train(recipe, tmp_path / "first")
    assert len(ran) == len(used_texts(recipe)[0])
    ran.clear()
    second = train(recipe, tmp_path / "second")
    evaluate_run(first, "test")
    predictor = Predictor.load(first)
    predictor.recommend("interest", history=["i3", "i8"])
    predictor.predict("interest", [{"item": "i1", "history": ["i2"]}])
    other = {"seed": 3, "max_steps": 1}
    train(shop_recipe(shop, adapter=adapter, train=other, tasks={"query": {"kind": "match-query"}}), tmp_path / "third")
    assert ran == []
    for file in sorted(first.rglob("*.safetensors")):
        mine, again = load_file(file), load_file(second / file.relative_to(first))
        assert all((tensor == again[name]).all() for name, tensor in mine.items())
    predictor.predict("interest", [{"item_text": "A film nobody knows", "history": ["i2"]}])
    assert len(ran) == 1


def test_without_cache_nothing_is_read_or_written(shop, tmp_path, root, ran):
    recipe = shop_recipe(shop, train=SHORT)
    run = train(recipe, tmp_path / "run", cache=False)
    evaluate_run(run, "test", cache=False)
    Predictor.load(run, cache=False).recommend("interest", history=[])
    assert not root.exists()
    assert len(ran) == 2 * 50  # in training and evaluation; what came of the items the run has itself


def test_texts_that_nothing_refers_to_are_not_computed(shop, tmp_path, ran):
    recipe = shop_recipe(shop, tasks={"pair": {"kind": "match-query", "input": "joint"}}, train=SHORT)
    used, texts = used_texts(recipe)
    assert len(used) < texts  # the items' own texts are in the table, and no example has them
    train(recipe, tmp_path / "run")
    assert len(ran) == len(used)


def test_each_methods_cache_has_only_its_own_tasks_texts(shop, tmp_path, ran):
    tasks = {
        "query": {"kind": "match-query"},
        "genre": {"kind": "classification", "adapter": {"method": "lora", "layers": "top-1"}},
    }
    texts = {"path": str(shop / "texts.csv"), "text": "{text}", "label": "genre"}
    recipe = shop_recipe(
        shop, tasks=tasks, data={"texts": texts, "split": {"kind": "by-group", "test": 0.2, "valid": 0.2}}, train=SHORT
    )
    dataset = load_data(recipe)
    train(recipe, tmp_path / "run")
    own = [set() for _ in tasks]
    for number, data in enumerate(dataset.tasks.values()):
        for part in (data.train, data.valid, data.test):
            own[number] |= set(part.text_rows().tolist())
    # The prior `frozen_lr` takes what it reads of genre's texts from the cache of all layers, and so do the names.
    assert len(ran) == len(own[0]) + 2 * len(own[1]) + len(dataset.tasks["genre"].names)


def test_check_says_what_is_cached_and_how_long_the_rest_takes(shop, tmp_path, root):
    recipe = shop_recipe(shop, train=SHORT)
    used = len(used_texts(recipe)[0])
    before = check(recipe)["cache"]["pooled"]
    assert (before["texts"], before["texts_on_disk"]) == (used, 0)
    assert before["megabytes"] == pytest.approx(used * 7 * 384 * 4 / 1e6)
    assert 0 < before["seconds_to_build"] < 60
    train(recipe, tmp_path / "run")
    after = check(recipe)["cache"]["pooled"]
    assert (after["texts_on_disk"], after["seconds_to_build"]) == (used, 0)


def test_the_rows_of_examples_are_those_of_their_slots_and_windows(shop):
    for data in load_data(shop_recipe(shop)).tasks.values():
        for part in (
            data.train,
            data.valid,
            data.test,
            data.test.take(np.array([3])),
            data.test.take(np.array([], int)),
        ):
            rows = set(np.concatenate(list(part.slots.values())).tolist())
            if part.log is not None:
                rows |= set(part.history().rows.ravel().tolist()) - {-1}
            assert part.text_rows().tolist() == sorted(rows)
