"""A run is data: what it names of somebody's own code is run for nobody who has not said so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command import peftrec
from tiny import make_tiny_shop, tiny_recipe

import peftrec as package
from peftrec.errors import UserError
from peftrec.machine.files import write_manifest
from peftrec.recipe import dump_recipe, make_recipe, parse_yaml
from peftrec.recipe.names import foreign_names
from peftrec.training.init_from import read_start
from peftrec.training.loop import train
from peftrec.training.prepare import prepare

FOREIGN = {  # where the recipe of a run may name code: how it says so, and what the message then names
    "source": (("data", {"source": "evil:load"}), "data.source: evil:load"),
    "a method": (("adapter", {"method": "evil:Method"}), "adapter.method: evil:Method"),
    "a weighting": (("weighting", {"method": "evil:Weights"}), "weighting.method: evil:Weights"),
    "a kind": (("tasks", {"query": {"kind": "evil:KIND"}}), "tasks.query.kind: evil:KIND"),
    "a loss": (("tasks", {"query": {"kind": "match-query", "loss": "evil:LOSS"}}), "tasks.query.loss: evil:LOSS"),
    "a task's method": (
        ("tasks", {"query": {"kind": "match-query", "adapter": {"method": "evil:Method"}}}),
        "tasks.query.adapter.method: evil:Method",
    ),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory, quick):
    recipe = tiny_recipe(shop, tasks={"query": {"kind": "match-query"}}, train={"epochs": 1})
    return train(recipe, tmp_path_factory.mktemp("runs") / "mine")


def sealed(folder: Path) -> None:
    """A manifest that fits what the folder holds now."""
    (folder / "manifest.json").unlink()
    write_manifest(folder)


@pytest.fixture
def strangers(run, tmp_path, monkeypatch, request):
    """A stranger's run, whole by its manifest; importing the code that it names would leave a file."""
    own = tmp_path / "outside"
    own.mkdir()
    (own / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(own)
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    folder = tmp_path / "stranger"
    shutil.copytree(run, folder)
    (key, value), _ = FOREIGN[request.param]
    raw = parse_yaml((folder / "run.yaml").read_text(), "run.yaml")
    raw[key] = value
    (folder / "run.yaml").write_text(dump_recipe(make_recipe(raw)))
    sealed(folder)
    yield folder, FOREIGN[request.param][1], tmp_path / "ran"
    sys.modules.pop("evil", None)


def test_every_place_that_takes_an_own_name_is_here(shop):
    own = {"method": "a:b", "sharing": "shared"}
    raw = tiny_recipe(shop).model_dump(mode="json")
    raw |= {"adapter": own, "weighting": {"method": "a:b"}, "data": {"source": "a:b"}}
    raw["tasks"] = {"query": {"kind": "a:b", "loss": "a:b", "adapter": own}}
    found = foreign_names(make_recipe(raw))
    assert len(found) == len(FOREIGN)
    assert {place.partition(":")[0] for _, place in FOREIGN.values()} == set(found)


@pytest.mark.parametrize("strangers", FOREIGN, indirect=True)
def test_loading_it_runs_nothing(strangers, tmp_path):
    folder, named, ran = strangers
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"query": "w1", "item": "i1"}) + "\n")
    for verb in (
        ["evaluate", folder],
        ["predict", folder, "--task", "query", "--input", rows],
        ["recommend", folder, "--task", "query", "--query", "w1"],
        ["report", folder, "--output", tmp_path / "page.html"],
        ["compare", folder, folder.parent / "stranger" / ".." / "stranger-2"],
    ):
        if verb[0] == "compare":
            shutil.copytree(folder, folder.parent / "stranger-2")
        done = peftrec(*verb)
        assert done.exit_code == 2, verb
        assert f"the run names code from outside peftrec, which loading it would run: {named}; if you" in done.stderr
    with pytest.raises(UserError, match="trust_code=True"):
        package.Predictor.load(folder)
    assert peftrec("export", folder, "--task", "query", "--output", tmp_path / "adapter").exit_code == 0  # only copies
    assert not ran.exists() and "evil" not in sys.modules


@pytest.mark.parametrize("strangers", FOREIGN, indirect=True)
def test_starting_from_it_runs_nothing(shop, strangers):
    folder, named, ran = strangers
    recipe = tiny_recipe(shop, tasks={"query": {"kind": "match-query"}}, init_from=str(folder), train={"epochs": 1})
    if named.startswith("tasks."):
        with pytest.raises(UserError, match="code that this recipe does not name; write the same here"):
            prepare(recipe)
    else:  # neither data nor method of the run is looked up
        start = read_start(recipe)
        assert named.partition(": ")[2] in foreign_names(start.recipe).values()
    assert not ran.exists() and "evil" not in sys.modules


def test_whoever_trusts_it_has_it_imported(run, tmp_path, monkeypatch):
    own = tmp_path / "outside"
    own.mkdir()
    source = "from peftrec.tasks.kinds import KINDS\nKIND = KINDS['match-query']\n"
    (own / "trusted_kind.py").write_text(f"{source}open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.syspath_prepend(own)
    folder = tmp_path / "friend"
    shutil.copytree(run, folder)
    raw = parse_yaml((folder / "run.yaml").read_text(), "run.yaml")
    raw["tasks"]["query"]["kind"] = "trusted_kind:KIND"
    (folder / "run.yaml").write_text(dump_recipe(make_recipe(raw)))
    sealed(folder)
    predictor = package.Predictor.load(folder, trust_code=True)
    assert (tmp_path / "ran").exists()
    rows = [{"query": "w1 w2", "item": "i1"}]
    assert predictor.predict("query", rows) == package.Predictor.load(run).predict("query", rows)


@pytest.mark.parametrize("inside", ["evil.py", "code/evil.py", "package/__init__.py"])
def test_nothing_in_a_run_s_folder_is_imported_even_when_it_is_trusted(run, tmp_path, monkeypatch, inside):
    """Also with the current directory on sys.path, as `python -m peftrec` and notebooks have it."""
    folder = tmp_path / "runs" / "stranger"
    shutil.copytree(run, folder)
    (folder / inside).parent.mkdir(exist_ok=True)
    (folder / inside).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    module = inside.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    raw = parse_yaml((folder / "run.yaml").read_text(), "run.yaml")
    raw["tasks"]["query"]["kind"] = f"runs.stranger.{module}:K"
    (folder / "run.yaml").write_text(dump_recipe(make_recipe(raw)))
    sealed(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    done = peftrec("evaluate", folder, "--trust-code")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"tasks.query.kind: cannot import 'runs.stranger.{module}:K': " in done.stderr
    assert "is a run: it is data, and no code in it is imported" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_run_s_folder_is_no_place_to_import_from(run, tmp_path):
    """`python -m peftrec` in a run that holds modules of the names that peftrec imports."""
    folder = tmp_path / "stranger"
    shutil.copytree(run, folder)
    for module in ("yaml", "torch", "numpy", "typer"):
        (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    done = subprocess.run(
        [sys.executable, "-m", "peftrec", "export", ".", "--task", "query", "--output", str(tmp_path / "adapter")],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "adapter")), done.stderr
    assert not (tmp_path / "ran").exists()
