"""Predictions over HTTP are those of `Predictor.predict`, whatever is asked beside them."""

import threading

import pytest
from served import client_of, make_service

from peftrec.serving.predictor import Predictor
from peftrec.serving.service.seen import Seen
from peftrec.serving.service.state import Limits

ROWS = {
    "query": [{"query": "w1 w2", "item": f"i{n}"} for n in range(5)] + [{"query": "w9", "item_text": "w3 w4"}],
    "interest": [{"user": f"u{n}", "item": f"i{n}"} for n in range(8)] + [{"history": ["i1"], "item_text": "w5"}],
    "time": [{"user": "u1", "item": "i2", "time": 1_700_000_000}],
    "next": [{"user": f"u{n}", "item": "i3"} for n in range(4)],
}


@pytest.fixture(scope="module")
def alone(runs):
    """The run by itself."""
    return Predictor.load(runs / "one")


def close(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key, value in other.items():
            assert one[key] == pytest.approx(value, abs=1e-6), key


@pytest.mark.parametrize("task", list(ROWS))
def test_every_task_predicts_what_the_predictor_does(client, alone, task):
    done = client.post(f"/v1/tasks/{task}/predict?run=one", json={"rows": ROWS[task]})
    assert done.status_code == 200
    answer = done.json()
    assert (answer["task"], answer["run"]) == (task, "one") and answer["took_ms"] > 0
    close(answer["predictions"], alone.predict(task, ROWS[task]))


def test_no_rows_no_predictions(client):
    assert client.post("/v1/tasks/next/predict", json={"rows": []}).json()["predictions"] == []


def test_the_run_loaded_last_answers_unless_another_is_named(client, alone, runs):
    rows = ROWS["interest"]
    last = client.post("/v1/tasks/interest/predict", json={"rows": rows}).json()
    assert last["run"] == "two"
    close(last["predictions"], Predictor.load(runs / "two").predict("interest", rows))
    assert client.post("/v1/tasks/query/predict", json={"rows": ROWS["query"]}).json()["run"] == "one"
    wrong = client.post("/v1/tasks/query/predict?run=two", json={"rows": rows})
    assert (wrong.status_code, wrong.json()["error"]) == (404, "no task 'query'; known: interest, next")
    wrong = client.post("/v1/tasks/query/predict?run=../one", json={"rows": rows})
    assert wrong.status_code == 404
    assert wrong.json()["error"].startswith("run: no run '../one' is served; ")


def test_many_who_ask_at_once_each_get_their_own_and_a_wrong_row_fails_alone(service, alone):
    expected = {task: alone.predict(task, rows) for task, rows in ROWS.items()}
    client, found = client_of(service), {}

    def ask(number, task):
        rows = [*ROWS[task], {"item": "none", "user": "u1"}] if number % 5 == 4 else ROWS[task]
        found[number, task] = client.post(f"/v1/tasks/{task}/predict?run=one", json={"rows": rows})

    threads = [threading.Thread(target=ask, args=(number, task)) for number in range(10) for task in ROWS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40
    for (number, task), done in found.items():
        if number % 5 == 4:
            assert done.status_code == 422
            assert done.json()["error"].startswith(f"row {len(ROWS[task]) + 1}: ")
        else:
            assert done.status_code == 200
            close(done.json()["predictions"], expected[task])


def test_a_wrong_row_is_named_with_key_rule_and_value(client):
    rows = [{"user": "u1", "item": "i1"}, {"user": "u1", "item": "i99"}]
    done = client.post("/v1/tasks/interest/predict", json={"rows": rows})
    assert done.status_code == 422
    said = "row 2: no item 'i99' in the catalogue; for a new item give its 'item_text'"
    assert done.json() == {"error": said, "error_type": "wrong_row", "request_id": done.headers["X-Request-Id"]}
    done = client.post("/v1/tasks/interest/predict", json={"rows": [{"user": "u1", "itemm": "i1"}]})
    assert done.json()["error"] == "row 1: 'itemm' is no key of task 'interest'; did you mean 'item'?"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"row": []}, "rows: Field required"),
        ({"rows": [], "k": 3}, "k: Extra inputs are not permitted; found 3"),
        ({"rows": [3]}, "rows.0: Input should be a valid dictionary; found 3"),
        ([], "the body: Input should be a valid dictionary or object to extract fields from; found []"),
    ],
)
def test_another_body_is_refused_with_its_key(client, body, said):
    done = client.post("/v1/tasks/interest/predict", json=body)
    assert (done.status_code, done.json()["error"], done.json()["error_type"]) == (422, said, "wrong_value")


def test_too_many_rows_are_refused(runs):
    client = client_of(make_service(runs / "two", limits=Limits(rows=3)))
    rows = [{"history": [], "item": "i1"}] * 4
    done = client.post("/v1/tasks/next/predict", json={"rows": rows})
    assert (done.status_code, done.json()["error"]) == (413, "a request has at most 3 rows; found 4")
    assert client.post("/v1/tasks/next/predict", json={"rows": rows[:3]}).status_code == 200


def test_whoever_counts_is_told_of_predictions_stages_and_refusals(runs):
    class Noting(Seen):
        def __init__(self):
            self.said = []

        def answered(self, endpoint, task, code, seconds):
            self.said.append(("answered", endpoint, task, code, sorted(seconds)))

        def rejected(self, reason):
            self.said.append(("rejected", reason))

        def predicted(self, run, task, predictions):
            self.said.append(("predicted", run, task, len(predictions)))

        def swapped(self, run, digest, folder, predictor, loaded):
            self.said.append(("swapped", run, len(digest), folder.name, predictor.tasks, loaded))

    seen = Noting()
    client = client_of(make_service(runs / "two", seen=seen))
    for item in ("i1", "i99"):
        client.post("/v1/tasks/next/predict", json={"rows": [{"history": [], "item": item}]})
    path = "/v1/tasks/{task}/predict"
    assert seen.said == [
        ("swapped", "two", 64, "two", ["interest", "next"], True),
        ("predicted", "two", "next", 1),
        ("answered", path, "next", 200, ["encode", "head", "queue", "whole"]),
        ("answered", path, "next", 422, ["whole"]),
        ("rejected", "wrong_row"),
    ]
