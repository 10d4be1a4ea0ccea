"""Feedback: what users did is in their histories at once, as the same events would be, and in the file."""

import json
import time

import pytest
from served import client_of, make_service

from peftrec.serving.live import LiveEvent
from peftrec.serving.service.feedback import read_events


def tell(client, *events):
    return client.post("/v1/feedback", json={"events": list(events)})


def predict(client, task, **row):
    done = client.post(f"/v1/tasks/{task}/predict", json={"rows": [row]})
    assert done.status_code == 200, done.text
    return done.json()["predictions"][0]


@pytest.fixture(scope="module")
def telling(runs, tmp_path_factory):
    """A service of its own, for what is told stays, and the file it is kept in."""
    file = tmp_path_factory.mktemp("feedback") / "events.jsonl"
    return make_service(runs / "one", feedback=file), file


def test_told_events_are_answered_to_as_the_same_in_a_history(telling):
    client, file = client_of(telling[0]), telling[1]
    now = int(time.time())
    events = [
        {"user": 7, "item": "i4", "time": now - 100, "stars": 5},
        {"user": "7", "item": "i5", "time": now - 50, "stars": 1},
        {"user": "8", "item": "i6"},
    ]
    done = tell(client, *events)
    assert (done.status_code, done.json()) == (202, {"accepted": 3})
    timed = [{"item": of["item"], "time": of["time"]} for of in events[:2]]
    valued = [{**one, "value": of["stars"]} for one, of in zip(timed, events, strict=False)]
    for task, history in (("interest", valued), ("next", timed)):  # `next` reads no values
        found = predict(client, task, user="7", item="i9")
        assert found == pytest.approx(predict(client, task, history=history, item="i9"), abs=1e-6)
    items = client.post("/v1/tasks/next/recommend", json={"user": "7", "k": 20}).json()["items"]
    assert len(items) == 18 and not {"i4", "i5"} & {of["item"] for of in items}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[:2] == [
        {"user": "7", "item": "i4", "time": now - 100, "stars": 5},
        {"user": "7", "item": "i5", "time": now - 50, "stars": 1},
    ]
    assert (lines[2]["user"], lines[2]["item"]) == ("8", "i6") and 0 <= lines[2]["time"] - now < 100


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"user": "u1"}, "'item' must be an id, a text or a whole number; found None"),
        ({"user": "", "item": "i1"}, "'user' must be an id, a text or a whole number; found ''"),
        ({"user": "u1", "item": True}, "'item' must be an id, a text or a whole number; found True"),
        ({"user": "u1", "item": "i99"}, "no item 'i99' in the catalogue"),
        ({"user": "u1", "item": "i1", "star": 3}, "'star' is no key of an event; did you mean 'stars'?"),
        ({"user": "u1", "item": "i1", "stars": "x"}, "'stars' must be a number of at most 1e+18 in size; found 'x'"),
        (
            {"user": "u1", "item": "i1", "time": "x"},
            "'time' must be seconds since 1970 or an ISO date; found 'x'",
        ),
        ({"user": "u1", "item": "i1", "time": "2099-01-01"}, "'time' must not lie in the future; found '2099-01-01'"),
        ({"user": "u1", "item": "i1", "table": "x"}, "'table' is one of events; found 'x'"),
        ({"user": "u1", "item": "i1", "table": ["x"]}, "'table' is one of events; found ['x']"),
        ({"user": "u1", "item": "i1", "table": {}}, "'table' is one of events; found {}"),
        # What the file's next reader would refuse as a whole is not let in.
        (
            {"user": " \u200b", "item": "i1"},
            "'user' must not be of spaces or invisible characters alone; found ' \\u200b'",
        ),
        (
            {"user": "u1", "item": "i1", "time": "0001-01-01T00:00:00+14:00"},
            "'time' must not lie before 1970; found '0001-01-01T00:00:00+14:00'",
        ),
        ({"user": "u1", "item": "i1", "stars": 1e19}, "'stars' must be a number of at most 1e+18 in size; found 1e+19"),
    ],
)
def test_a_wrong_event_is_told_and_none_of_its_request_is_taken(telling, event, said):
    service, file = telling
    before, kept = len(service.live), file.read_bytes()
    done = tell(client_of(service), {"user": "u1", "item": "i1"}, event)
    assert (done.status_code, done.json()["error"]) == (422, f"row 2: {said}")
    assert len(service.live) == before and file.read_bytes() == kept


def test_what_cannot_be_kept_is_not_taken(telling, monkeypatch):
    service, _ = telling
    before = len(service.live)
    monkeypatch.setattr(service.feedback, "path", service.feedback.path / "no folder")
    done = tell(client_of(service), {"user": "u1", "item": "i1"})
    assert (done.status_code, done.json()["error_type"]) == (503, "not_kept")
    assert len(service.live) == before


def test_events_are_read_with_what_tasks_read_of_them(telling):
    runs = list(telling[0].registry.runs.values())
    (event,) = read_events([{"user": 1, "item": "i1", "time": 1e9, "stars": True, "value": 2, "table": "events"}], runs)
    assert event == LiveEvent("1", "i1", 1e9, "events", {"stars": 1.0, "value": 2.0})
