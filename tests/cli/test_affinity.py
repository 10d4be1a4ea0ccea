"""`peftrec affinity`: tables, JSON, a figure; and what is refused."""

import json
import os

import pytest
from command import peftrec
from tiny import make_tiny_shop, tiny_recipe

from peftrec.recipe import dump_recipe

pytestmark = pytest.mark.usefixtures("quick")
SHORT = ("--rounds", 3, "--steps", 8, "--rows", 40, "--no-cache")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    file = folder / "recipe.yaml"
    file.write_text(dump_recipe(tiny_recipe(folder, adapter={"method": "side", "sharing": "shared"})))
    return file


def test_json_on_stdout_the_figure_where_it_was_asked_for_and_nothing_else(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = peftrec("affinity", recipe, *SHORT, "--figure", "pairs.png", "--json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(pair["of"], pair["on"]) for pair in result["pairs"]] == [("query", "interest"), ("interest", "query")]
    assert result["level"] == 0.975 and (result["rounds"], result["steps"], result["rows"]) == (3, 8, 40)
    for pair in result["pairs"]:
        for measure in ("effect", "begun", "lookahead", "cosine"):
            assert pair[measure]["low"] <= pair[measure]["value"] <= pair[measure]["high"]
    assert os.listdir(tmp_path) == ["pairs.png"]
    assert (tmp_path / "pairs.png").read_bytes().startswith(b"\x89PNG")
    again = peftrec("affinity", recipe, *SHORT, "--figure", "pairs.png")
    assert again.exit_code == 2 and "pairs.png: exists already" in again.stderr


def test_a_terminal_gets_four_matrices_and_what_to_do(recipe):
    done = peftrec("affinity", recipe, *SHORT, "train.seed=1")
    assert done.exit_code == 0, done.stderr
    said = ("lower loss beside it than alone", "of that, where its head begins")
    for line in (*said, "lower loss after a step for it", "cosine of the gradients"):
        assert line in done.stdout
    assert done.stdout.count("on interest") == 4 and done.stdout.count("±") == 9
    assert "interest 40 rows, loss 0." in done.stdout
    assert "trying" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", 2], "--rounds must be 3 or more; found 2"),
        (["--steps", 7], "--steps must be 8 or more; found 7"),
        (["--figure", "pairs.svg"], "--figure: name a file that ends in .png; found pairs.svg"),
        (["adapter.sharing=private"], "affinity: no two trained tasks share anything"),
        (["adapter.method=head_only"], "affinity: no two trained tasks share anything"),
        (["tasks.query.weight=0"], "affinity: no two trained tasks share anything"),
    ],
)
def test_what_cannot_be_measured_is_one_message(recipe, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    done = peftrec("affinity", recipe, *options)
    assert done.exit_code == 2 and message in done.stderr and done.stdout == ""
    assert os.listdir(tmp_path) == []


def test_interrupted_it_leaves_nothing(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def one_step(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("peftrec.training.affinity.short.one_step", one_step)
    done = peftrec("affinity", recipe, *SHORT, "--figure", "pairs.png")
    assert done.exit_code == 130 and "interrupted" in done.stderr
    assert os.listdir(tmp_path) == []
