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
from peftrec.serving.predictor import Predictor
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


def of_vectors(width, classes, **changed):
    """A start of two parts that read the frozen backbone's vectors, as a run keeps one."""
    described = {
        "name": "frozen_lr + class_names",
        "weight": {"frozen_lr": 1.0, "class_names": 0.5},
        "shift": 0.0,
        "parts": {"frozen_lr": {"shape": "concatenated", "unit": True}, "class_names": {"names": True}},
    }
    tensors = {
        "frozen_lr.weight": np.ones((width, classes), np.float32),
        "frozen_lr.bias": np.zeros(classes, np.float32),
        "class_names.centre": np.zeros(width, np.float32),
        "class_names.names": np.ones((width, classes), np.float32),
    }
    return described, {name: changed.get(name.replace(".", "_"), tensor) for name, tensor in tensors.items()}


def keep(run, folder, described, tensors):
    """A copy of the run whose task begins at this start."""
    shutil.copytree(run, folder)
    model = json.loads((folder / "model.json").read_text())
    model["tasks"]["told"]["start"] = described
    (folder / "model.json").write_text(json.dumps(model))
    save_file(tensors, folder / "starts" / "told.safetensors")
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    return folder


def test_a_start_of_the_head_s_own_classes_and_vectors_answers(run, tmp_path):
    width = load_run(run).model.encoder.backbone.hidden_size
    (answer,) = Predictor.load(keep(run, tmp_path / "run", *of_vectors(width, 3))).predict("told", [{"text": "w1"}])
    assert sorted(answer["probabilities"]) == ["a", "b", "c"]


@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("width", ["its own", "less"])
def test_a_start_of_other_classes_or_vectors_is_refused(run, tmp_path, classes, width):
    """Two classes of three would end in a traceback when it is asked, and one would be added to each of three."""
    own = load_run(run).model.encoder.backbone.hidden_size
    found = own if width == "its own" else own - 1
    folder = keep(run, tmp_path / "run", *of_vectors(found, classes))
    with pytest.raises(UserError) as error:
        load_run(folder)
    assert str(error.value) == (
        f"{folder / 'starts' / 'told.safetensors'}: damaged: it is no start of kind classification: frozen_lr: weight: "
        f"{own} x 3 numbers; found float32 ({found}, {classes})"
    )


@pytest.mark.parametrize(
    ("name", "made", "said"),
    [
        ("class_names.names", lambda of: of[:, :2].copy(), r"class_names: names: \d+ x 3 numbers; found float32"),
        ("class_names.names", lambda of: of[1:], r"class_names: names: \d+ x 3 numbers; found float32"),
        ("class_names.centre", lambda of: of[:1], r"class_names: centre: \d+ numbers; found float32 \(1,\)"),
        ("frozen_lr.bias", lambda of: of[:1], r"frozen_lr: bias: 3 numbers; found float32 \(1,\)"),
        ("frozen_lr.bias", lambda of: np.full_like(of, np.finfo(np.float32).min), "bias: no class was ever seen"),
        ("frozen_lr.weight", lambda of: of.astype(np.int64), "frozen_lr: weight: .* numbers; found int64"),
    ],
)
def test_each_part_is_held_against_the_head(run, tmp_path, name, made, said):
    described, tensors = of_vectors(load_run(run).model.encoder.backbone.hidden_size, 3)
    folder = keep(run, tmp_path / "run", described, tensors | {name: made(tensors[name])})
    with pytest.raises(
        UserError, match=rf"told\.safetensors: damaged: it is no start of kind classification: .*{said}"
    ):
        load_run(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parts": {}}, "it has no parts"),
        ({"parts": []}, "damaged"),
        ({"parts": {"class_names": 5}}, "damaged"),
        ({"parts": {"lexical": {"overlaps": ["words"]}}}, "it compares the texts of a pair, and a row has one text"),
        (
            {"parts": {"frozen_lr": {"shape": "pair", "unit": True}}},
            "shape: of concatenated, layers, and unit, true or false",
        ),
        ({"parts": {"frozen_lr": {"shape": "concatenated", "unit": "no"}}}, "found 'concatenated' and 'no'"),
        ({"parts": {"tfidf": {"sorts": ["words", "words"]}}}, "sorts: each once"),
        ({"weight": {"frozen_lr": "nan", "class_names": 1}}, "weight.frozen_lr: a number; found 'nan'"),
        ({"weight": {"frozen_lr": 1}}, "class_names"),
        ({"shift": True}, "shift: a number; found 'True'"),
    ],
)
def test_settings_that_are_none_are_refused(run, tmp_path, change, said):
    described, tensors = of_vectors(load_run(run).model.encoder.backbone.hidden_size, 3)
    with pytest.raises(UserError, match=said):
        load_run(keep(run, tmp_path / "run", described | change, tensors))
