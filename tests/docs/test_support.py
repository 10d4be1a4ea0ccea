"""examples/support.py over a run of the shipped recipe, on made rows of the form of its data."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import warm
from pages import ROOT
from scipy.stats import binom
from shop import write_csv
from tiny import make_tiny_shop

from peftrec.machine.files import write_manifest
from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

FILE = ROOT / "examples" / "support.py"


@pytest.fixture(scope="module")
def support():
    spec = importlib.util.spec_from_file_location("support", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """Four intents, each with words of its own in utterances and answers; some answers were given several times."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("support")), np.random.default_rng(0)
    rows = []
    for n in range(600):
        own, said = n % 4, random.integers(20, 110, 3)
        utterance = f"w{own} w{said[0]} w{said[1]} w{own}"
        rows.append({"instruction": utterance, "intent": f"i{own}", "response": f"w{10 + own} w{own} w{said[2] // 5}"})
    write_csv(folder / "support.csv", rows)
    changes = [f"data.{table}.path={folder}/support.csv" for table in ("texts", "items", "queries")]
    changes += [f"backbone.name={folder}/model", "backbone.max_length=32"]
    changes += ["train.epochs=4", "train.batch_size=64"]
    return train(load_recipe(find_recipe("support"), changes), folder / "run")


def test_the_threshold_is_the_lowest_with_the_risk(support, capsys):
    random = np.random.default_rng(1)
    confidence = random.permutation(np.repeat(np.arange(400), 2) / 400)
    wrong = random.random(800) > confidence**0.1
    found = support.threshold("intent", confidence, wrong, 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert 0 < found < 1 and sum("<- the most with at most 0.1" in line for line in lines) == 1

    def bound_holds(least):  # so many errors or fewer would come up once in 20 times where a tenth was wrong
        kept = confidence >= least
        return binom.cdf(wrong[kept].sum(), kept.sum(), 0.1) <= 0.05

    assert bound_holds(found)
    assert not any(bound_holds(least) for least in np.unique(confidence) if least < found)


def test_no_threshold_where_all_is_wrong(support, capsys):
    assert support.threshold("answer", np.arange(50.0), np.ones(50, bool), 0.1) == float("inf")
    assert "none: the bound is above 0.1 everywhere" in capsys.readouterr().err


def test_it_answers_or_hands_over(support, run, capsys):
    desk = support.Support(run, 0.1)
    said = capsys.readouterr().err
    data = load_data(load_recipe(run / "run.yaml")).tasks
    assert set(data["intent"].valid.row) == set(data["answer"].valid.row)  # rows that neither task was trained on
    assert all(f"{task}: of {len(data[task].valid)} validation rows" in said for task in ("intent", "answer"))
    for own in range(4):
        found = desk.decide(f"w{own} w55 w60 w{own}")
        assert (found["do"], found["intent"]) == ("answer", f"i{own}")
        assert found["confidence"] >= desk.least_intent and f"i{own}" in desk.written_to[found["answer"]]
    desk.least_intent = 1.1  # nothing is known: retrieval answers where it is sure enough
    found = desk.decide("w1 w55 w60 w1")
    assert (found["do"], found["intent"]) == ("answer", None)
    assert found["score"] == pytest.approx(desk.answers(["w1 w55 w60 w1"])[0][0]["score"], abs=1e-3)
    desk.least_answer = float("inf")
    found = desk.decide("w1 w55 w60 w1")
    assert found["do"] == "person" and "answer" not in found and found["intent"] is None


def test_the_program_reads_lines_or_its_argument(support, run):
    done = warm.run(FILE, run, "--risk", 0.1, input="w2 w30 w40 w2\n\nw3 w30 w40 w3\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["intent"] for line in done.stdout.splitlines()] == ["i2", "i3"]
    assert list(support.utterances(["w2 w30"])) == ["w2 w30"]


def test_a_run_that_saw_its_validation_rows_chooses_no_threshold(support, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    report = json.loads((copy / "report.json").read_text())
    (copy / "report.json").write_text(json.dumps(report | {"refit": {}}))
    (copy / "manifest.json").unlink()
    write_manifest(copy)
    with pytest.raises(SystemExit, match=r"was trained on its validation rows too: train it with train\.refit=false"):
        support.Support(copy, 0.05)
