"""Tasks that each name their tables: several catalogues, histories over tables, tables without times, many labels."""

import json
import math

import numpy as np
import pytest
from command import peftrec
from several import TASKS, make_several, several_recipe

from peftrec.data.signals import of_own_item
from peftrec.errors import UserError
from peftrec.recipe import dump_recipe
from peftrec.runs.saved import load_run
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.tasks.starts.others import COLUMNS

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_several(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def dataset(folder):
    return load_data(several_recipe(folder))


@pytest.fixture(scope="module")
def run(folder):
    (folder / "recipe.yaml").write_text(dump_recipe(several_recipe(folder)))
    result = peftrec("train", folder / "recipe.yaml", "--run", folder / "run")
    assert result.exit_code == 0, result.stderr
    return folder / "run"


def rows(folder, name):
    import csv

    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_each_task_s_items_are_of_its_own_catalogue(dataset):
    of = {name: dataset.tasks[name].items for name in TASKS}
    assert of == {
        "buy": "goods", "again": "goods", "next": "goods", "read": "books", "befriend": "people", "match": "goods",
        "topic": "", "mood": "", "price": "",
    }  # fmt: skip
    assert [len(dataset.items[name]) for name in ("goods", "books", "people")] == [20, 20, 20]


def test_a_history_over_two_tables_holds_what_was_before_in_both(folder, dataset):
    """Every row's history against a loop over the files: the last five of both tables, marked, with feedback."""
    task = dataset.tasks["buy"]
    assert task.history == ["clicks", "purchases"]
    ids = dataset.items["goods"].ids
    events = [(0, of) for of in rows(folder, "clicks")] + [(1, of) for of in rows(folder, "purchases")]
    checked = 0
    for examples in (task.train, task.valid, task.test):
        past, texts = examples.history(), dataset.items["goods"].rows
        for n, (user, time) in enumerate(zip(examples.users, examples.time, strict=True)):
            before = [e for e in events if e[1]["who"] == dataset.user_ids[user] and int(e[1]["at"]) < time]
            before = sorted(before, key=lambda e: (int(e[1]["at"]), e[0]))[-5:]
            there = past.rows[n] >= 0
            assert past.rows[n][there].tolist() == [texts[ids.index(of["what"])] for _, of in before]
            assert past.marks[n][there].tolist() == [mark for mark, _ in before]
            liked = [1.0 if mark == 0 else float(int(of["quantity"]) >= 3) for mark, of in before]
            assert past.feedback[n][there].tolist() == liked
            checked += len(before)
    assert checked > 300


def test_rates_are_of_the_task_s_own_table(folder, dataset):
    task = dataset.tasks["buy"]
    bought = rows(folder, "purchases")
    train = [n for n, of in enumerate(bought) if int(of["at"]) <= task.train.time.max()]
    base = np.mean([int(bought[n]["quantity"]) >= 3 for n in train])
    inputs, ids = task.test.inputs(), dataset.items["goods"].ids
    for n, (user, item, time) in enumerate(zip(task.test.users, task.test.item, task.test.time, strict=True)):
        of_item = [e for e in bought if e["what"] == ids[item] and int(e["at"]) < time]
        of_user = [e for e in bought if e["who"] == dataset.user_ids[user] and int(e["at"]) < time]
        for place, own in ((0, of_item), (2, of_user)):
            likes = sum(int(e["quantity"]) >= 3 for e in own)
            assert inputs[n, place] == pytest.approx((likes + 5 * base) / (len(own) + 5), abs=1e-6)
            assert inputs[n, place + 1] == pytest.approx(math.log1p(len(own)), abs=1e-6)


def test_without_times_a_history_is_what_else_is_known_of_the_user(folder, dataset):
    task, people = dataset.tasks["befriend"], dataset.items["people"]
    assert "befriend: split at random, not global-time: events have no time" in dataset.notes
    train, valid = (set(zip(of.users.tolist(), of.item.tolist(), strict=True)) for of in (task.train, task.valid))
    assert len(task.train) + len(task.valid) + len(task.test) == len(rows(folder, "friends"))
    number = {row: n for n, row in enumerate(people.rows.tolist())}
    for examples in (task.train, task.valid, task.test):
        past = examples.history()
        for n, (user, item) in enumerate(zip(examples.users.tolist(), examples.item.tolist(), strict=True)):
            found = [number[row] for row in past.rows[n].tolist() if row >= 0]
            known = train | valid if examples is task.test else train
            others = {i for u, i in known if u == user} - {item}
            assert len(found) == len(set(found)) == min(5, len(others)) and set(found) <= others
    assert task.train.catalogue.popularity(np.array([np.nan]))[0] == pytest.approx(
        np.log1p(np.bincount(task.train.item, minlength=20)), abs=1e-6
    )
    own = of_own_item(task.train)[:, 0, 0]  # of all others' choices
    count = np.bincount(task.train.item, minlength=20)[task.train.item] - 1
    assert own == pytest.approx(np.log1p(count), abs=1e-6)


def test_without_times_rates_leave_the_row_itself_out(folder):
    tasks = {"quantity": {"kind": "regression", "table": "purchases", "column": "quantity"}}
    untimed = several_recipe(folder, tasks, {"purchases": {"time": None}})
    task = load_data(untimed).tasks["quantity"]
    label, item, user = task.train.label.astype(float), task.train.item, task.train.users
    standard = (label - label.mean()) / label.std()
    inputs = task.train.inputs()
    for n in range(len(task.train)):
        for place, same in ((0, item == item[n]), (2, user == user[n])):
            others = np.flatnonzero(same & (np.arange(len(item)) != n))
            assert inputs[n, place] == pytest.approx(standard[others].sum() / (len(others) + 5), abs=1e-5)
            assert inputs[n, place + 1] == pytest.approx(math.log1p(len(others)), abs=1e-5)


def test_a_row_counts_for_the_tasks_whose_label_it_has(folder, dataset):
    news = rows(folder, "news")
    for name, column in (("topic", "topic"), ("mood", "mood"), ("price", "price")):
        data = dataset.tasks[name]
        found = {
            n: label
            for part in (data.train, data.valid, data.test)
            for n, label in zip(part.group, part.label, strict=True)
        }
        wanted = {n: of[column] for n, of in enumerate(news) if of[column]}
        assert {n: data.classes[int(of)] if data.classes else str(int(of)) for n, of in found.items()} == wanted
    assert "topic: 23 of 90 texts have no label, and do not count for this task" in dataset.notes
    assert "price: 18 of 90 texts have no label, and do not count for this task" in dataset.notes


def test_what_the_run_predicts_is_what_was_measured(folder, run):
    """Test rows by user and time, through the loaded run, against the predictions that the training kept."""
    import pyarrow.parquet as pq

    predictor, count = Predictor.load(run), 0
    width = {task: len(predictor.run.starts[task].weight) for task in ("buy", "read")}
    assert width["buy"] == width["read"] + len(COLUMNS)  # what other tables say, too
    for task in ("buy", "again", "read"):
        kept = pq.read_table(run / "test" / f"{task}.parquet").to_pylist()
        asked = [{"user": row["group"], "item": row["item"], "time": row["time"]} for row in kept]
        found = [next(iter(row.values())) for row in predictor.predict(task, asked)]
        assert found == pytest.approx([row["prediction"] for row in kept], abs=1e-4)
        count += len(kept)
    assert count > 60


def test_a_given_history_says_which_table_an_event_is_of(run):
    predictor = Predictor.load(run)
    log = predictor.run.logs["buy"]
    number = log.user_ids.index("u3")
    part = slice(*log.log.user_start[number : number + 2])
    ids = predictor.run.items["goods"].ids
    columns = (log.log.items[part], log.log.times[part], log.log.marks[part], log.log.feedback[part])
    history = [
        {"item": ids[item], "time": time, "table": ["clicks", "purchases"][mark], "value": 5 if liked else 1}
        for item, time, mark, liked in zip(*(c.tolist() for c in columns), strict=True)
    ]
    for row in history:
        if row["table"] == "clicks":
            del row["value"]
    for task in ("buy", "again", "next"):
        unsaid = {"value"} if task == "next" else set()  # without a threshold no value is read
        given = [{key: row[key] for key in row.keys() - unsaid} for row in history]
        known = predictor.predict(task, [{"user": "u3", "item": "g4", "time": 1_700_000_000}])
        again = predictor.predict(task, [{"history": given, "item": "g4", "time": 1_700_000_000}])
        assert list(again[0].values()) == pytest.approx(list(known[0].values()), abs=1e-5), task
    with pytest.raises(UserError, match="row 1: 'table' is one of clicks, purchases; found 'loans'"):
        predictor.predict("buy", [{"history": [{"item": "g1", "table": "loans"}], "item": "g2"}])
    with pytest.raises(UserError, match="'table' is no key of an event"):
        predictor.predict("read", [{"history": [{"item": "b1", "table": "loans"}], "item": "b2"}])


def test_people_are_recommended_and_books_are_no_goods(run):
    result = peftrec("recommend", run, "--task", "befriend", "--user", "u2", "-k", 3, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    rows = found if isinstance(found, list) else next(v for v in found.values() if isinstance(v, list))
    assert len(rows) == 3 and all(row["item"].startswith("u") for row in rows)
    predictor = Predictor.load(run)
    assert {row["item"][0] for row in predictor.recommend("read", history=[], k=20)} == {"b"}
    assert {row["item"][0] for row in predictor.recommend("match", query="w1 w2", k=20)} == {"g"}
    with pytest.raises(UserError, match="weighed together rank the same items; read ranks books and match ranks goods"):
        predictor.rank({"read": 1, "match": 1}, [{"history": [], "query": "w1"}])
    with pytest.raises(UserError, match="no item 'b1' in the catalogue"):
        predictor.predict("buy", [{"history": [], "item": "b1"}])


def test_a_number_of_a_text_is_predicted_in_its_own_unit(run):
    (answer,) = Predictor.load(run).predict("price", [{"text": "w1 w2 w3"}])
    assert set(answer) == {"value"} and 0 < answer["value"] < 120


def test_it_is_measured_again_as_it_was_after_training(run):
    result = peftrec("evaluate", run, "--json")
    assert result.exit_code == 0, result.stderr
    again, report = json.loads(result.stdout), json.loads((run / "report.json").read_text())
    for task in TASKS:
        for metric, value in report["tasks"][task]["metrics"].items():
            assert again["tasks"][task]["metrics"][metric] == pytest.approx(value, abs=1e-4), (task, metric)
    assert len(load_run(run).logs) == 5


def test_who_asks_a_query_is_read_with_their_features(folder, tmp_path):
    split = {"kind": "by-group", "by": "user"}
    tables = {"searches": {"user": "who", "split": split}, "people": {"features": {"age": "number"}}}
    recipe = several_recipe(folder, {"match": {"kind": "match-query"}}, tables)
    dataset = load_data(recipe)
    match, asked = dataset.tasks["match"], rows(folder, "searches")
    of_query = {text: {of["who"] for of in asked if of["q"] == text} for text in {of["q"] for of in asked}}
    parts = {}
    for name in ("train", "valid", "test"):
        examples = match.split(name)
        for user, query in zip(examples.users, examples.slots["query"], strict=True):
            assert dataset.user_ids[user] in of_query[dataset.texts.texts[query]]
            parts.setdefault(dataset.user_ids[user], set()).add(name)
    assert len(parts) == 18 and all(len(found) == 1 for found in parts.values())
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe))
    result = peftrec("train", tmp_path / "recipe.yaml", "--run", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    predictor = Predictor.load(tmp_path / "run")
    row = {"query": "w1 w2", "item": "g3"}
    known, same, other, nobody = predictor.predict(
        "match",
        [{**row, "user": "u19"}, {**row, "user_features": {"age": 39}}, {**row, "user_features": {"age": 20}}, row],
    )
    assert known == same and len({of["score"] for of in (known, other, nobody)}) == 3
    best = predictor.recommend("match", query="w1 w2", user="u19", k=20)
    assert next(of["score"] for of in best if of["item"] == "g3") == pytest.approx(known["score"], abs=1e-5)


REFUSED = {
    "no table": (
        {"kind": "interest", "table": "purchase", "column": "quantity"},
        {},
        ("table: kind interest reads a table of kind events, and none is called 'purchase'; did you mean 'purchases'?"),
    ),
    "not said": (
        {"kind": "interest", "column": "quantity"},
        {},
        "table: name the one that the task is about: clicks, purchases, loans, friends",
    ),
    "of another sort": (
        {"kind": "interest", "table": "news"},
        {},
        "table: kind interest reads a table of kind events, and none is called 'news'",
    ),
    "two catalogues": (
        {"kind": "next-item", "table": "loans", "history": ["loans", "clicks"]},
        {},
        "history: its tables are of one catalogue: loans is of books, clicks of goods",
    ),
    "without its own": (
        {"kind": "next-item", "table": "clicks", "history": ["purchases"]},
        {},
        "history: names each table once, the task's own, clicks, among them; found ['purchases']",
    ),
    "twice": (
        {"kind": "next-item", "table": "clicks", "history": ["clicks", "clicks"]},
        {},
        "history: names each table once",
    ),
    "unknown history": (
        {"kind": "next-item", "table": "clicks", "history": ["clicks", "clikcs"]},
        {},
        "history: no event table 'clikcs'; did you mean 'clicks'?",
    ),
    "some without times": (
        {"kind": "next-item", "table": "clicks", "history": ["clicks", "purchases"]},
        {"purchases": {"time": None}},
        "history: its tables all have times, or none has; purchases has none",
    ),
    "no gap without times": (
        {"kind": "next-gap", "table": "friends"},
        {},
        "table: kind next-gap asks when, and friends has no times: name its column of times",
    ),
    "no label": (
        {"kind": "classification"},
        {},
        "label: name the column of news to predict: title, topic, mood, price",
    ),
    "no such label": (
        {"kind": "classification", "label": "topc"},
        {},
        "no column 'topc'; its columns are title, topic, mood, price",
    ),
    "label and column": (
        {"kind": "regression", "label": "price", "column": "quantity"},
        {},
        "column: kind regression does not read it; found 'quantity'; leave it out",
    ),
    "history of a text": (
        {"kind": "classification", "label": "mood", "history": ["clicks"]},
        {},
        "history: kind classification does not read it; found ['clicks']; leave it out",
    ),
    "time of a table without": (
        {"kind": "next-item", "table": "friends"},
        {"friends": {"split": {"kind": "global-time"}}},
        (
            "data.tables.friends.split.kind: global-time needs time, which these events "
            "lack; take one of random, by-group"
        ),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_message(folder, tmp_path, case):
    assert len(REFUSED) == 14
    task, tables, message = REFUSED[case]
    (tmp_path / "recipe.yaml").write_text(dump_recipe(several_recipe(folder, {"a": task}, tables)))
    result = peftrec("check", tmp_path / "recipe.yaml")
    assert result.exit_code == 2 and message in result.stderr.replace("\n", " ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recipe.yaml"]


def test_the_parts_of_a_table_are_the_same_for_all_its_tasks(dataset):
    clicks = [dataset.tasks[name].train for name in ("again", "next")]
    assert set(clicks[0].time) <= set(clicks[1].time)
