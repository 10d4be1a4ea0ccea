"""examples/films.py over a run of the shipped recipe, on made ratings and tags of the form of its data."""

import json

import numpy as np
import pytest
import warm
from pages import ROOT, load
from tiny import make_tiny_shop

from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.training.loop import train

FILE = ROOT / "examples" / "films.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """40 films of two genres; each of 30 users likes those of one; a tag is what stands in the film's title."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("films")), np.random.default_rng(0)
    films = [f"{n},w{n + 10} (19{n + 10}),w{n % 2}|w{n + 50}\n" for n in range(40)]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(films))
    ratings, tags = ["userId,movieId,rating,timestamp\n"], ["userId,movieId,tag,timestamp\n"]
    for user in range(30):
        times = 1_360_000_000 + np.cumsum(random.integers(200_000, 900_000, 16))
        for time, film in zip(times.tolist(), random.permutation(40)[:16].tolist(), strict=True):
            ratings.append(f"{user},{film},{5 if film % 2 == user % 2 else 2},{time}\n")
            tags.append(f"{user},{film},w{film + 10},{time}\n")
    (folder / "ratings.csv").write_text("".join(ratings))
    (folder / "tags.csv").write_text("".join(tags))
    files = {"items": "movies", "events": "ratings", "queries": "tags"}
    changes = [f"data.{of}.path={folder}/{file}.csv" for of, file in files.items()]
    changes += [f"backbone.name={folder}/model", "train.epochs=3", "train.batch_size=64"]
    return train(load_recipe(find_recipe("movielens-latest-small"), changes), folder / "run")


def test_the_list_weighs_the_words_against_whose_it_is(run):
    films = load(FILE).Films(run)
    for user in ("6", "7"):
        found = films.find("w20", 30, user=user)["list"]
        assert [of["score"] for of in found] == sorted((of["score"] for of in found), reverse=True)
        for of in found:
            assert of["score"] == pytest.approx(of["query"] + 2 * of["interest"], abs=0.03)
        own = [of["interest"] for of in found if int(of["item"]) % 2 == int(user) % 2]
        other = [of["interest"] for of in found if int(of["item"]) % 2 != int(user) % 2]
        assert np.mean(own) > np.mean(other) + 0.3
    new = films.find("w20", 40, history=["0", "2", "4"])["list"]
    assert max(new, key=lambda of: of["query"])["item"] == "10" and not {"0", "2", "4"} & {of["item"] for of in new}


def test_the_program_reads_its_arguments_or_lines(run):
    done = warm.run(FILE, run, "--liked", "1,3", "-k", 2, input="w20\n\nw21\n")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(of["query"], len(of["list"])) for of in found] == [("w20", 2), ("w21", 2)], done.stderr
    done = warm.run(FILE, run, "w20", "--user", "nobody")
    assert done.returncode == 1 and "nobody" in done.stderr and "Traceback" not in done.stderr
