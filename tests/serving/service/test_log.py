"""The log: a JSON line a request, with sizes and times, and nothing of what was asked."""

import json
import logging

import pytest
from served import client_of

from peftrec.machine.progress import note
from peftrec.serving.service import log


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_request_is_a_line_with_its_sizes_and_times(service, capsys):
    with log.lines_on_stderr():
        client_of(service).post(
            "/v1/tasks/query/predict",
            json={"rows": [{"query": "w1 w2", "item": "i1"}] * 3},
            headers={"X-Request-Id": "abc-1"},
        )
    (line,) = lines(capsys)
    times = {key: line.pop(key) for key in ("queue_ms", "encode_ms", "head_ms", "whole_ms")}
    assert (
        0 <= times["queue_ms"] <= times["whole_ms"] and 0 < times["encode_ms"] + times["head_ms"] <= times["whole_ms"]
    )
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": "abc-1",
        "method": "POST",
        "endpoint": "/v1/tasks/{task}/predict",
        "status": 200,
        "key": "anyone",
        "task": "query",
        "run": "one",
        "rows": 3,
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tasks/query/predict", {"rows": [{"query": "SECRET w1", "item": "i1"}]}),
        ("/v1/tasks/query/predict", {"rows": [{"query": "SECRET w1", "item": "SECRET"}]}),
        ("/v1/tasks/SECRET/predict", {"rows": []}),
        ("/v1/tasks/next/recommend", {"user": "SECRET"}),
        ("/v1/tasks/next/recommend?run=SECRET", {"user": "SECRET"}),
        ("/v1/feedback", {"events": [{"user": "SECRET", "item": "i1"}]}),
        ("/v1/feedback", {"events": [{"user": "SECRET", "item": "SECRET"}]}),
        ("/SECRET", {"SECRET": "SECRET"}),
        ("/v1/embeddings", {"model": "query", "input": ["\u2603 SECRET"]}),
    ],
)
def test_nothing_of_what_is_asked_is_logged(service, capsys, path, body):
    with log.lines_on_stderr():
        client_of(service).post(path, json=body)
    out = capsys.readouterr()
    assert '"event": "request"' in out.err
    assert "SECRET" not in out.err + out.out


def test_notes_of_the_work_are_not_shown_and_come_back_afterwards(capsys, caplog):
    ours = logging.getLogger("peftrec")
    before = (ours.level, list(ours.handlers))
    with log.lines_on_stderr():
        note("of the text 'SECRET' nothing is known")
        log.write("loaded", run="one", nothing=None)
    (line,) = lines(capsys)
    assert (line["event"], line["run"]) == ("loaded", "one") and "nothing" not in line
    assert (ours.level, list(ours.handlers)) == before
