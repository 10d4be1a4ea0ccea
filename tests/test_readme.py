"""What the README shows runs as it stands."""

import json
import re
from pathlib import Path

import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from peftrec.data.tables import load_tables
from peftrec.errors import UserError
from peftrec.recipe import make_recipe, parse_yaml
from peftrec.serving.predictor import Predictor
from peftrec.tasks.kinds import KINDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = blocks("python")
    assert len(examples) == 1
    exec(compile(examples[0], "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 3 + 1 + 3
    assert (tmp_path / "runs/first/manifest.json").is_file()


def test_the_recipes_are_valid():
    examples = blocks("yaml")
    assert len(examples) == 1
    for text in examples:
        make_recipe(parse_yaml(text, "README.md"))


def test_the_rows_of_ones_own_data_are_what_the_recipe_reads(tmp_path, monkeypatch):
    files: dict[str, list[str]] = {}
    for name, row in (line.split("|", 1) for line in blocks("text")[0].splitlines()):
        files.setdefault(name.strip() or [*files][-1], []).append(row.strip() + "\n")
    for name, rows in files.items():
        (tmp_path / name).write_text("".join(rows))
    pq.write_table(pc.read_csv(tmp_path / "items.parquet"), tmp_path / "items.parquet")
    monkeypatch.chdir(tmp_path)
    tables = load_tables(make_recipe(parse_yaml(blocks("yaml")[0], "README.md")).data)
    assert tables.items.texts == ["Heat (1995). Action, Crime", "Up (2009). Animation"]
    assert (tables.events.time % 86_400 // 3600).tolist() == [0, 20]
    assert tables.queries.label.tolist() == [2, 0] and tables.queries.item.tolist() == [0, 1]


def test_the_table_of_rows_names_the_keys_that_are_read_and_returned(shop_run):
    predictor = Predictor.load(shop_run)
    lines = [re.sub(r"\(.*?\)", "", line) for line in README.split("| a row has |")[1].split("\n\n")[0].splitlines()]
    table = {cells[0]: cells[1:] for cells in [re.findall(r"`(.*?)`", line) for line in lines] if cells}
    assert set(table) == set(KINDS)
    rows = {
        "match-query": {"query": "x", "item": "i1"},
        "interest": {"history": [], "item_text": "x", "time": 0},
        "next-gap": {"user": "u1", "item": "i1", "time": "2030-01-01"},
    }
    for task in predictor.tasks:
        kind = predictor.run.recipe.tasks[task].kind
        (returned,) = predictor.predict(task, [rows[kind]])
        with pytest.raises(UserError, match="'no such key' is no key of task") as error:
            predictor.predict(task, [{"no such key": 1}])
        read = str(error.value).partition("known: ")[2].split(", ")
        assert sorted(table[kind]) == sorted([*read, *returned])


RESULTS = {
    # the report.json of `make demo`
    ("results", "demo"): [
        ("query", "auc"),
        ("query", "ndcg@10"),
        ("interest", "auc"),
        ("interest", "gauc"),
        ("interest", "hr@10"),
        ("time", "mae"),
    ],
    # and of `peftrec train movielens-100k-retrieval`
    ("retrieval", "retrieval"): [("next", "hr@10"), ("next", "ndcg@10")],
}


@pytest.mark.parametrize(("part", "file"), RESULTS)
def test_every_number_of_a_results_table_is_in_the_committed_report(part, file):
    report = json.loads((ROOT / f"benchmarks/results/{file}.json").read_text(encoding="utf-8"))
    text = README.split(f"<!-- {part}:begin -->")[1].split(f"<!-- {part}:end -->")[0]
    shown = RESULTS[part, file]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == len(shown)
    for (task, metric), row in zip(shown, rows, strict=True):
        of = report["tasks"][task]
        gain = of["gains"][metric]
        numbers = [of["metrics"][metric], *of["intervals"][metric], of["priors"][gain["prior"]][metric]]
        numbers += [gain["by"], *gain["interval"]]
        _, _, name, *cells = (cell.strip() for cell in row.split("|"))
        found = [float(n) for n in re.findall(r"[-+]?\d*\.\d+", " ".join(cells))]
        assert name.lower().startswith(metric) and f"`{gain['prior']}`" in row
        assert len(found) == len(numbers)
        for one, two in zip(found, numbers, strict=True):
            assert abs(one - two) <= 0.00051, (row, one, two)


def test_the_speeds_are_those_of_the_committed_results():
    single = json.loads((ROOT / "benchmarks/results/speed.json").read_text(encoding="utf-8"))["single"]
    rates = [of["examples_per_second"] for name, of in single.items() if not name.startswith("b:")]
    text = README.split("<!-- speed:begin -->")[1].split("<!-- speed:end -->")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert [row.split("|")[2].strip() for row in rows] == [f"{rate:,.0f}" for rate in rates]
    assert [row.split("|")[3].strip() for row in rows] == [f"{rate / rates[0]:,.1f}" for rate in rates]


def test_the_costs_of_the_demo_are_in_the_committed_report():
    cost = json.loads((ROOT / "benchmarks/results/demo.json").read_text(encoding="utf-8"))["cost"]
    text = README.split("<!-- results:begin -->")[1].split("<!-- results:end -->")[0]
    assert f"{cost['trainable_parameters']:,}" in text
    assert f"{cost['backbone_mb']:.1f} MB in nf4 against {cost['backbone_fp32_mb']:.1f} MB in fp32" in text
    assert f"{round(cost['examples_per_second'], -2):,.0f} examples/s" in text


def test_public_names_stay_what_they_are_whatever_is_imported():
    import peftrec
    import peftrec.training.loop
    import peftrec.training.preflight

    for _ in range(2):
        assert callable(peftrec.train) and callable(peftrec.check) and callable(peftrec.load_recipe)
    submodules = {path.stem for path in Path(peftrec.__file__).parent.iterdir()}
    assert not submodules & set(peftrec.__all__), "an imported submodule would hide the public name"
