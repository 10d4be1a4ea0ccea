"""Errors have one shape, whoever raises them."""

import pytest
from served import client_of

from peftrec.serving.service.errors import TYPES, Refusal, described

KEYS = {"error", "error_type", "request_id"}


@pytest.mark.parametrize(
    ("method", "path", "code", "kind"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/" + "x" * 3000, 404, "not_found"),
        ("GET", "/v1/tasks/next/predict", 405, "method_not_allowed"),
        ("DELETE", "/health/live", 405, "method_not_allowed"),
        ("GET", "/v1/tasks/", 404, "not_found"),
        ("POST", "/v1/tasks/next/predict?run=" + "x" * 300, 415, "not_json"),
        ("GET", "/v2/models/next?run=" + "x" * 300, 422, "wrong_value"),
    ],
)
def test_the_framework_s_own_errors_have_it_too(client, method, path, code, kind):
    done = client.request(method, path)
    assert (done.status_code, done.json()["error_type"]) == (code, kind)
    assert set(done.json()) == KEYS and len(done.text) < 600
    assert done.json()["request_id"] == done.headers["X-Request-Id"]


def test_errors_of_ours_tell_nothing(service, monkeypatch, capsys):
    from peftrec.serving.service import log

    async def breaks(request):
        raise RuntimeError("user 42 asked for 'a private text'")

    client = client_of(service)
    client.app.add_route("/breaks", breaks)
    with log.lines_on_stderr():
        done = client.get("/breaks", headers={"X-Request-Id": "mine"})
    assert done.status_code == 500
    said = "an error of the service's own; its log has it under mine"
    assert done.json() == {"error": said, "error_type": "internal", "request_id": "mine"}
    logged = capsys.readouterr().err
    assert '"error": "RuntimeError"' in logged and "test_errors.py" in logged and "private" not in logged


def test_what_fails_in_the_engine_is_an_error_of_ours(service, monkeypatch):
    served = service.registry.find("next")
    monkeypatch.setattr(type(served.predictor), "predict_mixed", lambda *_: 1 / 0)
    done = client_of(service).post("/v1/tasks/next/predict", json={"rows": [{"item": "i1", "history": []}]})
    assert (done.status_code, done.json()["error_type"]) == (500, "internal")
    assert service.engine.alive


def test_every_status_has_a_type_and_a_place_in_openapi():
    assert Refusal(429, "later").kind == "rate_limited" and Refusal(429, "later", "queue_full").kind == "queue_full"
    assert set(described(*TYPES)) == set(TYPES)
