"""The README's and the guide's figures are those of the committed results; the README stays short."""

import json
import re
from pathlib import Path

import pytest
from pages import DOCS, README, ROOT, part, read

RESULTS = {
    # the report.json of `make demo`
    (README, "results", "demo"): [
        ("query", "auc"),
        ("query", "ndcg@10"),
        ("interest", "auc"),
        ("interest", "gauc"),
        ("interest", "hr@10"),
        ("time", "mae"),
    ],
    # and of `peftrec train movielens-100k-retrieval`
    (DOCS / "guide/tasks.md", "retrieval", "retrieval"): [("next", "hr@10"), ("next", "ndcg@10")],
}


@pytest.mark.parametrize(("page", "mark", "file"), RESULTS)
def test_every_number_of_a_results_table_is_in_the_committed_report(page, mark, file):
    report = json.loads((ROOT / f"benchmarks/results/{file}.json").read_text(encoding="utf-8"))
    text = part(page, mark)
    shown = RESULTS[page, mark, file]
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
    text = part(DOCS / "guide/memory-and-cache.md", "speed")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert [row.split("|")[2].strip() for row in rows] == [f"{rate:,.0f}" for rate in rates]
    assert [row.split("|")[3].strip() for row in rows] == [f"{rate / rates[0]:,.1f}" for rate in rates]


def test_the_costs_of_the_demo_are_in_the_committed_report():
    cost = json.loads((ROOT / "benchmarks/results/demo.json").read_text(encoding="utf-8"))["cost"]
    text = part(README, "results")
    assert f"{cost['trainable_parameters']:,}" in text
    assert f"{cost['backbone_mb']:.1f} MB in nf4 against {cost['backbone_fp32_mb']:.1f} MB in fp32" in text
    assert f"{round(cost['examples_per_second'], -2):,.0f} examples/s" in text


def test_the_readme_is_short():
    assert len(read(README).splitlines()) <= 130


def test_public_names_stay_what_they_are_whatever_is_imported():
    import peftrec
    import peftrec.training.loop
    import peftrec.training.preflight

    for _ in range(2):
        assert callable(peftrec.train) and callable(peftrec.check) and callable(peftrec.load_recipe)
    submodules = {path.stem for path in Path(peftrec.__file__).parent.iterdir()}
    assert not submodules & set(peftrec.__all__), "an imported submodule would hide the public name"
