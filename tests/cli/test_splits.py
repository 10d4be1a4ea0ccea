"""Every kind of split for every sort of table, from the recipe to what `check` says; what cannot be is one message."""

import json

import numpy as np
import pytest
from command import peftrec
from shop import write_csv
from tiny import make_tiny_shop, tiny_recipe

from peftrec.recipe import make_recipe
from peftrec.recipe.split import SPLIT_KINDS
from peftrec.tasks.dataset import load_data

TASKS = {
    "clicks": {"kind": "interest", "column": "stars", "threshold": 4},
    "friends": {"kind": "interest", "column": "stars", "threshold": 4},
    "asked": {"kind": "match-query"},
    "told": {"kind": "classification"},
}
EVENTS = {"kind": "events", "user": "user", "item": "item", "columns": ["stars"]}
CAN = {
    "clicks": ["global-time", "leave-last-out", "random", "by-group", "given"],
    "friends": ["random", "by-group", "given"],
    "asked": ["random", "stratified", "by-group", "by-text", "given"],
    "told": ["random", "stratified", "by-group", "by-text", "given"],
}
LACKS = {
    "clicks": {"stratified": "classes", "by-text": "text"},
    "friends": {"global-time": "time", "leave-last-out": "time", "stratified": "classes", "by-text": "text"},
    "asked": {"global-time": "time", "leave-last-out": "time"},
    "told": {"global-time": "time", "leave-last-out": "time"},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The tiny shop with 75 texts that stand twice each, of one class; every table has a column `part`."""
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    texts = [{"text": f"w{n % 75} w{n % 75 + 1}", "label": "abc"[n % 3]} for n in range(150)]
    write_csv(folder / "texts.csv", texts)
    for name in ("events", "queries", "texts"):
        lines = (folder / f"{name}.csv").read_text().splitlines()
        parts = ["train", "train", "train", "validation", "test"]
        with_part = [f"{line},{parts[n % 5]}" for n, line in enumerate(lines[1:])]
        (folder / f"{name}.csv").write_text("\n".join([f"{lines[0]},part", *with_part]) + "\n")
    return folder


def recipe_of(shop, splits, **run):
    """A recipe of the tables that have a split in `splits`, None for none of their own; `run` is the run's split."""
    tables = {
        "clicks": {**EVENTS, "path": str(shop / "events.csv"), "time": "time"},
        "friends": {**EVENTS, "path": str(shop / "events.csv")},
        "asked": {
            "kind": "queries",
            "path": str(shop / "queries.csv"),
            "text": "{query}",
            "item": "item",
            "label": "match",
        },
        "told": {"kind": "texts", "path": str(shop / "texts.csv"), "text": "{text}", "label": "label"},
    }
    raw = tiny_recipe(shop).model_dump(mode="json", exclude_defaults=True)
    goods = {"kind": "items", "path": str(shop / "items.csv"), "id": "id", "text": "{title}"}
    named = {name: tables[name] if own is None else {**tables[name], "split": own} for name, own in splits.items()}
    raw["data"] = {"tables": {"goods": goods, **named}, "history": 5, **({"split": run} if run else {})}
    raw["tasks"] = {name: {**TASKS[name], "table": name} for name in splits}
    return raw


def check(shop, tmp_path, splits, **run):
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe_of(shop, splits, **run)))
    return peftrec("check", file, "--json")


def rows_of(said):
    """What `check` counts of each task: train, valid and test rows."""
    return {
        task: [int(of[part].split()[0].replace(",", "")) for part in ("train", "valid", "test")]
        for task, of in said["tasks"].items()
    }


def parts_of(shop, splits, **run):
    """Each task's three parts."""
    tasks = load_data(make_recipe(recipe_of(shop, splits, **run))).tasks
    return {name: [of.train, of.valid, of.test] for name, of in tasks.items()}


def test_every_kind_is_tried_for_every_table():
    for table, kinds in CAN.items():
        assert sorted([*kinds, *LACKS[table]]) == sorted(SPLIT_KINDS)


ROWS = {  # of 128 events of 16 users, 80 queries, 150 texts of which 75 differ
    "global-time": {"clicks": [90, 12, 26]},  # up to the 90th and the 102nd time
    "leave-last-out": {"clicks": [96, 16, 16]},
    "random": {"clicks": [89, 13, 26], "friends": [89, 13, 26], "asked": [56, 8, 16], "told": [105, 15, 30]},
    "stratified": {"asked": [56, 8, 16], "told": [105, 15, 30]},
    "by-group": {"clicks": [88, 16, 24], "friends": [88, 16, 24], "asked": [56, 8, 16], "told": [105, 15, 30]},
    "by-text": {"asked": [56, 8, 16], "told": [104, 16, 30]},
    "given": {"clicks": [78, 25, 25], "friends": [78, 25, 25], "asked": [48, 16, 16], "told": [90, 30, 30]},
}


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_tables_are_divided_as_they_say(shop, tmp_path, kind):
    own = "part" if kind == "given" else kind
    done = check(shop, tmp_path, {table: own for table, kinds in CAN.items() if kind in kinds})
    assert done.exit_code == 0, done.stderr
    assert rows_of(json.loads(done.stdout)) == ROWS[kind]
    assert not [note for note in json.loads(done.stdout)["data"]["notes"] if ", not " in note]


@pytest.mark.parametrize(("table", "kind"), [(table, kind) for table, of in LACKS.items() for kind in of])
def test_what_a_table_lacks_is_one_message(shop, tmp_path, table, kind):
    done = check(shop, tmp_path, {table: kind})
    sort = {"clicks": "events", "friends": "events", "asked": "queries", "told": "texts"}[table]
    others = ", ".join(other for other in SPLIT_KINDS if other in CAN[table] and other != "given")
    (problem,) = json.loads(done.stdout)["problems"]
    assert done.exit_code == 2
    assert problem == (
        f"tasks.{table}: data.tables.{table}.split.kind: {kind} needs {LACKS[table][kind]}, which these {sort} lack; "
        f"take one of {others}"
    )


def test_the_split_of_the_run_is_for_each_table_as_it_can_be(shop, tmp_path):
    done = check(shop, tmp_path, dict.fromkeys(CAN))
    assert done.exit_code == 0, done.stderr
    said, done_as = json.loads(done.stdout), zip(CAN, ["global-time", "random", "by-group", "random"], strict=True)
    assert rows_of(said) == {name: ROWS[kind][name] for name, kind in done_as}
    assert {note for note in said["data"]["notes"] if ", not " in note} == {
        "friends: split at random, not global-time: events have no time",
        "asked: split by query, not global-time: whole queries are held out",
        "told: split at random, not global-time: texts have no time",
    }


def test_the_split_of_the_run_may_be_a_column_of_every_table(shop):
    found = parts_of(shop, dict.fromkeys(CAN), kind="given", column="part")
    assert {name: [len(part) for part in parts] for name, parts in found.items()} == ROWS["given"]


def test_a_column_of_the_split_of_the_run_that_is_not_there_is_named(shop, tmp_path):
    done = check(shop, tmp_path, {"told": None}, kind="given", column="by-txt")
    assert done.exit_code == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem.endswith("texts.csv: no column 'by-txt'; its columns are text, label, part")


@pytest.mark.parametrize("table", ["clicks", "friends", "asked"])
def test_by_item_tests_on_cold_items(shop, table):
    data = parts_of(shop, {table: {"kind": "by-group", "by": "item"}})
    train, valid, test = (set(of.item.tolist()) for of in data[table])
    assert len(train) + len(valid) + len(test) == 20 and len(test) == 4 and len(valid) == 2
    assert not test & train and not valid & train and not test & valid


@pytest.mark.parametrize(("table", "column"), [("clicks", "group"), ("friends", "group"), ("asked", "group")])
def test_by_group_tests_on_new_users_and_queries(shop, table, column):
    train, valid, test = (set(getattr(of, column).tolist()) for of in parts_of(shop, {table: "by-group"})[table])
    assert test and valid and not test & train and not valid & train and not test & valid


def test_equal_texts_are_told_and_can_be_kept_together(shop):
    notes = load_data(make_recipe(recipe_of(shop, {"told": "random"}))).notes
    assert [note for note in notes if "keeps equal texts together" in note] == [
        "told: 22 of 30 test rows have a text that train rows have too; split: by-text keeps equal texts together"
    ]
    train, _, test = parts_of(shop, {"told": "by-text"})["told"]
    assert not set(train.slots["text"].tolist()) & set(test.slots["text"].tolist())


def test_stratified_parts_hold_each_class_in_its_share(shop):
    for part in parts_of(shop, {"told": "stratified"})["told"]:
        assert np.bincount(part.label).tolist() == [len(part) // 3] * 3


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("parts", "texts.csv: no column 'parts'; its columns are text, label, part"),
        ("label", "a split is one of train, valid, validation, test; found 'a'"),
        ({"kind": "by-item"}, "split.kind: Input should be 'global-time', 'leave-last-out', 'random'"),
        ({"kind": "by-group", "by": "shop"}, "split.by: Input should be 'user', 'item' or 'query'; found 'shop'"),
        ({"kind": "by-text", "by": "item"}, "by belongs to kind: by-group, found kind: by-text"),
        ({"kind": "by-group", "by": "item"}, "by-group needs item, which these texts lack; take one of random, "),
    ],
)
def test_wrong_keys_are_one_message(shop, tmp_path, split, message):
    done = check(shop, tmp_path, {"told": split})
    (problem,) = json.loads(done.stdout)["problems"]
    assert done.exit_code == 2 and message in problem
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.yaml"]
