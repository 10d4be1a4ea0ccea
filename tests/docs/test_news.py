"""examples/news.py over a run of the shipped recipe, on made files of MIND's form."""

import json

import pytest
import warm
from front import SECTIONS, make_mind
from pages import ROOT, load
from tiny import make_tiny_shop

from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.training.loop import train

FILE = ROOT / "examples" / "news.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    folder = make_mind(make_tiny_shop(tmp_path_factory.mktemp("news")))
    changes = [f"data.path={folder}", f"backbone.name={folder}/model", "train.batch_size=128", "train.epochs=8"]
    changes += ["data.split.test=0.2", "data.split.valid=0.1"]
    changes += [f"tasks.{task}.share=1" for task in ("click", "category", "visit")]
    return train(load_recipe(find_recipe("news"), changes), folder / "run")


def test_the_recipe_learns_clicks_sections_and_visits(run):
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    metrics = tasks["click"]["metrics"]
    assert {f"impression_{name}" for name in ("auc", "mrr", "ndcg@5", "ndcg@10")} <= set(metrics)
    assert metrics["impression_auc"] > 0.75 and metrics["impression_mrr"] > 0.6
    assert tasks["category"]["metrics"]["accuracy"] > 0.8 and tasks["visit"]["n"] > 20


def test_a_front_page_is_fresh_and_of_several_sections(run):
    news = load(FILE)
    front = news.FrontPage(run, [])
    for reader in range(3, 6):
        found = front.page(f"U{reader}", 6, 30, 2)
        assert found["page"][0]["section"] == SECTIONS[reader % 3] and len(found["page"]) == 6
        assert [of["click"] for of in found["page"]] == sorted((of["click"] for of in found["page"]), reverse=True)
        assert max(of["hours"] for of in found["page"]) <= 30 and found["next_visit"] > "2019-11-15"
        sections = [of["section"] for of in found["page"]]
        assert {sections.count(name) for name in SECTIONS} == {2}
    front = news.FrontPage(run, ["w1 w50 w1"])
    assert front.fresh == [("w1 w50 w1", "food")]
    (new,) = [of for of in front.page("U4", 6, 30, 2)["page"] if "news" not in of]  # which nobody has seen yet
    assert (new["section"], new["hours"]) == ("food", 0)
    assert len(front.page("U4", 9, 30, 1)["page"]) == len(SECTIONS)


def test_the_program_reads_its_arguments_or_lines(run, tmp_path):
    (tmp_path / "fresh.txt").write_text("w2 w44 w2\n\n")
    done = warm.run(FILE, run, "-k", 2, "--fresh", tmp_path / "fresh.txt", input="U1\n\nU99\n")
    assert [json.loads(line)["reader"] for line in done.stdout.splitlines()] == ["U1"]
    assert done.returncode == 1 and done.stderr.endswith("no reader 'U99' with a click in the log\n")
