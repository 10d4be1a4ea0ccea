"""Experiments that can run, and what they say of themselves before."""

import numpy as np
import pytest

from benchmarks.matrix.plan import cells, jobs, read_experiments
from benchmarks.places import EXPERIMENTS, ROOT
from peftrec.recipe import make_recipe

READ = {**read_experiments("quick"), **read_experiments("full")}


def test_the_experiments_are_found():
    assert {"matrix", "recommending-short", "tallrec", "plain-peft", "smollm2"} <= set(READ)
    assert set(READ) == {p.stem for p in EXPERIMENTS.glob("*.yaml")}


@pytest.mark.parametrize("name", READ)
def test_every_cell_of_an_experiment_is_a_recipe(name):
    experiment = READ[name]
    assert experiment["asks"]
    if "study" in experiment:
        assert (ROOT / f"benchmarks/studies/{experiment['study']}.py").is_file()
        return
    found = cells(experiment)
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
    for task, count in rows.items():
        alone = READ["matrix"]["axes"]["tasks"][task]["train.batch_size"]
        assert alone == pytest.approx(count / steps, rel=0.02) and -(-count // alone) == steps


def test_the_plan_says_how_long_it_takes_on_two_cores(tmp_path):
    def minutes(profile):
        read = read_experiments(profile).values()
        seconds = {job.folder: job.seconds for e in read for job in jobs(e, tmp_path, profile)}
        return sum(seconds.values()) / 60 / 2

    assert minutes("quick") < 15
    assert minutes("full") < 60


def test_the_most_important_cells_come_first(tmp_path):
    matrix = [job.name for job in jobs(READ["matrix"], tmp_path)]
    assert matrix[0] == "full fp32 together shared" and len(matrix) == 23
    assert [name.split()[-3] for name in matrix] == sorted(
        (n.split()[-3] for n in matrix), key=["fp32", "nf4", "int8"].index
    )
    quick = {job.name: job.folder for job in jobs(READ["matrix"], tmp_path, "quick")}
    assert set(quick) < set(matrix) and {"full fp32 together shared", "side fp32 together shared"} <= set(quick)
