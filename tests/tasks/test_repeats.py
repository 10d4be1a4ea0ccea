"""Repeats: what a user had before is ranked, trained against and recommended, or is not, alike everywhere."""

import numpy as np
import pytest
from habits import ITEMS, habits, load, past_of, runs_by_rule
from shop import shop_recipe, write_csv

from peftrec.errors import UserError
from peftrec.evaluation.ranking import each_alone, last_liked, rank_catalogue
from peftrec.model.scorer import Scorer
from peftrec.runs.evaluate import evaluate_run
from peftrec.runs.folder import read_report
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("timed", [True, False])
def test_who_met_what_is_what_the_log_says(shop, tmp_path, timed):
    data = load(shop, habits(shop, tmp_path, 0.3, timed), repeats="allow").tasks["next"]
    for part in (data.train, data.valid, data.test):
        pasts = [past_of(part, row) for row in range(len(part))]
        row, item = part.met()
        assert [item[row == n].tolist() for n in range(len(part))] == pasts
        assert part.repeated().tolist() == [int(of) in past for of, past in zip(part.item, pasts, strict=True)]
    assert 0.1 < data.train.repeated().mean() < 0.5


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_the_past_bars_candidates_where_repeats_are_excluded(shop, tmp_path, timed, repeats):
    data = load(shop, habits(shop, tmp_path, 0.3, timed), repeats=repeats).tasks["next"]
    step = data.train.drawn(0, 0, np.arange(50)).take(np.arange(50))
    found = step.barred()
    for row in range(len(step)):
        own = np.arange(ITEMS) == step.item[row]
        known = np.isin(np.arange(ITEMS), past_of(step, row)) if repeats == "exclude" else False
        assert (found[row] == (own | known)).all()
    assert data.train.take(np.arange(3)).barred() is None  # without candidates


def test_a_long_log_is_read_in_blocks_of_users(shop, tmp_path, monkeypatch):
    train = load(shop, habits(shop, tmp_path, 0.3), repeats="allow").tasks["next"].train
    whole = train.repeated()
    monkeypatch.setattr("peftrec.data.log.AT_ONCE", 25)  # two users of ten events each
    assert train.repeated().tolist() == whole.tolist()


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("repeats", ["allow", "exclude"])
def test_ranks_follow_the_rule(shop, tmp_path, timed, repeats):
    dataset = load(shop, habits(shop, tmp_path, 0.3, timed), repeats=repeats)
    data = dataset.tasks["next"]

    class ByNumber(Scorer):
        def predict(self, task, examples):
            return -examples.item.astype(np.float32)

    found = rank_catalogue(ByNumber(), dataset, "next", each_alone(data.test))["model"].place
    for row, rank in enumerate(found):
        known = set(past_of(data.test, row)) if repeats == "exclude" else set()
        assert rank == 1 + sum(item not in known for item in range(data.test.item[row]))
        assert data.test.item[row] not in known


def test_rows_that_cannot_be_found_are_left_out_and_said(shop, tmp_path):
    table = habits(shop, tmp_path, 0.3)
    every, new = (load(shop, table, repeats=rule) for rule in ("allow", "exclude"))
    for part in ("train", "valid", "test"):
        of = every.tasks["next"].split(part)
        assert new.tasks["next"].split(part).item.tolist() == of.item[~of.repeated()].tolist()
    count = sum(int(every.tasks["next"].split(part).repeated().sum()) for part in ("train", "valid", "test"))
    assert any(f"{count:,} rows of items that the user had before are left out" in note for note in new.notes)
    # Popularity counts every choice, also of what is not to be found again.
    assert every.tasks["next"].train.catalogue.items.tolist() == new.tasks["next"].train.catalogue.items.tolist()


@pytest.mark.parametrize(("again", "allowed"), [(0.0, False), (0.02, False), (0.3, True)])
def test_the_data_decide_and_it_is_said(shop, tmp_path, again, allowed):
    dataset = load(shop, habits(shop, tmp_path, again))
    data = dataset.tasks["next"]
    assert data.train.repeats is data.test.repeats is allowed
    (note,) = [note for note in dataset.notes if "(repeats: " in note] or [""]
    assert (
        not again
        or ("(repeats: allow, as 5 % or more are)" if allowed else "(repeats: exclude, as fewer than 5 % are)") in note
    )
    if allowed:
        rows, train = int(data.train.repeated().sum()), len(data.train)
        assert note.startswith(f"next: {rows:,} of {train:,} train rows ({rows / train:.1%}) are of items")


def test_interest_ranks_by_the_same_rule(shop, tmp_path):
    table, last = habits(shop, tmp_path, 0.3), {}
    for rule in ("allow", "exclude"):
        task = {"kind": "interest", "column": "stars", "threshold": 3, "repeats": rule}
        test = load_data(shop_recipe(shop, data=table, tasks={"interest": task})).tasks["interest"].test
        last[rule] = last_liked(test)
        liked = [row for row in range(len(test)) if test.label[row] == 1]
        if rule == "exclude":
            liked = [row for row in liked if int(test.item[row]) not in past_of(test, row)]
        assert len(last[rule]) == len({int(test.users[row]) for row in liked})
    assert last["allow"].repeated().any() and not last["exclude"].repeated().any()


@pytest.fixture(scope="module")
def runs(shop, tmp_path_factory):
    return runs_by_rule(shop, tmp_path_factory)


def test_recommend_obeys_the_rule_and_says_what_was_measured(runs):
    for rule, run in runs.items():
        predictor = Predictor.load(run)
        for how in (False, True):
            named = [row["item"] for row in predictor.recommend("next", user="u3", k=ITEMS, approximate=how)]
            past = predictor.run.logs["next"]
            place = past.user_ids.index("u3")
            had = {f"i{n}" for n in past.log.items[slice(*past.log.user_start[place : place + 2])]}
            assert set(named) == {f"i{n}" for n in range(ITEMS)} - (had if rule == "exclude" else set())
        rows = [{"user": "u3", "item": name} for name in named]
        scores = [row["score"] for row in predictor.predict("next", rows)]
        assert scores == sorted(scores, reverse=True)


def test_the_report_has_repeats_and_new_items_apart(runs):
    report = read_report(runs["allow"])["tasks"]["next"]
    again, new = report["slices"]["repeats"].values()
    assert again["n"] + new["n"] == report["n"] and set(again["metrics"]) == set(report["metrics"])
    for metric in again["metrics"]:
        whole = (again["n"] * again["metrics"][metric] + new["n"] * new["metrics"][metric]) / report["n"]
        assert report["metrics"][metric] == pytest.approx(whole)
    assert set(again["priors"]) == set(report["priors"])
    assert f"{again['n']:,} rows of items that the user had before: HR@10" in (runs["allow"] / "README.md").read_text()
    assert "slices" not in read_report(runs["exclude"])["tasks"]["next"]


def test_measured_again_by_the_rule_that_was_chosen(shop, tmp_path):
    """The data have changed since: the run still ranks as it was trained."""
    table = habits(shop, tmp_path, 0.0)
    tasks = {"next": {"kind": "next-item"}}
    run = train(shop_recipe(shop, data=table, tasks=tasks, train={"epochs": 1, "max_steps": 1}), tmp_path / "run")
    habits(shop, tmp_path, 0.5)
    again = evaluate_run(run, "test")["tasks"]["next"]
    assert "slices" not in again and again["n"] < 80


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "next-gap", "repeats": "allow"}, r"tasks\.t: repeats: kind next-gap does not read it; found 'allow'"),
        (
            {"kind": "next-item", "repeats": "exclude"},
            r"tasks\.t: repeats: all items to be found in valid are ones that the user had before; set repeats: allow",
        ),
    ],
)
def test_wrong_recipes_are_one_message(shop, tmp_path, task, message):
    path = write_csv(tmp_path / "events.csv", [{"user": "u", "item": "i1", "time": 10**9 + n} for n in range(50)])
    events = {"path": str(path), "user": "user", "item": "item", "time": "time"}
    with pytest.raises(UserError, match=message):
        load_data(shop_recipe(shop, data={"events": events}, tasks={"t": task}))
