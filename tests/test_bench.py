"""The benchmark: experiments that can run, summaries by hand, and a report that follows from its results."""

import json
import re
from pathlib import Path

import bench
import measure
import numpy as np
import pytest
import report
import summary
from tiny import make_tiny_shop, tiny_recipe

from peftrec.metrics import METRICS
from peftrec.outcomes import read_outcome
from peftrec.recipe import make_recipe

HERE = Path(bench.__file__).parent
EXPERIMENTS = {**bench.read_experiments("quick"), **bench.read_experiments("full")}


def test_the_experiments_are_found():
    assert {"matrix", "methods-quick", "references", "tallrec", "plain-peft"} <= set(EXPERIMENTS)
    assert set(EXPERIMENTS) == {p.stem for p in (HERE / "experiments").glob("*.yaml")}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_cell_of_an_experiment_is_a_recipe(name):
    experiment = EXPERIMENTS[name]
    if "script" in experiment:
        assert (HERE / experiment["script"]).is_file()
        return
    found = bench.cells(experiment)
    assert found
    for cell in found.values():
        recipe = make_recipe(cell["recipe"])
        assert recipe.train.max_steps is not None and recipe.train.early_stopping is None
    everything = np.prod([len(values) for values in experiment["axes"].values()])
    assert len(found) < everything or not experiment.get("left_out")
    for rule in experiment.get("left_out", []):
        assert rule["because"]
        for axis, names in rule["cells"].items():
            assert set(names if isinstance(names, list) else [names]) <= set(experiment["axes"][axis])


def test_alone_a_task_sees_the_rows_it_sees_together():
    rows = {"query": 10_798, "interest": 70_001, "time": 69_327}  # train rows of the recipe's split
    steps = -(-sum(rows.values()) // 4096)
    for name in ("matrix", "methods-quick"):
        for task, count in rows.items():
            alone = EXPERIMENTS[name]["axes"]["tasks"][task]["train.batch_size"]
            assert alone == pytest.approx(count / steps, rel=0.02) and -(-count // alone) == steps


def test_the_plan_says_how_long_the_full_matrix_takes():
    seconds = {n: sum(s[3] for s in bench.steps(e)) for n, e in bench.read_experiments("full").items()}
    assert sum(seconds.values()) < 6 * 3600
    assert len(list(bench.steps(EXPERIMENTS["matrix"]))) > 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def test_a_cell_is_tuned_on_validation_and_measured_once(shop, tmp_path):
    raw = tiny_recipe(shop, train={"max_steps": 4}).model_dump(mode="json")
    tuned = measure.tune(raw, [1e-4, 1e-2], 2)
    assert list(tuned["losses"]) == ["0.0001", "0.01"]
    assert tuned["losses"][f"{tuned['lr']:g}"] == min(tuned["losses"].values())
    measured = measure.measure(raw, tmp_path)
    assert measured["cost"]["steps"] == 4 and measured["cost"]["adapter_bytes_per_task"] > 0
    outcome = read_outcome(tmp_path, "interest")
    parts = measured["slices"]["interest"]
    for one, other in zip(list(parts)[::2], list(parts)[1::2], strict=True):
        assert parts[one]["n"] + parts[other]["n"] == len(outcome.label)
    assert measured["slices"]["query"] == {}
    value = summary.over_seeds("auc", [outcome, outcome], [measured["metrics"]["interest"]["auc"]] * 2)
    assert value["interval"][0] <= value["value"] <= value["interval"][1]
    again = summary.paired_over_seeds("auc", [outcome, outcome], [outcome])
    assert again == {"by": 0, "interval": [0, 0], "p": 1, "seeds": 1}


def test_users_are_drawn_alike_for_all_seeds():
    rng = np.random.default_rng(0)
    group = np.array([f"u{n}" for n in rng.integers(20, size=300)])
    metric, label = METRICS["mae"], rng.random(300)
    one, two = (metric.statistic(label + error, label, group) for error in (1.0, 3.0))
    assert set(summary.resampled([(one, group), (two, group)]).round(6)) == {1.0, 2.0, 3.0}  # seeds are drawn too
    spread = summary.resampled([(metric.statistic(rng.random(300), label, group), group)])
    assert 0 < spread.std() < 0.05


def test_what_is_finished_and_unchanged_is_not_run_again(tmp_path, monkeypatch):
    ran = []

    def pretend(folder, script, spec):
        ran.append(folder.name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").write_text(json.dumps({"lr": 1e-3}))
        (folder / "spec.json").write_text(json.dumps(spec))

    monkeypatch.setattr(bench, "child", pretend)
    monkeypatch.setattr(bench, "summarise", lambda *_: {})
    monkeypatch.setattr(bench, "write_json", lambda *_: None)
    experiment = {
        **EXPERIMENTS["esci"],
        "seeds": 1,
        "axes": {k: dict(v) for k, v in EXPERIMENTS["esci"]["axes"].items()},
    }
    bench.run("esci", experiment, tmp_path, float("inf"))
    first = len(ran)
    bench.run("esci", experiment, tmp_path, float("inf"))
    assert first == len(ran) == 14
    experiment["changes"] = {**experiment["changes"], "train.clip": 2.0}
    with pytest.raises(SystemExit, match="the time is up before"):
        bench.run("esci", experiment, tmp_path, 0)
    bench.run("esci", experiment, tmp_path, float("inf"))
    assert len(ran) == 2 * first


def test_the_report_follows_from_the_results():
    results = report.read_results(HERE)
    figures = [path.stem for path in (HERE / "figures").glob("*.png")]
    assert {"methods-quick", "references", "tallrec"} <= set(results)
    text = report.build_report(HERE, results, figures)
    assert text == (HERE / "REPORT.md").read_text(encoding="utf-8")
    shown = re.findall(r"\]\(figures/(.*?)\.png\)", text)
    assert sorted(shown) == sorted(figures) and len(shown) >= 4


def test_every_number_of_the_readme_s_benchmark_is_in_the_report():
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    section = readme.split("<!-- benchmark:begin -->")[1].split("<!-- benchmark:end -->")[0]
    numbers = re.findall(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?", section)
    assert len(numbers) > 20
    text = (HERE / "REPORT.md").read_text(encoding="utf-8")
    known = set(re.findall(r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?", text))
    assert [n for n in numbers if n not in known and n.lstrip("+-") not in known] == []
