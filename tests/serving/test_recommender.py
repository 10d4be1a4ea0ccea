"""What is recommended, against `predict` item by item: many rows together, what may be named, weights, diversity."""

import json

import numpy as np
import pytest

from peftrec.errors import RowError, UserError
from peftrec.serving import wanted
from peftrec.serving.recommender import Recommender

ROWS = [
    {"user": "u3"},
    {"history": []},
    {"history": ["i4", "i9"], "user_features": {"age": 31, "country": "fr"}, "features": {"hour": 3}},
    {"user": "u77", "history": None},
    {"history": [{"item": "i5", "time": 0}], "user_features": {"age": None}},
]
QUERIES = [{"query": "w1 w2"}, {"query": "w9"}, {"query": "a text of no known word"}]


def rows_for(task):
    return QUERIES if task == "query" else ROWS


def scores(featured, task, row):
    """Every item's score for a row, by `predict`, in the order of the catalogue."""
    ids = featured.run.items["items"].ids
    row = {key: value for key, value in row.items() if value is not None}
    return {
        item: answer["score"]
        for item, answer in zip(ids, featured.predict(task, [row | {"item": item} for item in ids]), strict=True)
    }


def had(row):
    """The items of a row's history; a user of this shop chose the one item of the same number."""
    if row.get("user"):
        return {row["user"].replace("u", "i")}
    return {event["item"] if isinstance(event, dict) else event for event in row.get("history") or []}


def check(found, expected, k):
    """The answers are the best k of the expected scores, but for the order of those that are equal to rounding."""
    assert len(found) == min(k, len(expected))
    assert {of["item"] for of in found} <= expected.keys()
    best = sorted(expected.values(), reverse=True)[:k]
    assert [of["score"] for of in found] == pytest.approx(best, abs=1e-5)
    assert [expected[of["item"]] for of in found] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("task", ["cheap", "next", "query"])
@pytest.mark.parametrize("rows_at_once", [1, 2, 100])
def test_many_rows_are_answered_as_one_by_one(featured, monkeypatch, task, rows_at_once):
    monkeypatch.setattr(wanted, "PAIRS", rows_at_once * 600)
    rows = rows_for(task)
    together = featured.recommend_all(task, rows, 7)
    for row, found in zip(rows, together, strict=True):
        one = featured.recommend(task, **row, k=7)
        assert [of["item"] for of in one] == [of["item"] for of in found]
        assert [of["score"] for of in one] == pytest.approx([of["score"] for of in found], abs=1e-6)
        assert all(featured.texts.texts[int(of["item"][1:])] == of["text"] for of in found)
        every = scores(featured, task, row)
        check(found, {item: of for item, of in every.items() if item not in had(row)}, 7)


@pytest.mark.parametrize("task", ["cheap", "next", "query"])
def test_what_may_be_named_is_what_passes_all(featured, task):
    items = featured.run.items["items"]
    price, brand = items.features.numbers["price"], items.features.categories["brand"].to_pylist()
    fits = {item for n, item in enumerate(items.ids) if price[n] < 20 and brand[n] in ("acme", "nova")}
    some, out = [f"i{n}" for n in range(0, 300, 2)], [f"i{n}" for n in range(0, 300, 6)]
    own = {"candidates": [f"i{n}" for n in range(200)], "exclude": ["i2", "i4"]}
    rows = [rows_for(task)[0], rows_for(task)[0] | own, rows_for(task)[1] | {"exclude": ["i8"]}]
    options = {"candidates": some, "exclude": out, "where": "price < 20 and brand in ('acme', 'nova')"}
    answers = featured.recommend_all(task, rows, 1000, **options)
    for row, found in zip(rows, answers, strict=True):
        left = fits & set(some) & set(row.get("candidates", items.ids)) - set(out) - set(row.get("exclude", []))
        every = scores(featured, task, {key: of for key, of in row.items() if key not in own})
        expected = {item: every[item] for item in left - had(row)}
        assert 3 < len(expected) < 50
        check(found, expected, 1000)


def test_nothing_left_is_an_empty_list(featured, notes):
    for options in ({"candidates": []}, {"where": "price > 1e9"}, {"where": "price > 1e9", "diversity": 0.5}):
        assert featured.recommend("cheap", user="u3", k=2, **options) == []
        said = "0 items instead of 2: the catalogue has 600, of which 600 are not asked for and 0 are in the history\n"
        assert notes.readouterr().err == said
    rows = [{"user": "u3"}, {"user": "u4", "candidates": ["i1"]}, {"history": [], "candidates": []}]
    assert [len(found) for found in featured.recommend_all("next", rows, 2)] == [2, 1, 0]
    assert notes.readouterr().err == "2 of 3 rows have fewer than 2 items, the fewest row 3, 0\n"
    assert featured.recommend_all("next", [], 2) == []


def test_rank_is_the_weighed_sum_of_what_tasks_say_and_of_features(featured):
    weights = {"cheap": 2.0, "query": -0.5, "next": 0.25, "price": -0.01}
    row = {"user": "u3", "query": "w1 w2", "exclude": ["i1"]}
    (found,) = featured.rank(weights, [row], 600)
    assert len(found) == 598 and not {"i1", "i3"} & {of["item"] for of in found}
    each = {task: scores(featured, task, {"user": "u3"}) for task in ("cheap", "next")}
    each["query"] = scores(featured, "query", {"query": "w1 w2"})
    items = featured.run.items["items"]
    price = dict(zip(items.ids, items.features.numbers["price"].tolist(), strict=True))
    mean = np.nanmean(list(price.values()))
    missing = 0
    for of in found:
        assert list(of["scores"]) == list(weights)
        for task, values in each.items():
            assert of["scores"][task] == pytest.approx(values[of["item"]], abs=1e-5)
        if np.isnan(price[of["item"]]):
            missing += 1
            assert of["scores"]["price"] is None
        else:
            assert of["scores"]["price"] == price[of["item"]]
        total = sum(weights[name] * (mean if value is None else value) for name, value in of["scores"].items())
        assert of["score"] == pytest.approx(total, abs=1e-5)
    assert missing > 3
    sums = [of["score"] for of in found]
    assert sums == sorted(sums, reverse=True)
    (first,) = featured.rank(weights, [row], 5)
    assert first == found[:5]


def test_rank_by_one_task_is_recommend(featured):
    for ranked, plain in zip(
        featured.rank({"cheap": 1}, ROWS, 9), featured.recommend_all("cheap", ROWS, 9), strict=True
    ):
        assert [{key: of[key] for key in ("item", "text", "score")} for of in ranked] == plain
        assert all(of["scores"] == {"cheap": of["score"]} for of in ranked)


@pytest.mark.parametrize("task", ["cheap", "next", "query"])
@pytest.mark.parametrize("diversity", [0, 0.3, 1.0])
def test_diversity_is_maximal_marginal_relevance_among_the_best(featured, task, diversity):
    row = rows_for(task)[0]
    pool = featured.recommend(task, **row, k=100)
    rows = np.array([featured.run.items["items"].rows[int(of["item"][1:])] for of in pool])
    with np.errstate(all="raise"):
        vectors = featured.model.encoder.encode(rows, task).detach().numpy()
    vectors = vectors - vectors.mean(0)
    cosine = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    score = np.array([of["score"] for of in pool])
    worth = (score - score.min()) / (score.max() - score.min())
    taken = [0]
    while len(taken) < 8:
        rest = [n for n in range(100) if n not in taken]
        taken.append(max(rest, key=lambda n: (1 - diversity) * worth[n] - diversity * cosine[n, taken].max()))
    found = featured.recommend(task, **row, k=8, diversity=diversity)
    assert [of["item"] for of in found] == [pool[n]["item"] for n in taken]
    assert [of["score"] for of in found] == pytest.approx([pool[n]["score"] for n in taken], abs=1e-6)
    (again,) = featured.recommend_all(task, [*rows_for(task)[1:], row], 8, diversity=diversity)[-1:]
    assert [of["item"] for of in again] == [of["item"] for of in found]


def test_the_last_row_that_is_wrong_is_told_before_the_first_is_scored(featured, monkeypatch):
    monkeypatch.setattr(wanted, "PAIRS", 2 * 600)
    monkeypatch.setattr(Recommender, "find", lambda *_: pytest.fail("scored"))
    for wrong, problem in (
        ({"user": "nobody"}, "no user 'nobody' in the run's log; for a new user give 'history': []"),
        ({"user": "u1", "exclude": "i1"}, "'exclude' is a list of item ids; found 'i1'"),
        ({"user": "u1", "candidates": ["i1", 7]}, "'candidates': no item '7' in the catalogue"),
        (
            {"user": "u1", "query": "w1"},
            "to recommend by task 'next' give user or history (an empty one for a new user); found user and query",
        ),
        ({"user": "u1", "where": "price < 3"}, "'where' is no key of a row to recommend for; "),
        ({"history": ["i1", "no"]}, "no item 'no' in the catalogue; for a new item give its 'item_text'"),
        ([], "a row is a dict of keys and values; found []"),
    ):
        with pytest.raises(RowError) as error:
            featured.recommend_all("next", [*ROWS, wrong], 3)
        assert str(error.value).startswith(f"row 6: {problem}")


def test_what_several_tasks_need_is_told(featured):
    for row, message in (
        ({"user": "u1"}, "row 1: to recommend by task 'query' give query; found user"),
        (
            {"query": "w1"},
            "row 1: to recommend by task 'cheap' give user or history (an empty one for a new user); found query",
        ),
        (
            {"user": "u1", "query": "w1", "user_features": {}},
            "row 1: 'user_features' go with 'history'; those of a known 'user' are the run's own",
        ),
    ):
        with pytest.raises(UserError) as error:
            featured.rank({"cheap": 1, "query": 1}, [row])
        assert str(error.value) == message
    with pytest.raises(UserError, match=r"^include_seen: query reads no history; leave it out$"):
        featured.recommend("query", query="w1", include_seen=False)
    with pytest.raises(UserError, match=r"^row 1: 'user_features' is no key of task 'query'"):
        featured.rank({"query": 1}, [{"query": "w1", "user_features": {}}])


def test_answers_are_plain_json(featured):
    (found,) = featured.rank({"cheap": 1, "price": 0}, [{"history": []}], 3)
    assert json.loads(json.dumps(found)) == found
