"""examples/video.py over a run of the shipped recipe, on made ratings of the form of its data."""

import json

import numpy as np
import pytest
import warm
from pages import DOCS, ROOT, blocks, load
from tiny import make_tiny_shop

from peftrec.recipe import load_recipe, make_recipe, parse_yaml
from peftrec.recipe.shipped import find_recipe
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

FILE = ROOT / "examples" / "video.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """40 viewers, of whom the last ten come late; each likes the films of one of two genres, and rates what is out."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("video")), np.random.default_rng(0)
    films = [f"{n:03}::w{n % 2} w{n + 10} (19{n + 10})::w{n % 2}|w{n + 50}\n" for n in range(40)]
    (folder / "movies.dat").write_text("".join(films))
    ratings = []
    for viewer in range(40):
        begin = 1_360_000_000 + (viewer >= 30) * 9_000_000
        times = begin + np.cumsum(random.integers(200_000, 900_000, 16))
        for time, film in zip(times.tolist(), random.permutation(40)[:16].tolist(), strict=True):
            rating = 10 if film % 2 == viewer % 2 else 4
            ratings.append(f"{viewer}::{film:03}::{rating}::{time}\n")
    (folder / "ratings.dat").write_text("".join(ratings))
    changes = [f"data.items.path={folder}/movies.dat", f"data.events.path={folder}/ratings.dat"]
    changes += [f"backbone.name={folder}/model", "train.epochs=3", "train.batch_size=64"]
    return train(load_recipe(find_recipe("video"), changes), folder / "run")


def test_viewers_without_a_past_are_told_apart(run):
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    for name in ("like", "next", "return"):
        parts = tasks[name]["slices"]["cold_users"]
        assert sum(part["n"] for part in parts.values()) == tasks[name]["n"] and min(p["n"] for p in parts.values()) > 5
    assert tasks["like"]["metrics"]["auc"] > 0.9


def test_a_list_for_the_known_and_the_new(run):
    screen = load(FILE).Screen(run)
    found = screen.viewer("7", 4)
    assert not found["cold"] and len(found["list"]) == 4 and found["next_visit"] > "2013-02-05"
    for of in found["list"]:
        assert of["score"] == pytest.approx(of["next"] + of["like"], abs=0.02)
    cold = screen.viewer("new", 4)
    assert cold["cold"] and "next_visit" not in cold
    named = [f"{n:03}" for n in (0, 2, 4, 6, 8)]
    even = screen.viewer("new", 4, named)
    assert not even["cold"] and not {of["item"] for of in even["list"]} & set(named)
    liked = {n: np.mean([of["like"] for of in found["list"] if int(of["item"]) % 2 == 0]) for n, found in
             (("cold", screen.viewer("new", 30)), ("named", screen.viewer("new", 30, named)))}  # fmt: skip
    assert liked["named"] > liked["cold"]


def test_the_program_reads_its_arguments_or_lines(run):
    done = warm.run(FILE, run, "-k", 2, input="7\n\nx\n")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(of["viewer"], of["cold"]) for of in found] == [("7", False), ("x", True)], done.stderr


def test_the_page_s_recipe_reads_microlens(tmp_path):
    raw = parse_yaml(blocks(DOCS / "domains" / "video.md", "yaml")[0], "video.md")
    titles = "".join(f"{n},Video {n}\n" for n in range(9))
    pairs = "".join(f"{n % 5},{n % 9},{1_583_378_629_552 + 10**7 * n * n}\n" for n in range(100))
    for table, header, rows in (("items", "item,title", titles), ("events", "user,item,timestamp", pairs)):
        raw["data"][table]["path"] = f"{tmp_path}/{table}.csv"
        (tmp_path / f"{table}.csv").write_text(f"{header}\n{rows}")
    data = load_data(make_recipe(raw))
    assert data.tasks["next"].train.time[0] == pytest.approx(1_583_378_629.552)
    assert {name: len(of.train) for name, of in data.tasks.items()} == {"next": 70, "return": 65}
