"""What may be asked for: every option and weight that is wrong is one message, and the rule on repeats holds."""

import re

import pytest
from habits import ITEMS, habits
from shop import shop_recipe

from peftrec.errors import UserError
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

ROWS = [{"user": "u3"}, {"history": []}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wear": "x"}, "'wear' is no key of what may be asked for; did you mean 'where'?"),
        ({"candidates": "i1"}, "'candidates' is a list of item ids; found 'i1'"),
        ({"exclude": ["i1", "no"]}, "'exclude': no item 'no' in the catalogue"),
        ({"include_seen": 1}, "include_seen must be true or false; found 1"),
        ({"approximate": "yes"}, "approximate must be true or false; found 'yes'"),
        ({"diversity": -0.1}, "diversity must be a number from 0 to 1; found -0.1"),
        ({"diversity": 1.5}, "diversity must be a number from 0 to 1; found 1.5"),
        ({"diversity": float("nan")}, "diversity must be a number from 0 to 1; found nan"),
        ({"diversity": True}, "diversity must be a number from 0 to 1; found True"),
        ({"where": "cost < 3"}, "where: cost is no feature; there are price, brand"),
        (
            {"approximate": True, "where": "price < 3"},
            "approximate searches the whole catalogue; leave out either that or where",
        ),
        (
            {"include_seen": True},
            "include_seen: task 'next' was trained and measured without what a user had before; "
            "`predict` scores it, and a run that is trained with tasks.next.repeats: allow recommends it",
        ),
    ],
)
def test_every_wrong_option_is_one_message(featured, options, message):
    for ask in (
        lambda: featured.recommend("next", user="u1", **options),
        lambda: featured.recommend_all("next", ROWS, 3, **options),
        lambda: featured.rank({"next": 1}, ROWS, 3, **options),
    ):
        with pytest.raises(UserError) as error:
            ask()
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "weights: name a task at least; those that rank items: cheap, next, query"),
        ({"price": 1}, "weights: name a task at least; those that rank items: cheap, next, query"),
        ({"cheap": "1"}, "weights must be a dict of tasks and features, and what each counts; found {'cheap': '1'}"),
        ({"cheap": float("inf")}, "weights must be a dict of tasks and features, and what each counts; found "),
        (
            {"cheap": 1, "next": -1e300},
            "weights: what counts is at most 1e+18 in size, so that sums stay numbers; found ",
        ),
        ("cheap", "weights must be a dict of tasks and features, and what each counts; found 'cheap'"),
        (
            {"cheap": 1, "prize": 1},
            "weights: 'prize' is no task and no number of the items; tasks: cheap, next, query; numbers: price",
        ),
        ({"cheap": 1, "brand": 1}, "weights: 'brand' is a category; of features numbers have a weight: price"),
        (
            {"cheap": 1, "joint": 1},
            "task 'joint' is of kind match-query with joint pairs, which ranks no items; tasks that do: cheap, next, "
            "query",
        ),
    ],
)
def test_wrong_weights_are_one_message(featured, weights, message):
    with pytest.raises(UserError, match=re.escape(message)):
        featured.rank(weights, [{"user": "u1"}])


def test_include_seen_may_leave_out_what_the_run_would_name(shop, tmp_path):
    tasks = {"next": {"kind": "next-item", "repeats": "allow"}}
    recipe = shop_recipe(shop, data=habits(shop, tmp_path, 0.3), tasks=tasks, train={"epochs": 1})
    predictor = Predictor.load(train(recipe, tmp_path / "run"))
    past = predictor.run.logs["next"]
    place = past.user_ids.index("u3")
    seen = {f"i{n}" for n in past.log.items[slice(*past.log.user_start[place : place + 2])]}
    every = {f"i{n}" for n in range(ITEMS)}
    assert 0 < len(seen) < ITEMS
    for asked, expected in ((None, every), (True, every), (False, every - seen)):
        found = predictor.recommend("next", user="u3", k=ITEMS, include_seen=asked)
        assert {of["item"] for of in found} == expected
