"""Health, and what is served."""

import pytest
from served import client_of, make_service

from peftrec.runs.folder import digest_run


@pytest.mark.parametrize("path", ["/health", "/v2/health"])
def test_it_is_ready_only_while_requests_should_come(runs, path):
    service = make_service()
    client = client_of(service)

    def ready():
        assert client.get(f"{path}/live").json() == {"live": True}
        done = client.get(f"{path}/ready")
        return done.status_code, done.json()["reason"]

    assert ready() == (503, "no run is served")
    service.stage = "loading"
    assert ready() == (503, "loading")
    done = client.post("/v1/tasks/next/predict", json={"rows": []})
    assert (done.status_code, done.json()["error_type"], done.headers["Retry-After"]) == (503, "not_ready", "5")
    service.registry.add(runs / "two")
    service.stage = "serving"
    assert ready() == (200, None)
    service.stage = "draining"
    assert ready() == (503, "draining")
    assert client.post("/v1/tasks/next/predict", json={"rows": [{"history": [], "item": "i1"}]}).status_code == 200
    service.stage = "serving"
    service.engine.stop()
    assert ready() == (503, "failed")
    done = client.post("/v1/tasks/next/predict", json={"rows": [{"history": [], "item": "i1"}]})
    assert (done.status_code, done.headers["Retry-After"]) == (503, "5")


def test_the_runs_and_their_digests_are_told(client, runs):
    info = client.get("/info").json()
    assert [(of["run"], of["digest"], of["tasks"]) for of in info["runs"]] == [
        ("one", digest_run(runs / "one"), ["query", "interest", "time", "next"]),
        ("two", digest_run(runs / "two"), ["interest", "next"]),
    ]
    assert info["version"] == "0.2.0"
    assert info["limits"] == {"rows": 1024, "body_bytes": 8 << 20, "queue_rows": 8192}


def test_every_task_says_what_a_row_holds_and_its_example_is_answered(client):
    tasks = client.get("/v1/tasks").json()["tasks"]
    assert [(of["run"], of["task"]) for of in tasks] == [
        *(("one", task) for task in ("query", "interest", "time", "next")),
        *(("two", task) for task in ("interest", "next")),
    ]
    of = {task["task"]: task for task in tasks}
    assert of["interest"] == {
        "task": "interest",
        "run": "two",
        "kind": "interest",
        "question": "will the user like the item",
        "keys": ["item", "item_text", "user", "history", "time"],
        "example": {"item": "i0", "history": ["i1", "i2"]},
        "ranks": True,
        "classes": [],
    }
    assert [of[name]["ranks"] for name in ("query", "time", "next")] == [True, False, True]
    for task in tasks:
        path = f"/v1/tasks/{task['task']}/predict?run={task['run']}"
        done = client.post(path, json={"rows": [task["example"]]})
        assert done.status_code == 200 and len(done.json()["predictions"]) == 1
        assert set(task["example"]) <= set(task["keys"])
