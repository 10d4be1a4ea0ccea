"""What the documents show runs as it stands: python blocks page by page, the rows of one's own data, the notebook."""

import json
import logging
import re
import subprocess
import textwrap
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import warm
from pages import DOCS, PAGES, README, ROOT, SNIPPET, blocks, name, read

from peftrec.data.load import load_tables
from peftrec.data.sources import movielens
from peftrec.errors import UserError
from peftrec.recipe import make_recipe, parse_yaml
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.keys import read_keys
from peftrec.tasks.dataset import load_data
from peftrec.tasks.kinds import KINDS

WITH_CODE = [page for page in PAGES if page != README and blocks(page, "python")]


def run(page: Path) -> list[str]:
    """Execute the page's python blocks, in order and in one namespace; returns the lines that they print."""
    names: dict = {}
    with redirect_stdout(StringIO()) as printed:
        for block in blocks(page, "python"):
            if not SNIPPET.fullmatch(block):  # a file of docs/extend/examples, which test_examples.py runs
                exec(compile(block, name(page), "exec"), names)
    return printed.getvalue().splitlines()


@pytest.fixture(scope="module", autouse=True)
def few_films(tmp_path_factory, quick):
    """What the pages know as MovieLens-100k: its first 300 films and what its first 60 users rated of them."""
    whole, folder = movielens._package_folder(), tmp_path_factory.mktemp("films")
    for file, most in (("ml-100k.item", (300,)), ("ml-100k.inter", (60, 300))):
        header, *rows = (whole / file).read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if all(int(id) <= of for id, of in zip(row.split("\t"), most, strict=False))]
        (folder / file).write_text("".join([header, *kept]), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(movielens, "_package_folder", lambda: folder)
        yield


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the README's program prints; it leaves runs/first in the working folder of this module's tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        yield run(README)


def test_the_readme_s_program_runs(printed):
    assert len(printed) == 2 + 3
    assert all(0 < float(line) < 1 for line in printed[:2])
    assert Path("runs/first/manifest.json").is_file()


@pytest.fixture
def _logging_as_before():
    root, own = logging.getLogger(), logging.getLogger("peftrec")
    handlers, level = root.handlers[:], own.level
    yield
    root.handlers[:] = handlers
    own.setLevel(level)


@pytest.mark.usefixtures("_logging_as_before")
@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_python_blocks_run(page, printed):
    assert len(run(page)) == {"predicting.md": 3 + 1 + 3, "serving.md": 2}.get(page.name, 0)


def test_blocks_that_are_not_run_say_why():
    marks = [mark for page in PAGES for mark in re.findall(r"<!-- not run: (.*) -->\n```python", read(page))]
    assert marks and all(len(mark.split()) >= 4 for mark in marks)
    assert len(WITH_CODE) >= 5


def shown_files(page: Path) -> dict[str, list[str]]:
    """The lines of the files in the page's first text block, by name."""
    files: dict[str, list[str]] = {}
    for file, row in (line.split("|", 1) for line in blocks(page, "text")[0].splitlines()):
        files.setdefault(file.strip() or [*files][-1], []).append(row.strip() + "\n")
    return files


def test_the_first_page_s_texts_are_what_its_recipe_reads(tmp_path, monkeypatch):
    page = DOCS / "index.md"
    ((file, (header, *rows)),) = shown_files(page).items()
    (tmp_path / file).write_text("".join([header, *rows * 5]))  # too few to divide
    monkeypatch.chdir(tmp_path)
    data = load_data(make_recipe(parse_yaml(blocks(page, "yaml")[0], name(page))))
    assert data.tasks["topic"].classes == ["delivery", "payment"]
    effort = data.tasks["effort"]
    minutes = np.concatenate([effort.split(part).label for part in ("train", "valid", "test")])
    assert sorted(set(minutes.tolist())) == [5, 8, 12, 30] and len(minutes) == 20
    assert sum(len(data.tasks["topic"].split(part)) for part in ("train", "valid", "test")) == 15
    assert "topic: 5 of 20 texts have no label, and do not count for this task" in data.notes


def test_the_rows_of_ones_own_data_are_what_the_recipe_reads(tmp_path, monkeypatch):
    page = DOCS / "guide/data.md"
    recipe = parse_yaml(blocks(page, "yaml")[0], name(page))
    assert recipe == parse_yaml(blocks(README, "yaml")[0], "README.md")
    for file, rows in shown_files(page).items():
        (tmp_path / file).write_text("".join(rows))
    pq.write_table(pc.read_csv(tmp_path / "items.parquet"), tmp_path / "items.parquet")
    monkeypatch.chdir(tmp_path)
    tables = load_tables(make_recipe(recipe).data)
    assert tables.named["items"].texts == ["Heat (1995). Action, Crime", "Up (2009). Animation"]
    assert (tables.named["events"].time % 86_400 // 3600).tolist() == [0, 20]
    assert tables.named["queries"].label.tolist() == [2, 0] and tables.named["queries"].item.tolist() == [0, 1]


def test_the_table_of_rows_names_the_keys_that_are_read_and_returned(printed):
    predictor = Predictor.load("runs/first")
    text = read(DOCS / "guide/predicting.md").split("| a row has |")[1].split("\n\n")[0]
    lines = [re.sub(r"\(.*?\)", "", line) for line in text.splitlines()]
    table = {cells[0]: cells[1:] for cells in [re.findall(r"`(.*?)`", line) for line in lines] if cells}
    assert set(table) == set(KINDS)
    rows = {
        "match-query": {"query": "x", "item": "1"},
        "interest": {"history": [], "item_text": "x", "time": 0},
        "next-gap": {"user": "1", "item": "1", "time": "2030-01-01"},
    }
    for task in predictor.tasks:
        kind = predictor.run.recipe.tasks[task].kind
        (returned,) = predictor.predict(task, [rows[kind]])
        with pytest.raises(UserError, match="'no such key' is no key of task") as error:
            predictor.predict(task, [{"no such key": 1}])
        known = str(error.value).partition("known: ")[2].split(", ")
        assert sorted(table[kind]) == sorted([*known, *returned])


def test_the_kinds_are_listed():
    shown = re.findall(r"^\| `([\w-]+)` \|", read(DOCS / "guide/tasks.md"), re.MULTILINE)
    assert set(shown) == set(KINDS)


def test_the_notebook_runs_from_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs/tour.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    assert all(not cell.get("outputs") for cell in notebook["cells"])  # they would grow old
    names: dict = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"tour.ipynb, cell {number}", "exec"), names)
    text = capsys.readouterr().out
    assert "side shared+private on sentence-transformers/all-MiniLM-L6-v2 nf4" in text
    assert "tasks.query.wieght: unknown key; did you mean 'weight'?" in text
    assert (tmp_path / "runs/tour-1/manifest.json").is_file()


def started(*arguments: object) -> tuple[warm.Started, int]:
    """A service in a process of its own, and the port where it answers by now."""
    service = warm.Started("-m", "peftrec", "serve", *arguments, "--port", 0)
    port = 0
    for line in service.stderr:
        said = json.loads(line)
        port = said.get("port", port)
        if said["event"] == "ready":
            return service, port
    raise AssertionError(f"it ended: {service.communicate()}")


def test_the_session_with_the_service_runs(printed):
    page = DOCS / "guide/serving.md"
    session = blocks(page, "bash")
    assert len(session) == 4 and sum(block.count("curl -s ") for block in session) == 8
    service, port = started("runs/first", "--grace", "0.5")
    try:
        strict = 'curl() { command curl --fail-with-body "$@"; echo; }\n'  # any error ends the session
        script = strict + "".join(session).replace("localhost:8000", f"127.0.0.1:{port}")
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert answers[0] == {"ready": True, "reason": None}
        assert [task["task"] for task in answers[1]["tasks"]] == ["query", "interest", "time"]
        assert len(answers[2]["predictions"]) == 2 and len(answers[3]["items"]) == 3
        assert sorted(answers[4]["items"][0]["scores"]) == ["interest", "query"] and len(answers[4]["items"]) == 3
        assert len(answers[5]["data"]) == 2
        assert answers[6] == {"accepted": 1} and len(answers[7]["items"]) == 3
    finally:
        service.process.terminate()
        ended = service.communicate()
    assert ended.returncode == 0


def test_the_file_of_keys_is_one(tmp_path):
    text = re.search(r"\n\n((?:    .*\n)+)", read(DOCS / "guide/serving.md").split("## Keys")[1])[1]
    (tmp_path / "keys.yaml").write_text(textwrap.dedent(text))
    assert [(key.name, key.tasks, key.admin) for key in read_keys(tmp_path / "keys.yaml")] == [
        ("shop", ["interest"], False),
        ("operator", None, True),
    ]
