"""Runs by name: over one backbone, loaded as data, swapped whole, and never from outside their folder."""

import gc
import os
import shutil
import weakref

import pytest
from served import ATTACKS, change

from peftrec.errors import UserError
from peftrec.machine.files import write_manifest
from peftrec.runs.saved import UnlikeBackbone
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.registry import (
    NoSuchRun,
    NoSuchTask,
    Registry,
    check_runs,
    run_folders,
)
from peftrec.serving.service.seen import Seen


def registry_of(folder, **more):
    return Registry(folder, Seen(), lambda path, beside: Predictor.load(path, beside, **more))


@pytest.fixture
def folder(runs, tmp_path):
    """A folder of its own with the run `one`; beside it a run `secret`, to which a link in it leads."""
    shutil.copytree(runs / "one", tmp_path / "runs" / "one")
    shutil.copytree(runs / "two", tmp_path / "secret")
    shutil.copytree(runs / "two", tmp_path / "runs" / ".hidden")
    (tmp_path / "runs" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "runs" / "file").write_text("no run")
    (tmp_path / "runs" / "empty").mkdir()
    return tmp_path / "runs"


@pytest.mark.parametrize("name", ATTACKS)
def test_no_name_leads_out_of_the_folder(folder, name):
    given = name if name != "/etc" else str(folder.parent / "secret")
    registry = registry_of(folder)
    with pytest.raises(NoSuchRun, match=r"no run .* in the folder of runs") as caught:
        registry.load(given)
    assert str(folder) not in str(caught.value) or given == str(folder.parent / "secret")
    assert not registry.runs


@pytest.mark.parametrize("name", ["file", "empty", "nothing"])
def test_what_is_no_run_is_not_loaded(folder, name):
    with pytest.raises(NoSuchRun):
        registry_of(folder).load(name)
    assert [path.name for path in run_folders(folder)] == ["one"]


def test_without_a_folder_nothing_more_is_loaded(runs):
    registry = registry_of(None)
    registry.add(runs / "two")
    with pytest.raises(NoSuchRun, match="without --runs DIR"):
        registry.load("one")
    assert registry.names() == ["two"]


def test_runs_share_one_backbone_and_the_last_loaded_answers(runs):
    registry = registry_of(runs)
    one, two = registry.load("one"), registry.load("two")
    models = [of.predictor.model.encoder.backbone.model for of in (one, two)]
    assert models[0] is models[1] and one.predictor.texts is two.predictor.texts
    assert registry.find("query") is one and registry.find("next") is two
    assert registry.find("next", "one") is one
    again = registry.load("one")
    assert again is not one and registry.find("next") is again and list(registry.runs) == ["two", "one"]
    registry.unload("one")
    assert registry.find("next") is two
    with pytest.raises(NoSuchTask, match="no task 'query'; known: interest, next"):
        registry.find("query")
    with pytest.raises(NoSuchRun, match="run: no run 'one' is served; known: two"):
        registry.find("next", "one")
    with pytest.raises(NoSuchRun, match="no run 'one' is served"):
        registry.unload("one")


def test_a_run_that_is_replaced_goes_once_nobody_asks_it(runs):
    registry = registry_of(runs)
    old = weakref.ref(registry.load("two").predictor)
    asked = old()
    registry.load("two")
    gc.collect()
    assert old() is asked and asked.predict("next", [{"history": [], "item": "i1"}])
    del asked
    gc.collect()
    assert old() is None


def test_another_backbone_is_refused_and_what_is_served_is_served_on(folder, runs):
    shutil.copytree(runs / "two", folder / "two")
    change(folder / "two", "model.json", backbone_digest="0" * 64)
    registry = registry_of(folder)
    one = registry.load("one")
    said = r"two: trained on a backbone with digest 000000000000, but .* has v2:.*: serve it in a process of its own"
    with pytest.raises(UnlikeBackbone, match=said):
        registry.load("two")
    assert registry.runs == {"one": one}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("max_length: 16", "max_length: 400", "two: backbone.max_length: runs share a backbone where all cut texts at"),
        ("method: lora", "method: full", "two: method full has a backbone of its own"),
    ],
)
def test_what_cannot_share_the_backbone_is_refused(folder, runs, old, new, said):
    shutil.copytree(runs / "two", folder / "two")
    recipe = (folder / "two" / "run.yaml").read_text()
    assert old in recipe
    (folder / "two" / "run.yaml").write_text(recipe.replace(old, new))
    (folder / "two" / "manifest.json").unlink()
    write_manifest(folder / "two")
    registry = registry_of(folder)
    registry.load("one")
    with pytest.raises(UnlikeBackbone, match=said):
        registry.load("two")


def test_a_damaged_run_is_refused_and_the_old_one_of_its_name_stays(folder):
    registry = registry_of(folder)
    served = registry.load("one")
    head = folder / "one" / "heads" / "next.safetensors"
    os.truncate(head, head.stat().st_size - 1)
    with pytest.raises(UserError, match="the run is damaged"):
        registry.load("one")
    assert registry.runs == {"one": served}


def test_a_run_that_names_code_is_refused(folder, runs, tmp_path):
    shutil.copytree(runs / "two", folder / "two")
    recipe = (folder / "two" / "run.yaml").read_text().replace("kind: next-item", "kind: evil:K")
    (folder / "two" / "run.yaml").write_text(recipe)
    (folder / "two" / "evil.py").write_text("raise SystemExit")
    (folder / "two" / "manifest.json").unlink()
    write_manifest(folder / "two")
    for first in ("one", None):
        registry = registry_of(folder)
        if first:
            registry.load(first)
        with pytest.raises(UserError, match="the run names code from outside peftrec"):
            registry.load("two")


def test_a_run_that_cannot_answer_is_not_served(folder, monkeypatch):
    registry = registry_of(folder)
    monkeypatch.setattr(Predictor, "predict", lambda self, task, rows: (_ for _ in ()).throw(UserError("no answer")))
    with pytest.raises(UserError, match="no answer"):
        registry.load("one")
    assert not registry.runs


def test_runs_to_be_served_are_whole_and_of_different_names(runs, folder):
    check_runs([runs / "one", runs / "two"])
    with pytest.raises(UserError, match="one: runs are served by the names of their folders; two are called so"):
        check_runs([runs / "one", folder / "one"])
    with pytest.raises(UserError, match="no such run folder"):
        check_runs([runs / "three"])
