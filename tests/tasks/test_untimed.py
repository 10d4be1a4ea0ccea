"""Events without times: what is known to each row, by loops over the file.

Train and valid rows know the train rows, test rows these and the valid rows; in a second training all but test rows
are train rows.
"""

import csv
import json
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from shop import write_csv
from tiny import make_tiny_shop, tiny_recipe

from peftrec.data.joined import train_on_all
from peftrec.data.rates import PSEUDO
from peftrec.data.signals import of_every_item
from peftrec.runs.evaluate import evaluate_run
from peftrec.runs.saved import load_run
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.tasks.priors import PRIORS
from peftrec.training import shrinking
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")
USERS, ITEMS, EACH, LIKED = 20, 20, 12, 4
TASKS = {
    "next": {"kind": "next-item", "repeats": "exclude"},
    "again": {"kind": "next-item", "repeats": "allow"},
    "like": {"kind": "interest", "column": "stars", "threshold": LIKED},
    "stars": {"kind": "regression", "column": "stars", "scale": "linear"},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The tiny shop with users of twelve events, some of them of the same item."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("tiny")), np.random.default_rng(3)
    rows = [
        {"user": f"u{user}", "item": f"i{item}", "stars": int(random.integers(1, 6))}
        for user in range(USERS)
        for item in np.append(random.permutation(ITEMS)[: EACH - 1], random.integers(ITEMS))
    ]
    write_csv(folder / "events.csv", [rows[n] for n in random.permutation(len(rows))])
    return folder


def recipe_of(shop, history=50, split=None, **changes):
    data = tiny_recipe(shop).data.model_dump(exclude={"queries"})
    data["events"] |= {"time": None}
    data |= {"split": {"kind": "random", "test": 0.2, "valid": 0.2} | (split or {}), "history": history}
    return tiny_recipe(shop, data=data, **{"tasks": TASKS, **changes})


@pytest.fixture(scope="module")
def dataset(shop):
    return load_data(recipe_of(shop))


@pytest.fixture(scope="module")
def again(dataset):
    """As a second training has it."""
    return train_on_all(dataset)


@pytest.fixture(scope="module")
def file(shop):
    """Its rows as (user, item, stars)."""
    rows = csv.DictReader((shop / "events.csv").open())
    return [(row["user"], int(row["item"][1:]), int(row["stars"])) for row in rows]


def cases(dataset, again, name):
    """The parts of a task, each with the rows of the file that are known to it: (rows, known)."""
    data, every = dataset.tasks[name], again.tasks[name]
    stars = dataset.tasks["stars"]  # a task of which no row is left out
    first, both = (set(np.concatenate([np.asarray(of.row) for of in parts]).tolist()) for parts in (
        [stars.train], [stars.train, stars.valid]
    ))  # fmt: skip
    assert len(stars.test) == USERS * EACH - len(both) > 0
    known = [(data.train, first), (data.valid, first), (data.test, both), (every.train, both), (every.test, both)]
    return [*known, *((part, first) for part in every.divided)]


def others(dataset, rows, n, known, file):
    """What the user of a row did in the known rows but for itself: (item, stars)."""
    user, own = dataset.user_ids[rows.users[n]], int(rows.row[n])
    return [file[row][1:] for row in sorted(known) if file[row][0] == user and row != own]


@pytest.mark.parametrize("name", TASKS)
def test_a_history_and_what_was_met_are_what_is_known_of_the_user(dataset, again, file, name):
    number = {
        row: int(item[1:]) for item, row in zip(dataset.items["items"].ids, dataset.items["items"].rows, strict=True)
    }
    for rows, known in cases(dataset, again, name):
        past, (row, item), repeated = rows.history(), rows.met(), rows.repeated()
        ids = np.array([int(of[1:]) for of in dataset.items["items"].ids])
        for n in range(len(rows)):
            expected = Counter(item for item, _ in others(dataset, rows, n, known, file))
            assert Counter(number[text] for text in past.rows[n].tolist() if text >= 0) == expected
            assert Counter(ids[item[row == n]].tolist()) == expected
            assert repeated[n] == (ids[rows.item[n]] in expected)


def test_a_short_history_is_some_of_it(shop, file):
    short = load_data(recipe_of(shop, history=3))
    again = train_on_all(short)
    number = {row: int(item[1:]) for item, row in zip(short.items["items"].ids, short.items["items"].rows, strict=True)}
    for rows, known in cases(short, again, "again"):
        past = rows.history()
        for n in range(len(rows)):
            expected = Counter(item for item, _ in others(short, rows, n, known, file))
            found = Counter(number[text] for text in past.rows[n].tolist() if text >= 0)
            assert found <= expected and found.total() == min(3, expected.total())


def test_what_is_known_is_no_candidate_and_not_to_be_found(dataset, again, file):
    """Of repeats the rows are left out by the same knowledge: test rows of items that a valid row has, too."""
    ids = np.array([int(of[1:]) for of in dataset.items["items"].ids])
    left = 0
    for rows, known in cases(dataset, again, "next"):
        barred = rows.with_every_candidate().barred()
        for n in range(len(rows)):
            met = {item for item, _ in others(dataset, rows, n, known, file)}
            own = ids[rows.item[n]]
            assert set(ids[barred[n]].tolist()) >= met | {own} and own not in met
    whole, parts = cases(dataset, again, "stars"), cases(dataset, again, "next")
    for (every, known), (rows, _) in zip(whole[:4], parts[:4], strict=True):
        there = set(rows.row.tolist())
        for n, row in enumerate(every.row.tolist()):
            met = {item for item, _ in others(dataset, every, n, known, file)}
            assert (row in there) == (file[row][1] not in met)
        left += len(every) - len(rows)
    assert left > 0


def test_choices_that_are_counted_are_the_known_ones(dataset, again, file):
    ids = np.array([int(of[1:]) for of in dataset.items["items"].ids])
    for rows, known in cases(dataset, again, "again"):
        count = Counter(file[row][1] for row in known)
        said = np.expm1(rows.catalogue.popularity(rows.time[:2]))
        assert said == pytest.approx(np.array([[count[item] for item in ids]] * 2), abs=1e-4)
        own = of_every_item(rows.take(np.arange(9)))[:, :, 3]  # log1p of how often the user had met each
        for n in range(9):
            met = Counter(item for item, _ in others(dataset, rows, n, known, file))
            assert np.expm1(own[n]) == pytest.approx([met[item] for item in ids], abs=1e-5)


def test_what_goes_together_is_told_by_the_rows_that_are_trained_on(dataset, again):
    before, after = dataset.tasks["again"], again.tasks["again"]
    assert before.test.catalogue.learnt is before.train.catalogue.learnt
    assert before.test.catalogue.learnt.items.tolist() == before.train.item.tolist()
    assert after.test.catalogue is after.train.catalogue
    assert after.test.catalogue.learnt.items.tolist() == after.train.item.tolist()
    assert len(after.train) == len(before.train) + len(before.valid) and len(after.valid) == 0
    assert (np.asarray(after.train.fold) >= 0).all() and (np.asarray(before.test.fold) == -1).all()


@pytest.mark.parametrize("name", ["like", "stars"])
def test_rates_are_of_the_known_rows_without_the_row_itself(dataset, again, file, name):
    data = dataset.tasks[name]
    centre, spread = data.scale

    def value(stars):
        return float(stars >= LIKED) if name == "like" else (stars - centre) / spread

    ids = np.array([int(of[1:]) for of in dataset.items["items"].ids])
    train = np.array([file[row][2] for row in data.train.row.tolist()])
    assert name == "like" or (centre, spread) == pytest.approx((train.mean(), train.std()))
    for rows, known in cases(dataset, again, name):
        base = np.mean([value(file[row][2]) for row in known])
        inputs = rows.inputs()
        for n in range(len(rows)):
            item, own = ids[rows.item[n]], int(rows.row[n])
            of_item = [value(file[row][2]) for row in known if file[row][1] == item and row != own]
            of_user = [value(stars) for _, stars in others(dataset, rows, n, known, file)]
            for place, of in ((0, of_item), (2, of_user)):
                expected = (sum(of) + PSEUDO * base) / (len(of) + PSEUDO), np.log1p(len(of))
                assert inputs[n, place : place + 2] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("task", "prior"), [("like", "user_rate"), ("stars", "user_median"), ("stars", "user_rate")])
def test_priors_of_users_see_the_known_labels_and_never_the_row_s_own(dataset, again, file, task, prior):
    kinds = cases(dataset, again, task)
    for (rows, known), of in zip(kinds[:5], [dataset] * 3 + [again] * 2, strict=True):
        base, middle = (float(say(of.tasks[task].train.label)) for say in (np.mean, np.median))
        said = PRIORS[prior](of, task, rows)
        for n in range(len(rows)):
            labels = [stars for _, stars in others(dataset, rows, n, known, file)]
            labels = [float(stars >= LIKED) for stars in labels] if task == "like" else labels
            rate = (sum(labels) + PSEUDO * base) / (len(labels) + PSEUDO)
            expected = rate if prior == "user_rate" else np.median(labels) if labels else middle
            assert said[n] == pytest.approx(expected, abs=1e-5)


def test_features_are_on_the_scale_of_the_train_rows_in_every_part(shop, file):
    data = recipe_of(shop).data.model_dump()
    data["events"] |= {"features": {"stars": "number"}}
    features = load_data(tiny_recipe(shop, data=data, tasks={"like": TASKS["like"]}))
    task, again = features.tasks["like"], train_on_all(features).tasks["like"]
    train = np.array([file[row][2] for row in task.train.row.tolist()])
    for rows in (task.train, task.valid, task.test, again.train, again.test):
        stars = np.array([file[row][2] for row in rows.row.tolist()])
        assert np.asarray(rows.of_events)[:, 0] == pytest.approx((stars - train.mean()) / train.std(), abs=1e-5)


def test_a_user_without_train_rows_is_known_by_their_valid_rows_to_test_rows_alone(shop, file):
    """And among valid rows nothing is."""
    split = {"kind": "given", "valid": 0.2}
    parts = [
        "test" if n % 5 == 0 else "valid" if user == "u0" or n % 5 == 1 else "train"
        for n, (user, *_) in enumerate(file)
    ]
    rows = [
        {"user": user, "item": f"i{item}", "stars": stars, "part": part}
        for (user, item, stars), part in zip(file, parts, strict=True)
    ]
    write_csv(shop / "given.csv", rows)
    data = recipe_of(shop).data.model_dump() | {"split": split}
    data["events"] |= {"path": str(shop / "given.csv"), "split": "part"}
    task = load_data(tiny_recipe(shop, data=data, tasks={"again": TASKS["again"]})).tasks["again"]
    mine = [int(np.flatnonzero(task.valid.users == user)[0]) for user in np.unique(task.valid.users)]
    alone = [n for n in mine if not (task.train.users == task.valid.users[n]).any()]
    assert len(alone) == 1
    user = task.valid.users[alone[0]]
    assert (task.valid.history().rows[task.valid.users == user] == -1).all()
    there = (task.test.history().rows[task.test.users == user] >= 0).sum(1)
    assert there.tolist() == [int((task.valid.users == user).sum())] * len(there) and there[0] > 1


@pytest.fixture(scope="module", params=[False, True], ids=["once", "again"])
def run(shop, tmp_path_factory, request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shrinking, "errors_of", lambda loss: -9.0)  # what was learned of so few rows is kept
        changes = {"train": {"refit": request.param, "early_stopping": {}, "schedule": "cooldown"}}
        return train(recipe_of(shop, **changes), tmp_path_factory.mktemp("runs") / "run")


def test_a_run_keeps_all_that_is_known_and_no_test_row(dataset, file, run):
    stars = dataset.tasks["stars"]
    known = [file[row] for part in (stars.train, stars.valid) for row in part.row.tolist()]
    ids = dataset.items["items"].ids
    log = pq.read_table(run / "log.parquet").to_pydict()
    kept = Counter(zip(log["user"], (int(ids[item][1:]) for item in log["item"]), log["feedback like"], strict=True))
    assert kept == Counter((user, item, float(said >= LIKED)) for user, item, said in known)
    loaded = load_run(run)
    assert loaded.rates["like"].base == pytest.approx(np.mean([said >= LIKED for *_, said in known]))
    assert np.expm1(loaded.catalogues["again"].popularity(np.array([np.nan]))).sum() == pytest.approx(
        len(known), abs=1e-2
    )


def test_it_is_measured_again_as_its_report_says(run):
    found, report = evaluate_run(run, "test"), json.loads((run / "report.json").read_text())
    for name, of in found["tasks"].items():
        assert of["metrics"] == pytest.approx(report["tasks"][name]["metrics"], abs=1e-4)
        assert of["priors"].keys() == report["tasks"][name]["priors"].keys()
        for prior, values in of["priors"].items():
            assert values == pytest.approx(report["tasks"][name]["priors"][prior], abs=1e-4)


@pytest.mark.parametrize("task", ["like", "stars"])
def test_what_it_predicts_of_a_user_is_what_was_measured(run, task):
    kept = pq.read_table(run / "test" / f"{task}.parquet").to_pylist()
    said = Predictor.load(run, cache=False).predict(task, [{"user": of["group"], "item": of["item"]} for of in kept])
    assert [next(iter(of.values())) for of in said] == pytest.approx([of["prediction"] for of in kept], abs=1e-4)


def test_what_it_recommends_to_a_user_stands_where_it_was_measured(run):
    rows, ranks = (pq.read_table(run / "test" / f"next{end}.parquet").to_pylist() for end in ("", ".ranks"))
    predictor = Predictor.load(run, cache=False)
    for row, of in list(zip(rows, ranks, strict=True))[:15]:
        best = predictor.recommend("next", user=row["group"], k=ITEMS)
        assert [n for n, found in enumerate(best, 1) if found["item"] == row["item"]] == [of["rank"]]
