"""The app: ids of requests, OpenAPI with examples, and odd requests, of which none is an error of ours."""

import re
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from served import client_of, make_service

from peftrec.serving.service.app import make_app

ENDPOINTS = {
    "/health/live": {"get"},
    "/health/ready": {"get"},
    "/v2/health/live": {"get"},
    "/v2/health/ready": {"get"},
    "/info": {"get"},
    "/v1/tasks": {"get"},
    "/v1/tasks/{task}/predict": {"post"},
    "/v1/tasks/{task}/recommend": {"post"},
    "/v1/rank": {"post"},
    "/v1/feedback": {"post"},
    "/v1/embeddings": {"post"},
    "/v2/models/{task}": {"get"},
    "/v2/models/{task}/ready": {"get"},
    "/v2/models/{task}/infer": {"post"},
    "/v2/repository/index": {"post"},
    "/v2/repository/models/{run}/load": {"post"},
    "/v2/repository/models/{run}/unload": {"post"},
}


def test_an_id_that_is_well_formed_is_kept_and_any_other_replaced(client):
    assert client.get("/health/live", headers={"X-Request-Id": "a-b_c.9"}).headers["X-Request-Id"] == "a-b_c.9"
    for odd in ("", "x" * 65, "a b", "a\tb", "é".encode(), '"'):
        found = client.get("/health/live", headers={"X-Request-Id": odd}).headers["X-Request-Id"]
        assert re.fullmatch("[0-9a-f]{32}", found)


def test_no_page_loads_anything_from_elsewhere(client):
    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]


def test_openapi_has_every_endpoint_with_its_errors_and_examples(client):
    schema = client.get("/openapi.json").json()
    assert ENDPOINTS.items() <= {path: set(of) for path, of in schema["paths"].items()}.items()
    models = schema["components"]["schemas"]
    for path, methods in ENDPOINTS.items():
        for method in methods:
            of = schema["paths"][path][method]
            assert of["description"] and of["tags"]
            (good,) = [code for code in of["responses"] if code.startswith("2")]
            assert "$ref" in of["responses"][good]["content"]["application/json"]["schema"]
            if "health" in path:
                continue
            assert {"401", "429", "500"} <= set(of["responses"])
            assert of["security"] == [{"HTTPBearer": []}]
            for code, answer in of["responses"].items():
                if code[0] in "45" and code != "503":
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorAnswer"), (
                        path,
                        code,
                    )
            if "requestBody" in of:
                name = of["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                parts = [models[name], *(models[ref] for ref in re.findall(r"schemas/(\w+)", str(models[name])))]
                assert any("examples" in key for part in parts for key in part["properties"].values()), name


@pytest.fixture(scope="module")
def odd(runs, tmp_path_factory):
    """A service for odd requests, with an administrator's key that everyone has."""
    from peftrec.serving.service.keys import Key, Keys

    class Everyone(Keys):
        required = True

        def admit(self, header):
            return Key(name="everyone", sha256="0" * 64, admin=True)

    file = tmp_path_factory.mktemp("odd") / "events.jsonl"
    return make_service(runs / "one", folder=runs / "none", keys=Everyone(), feedback=file)


def test_requests_by_the_schema_are_no_errors_of_ours(odd):
    app = make_app(odd)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    tried = {"calls": 0}
    limits = settings(
        max_examples=6,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for operation in schema.get_all_operations():
        of = operation.ok()
        if of.path.endswith("unload"):
            continue  # there would be nothing left to ask
        for mode in schemathesis.GenerationMode:

            @limits
            @given(case=of.as_strategy(generation_mode=mode))
            def call(case):
                tried["calls"] += 1
                case.call_and_validate(checks=[not_a_server_error])

            with suppress(Unsatisfiable):  # of an operation that takes nothing, nothing is wrong
                call()
    assert tried["calls"] > 100, tried


TASKS = ["query", "interest", "time", "next"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
USUAL = {
    "item": st.sampled_from(["i1", "i19", "i20", ""]),
    "item_text": st.text(max_size=30),
    "user": st.sampled_from(["u1", "nobody"]),
    "query": st.text(max_size=30),
    "history": st.lists(st.sampled_from(["i1", "i2", {"item": "i3", "time": 1, "value": 2}]), max_size=4),
    "time": st.sampled_from([0, 1_700_000_000, "2024-01-01", -1e300]),
}
ODD_ROWS = st.fixed_dictionaries({}, optional={key: usual | VALUES for key, usual in USUAL.items()})


@settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(task=st.sampled_from(TASKS), rows=st.lists(ODD_ROWS, min_size=1, max_size=3), k=VALUES)
def test_odd_rows_are_no_errors_of_ours(odd, task, rows, k):
    client = client_of(odd)
    asks = {key: value for key, value in rows[0].items() if key in ("user", "query", "history")}
    for path, body in (
        (f"/v1/tasks/{task}/predict", {"rows": rows}),
        (f"/v1/tasks/{task}/recommend", {**asks, "k": k if isinstance(k, int) else 3}),
        ("/v1/rank", {**asks, "weights": {task: 1}, "items": [of.get("item", "i1") for of in rows]}),
        ("/v1/feedback", {"events": [{"user": "odd", **of} for of in rows]}),
    ):
        done = client.post(path, json=body)
        assert done.status_code in (200, 202, 422), (path, body, done.text)
