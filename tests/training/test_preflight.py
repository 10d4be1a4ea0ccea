"""Preflight: every problem of the recipe and of what it names, at once."""

import json

import numpy as np
import pytest
from command import peftrec
from shop import shop_recipe

from peftrec.machine.files import write_json
from peftrec.training.preflight import _classes


def test_check_tells_the_mistakes_of_the_recipe_and_of_what_it_names_together(shop, tmp_path):
    path = tmp_path / "shop.yaml"
    columns = {"user": "user", "item": "film", "time": "when", "columns": ["stars"]}
    wrong = shop_recipe(shop).model_dump(mode="json", exclude_none=True)
    wrong["data"]["items"] |= {"path": "nowhere.csv"}
    wrong["data"]["events"] |= columns
    wrong["data"]["queries"] |= {"label": "grade"}
    wrong["tasks"]["interest"]["kind"] = "interests"
    wrong["adapter"] = {"method": "loras"}
    wrong["weighting"] = {"method": "statik"}
    wrong["backbone"]["name"] = "no/such-model"
    wrong["train"]["epoch"] = 3
    write_json(path, wrong)
    of_recipe = [
        f"{path}: train.batch_size: Input should be greater than or equal to 1; found 0",
        f"{path}: train.epoch: unknown key; did you mean 'epochs'?",
    ]
    _check_problems(
        path,
        [
            *of_recipe,
            "data.items.path: no such file: nowhere.csv",
            f"{shop}/events.csv: no column 'film'; its columns are user, item, time, stars",
            f"{shop}/events.csv: no column 'when'; its columns are user, item, time, stars",
            f"{shop}/queries.csv: no column 'grade'; its columns are query, item, match",
        ],
    )
    wrong["data"] = shop_recipe(shop).model_dump(mode="json", exclude_none=True)["data"]
    path.unlink()
    write_json(path, wrong)
    _check_problems(
        path,
        [
            *of_recipe,
            "weighting.method: no method 'statik'; did you mean 'static'?",
            "tasks.interest.kind: no kind 'interests'; did you mean 'interest'?",
            "backbone.name: cannot load 'no/such-model'",
            "adapter.method: no method 'loras'; did you mean 'lora'?",
        ],
    )


def _check_problems(path, expected):
    done = peftrec("check", path, "--json", "train.batch_size=0")
    assert done.exit_code == 2
    problems = json.loads(done.stdout)["problems"]
    assert [p[: len(e)] for p, e in zip(problems, expected, strict=True)] == expected
    shown = peftrec("check", path, "train.batch_size=0")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.splitlines() == ["peftrec: " + problems[0], *problems[1:]]


def test_check_shows_the_tables_and_the_first_rows_of_every_task(shop, tmp_path):
    path = tmp_path / "shop.yaml"
    recipe = shop_recipe(shop).model_dump(mode="json", exclude_none=True)
    header, *rows = (shop / "texts.csv").read_text().splitlines()
    (tmp_path / "texts.csv").write_text("\n".join([f"note,{header},sure", *(f"x,{row},2" for row in rows)]))
    table = {"kind": "texts", "path": f"{tmp_path}/texts.csv", "text": "{text}", "split": "part"}
    recipe["data"]["tables"] = {"kinds": table}
    recipe["tasks"]["genre"] = {"kind": "classification", "label": "genre", "row_weight": "sure"}
    write_json(path, recipe)
    done = peftrec("check", path, "--json")
    found = json.loads(done.stdout)
    assert [(t["name"], t["kind"], t["rows"], t["file"]) for t in found["tables"]] == [
        ("items", "items", 30, f"{shop}/items.csv"),
        ("events", "events", 480, f"{shop}/events.csv"),
        ("queries", "queries", 160, f"{shop}/queries.csv"),
        ("kinds", "texts", 60, f"{tmp_path}/texts.csv"),
    ]
    uses = [(column["name"], column["use"]) for column in found["tables"][3]["columns"]]
    assert uses == [("text", "text"), ("part", "split"), ("genre", "label"), ("sure", "weight"), ("note", "")]
    first = {name: task["first"] for name, task in found["tasks"].items()}
    assert {name: len(rows) for name, rows in first.items()} == {"query": 3, "interest": 3, "time": 3, "genre": 3}
    said = {name: task["test"] for name, task in found["tasks"].items()}
    with_interest = [row.split(",") for row in (shop / "events.csv").read_text().splitlines()[1:]]
    last = [float(stars) >= 4 for _, _, _, stars in sorted(with_interest, key=lambda row: row[2])[-96:]]
    assert said["interest"].startswith(f"96 rows, {sum(last)} liked and {96 - sum(last)} not, 2020-09-18 to")
    gaps, last_of = [], {}  # that end in the test rows' time
    for number, (user, _, time, _) in enumerate(sorted(with_interest, key=lambda row: int(row[2]))):
        if number >= 480 - 96:
            gaps.append(int(time) - last_of[user])
        last_of[user] = int(time)
    minutes = np.quantile(gaps, (0.05, 0.5, 0.95), method="nearest") / 60
    assert len(gaps) == 96 and minutes == pytest.approx([2 * 60 + 57, 14 * 60 + 48, 23 * 60 + 2], abs=1)
    assert said["time"].startswith(
        "96 rows, labels: after 2 h 57 min to after 23 h 2 min in 9 of 10 rows, median after 14 h 48 min"
    )
    assert said["query"] == "32 rows of 2 of the 2 classes: 0 31, 1 1"
    genres = "cooking 4, football 4, horror 4, romance 4, space adventure 4"
    assert said["genre"] == f"20 rows of 5 of the 5 classes: {genres}"
    assert first["genre"][0] == {"text": "romance 0", "label": "romance"}
    example = first["interest"][0]
    assert example["user"] == "u0" and len(example["history"]) == 1 and example["before"] == 0
    assert example["label"] == ("liked" if int(example["item"][1:]) % 5 == 0 else "not liked")
    assert example["candidate"].endswith(f"film number {example['item'][1:]}")
    lines = peftrec("check", path).stdout.splitlines()
    assert f"events: 480 events of {shop}/events.csv"[:99] in {line.rstrip("…") for line in lines}
    assert "genre: which class does the text belong to? The first training rows:" in lines


def test_the_most_frequent_of_many_classes_are_named():
    label = np.array([0] * 3 + [1] * 9 + [2] * 2 + [4] * 5 + [5] * 4 + [6] + [7])
    names = list("abcdefgh")
    assert _classes(label, names) == " of 7 of the 8 classes: b 9, e 5, f 4, a 3, c 2 and 2 more of at most 1"
    assert _classes(np.eye(8)[label[:4]], names) == " of 2 of the 8 classes: a 3, b 1"
