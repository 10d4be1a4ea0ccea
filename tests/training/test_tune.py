"""Studies on a tiny model: what they find, leave behind and refuse."""

import json
import os
import shutil
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import warm
from tiny import make_tiny_shop, tiny_recipe

import peftrec.training.prepare
import peftrec.training.step
from peftrec.errors import UserError
from peftrec.machine.signals import Interrupted
from peftrec.recipe import dump_recipe, load_recipe
from peftrec.tasks.dataset import load_data
from peftrec.training.search_space import with_values
from peftrec.training.tune import tune

pytestmark = pytest.mark.usefixtures("quick")

SEARCH = ["train.lr=1e-4..1e-1 log", "adapter.options.rank=2..8 step 2", "train.schedule=[linear, constant]"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def recipe(shop):
    return side(shop)


def side(shop, **changes):
    return tiny_recipe(shop, adapter={"method": "side", "options": {"rank": 4}}, **changes)


@pytest.fixture(scope="module")
def study(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies") / "one"
    return folder, tune(recipe, SEARCH, folder, name="shop", trials=6)


def told(result):
    """The trials without what the clock says."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result["trials"]]


def test_a_study_ends_with_the_best_recipe_and_its_trials(recipe, study):
    folder, result = study
    assert sorted(os.listdir(folder)) == ["journal.jsonl", "shop-tuned.yaml", "study.json"]
    rows = result["trials"]
    assert len(rows) == 6
    own = {"train.lr": 0.01, "adapter.options.rank": 4, "train.schedule": "linear"}
    assert {key: rows[0][key] for key in own} == own  # the recipe as it is comes first
    assert all(1e-4 <= row["train.lr"] <= 1e-1 and row["adapter.options.rank"] in (2, 4, 6, 8) for row in rows)
    assert {row["state"] for row in rows} == {"best", "complete", "pruned"}
    assert all(row["epochs"] in ((1, 2) if row["state"] == "pruned" else (3,)) for row in rows)
    best = rows[result["best"]["trial"]]
    complete = [row["weighted validation loss"] for row in rows if row["state"] != "pruned"]
    assert best["state"] == "best"
    assert result["best"]["value"] == best["weighted validation loss"] == min(complete)
    assert load_recipe(result["recipe"]) == with_values(recipe, {key: best[key] for key in own})
    assert result["command"] == f"peftrec train {folder}/shop-tuned.yaml"


def test_one_process_repeats_itself_and_other_seeds_search_elsewhere(recipe, study, tmp_path):
    assert told(tune(recipe, SEARCH, tmp_path / "again", trials=6)) == told(study[1])
    other = told(tune(recipe, SEARCH, tmp_path / "other", trials=2, seed=1))
    assert other[0] == {**told(study[1])[0], "state": other[0]["state"]}
    assert other[1]["train.lr"] != study[1]["trials"][1]["train.lr"]


def test_a_study_goes_on_where_it_was(recipe, study, tmp_path):
    first = told(tune(recipe, SEARCH, tmp_path / "study", trials=3))
    assert len(first) == 3
    assert told(tune(recipe, SEARCH, tmp_path / "study", trials=6)) == told(study[1])
    assert told(tune(recipe, SEARCH, tmp_path / "study", trials=6)) == told(study[1])  # nothing is left to do


def test_an_interrupted_trial_is_done_again(recipe, study, tmp_path, monkeypatch):
    kept, steps = peftrec.training.step.lr_factor, []

    def interrupts(config, step, total, cooldown=None):
        steps.append(step)
        if len(steps) == 15:  # in the second trial
            os.kill(os.getpid(), signal.SIGINT)
        return kept(config, step, total, cooldown)

    with monkeypatch.context() as patch:
        patch.setattr(peftrec.training.step, "lr_factor", interrupts)
        with pytest.raises(Interrupted):
            tune(recipe, SEARCH, tmp_path / "study", trials=3)
    rows = tune(recipe, SEARCH, tmp_path / "study", trials=3)["trials"]
    assert [row["state"] == "fail" for row in rows] == [False, True, False, False]
    keys = ("train.lr", "adapter.options.rank", "train.schedule")
    assert [rows[1][key] for key in keys] == [rows[2][key] for key in keys]
    uninterrupted = told(study[1])[1]
    again = {**told({"trials": rows})[2], "trial": 1}
    assert again | {"state": "complete"} == uninterrupted | {"state": "complete"}  # of fewer trials it may be the best


def test_what_the_user_did_wrong_ends_the_study(recipe, tmp_path):
    with pytest.raises(
        UserError, match=r"^trial \d \(adapter.options.rank (wide|broad)\): adapter.options.rank: .*integer"
    ):
        tune(recipe, ["adapter.options.rank=[wide, broad]"], tmp_path / "study")
    assert os.listdir(tmp_path) == []  # so that the same command serves, once it is mended


def test_numbers_that_are_not_finite_are_a_failed_trial_that_counts(recipe, tmp_path):
    result = tune(recipe, ["train.lr=[1e-2, 1e+30]"], tmp_path / "study", trials=4)
    failed = [row for row in result["trials"] if row["train.lr"] > 1]
    assert len(result["trials"]) == 4
    assert failed and all("not finite" in row["state"] or "not a finite" in row["state"] for row in failed)
    assert load_recipe(result["recipe"]).train.lr == 1e-2
    with pytest.raises(UserError, match=r"none of 2 trials came to an end; narrow the search"):
        tune(side_with(recipe, 1e29), ["train.lr=1e28..1e30"], tmp_path / "hopeless", trials=2)


def side_with(recipe, lr):
    return with_values(recipe, {"train.lr": lr})


def test_trials_never_see_the_test_split(recipe, study, tmp_path, monkeypatch):
    def without_test(recipe, *options):
        dataset = load_data(recipe, *options)
        none = np.zeros(0, np.int64)
        return replace(dataset, tasks={n: replace(t, test=t.test.take(none)) for n, t in dataset.tasks.items()})

    monkeypatch.setattr(peftrec.training.prepare, "load_data", without_test)
    blind = tune(recipe, SEARCH, tmp_path / "study", trials=3)["trials"]
    judged = ("train.lr", "adapter.options.rank", "weighted validation loss", "epochs")
    assert [[row[key] for key in judged] for row in blind] == [
        [r[key] for key in judged] for r in study[1]["trials"][:3]
    ]


def test_a_metric_of_a_task_is_made_as_good_as_it_gets(recipe, tmp_path):
    result = tune(recipe, SEARCH, tmp_path / "auc", trials=4, metric="interest.auc")
    assert result["metric"] == "interest.auc"
    assert result["best"]["value"] == max(r["interest.auc"] for r in result["trials"] if r["state"] != "pruned")
    stopping = with_values(recipe, {"train.early_stopping.metric": "query.log_loss"})
    result = tune(stopping, SEARCH, tmp_path / "loss", trials=2)
    assert result["best"]["value"] == min(r["query.log_loss"] for r in result["trials"] if r["state"] != "pruned")


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"metric": "interest.acu"}, "--metric: 'interest.acu' is no task.metric; did you mean 'interest.auc'?"),
        ({}, {"search": ["train.lrr=1..2"]}, "train.lrr: unknown key; did you mean 'lr'?"),
        ({"data.split.valid": 0}, {}, "data.split.valid: trials are judged on validation rows; found 0"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_made(recipe, tmp_path, changes, options, message):
    with pytest.raises(UserError) as error:
        tune(with_values(recipe, changes), **{"search": SEARCH, "study": tmp_path / "study", **options})
    assert message in str(error.value)
    assert os.listdir(tmp_path) == []


def test_trials_must_be_judged_on_the_same_rows(recipe, tmp_path):
    with pytest.raises(UserError, match=r"trial 1 \(data.split.valid .*\): its validation rows are not those of"):
        tune(recipe, ["data.split.valid=0.1..0.3"], tmp_path / "study")


def test_another_study_in_the_same_folder_is_refused(recipe, study, tmp_path):
    folder = shutil.copytree(study[0], tmp_path / "study")
    with pytest.raises(UserError) as error:
        tune(with_values(recipe, {"train.epochs": 4}), SEARCH[:2], folder, seed=3)
    first, *listed, last = str(error.value).splitlines()
    assert first == f"{folder}: is another study:"
    assert [line.split(":")[0].strip() for line in listed] == ["recipe.train.epochs", "search", "seed"]
    assert "--study" in last


def test_two_processes_work_on_one_study(recipe, tmp_path):
    (tmp_path / "shop.yaml").write_text(dump_recipe(recipe))
    command = ["-m", "peftrec", "tune", "shop.yaml", "--trials", 3, "--json"]
    for dimension in SEARCH:
        command += ["--search", dimension]
    both = [warm.Started(*command, cwd=tmp_path) for _ in range(2)]
    done = [process.communicate() for process in both]
    assert [of.returncode for of in done] == [0, 0], done
    rows = max((json.loads(of.stdout)["trials"] for of in done), key=len)
    assert 3 <= len(rows) <= 4  # both may begin the last one
    keys = ("train.lr", "adapter.options.rank", "train.schedule")
    assert len({tuple(row[key] for key in keys) for row in rows}) == len(rows)
    assert (tmp_path / "studies/shop/shop-tuned.yaml").is_file()


def test_without_optuna_it_says_what_to_install(recipe, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'peftrec\[tune\]'"):
        tune(recipe, SEARCH, tmp_path / "study")
