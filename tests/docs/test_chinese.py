"""examples/chinese_rows.py and chinese.py: from made files of the published form over the shipped recipe to answers."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import warm
from pages import ROOT, load
from tiny import make_tiny_shop

from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.training.loop import train

ROWS, FILE = ROOT / "examples" / "chinese_rows.py", ROOT / "examples" / "chinese.py"


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Dialogues, paragraphs with questions and reviews in words of the tiny tokenizer, turned into rows."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("chinese")), np.random.default_rng(0)

    def word(least: int = 40) -> str:
        return f"w{random.integers(least, 110)}"

    messages = []
    for n in range(90):
        acts = [["Inform", ("餐馆", "景点")[n % 2], "x", "y"], ["General", "greet", "none", "none"]]
        messages.append({"role": "usr", "content": f"w{n % 2} {word()} w{n % 2}", "dialog_act": acts})
        messages.append({"role": "sys", "content": word(), "dialog_act": acts})
    both = [["Inform", "餐馆", "x", "y"], ["Inform", "酒店", "x", "y"]]
    messages += [{"role": "usr", "content": "w5", "dialog_act": of} for of in (both, [])]
    with zipfile.ZipFile(folder / "val.json.zip", "w") as packed:
        packed.writestr("val.json", json.dumps({"1": {"messages": messages}}))
    paragraphs = [{"context": f"w{n + 10} w{n + 30} {word()}",
                   "qas": [{"question": f"w{n + 10} {word()}"}, {"question": f"{word()} w{n + 30}"}]}
                  for n in range(20)]  # fmt: skip
    (folder / "xquad.json").write_text(
        json.dumps({"data": [{"paragraphs": paragraphs[:7]}, {"paragraphs": paragraphs[7:]}]})
    )
    for name, own in (("pos", 2), ("neg", 3)):
        lines = [f"w{own} {word()} w{own} {word()}" for _ in range(60)]
        (folder / f"{name}.txt").write_text("\n".join([*lines, "", *lines[:5]]))
    command = [
        sys.executable,
        ROWS,
        "--crosswoz",
        folder / "val.json.zip",
        "--xquad",
        folder / "xquad.json",
        "--most",
        "50",
    ]
    subprocess.run([*command, "--reviews", folder / "pos.txt", folder / "neg.txt", "--to", folder / "rows"], check=True)
    return folder


@pytest.fixture(scope="module")
def run(rows, quick):
    changes = [
        f"data.tables.{of}.path={rows}/rows/{of}.jsonl" for of in ("turns", "paragraphs", "questions", "reviews")
    ]
    changes += [f"backbone.name={rows}/model", "backbone.max_length=16"]
    return train(load_recipe(find_recipe("chinese"), changes), rows / "run")


def test_the_rows_are_the_files_rows(rows):
    def read(name: str) -> list[dict]:
        return [json.loads(line) for line in (rows / "rows" / f"{name}.jsonl").read_text().splitlines()]

    turns, reviews = read("turns"), read("reviews")
    assert len(turns) == 90 and [of["domain"] for of in turns[:2]] == ["餐馆", "景点"]
    assert [of["id"] for of in read("questions")] == [f"p{n // 2}" for n in range(40)] and len(read("paragraphs")) == 20
    assert [of["label"] for of in reviews] == ["positive"] * 50 + ["negative"] * 50
    assert len({of["review"] for of in reviews}) == 100


def test_the_recipe_learns_all_three(run):
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    assert tasks["domain"]["metrics"]["accuracy"] == tasks["sentiment"]["metrics"]["accuracy"] == 1
    assert tasks["answer"]["metrics"]["mrr@10"] > 0.8


def test_a_text_is_read_by_all_three(run):
    reader = load(FILE).Reader(run)
    found = reader.read("w15 w35")
    assert found["paragraph"].startswith("w15 w35") and set(found) == {
        "text",
        "domain",
        "sentiment",
        "paragraph",
        "score",
    }
    assert reader.read("w1 w60 w1")["domain"][0] == "景点" and reader.read("w3 w60 w3")["sentiment"][0] == "negative"


def test_the_program_reads_its_arguments_or_lines(run):
    done = warm.run(FILE, run, input="w2 w60 w2\n\n")
    assert done.returncode == 0, done.stderr
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["sentiment"][0] == "positive" and found["sentiment"][1] > 0.5
