"""Lists that were shown, from the recipe to predictions: what is measured, kept, and known before a row."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from command import peftrec
from shown import make_shown, shown_recipe
from sklearn.metrics import ndcg_score, roc_auc_score

from peftrec.errors import UserError
from peftrec.evaluation.outcomes import read_outcome
from peftrec.recipe import dump_recipe
from peftrec.runs.evaluate import evaluate_run
from peftrec.runs.folder import write_manifest
from peftrec.runs.saved import load_run
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shown(tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="module")
def run(folder):
    tasks = {"click": {"kind": "interest"}, "next": {"kind": "next-item", "weight": 0.3}, "back": {"kind": "next-gap"}}
    return train(shown_recipe(folder, tasks), folder / "run")


@pytest.fixture(scope="module")
def report(run):
    return json.loads((run / "report.json").read_text())["tasks"]


def test_it_learns_what_popularity_cannot_know(report):
    of, gains = report["click"]["metrics"], report["click"]["gains"]
    assert of["impression_auc"] > 0.7 and of["impression_mrr"] > 0.6
    for metric in ("impression_auc", "impression_mrr", "impression_ndcg@5", "impression_ndcg@10"):
        assert gains[metric]["interval"][0] > 0  # over the best of all priors, item rates among them
    assert report["click"]["priors"]["item_rate"]["impression_auc"] < 0.6
    assert not any(name.startswith("impression") for name in report["next"]["metrics"])


def test_the_metrics_are_the_means_of_scikit_learns(run, report):
    outcome = read_outcome(run, "click")
    assert outcome.group[0].startswith("u") and len(np.unique(outcome.impression)) == len(outcome.label) / 4
    values = []
    for number in np.unique(outcome.impression):
        rows = outcome.impression == number
        label, score = outcome.label[rows], outcome.prediction[rows].astype(float)
        if label.any():
            places = 1 + np.argsort(np.argsort(-score))
            ndcg = [ndcg_score(label[None], score[None], k=k) for k in (5, 10)]
            values.append((roc_auc_score(label, score), (label / places).sum() / label.sum(), *ndcg))
    assert len(values) == len(outcome.label) / 4 - 3  # three lists nothing was clicked of
    named = [report["click"]["metrics"][f"impression_{name}"] for name in ("auc", "mrr", "ndcg@5", "ndcg@10")]
    assert named == pytest.approx(np.mean(values, 0))


def test_a_run_keeps_what_was_not_clicked_for_its_rates(run, folder):
    described = json.loads((run / "model.json").read_text())["tasks"]
    assert (described["click"]["log"], described["click"]["rated"]) == (0, 1)
    assert described["click"]["impressions"] and described["click"]["hides"] == ["events"]
    assert (described["next"]["log"], described["next"]["rated"], described["next"]["hides"]) == (0, None, [])
    assert pq.read_metadata(run / "log.parquet").num_rows == 40 * 2 + 480
    assert pq.read_metadata(run / "log-1.parquet").num_rows == 483 * 4


@pytest.mark.parametrize("task", ["click", "next"])
def test_predict_is_what_evaluate_measured(run, folder, task):
    test = (
        load_data(shown_recipe(folder, {"click": {"kind": "interest"}, "next": {"kind": "next-item"}})).tasks[task].test
    )
    outcome, predictor = read_outcome(run, task), Predictor.load(run)
    if task == "click":
        rows = [
            {"user": user, "item": item, "time": time}
            for user, item, time in zip(outcome.group, outcome.item, outcome.time.tolist(), strict=True)
        ]
        scores = [row["score"] for row in predictor.predict(task, rows)]
        assert "u40" in outcome.group  # who never clicked, and so has rates and no history
        assert scores == pytest.approx(outcome.prediction.tolist(), abs=1e-5)
    assert len(test) == len(outcome.label)
    again = evaluate_run(run, "test")["tasks"][task]["metrics"]
    assert again == pytest.approx(json.loads((run / "report.json").read_text())["tasks"][task]["metrics"], abs=1e-5)


def test_a_history_that_a_row_brings_says_what_was_not_clicked(run, folder):
    predictor, table = Predictor.load(run), load_data(shown_recipe(folder))
    reader, log = predictor._reader, predictor.run.received["click"]
    number = log.user_ids.index("u3")
    part = slice(*log.log.user_start[number : number + 2])
    ids = table.items["items"].ids
    shown = [
        {"item": ids[item], "value": float(value), "time": time}
        for item, value, time in zip(
            log.log.items[part].tolist(), log.log.feedback[part].tolist(), log.log.times[part].tolist(), strict=True
        )
    ]
    past = predictor.run.logs["click"].log
    first = int(past.user_start[predictor.run.logs["click"].user_ids.index("u3")])
    before = [{"item": ids[past.items[n]], "time": float(past.times[n])} for n in (first, first + 1)]  # in no list
    known, given = (
        reader.examples("click", [{**row, "item": "n7", "time": 1_700_000_000}])
        for row in ({"user": "u3"}, {"history": before + shown})
    )
    assert given.history().rows.tolist() == known.history().rows.tolist()
    assert given.history().rows.shape == (1, 14) and (given.history().feedback == 1).all()
    assert given.inputs() == pytest.approx(known.inputs(), abs=1e-6)
    assert given.inputs()[0, 3] == pytest.approx(np.log1p(48))  # twelve lists of four; the first clicks do not count


def test_a_log_of_what_was_shown_that_is_gone_or_damaged_is_one_message(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    described = json.loads((copy / "model.json").read_text())
    described["tasks"]["click"]["rated"] = 7
    (copy / "model.json").write_text(json.dumps(described))
    (copy / "manifest.json").unlink()
    write_manifest(copy)
    with pytest.raises(UserError, match=r"log-7\.parquet"):
        load_run(copy)


def test_comparing_runs_goes_by_list_and_draws_users(run, folder):
    other = train(shown_recipe(folder, epochs=1), folder / "other")
    found = json.loads(peftrec("compare", run, other, "--json").stdout)
    of = found[str(other)]["tasks"]["click"]
    change = of["metrics"]["impression_auc"] - found[str(run)]["tasks"]["click"]["metrics"]["impression_auc"]
    assert of["differences"]["impression_auc"]["by"] == pytest.approx(change)
    low, high = of["differences"]["impression_auc"]["interval"]
    assert low <= change <= high


def test_early_stopping_may_watch_lists(folder, tmp_path):
    watch = {"early_stopping": {"patience": 1, "metric": "click.impression_auc"}}
    recipe = shown_recipe(folder, epochs=1)
    recipe = recipe.model_copy(update={"train": recipe.train.model_validate(recipe.train.model_dump() | watch)})
    done = train(recipe, tmp_path / "watched")
    lines = [json.loads(line) for line in (done / "metrics.jsonl").read_text().splitlines()]
    assert any(line["valid"]["click"]["impression_auc"] > 0.4 for line in lines if "valid" in line)
    no_lists = recipe.data.events.model_copy(update={"impression": None})
    plain = recipe.model_copy(update={"data": recipe.data.model_copy(update={"events": no_lists})})
    with pytest.raises(UserError, match=r"early_stopping: click\.impression_auc needs lists that were shown: the key"):
        train(plain, tmp_path / "plain")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"clicked": "what"}, "row 1, column 'what': must be a finite number; found 'n"),
        ({"clicked": "at"}, "row 1, column 'at': must be 1 (clicked) or 0 (shown, not clicked); found '1600000000'"),
        ({"impression": "hit"}, "column 'hit': is several users'"),
        ({"impression": "lists"}, "no column 'lists'"),
        ({"time": None}, "impression: needs time too"),
        ({"clicked": None, "unclicked_in_history": True}, "unclicked_in_history: needs clicked"),
        ({"unclicked_in_history": "maybe"}, "unclicked_in_history"),
    ],
)
def test_wrong_keys_are_one_message(folder, tmp_path, keys, message):
    text = dump_recipe(shown_recipe(folder))
    recipe = tmp_path / "wrong.yaml"
    raw = yaml.safe_load(text)
    raw["data"]["events"] |= keys
    recipe.write_text(yaml.safe_dump(raw))
    done = peftrec("train", recipe, "--run", tmp_path / "run")
    assert done.exit_code == 2 and message in done.stderr and not (tmp_path / "run").exists()
