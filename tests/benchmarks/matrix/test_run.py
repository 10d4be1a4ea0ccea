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

from peftrec.evaluation.metrics import METRICS
from peftrec.evaluation.predictions import read_outcome
from peftrec.recipe import make_recipe

HERE = Path(bench.__file__).parent
EXPERIMENTS = {**bench.read_experiments("quick"), **bench.read_experiments("full")}


def test_the_experiments_are_found():
    assert {"matrix", "next-item", "references", "tallrec", "plain-peft", "equal-epochs"} <= set(EXPERIMENTS)
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
        assert recipe.train.max_steps is not None
        assert (recipe.train.early_stopping is None) is (name != "longer")
    everything = np.prod([len(values) for values in experiment["axes"].values()])
    assert len(found) < everything or not experiment.get("left_out")
    for rule in experiment.get("left_out", []):
        assert rule["because"]
        for axis, names in rule["cells"].items():
            assert set(names if isinstance(names, list) else [names]) <= set(experiment["axes"][axis])


def test_alone_a_task_sees_the_rows_it_sees_together():
    rows = {"query": 10_798, "interest": 70_001, "time": 69_327}  # train rows of the recipe's split
    steps = -(-sum(rows.values()) // 4096)
    for task, count in rows.items():
        alone = EXPERIMENTS["matrix"]["axes"]["tasks"][task]["train.batch_size"]
        assert alone == pytest.approx(count / steps, rel=0.02) and -(-count // alone) == steps


def test_the_plan_says_how_long_it_takes_on_two_cores(tmp_path):
    def minutes(profile):
        read = bench.read_experiments(profile).values()
        seconds = {job.folder: job.seconds for e in read for job in bench.jobs(e, tmp_path, profile)}
        return sum(seconds.values()) / 60 / 2

    assert minutes("quick") < 15
    assert minutes("full") < 6 * 60


def test_the_most_important_cells_come_first(tmp_path):
    matrix = [job.name for job in bench.jobs(EXPERIMENTS["matrix"], tmp_path)]
    assert matrix[0] == "full fp32 together shared" and len(matrix) > 80
    assert [name.split()[-3] for name in matrix] == sorted(
        (n.split()[-3] for n in matrix), key=["fp32", "nf4", "int8"].index
    )
    quick = {job.name: job.folder for job in bench.jobs(EXPERIMENTS["matrix"], tmp_path, "quick")}
    assert set(quick) < set(matrix) and {"full fp32 together shared", "side fp32 together shared"} <= set(quick)
    assert len(bench.jobs(EXPERIMENTS["longer"], tmp_path, "quick")) == 2


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def test_a_cell_is_tuned_on_validation_and_measured_once(shop, tmp_path):
    raw = tiny_recipe(shop, train={"max_steps": 4}).model_dump(mode="json")
    tuned = measure.tune(raw, [1e-4, 1e-2], 2)
    assert list(tuned["losses"]) == ["0.0001", "0.01"]
    assert tuned["losses"][f"{tuned['lr']:g}"] == min(tuned["losses"].values())
    both = measure.work({"recipe": raw, "grid": [1e-4, 1e-2], "steps": 2, "seeds": 2}, tmp_path)
    assert {**both["tuning"], "peak_memory_mb": 0} == {**tuned, "peak_memory_mb": 0} and tuned["peak_memory_mb"] > 100
    assert len(both["seeds"]) == 2
    measured = both["seeds"][0]
    assert measured["cost"]["steps"] == 4 and measured["cost"]["adapter_bytes_per_task"] > 0
    assert measured["cost"]["cpu_seconds"] == pytest.approx(4 * measured["cost"]["cpu_seconds_per_step"])
    outcome = read_outcome(tmp_path / "seed-0", "interest")
    parts = measured["slices"]["interest"]
    for one, other in zip(list(parts)[::2], list(parts)[1::2], strict=True):
        assert parts[one]["n"] + parts[other]["n"] == len(outcome.label)
    assert measured["slices"]["query"] == {}
    samples = summary.samples_of(tmp_path, both["seeds"])["interest"]
    value = summary.over_seeds(samples["auc"])
    assert value["interval"][0] <= value["value"] <= value["interval"][1]
    assert summary.paired(samples["auc"], samples["auc"]) == {"by": 0, "interval": [0, 0], "p": 1, "seeds": 2}
    again = summary.samples_of(tmp_path, both["seeds"])["interest"]  # from the cell's folder
    assert np.array_equal(again["auc"].drawn, samples["auc"].drawn) and again["log_loss"].higher is False
    worse = samples["log_loss"]._replace(
        values=[v + 1 for v in samples["log_loss"].values], drawn=samples["log_loss"].drawn + 1
    )
    assert summary.paired(worse, samples["log_loss"])["by"] == pytest.approx(-1)


def test_users_are_drawn_alike_for_all_seeds_and_cells():
    rng = np.random.default_rng(0)
    group = np.array([f"u{n}" for n in rng.integers(20, size=300)])
    metric, label = METRICS["mae"], rng.random(300)
    noise = rng.random(300)
    one, two = (summary.resampled(metric.statistic(label + error, label, group), group) for error in (noise, 3 + noise))
    assert (two - one).round(6).tolist() == [3.0] * summary.RESAMPLES and one.std() > 0
    sample = summary.Sample([1.0, 3.0], np.tile([1.0, 3.0], (summary.RESAMPLES, 1)), higher=False)
    assert summary.over_seeds(sample) == {"value": 2, "seeds": [1, 3], "interval": [1, 3]}  # seeds are drawn too
    spread = summary.resampled(metric.statistic(rng.random(300), label, group), group)
    assert 0 < spread.std() < 0.05


def test_what_is_finished_and_unchanged_is_not_run_again(tmp_path, monkeypatch):
    ran, written = [], {}

    def pretend(folder, spec, threads):
        ran.append(folder.name)
        if len(ran) == fails_at:
            return "its last words"
        folder.mkdir(parents=True)
        (folder / "spec.json").write_text(json.dumps(spec))
        return ""

    monkeypatch.setattr(bench, "child", pretend)
    monkeypatch.setattr(bench, "summarise", lambda experiment, out: {})
    monkeypatch.setattr(bench, "write_json", lambda path, value: written.update({path.stem: value}))
    experiments = {name: json.loads(json.dumps(EXPERIMENTS["esci"])) for name in ("esci", "the same")}
    fails_at = 3
    with pytest.raises(SystemExit, match="its last words"):
        bench.run(experiments, tmp_path, "full", 1, float("inf"))
    assert len(ran) == 3 and set(written) == {"esci", "the same"}
    bench.run(experiments, tmp_path, "full", 2, float("inf"))
    bench.run(experiments, tmp_path, "full", 2, float("inf"))
    assert len(ran) == 1 + 7
    experiments["esci"]["changes"]["train.clip"] = 2.0
    bench.run(experiments, tmp_path, "full", 1, 0)
    assert len(ran) == 1 + 7  # the time is up
    bench.run(experiments, tmp_path, "full", 1, float("inf"))
    assert len(ran) == 1 + 2 * 7


def test_two_at_a_time_in_one_folder_are_refused(tmp_path):
    refused = pytest.raises(SystemExit, match=r"another bench.py works there; .* another --out")
    with bench.alone(tmp_path / "out"), refused, bench.alone(tmp_path / "out"):
        pass
    with bench.alone(tmp_path / "out"):
        pass


def test_an_unfinished_experiment_is_summarised_with_what_is_missing(shop, tmp_path):
    raw = tiny_recipe(shop, train={"max_steps": 4})
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(raw.model_dump(mode="json")))
    axes = {
        "method": {"side": {}, "longer": {"train.max_steps": 6}},
        "quantize": {"fp32": {}},
        "tasks": {"together": {}, "interest": {"tasks": ["interest"]}},
    }
    experiment = {"recipe": str(file), "changes": {}, "grid": [1e-3], "tune_steps": 2, "seeds": 2, "axes": axes}
    out = tmp_path / "out"
    for job in bench.jobs(experiment, out)[:2]:
        assert bench.child(job.folder, job.spec, 1) == ""
    result = summary.summarise(experiment, out)
    assert list(result["rows"]) == ["side fp32 together", "side fp32 interest"]
    assert list(result["missing"]) == ["longer fp32 together", "longer fp32 interest"]
    row = result["rows"]["side fp32 together"]
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", row["commit"]) and row["cost"]["threads"] == 1
    assert {"by", "interval", "p", "seeds"} == set(row["differences"]["side fp32 interest"]["interest"]["auc"])


def test_ranks_are_compared_user_by_user():
    own = [{"a": 1, "b": 20, "c": 3}, {"a": 1, "b": 2, "c": 30}]
    found = summary.over_reference("hr@10", own, {"a": 50, "b": 60, "c": 70})
    assert found["by"] == pytest.approx(2 / 3) and found["interval"][0] > 0
    assert summary.over_reference("hr@10", own[:1], own[0])["interval"] == [0, 0]


def test_the_report_follows_from_the_results():
    results = report.read_results(HERE)
    figures = [path.stem for path in (HERE / "figures").glob("*.png")]
    assert {"matrix", "references", "tallrec"} <= set(results)
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
