"""Items' vectors in a run: those of its own encoder, used without computing anything, and refused where damaged."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.machine.files import write_manifest
from peftrec.model.cache.states import StateCache
from peftrec.runs import encoded
from peftrec.runs.encoded import FILE, load_encoded
from peftrec.runs.saved import load_run
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

TASKS = {
    "query": {"kind": "match-query"},
    "interest": {"kind": "interest", "column": "stars", "threshold": 4},
    "next": {"kind": "next-item"},
}
LORA = {"method": "lora", "layers": "top-1", "options": {"r": 2}}
ROWS = {"query": {"query": "w1 w2", "item": "i3"}, "interest": {"user": "u1", "item": "i3"}}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory, quick):
    return train(tiny_recipe(shop, adapter=LORA, tasks=TASKS), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def sealed(folder):
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    return folder


def without(folder):
    (folder / FILE).unlink()
    return sealed(folder)


def asked(predictor):
    return [
        [predictor.predict(task, [row]) for task, row in ROWS.items()],
        predictor.recommend("query", query="w1 w2", k=20),
        predictor.recommend("interest", user="u1", k=20),
        predictor.recommend("next", user="u1", k=20),
        predictor.recommend("next", history=["i1"], k=20, diversity=0.5),
    ]


def numbers(found):
    if isinstance(found, float):
        return [found]
    inside = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return [number for one in inside for number in numbers(one)]


def test_they_are_what_the_loaded_encoder_makes_of_the_items(run):
    loaded, stored = load_run(run), load_file(run / FILE)
    frozen = stored.pop("frozen/items")
    assert stored.keys() == TASKS.keys() and loaded.encoded.keys() == {*TASKS, None}
    every = loaded.items_of("next").rows.astype(np.int64)
    assert np.array_equal(loaded.model.encoder.frozen_vectors(every), frozen.numpy())
    assert torch.equal(loaded.encoded[None].of(every, None), frozen)
    for task, vectors in stored.items():
        rows = loaded.items_of(task).rows.astype(np.int64)
        loaded.model.encoder.update({task: np.unique(rows)})
        anew = loaded.model.encoded(task, np.unique(rows)).of(rows, None)
        assert vectors.numpy() == pytest.approx(anew.numpy(), abs=1e-6)
        assert torch.equal(loaded.encoded[task].of(rows, None), vectors)


def test_answers_are_the_same_with_and_without(run, copied):
    fresh = asked(Predictor.load(without(copied)))
    assert numbers(asked(Predictor.load(run))) == pytest.approx(numbers(fresh), abs=1e-6)


def test_of_items_nothing_is_encoded(run, monkeypatch):
    predictor = Predictor.load(run)
    encoder, done = predictor.model.encoder, []
    plain = encoder._encode
    monkeypatch.setattr(encoder, "_encode", lambda rows, task: (done.append(rows), plain(rows, task))[1])
    monkeypatch.setattr(StateCache, "compute", lambda *_: pytest.fail("the frozen part of an item"))
    for task in ("next", "interest"):
        assert predictor.recommend(task, user="u1", k=3)
    assert not done


@pytest.mark.parametrize("adapter", [LORA, {"method": "side"}])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_new_texts_stand_beside_known_ones(shop, tmp_path, adapter, dtype, quick):
    backbone = {"name": str(shop / "model"), "dtype": dtype, "max_length": 16}
    recipe = tiny_recipe(shop, adapter=adapter, tasks=TASKS, backbone=backbone, train={"epochs": 1})
    run = train(recipe, tmp_path / "whole")
    bare = without(shutil.copytree(run, tmp_path / "bare"))
    row = {"user": "u1", "item_text": "w7 w8"}
    (one,), (other,) = (Predictor.load(of).predict("interest", [row]) for of in (run, bare))
    assert one["score"] == pytest.approx(other["score"], abs=1e-6 if dtype == "fp32" else 1e-2)


def test_tasks_of_equal_vectors_share_them(shop, tmp_path, quick):
    shared = {**LORA, "sharing": "shared"}
    run = train(tiny_recipe(shop, adapter=shared, tasks=TASKS, train={"epochs": 1}), tmp_path / "run")
    assert load_file(run / FILE).keys() == {"query", "frozen/items"}
    loaded = load_run(run)
    assert torch.equal(loaded.encoded["next"].vectors, loaded.encoded["query"].vectors)


@pytest.mark.parametrize("limit", [{"MOST_ITEMS": 19}, {"MOST_BYTES": 100}])
def test_of_a_large_catalogue_nothing_is_kept(shop, tmp_path, monkeypatch, limit, quick):
    for name, value in limit.items():
        monkeypatch.setattr(encoded, name, value)
    run = train(tiny_recipe(shop, tasks={"next": TASKS["next"]}, train={"epochs": 1}), tmp_path / "run")
    assert not (run / FILE).exists() and load_run(run).encoded == {}
    assert len(Predictor.load(run).recommend("next", user="u1", k=3)) == 3


def test_those_of_another_dtype_are_not_taken(copied):
    save_file(load_file(copied / FILE), copied / FILE, {"dtype": "torch.bfloat16"})
    assert load_run(sealed(copied)).encoded == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda of: of.update(next=of["next"][1:].clone()),
            r"damaged: next: float32 \(20, \d+\); found",
        ),
        (lambda of: of.update(next=of["next"][:, 1:].clone()), r"damaged: next: float32 \(20, \d+\); found"),
        (lambda of: of.update(next=of["next"].half()), r"damaged: next: .*; found torch.float16"),
        (lambda of: of.update(next=of["next"] * torch.nan), "next holds numbers that are not finite"),
        (lambda of: of.update(other=of["next"].clone()), "damaged: other: the run encodes no items so"),
    ],
)
def test_what_does_not_fit_is_refused(copied, change, said):
    stored = load_file(copied / FILE)
    change(stored)
    save_file(stored, copied / FILE, {"dtype": "torch.float32"})
    with pytest.raises(UserError, match=rf"catalogue\.safetensors: {said}"):
        load_run(sealed(copied))


def test_what_is_no_file_of_tensors_is_refused(copied):
    (copied / FILE).write_bytes(b"x" * 40)
    with pytest.raises(UserError, match=r"catalogue\.safetensors"):
        load_run(sealed(copied))


def test_a_run_without_has_none(run):
    loaded = load_run(run)
    assert load_encoded(run / "nowhere", loaded.described, loaded.items, loaded.model) == {}
