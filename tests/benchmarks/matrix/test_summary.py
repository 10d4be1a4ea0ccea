"""A cell in its process, and the summary of what cells measured, by hand where it can be."""

import json
import os
import re
import sys

import numpy as np
import pytest
import warm
from tiny import make_tiny_shop, tiny_recipe

from benchmarks import children
from benchmarks.children import deliver
from benchmarks.matrix import measure, run, summary
from benchmarks.matrix.plan import jobs
from benchmarks.matrix.run import child
from peftrec.evaluation.metrics import METRICS
from peftrec.evaluation.outcomes import read_outcome

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


def test_a_cell_is_measured_once_a_seed(shop, tmp_path):
    raw = tiny_recipe(shop, train={"max_steps": 4, "lr": 1e-3}).model_dump(mode="json")
    both = measure.work({"recipe": raw, "seeds": 2}, tmp_path)
    assert len(both["seeds"]) == 2 and both["seeds"][0]["metrics"] != both["seeds"][1]["metrics"]
    measured = both["seeds"][0]
    assert measured["cost"]["lr"] == 1e-3 and measured["cost"]["peak_memory_mb"] > 100
    assert measured["cost"]["start_cpu_seconds"] > 0
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


def in_a_warm_process(module, *arguments, threads):
    """The child itself, but that what it imports is there."""
    return warm.run("-m", f"benchmarks.{module}", *arguments, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


def in_this_process(module, spec, out, threads):
    """What `run_child` does, without the seconds that a process takes to begin."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, str(spec), str(out)])
        deliver(measure.work)
    return ""


def test_an_unfinished_experiment_is_summarised_with_what_is_missing(shop, tmp_path, monkeypatch):
    raw = tiny_recipe(shop, train={"max_steps": 4})
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(raw.model_dump(mode="json")))
    axes = {
        "method": {"side": {}, "longer": {"train.max_steps": 6}},
        "quantize": {"fp32": {}},
        "tasks": {"together": {}, "interest": {"tasks": ["interest"]}},
    }
    experiment = {"recipe": str(file), "changes": {}, "seeds": 2, "axes": axes}
    out = tmp_path / "out"
    monkeypatch.setattr(children, "_start", in_a_warm_process)
    for job in jobs(experiment, out)[:2]:
        assert child(job.folder, job.spec, 1) == ""
        monkeypatch.setattr(run, "run_child", in_this_process)  # the second
    result = summary.summarise(experiment, out)
    assert list(result["rows"]) == ["side fp32 together", "side fp32 interest"]
    assert list(result["missing"]) == ["longer fp32 together", "longer fp32 interest"]
    row = result["rows"]["side fp32 together"]
    assert re.fullmatch(r"[0-9a-f]{7,}\+?", row["commit"]) and row["cost"]["threads"] == 1
    assert {"by", "interval", "p", "seeds"} == set(row["differences"]["side fp32 interest"]["interest"]["auc"])
