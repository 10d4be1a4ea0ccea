"""What a run keeps of a start, and what is refused when it is another's or damaged."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import UserError
from peftrec.runs.folder import write_manifest
from peftrec.runs.saved import load_run
from peftrec.training.loop import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    lines = [f"w{n % 3} w{10 + n * 7 % 90},{'abc'[n % 3]}" for n in range(90)]
    (folder / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    texts = {"path": str(folder / "texts.csv"), "text": "{text}", "label": "label", "split": "random"}
    recipe = tiny_recipe(folder, data={"texts": texts}, tasks={"told": {"kind": "classification"}})
    return train(recipe, tmp_path_factory.mktemp("run") / "run")


def no_tensor(tensors, described):
    del tensors["tfidf.bias"]


def infinite(tensors, described):
    tensors["tfidf.bias"] = np.full_like(tensors["tfidf.bias"], np.nan)


def fewer_weights(tensors, described):
    tensors["tfidf.weight"] = tensors["tfidf.weight"][1:]


def unknown_sort(tensors, described):
    described["start"]["parts"]["tfidf"]["sorts"] = ["sentences"]


def of_another_kind(tensors, described):
    described["start"] = {"name": "odd"}


@pytest.mark.parametrize("change", [no_tensor, infinite, fewer_weights, unknown_sort, of_another_kind])
def test_a_start_that_is_none_is_refused(run, tmp_path, change):
    changed = tmp_path / "run"
    shutil.copytree(run, changed)
    file, model = changed / "starts" / "told.safetensors", json.loads((changed / "model.json").read_text())
    tensors = load_file(file)
    change(tensors, model["tasks"]["told"])
    save_file(tensors, file)
    (changed / "model.json").write_text(json.dumps(model))
    (changed / "manifest.json").unlink()
    write_manifest(changed)
    with pytest.raises(UserError, match=r"told\.safetensors"):
        load_run(changed)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1e300", r"model\.json: damaged: tasks\.told\.start: holds 1e\+300; its numbers are at most 1e\+18 in size"),
        ("1e999", r"model\.json: not JSON: 1e999 is too large a number"),
        ("NaN", r"model\.json: not JSON: NaN is no number of JSON's"),
    ],
)
def test_a_number_that_would_make_scores_none_is_refused(run, tmp_path, number, said):
    changed = tmp_path / "run"
    shutil.copytree(run, changed)
    model = json.loads((changed / "model.json").read_text())
    model["tasks"]["told"]["start"]["weight"] = {"tfidf": "HERE"}
    (changed / "model.json").write_text(json.dumps(model).replace('"HERE"', number))
    (changed / "manifest.json").unlink()
    write_manifest(changed)
    with pytest.raises(UserError, match=said):
        load_run(changed)
