"""One file of two kinds of events (`where`), from check to predict: a table and a task each."""

import csv
import json

import pytest
from command import peftrec
from shop import write_csv
from tiny import LORA, cut_after, kept_recipe, make_tiny_shop, trained_files

from peftrec.data import digest
from peftrec.errors import UserError
from peftrec.runs.folder import read_report
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick_intervals")

TASKS = {
    "look": {"kind": "next-item", "table": "views", "history": ["views", "orders"]},
    "like": {"kind": "interest", "table": "orders", "column": "stars", "threshold": 4, "history": ["views", "orders"]},
}


def recipe_of(folder, views, orders):
    """The two tasks; `views` and `orders` are keys of their tables."""
    log = {"kind": "events", "user": "user", "item": "item", "time": "time"}
    tables = {
        "items": {"kind": "items", "path": str(folder / "items.csv"), "id": "id", "text": "{title}"},
        "views": log | views,
        "orders": log | {"columns": ["stars"]} | orders,
    }
    data = {"tables": tables, "split": {"test": 0.2, "valid": 0.2}, "history": 5}
    return kept_recipe(folder, adapter=LORA, tasks=TASKS, data=data)


def one_log(folder, **orders):
    """The recipe over one file of both kinds of events; `orders` changes its table's keys."""
    path = {"path": str(folder / "log.csv")}
    return recipe_of(folder, path | {"where": 'event == "view"'}, path | {"where": 'event == "order"'} | orders)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The tiny shop; log.csv, where views have no stars and of an unknown item's rows are neither, and both alone."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    with (folder / "events.csv").open() as stream:
        rows = [row | {"event": "order" if n % 3 else "view"} for n, row in enumerate(csv.DictReader(stream))]
    rows = [row | ({"stars": ""} if row["event"] == "view" else {}) for row in rows]
    log = [rows[0] | {"item": "nothing", "event": "search"}, *rows]
    write_csv(folder / "log.csv", log)
    for event in ("view", "order"):
        write_csv(folder / f"{event}.csv", [row for row in rows if row["event"] == event])
    return folder


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
    return train(one_log(shop), tmp_path_factory.mktemp("runs") / "one")


def test_examples_are_those_of_a_file_each(shop, monkeypatch):
    apart = recipe_of(shop, {"path": str(shop / "view.csv")}, {"path": str(shop / "order.csv")})
    one, two = load_data(one_log(shop)), load_data(apart)
    assert one.texts.texts == two.texts.texts and one.tasks.keys() == TASKS.keys()
    parts = digest._parts
    monkeypatch.setattr(digest, "_parts", lambda value: [of for of in parts(value) if of[0] != "row"])
    rows = {"look": [1 + n for n in range(128) if n % 3 == 0], "like": [1 + n for n in range(128) if n % 3]}
    for name, data in one.tasks.items():
        for part in ("train", "valid", "test"):
            ours, theirs = data.split(part), two.tasks[name].split(part)
            assert [rows[name][row] for row in theirs.row] == ours.row.tolist()
            assert len(ours) and digest._digest(ours, {}) == digest._digest(theirs, {})


def test_check_and_report_say_how_many_rows_are_whose(shop, run):
    said = [
        f"data.tables.{name}.where: {count} of 129 rows of {shop / 'log.csv'} fulfil 'event == \"{event}\"'"
        for name, count, event in (("views", 43, "view"), ("orders", 85, "order"))
    ]
    assert [note for note in read_report(run)["notes"] if "where" in note] == said
    recipe = shop / "recipe.json"
    recipe.write_text(json.dumps(one_log(shop).model_dump(mode="json", exclude_none=True)))
    told = json.loads(peftrec("check", recipe, "--json").stdout)
    assert [note for note in told["data"]["notes"] if "where" in note] == said
    assert [(table["rows"], table["columns"][-1]["name"], table["columns"][-1]["use"]) for table in told["tables"]] == [
        (20, "title", "text"), (43, "event", "where"), (85, "event", "where")
    ]  # fmt: skip
    wrong = peftrec("check", recipe, "data.tables.views.where=evnt == 'view'")
    assert wrong.exit_code == 2
    assert f"data.tables.views.where: evnt is no column of {shop / 'log.csv'}; did you mean 'event'?" in wrong.stderr


def test_both_tasks_are_trained_and_answer(run):
    assert {name: of["n"] > 0 for name, of in read_report(run)["tasks"].items()} == dict.fromkeys(TASKS, True)
    predictor = Predictor.load(run)
    assert len(predictor.recommend("look", user="u3", k=5)) == 5
    (liked,) = predictor.predict("like", [{"user": "u3", "item": "i4"}])
    assert 0 < liked["score"] < 1


def test_an_interrupted_training_goes_on_only_by_the_same_condition(shop, run, tmp_path, monkeypatch):
    with cut_after(monkeypatch, 4):
        train(one_log(shop), tmp_path / "run")
    with pytest.raises(UserError, match=r"data\.tables\.orders\.where: event == \"order\", now event != \"view\""):
        train(one_log(shop, where='event != "view"', on_bad_rows="skip"), tmp_path / "run", resume=True)
    assert trained_files(train(one_log(shop), tmp_path / "run", resume=True)) == trained_files(run)
