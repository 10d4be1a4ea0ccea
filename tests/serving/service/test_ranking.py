"""Recommendations over HTTP are the predictor's; given items are each ranked by several tasks together."""

import pytest

from peftrec.serving.predictor import Predictor


@pytest.fixture(scope="module")
def alone(runs):
    return Predictor.load(runs / "one")


def ask(client, path, **body):
    return client.post(f"{path}{'&' if '?' in path else '?'}run=one", json=body)


def close(found, expected):
    assert [of["item"] for of in found] == [of["item"] for of in expected]
    assert [of["score"] for of in found] == pytest.approx([of["score"] for of in expected], abs=1e-6)


@pytest.mark.parametrize(
    ("task", "asks", "options"),
    [
        ("next", {"user": "u1"}, {"k": 4}),
        ("interest", {"history": ["i1", "i2"]}, {"k": 3, "diversity": 0.5}),
        ("query", {"query": "w1 w2"}, {"k": 20}),
        ("next", {"history": []}, {"exclude": ["i1", "i2"], "candidates": ["i1", "i3", "i4"]}),
    ],
)
def test_the_best_items_are_the_predictors(client, alone, task, asks, options):
    done = ask(client, f"/v1/tasks/{task}/recommend", **asks, **options)
    assert done.status_code == 200
    answer = done.json()
    assert (answer["task"], answer["run"]) == (task, "one")
    expected = alone.recommend(task, **asks, **options)
    close(answer["items"], expected)
    assert [of["text"] for of in answer["items"]] == [of["text"] for of in expected]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, 422, "to recommend by task 'next' give user or history (an empty one for a new user); found none of them"),
        ({"user": "u1", "k": 0}, 422, "k: Input should be greater than or equal to 1; found 0"),
        ({"user": "nobody"}, 422, "no user 'nobody' in the run's log; for a new user give 'history': []"),
        ({"user": "u1", "exclude": ["i99"]}, 422, "'exclude': no item 'i99' in the catalogue"),
        ({"user": "u1", "where": "price < 3"}, 422, "where: 'price < 3': the items of this run have no features; "),
        ({"user": "u1", "usre": 3}, 422, "usre: Extra inputs are not permitted; found 3"),
    ],
)
def test_what_cannot_be_asked_is_told(client, body, code, said):
    done = ask(client, "/v1/tasks/next/recommend", **body)
    assert done.status_code == code
    assert done.json()["error"].startswith(said)


def test_what_ranks_no_items_is_refused(client):
    done = ask(client, "/v1/tasks/time/recommend", user="u1")
    assert (done.status_code, done.json()["error_type"]) == (422, "wrong_value")
    assert "ranks no items; tasks that do: query, interest, next" in done.json()["error"]


def test_a_catalogue_is_ranked_by_several_tasks(client, alone):
    weights, asks = {"interest": 1.0, "query": 0.5}, {"user": "u1", "query": "w1 w2"}
    (expected,) = alone.rank(weights, [asks], k=5)
    explained = ask(client, "/v1/rank", weights=weights, **asks, k=5, explain=True).json()
    close(explained["items"], expected)
    for found, of in zip(explained["items"], expected, strict=True):
        assert found["scores"] == pytest.approx(of["scores"], abs=1e-6)
        assert found["score"] == pytest.approx(found["scores"]["interest"] + 0.5 * found["scores"]["query"], abs=1e-6)
    plain = ask(client, "/v1/rank", weights=weights, **asks, k=5).json()
    assert set(plain["items"][0]) == {"item", "text", "score"}


def test_given_items_are_all_named_best_first_new_ones_by_their_place(client, alone):
    weights, asks = {"interest": 1.0, "query": 0.5}, {"user": "u1", "query": "w1 w2"}
    items = ["i1", {"item_text": "w1 w2 w3"}, {"item": "i5"}, "i7"]
    found = ask(client, "/v1/rank", weights=weights, items=items, **asks, explain=True).json()["items"]
    of_item = [{"item": "i1"}, {"item_text": "w1 w2 w3"}, {"item": "i5"}, {"item": "i7"}]
    liked = alone.predict("interest", [{"user": "u1", **of} for of in of_item])
    match = alone.predict("query", [{"query": "w1 w2", **of} for of in of_item])
    expected = {n: of["score"] + 0.5 * match[n]["score"] for n, of in enumerate(liked)}
    assert [of["place"] for of in found] == sorted(expected, key=lambda n: -expected[n])
    for of in found:
        assert of["score"] == pytest.approx(expected[of["place"]], abs=1e-6)
        assert of["scores"]["query"] == pytest.approx(match[of["place"]]["score"], abs=1e-6)
    assert {of["place"]: of.get("item") for of in found} == {0: "i1", 1: None, 2: "i5", 3: "i7"}


def test_of_several_runs_one_that_has_all_of_the_tasks_ranks(client):
    def run_of(**weights):
        done = client.post("/v1/rank", json={"weights": weights, "user": "u1", "query": "w1", "k": 1})
        return done.json().get("run", done.json().get("error"))

    assert run_of(interest=1, query=1) == run_of(query=1, interest=1) == "one"  # `two` is loaded last
    done = client.post("/v1/rank", json={"weights": {"interest": 1, "next": 1}, "user": "u1", "k": 1})
    assert done.json()["run"] == "two"
    assert run_of(price=1, interest=1).startswith("weights: 'price' is no task and no number of the items")


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"weights": {}}, 422, "weights: Dictionary should have at least 1 item"),
        ({"weights": {"nothing": 1}}, 404, "no task 'nothing'; known: interest, next, query, time"),
        ({"weights": {"interest": 1, "x": 1}, "items": ["i1"], "user": "u1"}, 422, "weights: 'x' is no task and no"),
        ({"weights": {"interest": 1}, "items": ["i1", "i99"], "user": "u1"}, 422, "row 2: no item 'i99'"),
        ({"weights": {"interest": 1}, "items": [{"text": "x"}], "user": "u1"}, 422, "items: an item has `item`, or"),
        ({"weights": {"interest": 1}, "items": ["i1"], "exclude": [], "user": "u1"}, 422, "exclude: narrows the cat"),
    ],
)
def test_what_cannot_be_ranked_is_told(client, body, code, said):
    done = ask(client, "/v1/rank", **body)
    assert done.status_code == code
    assert done.json()["error"].startswith(said)
