"""What is counted, read as Prometheus reads it, over requests that a service answers."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import client_of, make_service

from peftrec.serving.service import metrics
from peftrec.serving.service.drift import Scores
from peftrec.serving.service.metrics import Metrics

ROW = {"history": ["i1", "i2"], "item": "i3"}


def samples(text):
    """Name -> labels -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            found.setdefault(name, {})[frozenset(labels.items())] = value
    return found


def value(found, name, **labels):
    """The value of the one sample that has these labels."""
    (one,) = [of for key, of in found[name].items() if labels.items() <= dict(key).items()]
    return one


@pytest.fixture
def counted():
    return Metrics(4096)


def test_requests_stages_refusals_and_the_queue_are_counted(counted, runs):
    client = client_of(make_service(runs / "two", folder=runs, seen=counted))
    for item in ("i3", "i4", "i99"):
        client.post("/v1/tasks/interest/predict", json={"rows": [ROW | {"item": item}] * 2})
    client.get("/v1/tasks/none/predict")
    done = client.get("/metrics")
    assert done.status_code == 200 and done.headers["content-type"].startswith("text/plain; version=")
    found = samples(done.text)
    path = "/v1/tasks/{task}/predict"
    assert value(found, "peftrec_requests_total", endpoint=path, task="interest", code="200") == 2
    assert value(found, "peftrec_requests_total", endpoint=path, task="interest", code="422") == 1
    assert value(found, "peftrec_rejected_total", reason="wrong_row") == 1
    for stage, count in {"whole": 3, "queue": 2, "encode": 2, "head": 2}.items():
        assert value(found, "peftrec_request_seconds_count", task="interest", stage=stage) == count
    whole, parts = (
        sum(value(found, "peftrec_request_seconds_sum", task="interest", stage=stage) for stage in stages)
        for stages in (("whole",), ("queue", "encode", "head"))
    )
    assert 0 < parts < whole
    assert (value(found, "peftrec_queue_rows"), value(found, "peftrec_queue_limit_rows")) == (0, 4096)
    assert (value(found, "peftrec_batch_rows_sum"), value(found, "peftrec_batch_rows_count")) == (4, 2)
    assert value(found, "peftrec_batch_requests_sum") == 2
    assert value(found, "process_resident_memory_bytes") > 1e8


def test_scores_labels_and_what_is_served_are_of_the_run_that_is_loaded_now(counted, runs):
    service = make_service(runs / "one", runs / "two", folder=runs, seen=counted)
    client = client_of(service)
    asked = client.post("/v1/tasks/query/predict", json={"rows": [{"query": "w1", "item": f"i{n}"} for n in range(9)]})
    grades = [of["grade"] for of in asked.json()["predictions"]]
    scores = [of["score"] for of in asked.json()["predictions"]]
    client.post("/v1/tasks/next/predict?run=one", json={"rows": [{"history": [], "item": "i1"}]})
    found = samples(counted.text())
    for grade in set(grades):
        assert value(found, "peftrec_labels_total", run="one", task="query", label=grade) == grades.count(grade)
    assert value(found, "peftrec_score_count", run="one", task="query") == 9
    assert value(found, "peftrec_score_sum", run="one", task="query") == pytest.approx(sum(scores))
    buckets = {
        float(dict(key)["le"]): of for key, of in found["peftrec_score_bucket"].items() if ("task", "query") in key
    }
    assert buckets == {end: sum(score <= end for score in scores) for end in buckets}
    assert max(buckets) == float("inf") and 2 <= len(buckets) <= 10
    assert not [key for key in found["peftrec_score_count"] if ("task", "next") in key]  # of ranks alone
    digest = service.registry.runs["one"].digest
    assert value(found, "peftrec_task_info", run="one", task="query", kind="match-query", digest=digest) == 1
    assert len(found["peftrec_task_info"]) == 6
    service.registry.unload("one")
    found = samples(counted.text())
    assert {dict(key)["run"] for key in found["peftrec_task_info"]} == {"two"}
    assert "peftrec_labels_total" not in found
    counted.predicted("one", "query", [{"score": 1.0, "grade": "1"}])  # that was asked before
    service.registry.load("one")
    found = samples(counted.text())
    assert value(found, "peftrec_swaps_total", run="one", change="loaded") == 2
    assert value(found, "peftrec_swaps_total", run="one", change="unloaded") == 1
    assert value(found, "peftrec_score_count", run="one", task="query") == 0


def test_texts_are_counted_by_whether_their_states_were_there(counted, runs):
    client = client_of(make_service(runs / "two", folder=runs, seen=counted))

    def texts():
        found = samples(counted.text())
        return [value(found, "peftrec_texts_total", cached=cached) for cached in ("yes", "no")]

    def frozen():
        return value(samples(counted.text()), "peftrec_frozen_seconds_total")

    began, seconds = texts(), frozen()
    rows = [{"history": [], "item_text": f"w{n} w{n + 1} w5"} for n in range(70, 73)]
    client.post("/v1/tasks/interest/predict", json={"rows": rows})
    after = texts()
    assert after[1] >= began[1]
    client.post("/v1/tasks/interest/predict", json={"rows": rows})
    assert texts()[1] == after[1]
    assert frozen() >= seconds >= 0


def test_drift_is_told_once_there_are_enough_scores(counted, runs):
    make_service(runs / "two", seen=counted)
    of = counted._tasks["two", "interest"]
    of.scores = Scores(np.random.default_rng(0).uniform(size=2000))
    assert "peftrec_score_psi" not in samples(counted.text())
    scores = np.random.default_rng(1).uniform(size=600) ** 3
    counted.predicted("two", "interest", [{"score": score} for score in scores])
    alone = Scores(np.random.default_rng(0).uniform(size=2000))
    alone.add(scores)
    assert value(samples(counted.text()), "peftrec_score_psi", run="two", task="interest") == pytest.approx(alone.psi)
    assert alone.psi > 0.25


def test_of_very_many_labels_the_first_are_counted(counted, runs, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_LABELS", 2)
    make_service(runs / "two", seen=counted)
    counted.predicted("two", "interest", [{"label": label, "probabilities": {label: 1.0}} for label in "abcab"])
    found = samples(counted.text())
    assert {dict(key)["label"]: of for key, of in found["peftrec_labels_total"].items()} == {"a": 2, "b": 2}
