"""Rows of a request: what each key means, and what is wrong with one, in one message."""

import re

import pytest
from shop import HISTORY, shop_recipe
from typer.testing import CliRunner

from peftrec.cli.verbs import app
from peftrec.errors import UserError
from peftrec.tasks.dataset import load_data


def test_a_stored_user_equals_the_same_history_given(shop, predictor):
    dataset = load_data(shop_recipe(shop))
    log = predictor.run.logs["interest"].log
    number = predictor.run.logs["interest"].user_ids.index("u7")
    part = slice(*log.user_start[number : number + 2])
    history = [
        {"item": predictor.run.items["items"].ids[i], "value": 5 if liked else 2, "time": t}
        for i, liked, t in zip(
            log.items[part].tolist(), log.feedback[part].tolist(), log.times[part].tolist(), strict=True
        )
    ]
    assert len(history) == 12
    assert dataset.user_ids == predictor.run.logs["interest"].user_ids
    for task in ("interest", "time"):
        known = predictor.predict(task, [{"user": "u7", "item": "i5", "time": 1_700_000_000}])
        given = predictor.predict(task, [{"history": history, "item": "i5", "time": 1_700_000_000}])
        assert list(given[0].values()) == pytest.approx(list(known[0].values()), abs=1e-5)


def test_a_row_sees_only_what_lies_before_its_time(predictor):
    early = predictor.predict("interest", [{"history": HISTORY, "item": "i3", "time": 1_600_000_000}])
    assert early == predictor.predict("interest", [{"history": [], "item": "i3", "time": 1_600_000_000}])


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("interst", {}, "no task 'interst' in this run; did you mean 'interest'"),
        ("interest", {"user": "u1"}, "row 1: give one of 'item'"),
        ("interest", {"user": "u1", "item": "i99"}, "row 1: no item 'i99' in the catalogue"),
        ("interest", {"user": "nobody", "item": "i1"}, "row 1: no user 'nobody' in the run's log"),
        ("interest", {"item": "i1"}, "row 1: give one of 'user'"),
        ("interest", {"user": "u1", "history": [], "item": "i1"}, "row 1: give one of 'user'"),
        ("interest", {"history": [{"item": "i1", "value": "five"}], "item": "i1"}, "'value' must be a number"),
        ("interest", {"history": "i1", "item": "i1"}, "'history' is a list"),
        ("interest", {"history": list(reversed(HISTORY)), "item": "i1"}, "oldest first"),
        ("interest", {"user": "u1", "itm": "i1"}, "'itm' is no key of task 'interest'; did you mean 'item'"),
        ("interest", {"user": "u1", "item": "i1", "time": "noon"}, "'time' must be seconds"),
        ("time", {"user": "u1", "item": "i1"}, "'time' is missing"),
        ("time", {"history": ["i1"], "item": "i1", "time": 1_700_000_000}, "needs its 'time'"),
        ("interest", {"history": [{"item": "i1", "valeu": 5}], "item": "i1"}, "'valeu' is no key of an event"),
        ("interest", {"history": [], "item": "i1", "time": 10**400}, "'time' must be seconds"),
        ("query", {"query": " ", "item": "i1"}, "row 1: 'query' must be a text that is not empty; found ' '"),
        ("query", {"query": "\ud800", "item": "i1"}, "row 1: 'query' must be valid Unicode"),
        ("query", {"query": "x", "item_text": ""}, "row 1: 'item_text' must be a text that is not empty; found ''"),
        ("interest", {"history": [{"item_text": "\n"}], "item": "i1"}, "'item_text' must be a text that is not empty"),
        ("interest", ["i1"], "row 1: a row is a dict of keys and values; found \\['i1'\\]"),
    ],
)
def test_a_wrong_row_is_one_message(predictor, task, row, message):
    with pytest.raises(UserError, match=message):
        predictor.predict(task, [row])


def test_the_command_names_file_and_line_of_a_wrong_row(shop_run, tmp_path):
    rows, good = tmp_path / "rows.jsonl", '{"user": "u1", "item": "i3"}'
    rows.write_text(f'\n{good}\n\n{{"user": "u1", "item_text": ""}}\n')
    done = CliRunner().invoke(app, ["predict", str(shop_run), "--task", "interest", "--input", str(rows)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"peftrec: {rows}, line 4: 'item_text' must be a text that is not empty; found ''\n"


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (
            "interest",
            {"query": "x"},
            "'interest' give user or history (an empty one for a new user); found query",
        ),
        ("interest", {}, "give user or history (an empty one for a new user); found none of them"),
        ("interest", {"user": "u1", "history": []}, "give one of 'user'"),
        ("interest", {"user": "u99"}, "no user 'u99' in the run's log"),
        ("query", {"user": "u1"}, "by task 'query' give query; found user"),
        ("query", {"query": " "}, "'query' must be a text that is not empty; found ' '"),
    ],
)
def test_recommend_says_what_its_task_reads(predictor, task, given, message):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        predictor.recommend(task, **given)
    assert "row" not in str(error.value)


def test_rows_are_a_list(predictor):
    for rows, found in (({"user": "u1", "item": "i1"}, "dict"), ("u1", "str")):
        with pytest.raises(UserError, match=f"rows must be a list of dicts, one a row; found a {found}"):
            predictor.predict("interest", rows)
