"""examples/social.py over a run of the shipped recipe, on made files of the form of its data."""

import json

import pytest
import warm
from lastfm import make_lastfm
from pages import ROOT, load
from tiny import make_tiny_shop

from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.training.loop import train

FILE = ROOT / "examples" / "social.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    folder = make_tiny_shop(tmp_path_factory.mktemp("social"))
    changes = [*make_lastfm(folder), f"backbone.name={folder}/model", "train.batch_size=64"]
    changes += ["data.split.test=0.2", "data.split.valid=0.1"]
    return train(load_recipe(find_recipe("social"), changes), folder / "run")


def test_the_recipe_learns_what_circles_do(run):
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    for name in ("friend", "artist"):
        found, popular = tasks[name]["metrics"]["ndcg@10"], tasks[name]["priors"]["popularity"]["ndcg@10"]
        assert found > popular + 0.05 and "coverage@10" in tasks[name]["metrics"]
    assert tasks["tag"]["n"] > 5


def test_people_and_artists_to_follow(run):
    network = load(FILE).Network(run)
    found = network.follow("7", 4)
    assert "7" not in found["people"] and len(found["people"]) == len(found["artists"]) == len(found["diverse"]) == 4
    assert sum(int(user) % 2 == 1 for user in found["people"]) >= 3  # of the circle
    assert sum(name.startswith(("w1", '"w1"')) for name in found["artists"]) >= 3
    assert found["diverse"][0] == found["artists"][0]
    several = [network.follow(str(user), 4, 0.6)["unlike"] for user in range(8)]
    assert sum(of["diverse"] for of in several) > 1.1 * sum(of["artists"] for of in several) > 0
    assert network.follow("7", 4, 0.0)["diverse"] == found["artists"]


def test_the_program_reads_its_arguments_or_lines(run):
    done = warm.run(FILE, run, "-k", 2, input="3\n\n99\n")
    assert [json.loads(line)["user"] for line in done.stdout.splitlines()] == ["3"]
    assert done.returncode == 1 and "'99'" in done.stderr.splitlines()[-1]
