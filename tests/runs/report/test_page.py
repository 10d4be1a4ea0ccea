"""The page of a run: whole, self-contained, honest about priors, and never inside the run."""

import base64
import html
import json
import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from tiny import make_tiny_shop, tiny_recipe
from typer.testing import CliRunner

from peftrec.cli.verbs import app
from peftrec.runs.folder import verify_run, write_run
from peftrec.runs.report import write_report
from peftrec.training.loop import train

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Elements with their attributes and text, having checked that they are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def texts(self, tag, **attributes):
        found = [e for e in self.elements if e[0] == tag and attributes.items() <= e[1].items()]
        return [" ".join("".join(text).split()) for _, _, text in found]


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """A run whose recipe holds what would be HTML, if it were not escaped."""
    shop = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    recipe = tiny_recipe(shop, adapter={"method": "lora", "options": {"r": 2}})
    items = recipe.data.items.model_copy(update={"text": "{title} <script>alert(1)</script>"})
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"items": items})})
    return train(recipe, tmp_path_factory.mktemp("runs") / "mine-1")


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "report.json").read_text())


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return Page(write_report(run, tmp_path_factory.mktemp("page") / "page.html").read_text(encoding="utf-8"))


def test_the_verb_writes_beside_the_run_or_where_it_is_told(run, tmp_path):
    beside = CliRunner().invoke(app, ["report", str(run)])
    assert (beside.exit_code, beside.stdout) == (0, f"{run}.html\n")
    elsewhere = CliRunner().invoke(app, ["report", str(run), "--output", str(tmp_path / "page.html")])
    assert (elsewhere.exit_code, elsewhere.stdout) == (0, f"{tmp_path / 'page.html'}\n")
    assert (tmp_path / "page.html").read_bytes() == (run.parent / "mine-1.html").read_bytes()  # the same run, the same
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0  # the page beside the run is made anew
    verify_run(run)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("{run}/report.html", "inside the run, whose manifest names every file in it; name a place outside of it"),
        ("{run}/../mine-1/adapters/x.html", "inside the run"),
        ("{run}/../taken.html", "exists already and is never written over; name another file"),
        ("{run}/..", "a folder; name the file to write"),
        ("{run}/../nowhere/x.html", "cannot be written: No such file or directory"),
    ],
)
def test_a_place_that_will_not_do_is_refused(run, output, message):
    (run.parent / "taken.html").write_text("another page")
    before = sorted(run.rglob("*"))
    done = CliRunner().invoke(app, ["report", str(run), "--output", output.format(run=run)])
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert sorted(run.rglob("*")) == before


def test_a_damaged_run_has_no_page(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "metrics.jsonl").write_text("")
    done = CliRunner().invoke(app, ["report", str(copy)])
    assert done.exit_code == 2
    assert "metrics.jsonl: expected " in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]


def test_it_needs_nothing_from_outside(page):
    policy = [attributes["content"] for tag, attributes, _ in page.elements if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    for tag, attributes, _ in page.elements:
        assert tag not in ("script", "link", "iframe")
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
    (style,) = page.texts("style")
    assert "url(" not in style and "@import" not in style


def test_what_the_recipe_says_is_shown_and_never_run(page, run):
    assert page.texts("script") == []
    (recipe,) = page.texts("pre")
    assert "<script>alert(1)</script>" in recipe
    assert recipe == " ".join((run / "run.yaml").read_text().split())
    assert html.escape("<script>") in (run.parent / "mine-1.html").read_text()


def test_every_metric_stands_beside_its_prior_and_losses_are_named(page, report):
    cells = page.texts("td", **{"class": "n"})
    verdicts = []
    for task in report["tasks"].values():
        for metric, value in task["metrics"].items():
            low, high = (f"{end:.4f}" for end in task["intervals"][metric])
            assert f"{value:.4f}{low} to {high}" in cells
            gain = task["gains"][metric]
            assert f"{task['priors'][gain['prior']][metric]:.4f}{gain['prior']}" in cells
            verdicts.append("better" if gain["interval"][0] > 0 else "worse" if gain["interval"][1] < 0 else "open")
    assert [
        text for word in ("better", "open", "worse") for text in page.texts("span", **{"class": f"verdict {word}"})
    ] == (sorted(verdicts))
    assert "worse" in verdicts
    for task in report["tasks"].values():
        for prior in task["priors"]:
            assert prior in page.texts("td")


def test_the_curves_are_pictures_with_words(page, run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    words = [attributes["alt"] for tag, attributes, _ in page.elements if tag == "img"]
    first, last = lines[0]["train_loss"]["query"], lines[-1]["train_loss"]["query"]
    loss = lines[-1]["valid"]["query"]["log_loss"]
    assert words[0].startswith(f"loss ↓: training from {first:.4g} to {last:.4g}; validation from ")
    kept = lines[-1]["valid"]["query"]["at_best_share"]
    assert f" to {loss:.4g}; of what is kept from " in words[0] and words[0].endswith(f" to {kept:.4g}")
    titles = [said.split(":")[0] for said in words]
    for title in (
        "validation AUC ↑",
        "cosine of gradients on text vectors",
        "learning rate",
        "examples/s",
        "memory, MB",
    ):
        assert title in titles
    assert len(titles) == 2 + 4 + 3 + 7  # losses, other validation metrics of query and interest, and of all tasks
    for tag, attributes, _ in page.elements:
        if tag == "img":
            kind, _, coded = attributes["src"].partition(",")
            assert kind == "data:image/svg+xml;base64"
            assert ElementTree.fromstring(base64.b64decode(coded)).tag.endswith("svg")


def test_costs_environment_and_recipe_are_there(page, report):
    facts = page.texts("td")
    for said in (f"{report['cost']['trainable_parameters']:,}", report["environment"]["packages"]["torch"]):
        assert said in facts
    assert re.fullmatch(r"[\d,.]+ s", facts[page.texts("td").index(f"{report['cost']['train_seconds']:,.1f} s")])


def test_a_run_from_before_the_steps_were_written_has_a_page_too(run, tmp_path):
    old = tmp_path / "old"
    with write_run(old) as folder:
        shutil.copytree(run, folder, dirs_exist_ok=True)
        (folder / "manifest.json").unlink()
        kept = ("step", "epoch", "examples", "train_loss", "valid")
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        lines = [{key: line[key] for key in kept} for line in lines if "valid" in line]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = Page(write_report(old).read_text(encoding="utf-8"))
    assert len([tag for tag, _, _ in page.elements if tag == "img"]) == 2 + 4 + 3
