"""Bodies: read within bounds, and only once there is a key; strict JSON."""

import asyncio
import json

import pytest
from served import client_of, make_service

from peftrec.serving.service import bodies
from peftrec.serving.service.app import make_app
from peftrec.serving.service.bodies import strict_json
from peftrec.serving.service.errors import Refusal
from peftrec.serving.service.keys import Keys
from peftrec.serving.service.state import Limits

PATH = "/v1/tasks/next/predict"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def small(runs):
    """A service that reads 1,000 bytes."""
    return make_service(runs / "two", limits=Limits(body=1000))


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", 422, "the body: Field required"),
        (b"{", 400, "not JSON: Expecting property name"),
        (b'{"rows": [}', 400, "not JSON: Expecting value"),
        (b'{"rows": []} x', 400, "not JSON: Extra data"),
        (b"\xff\xfe", 400, "not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b'{"rows": [{"item": NaN}]}', 400, "not JSON: NaN is no number of JSON's"),
        (b'{"rows": [{"item": -Infinity}]}', 400, "not JSON: -Infinity is no number of JSON's"),
        (b'{"rows": [{"item": 1e999}]}', 400, "not JSON: 1e999 is too large a number"),
        (b'{"rows": [], "rows": [1]}', 400, "not JSON: the key 'rows' is given twice"),
        (b'{"rows": [{"item": "\\ud800"}]}', 400, "not JSON: a text holds half of a surrogate pair"),
        (b'{"rows": ' + b"[" * 80 + b"]" * 80 + b"}", 413, "the JSON is nested too deep"),
    ],
)
def test_a_body_is_strict_json(small, content, code, said):
    done = client_of(small).post(PATH, content=content, headers=JSON)
    assert done.status_code == code
    assert done.json()["error"].startswith(said)


def test_a_hundred_thousand_brackets_are_an_answer_too():
    for text in ("[" * 100_000, '{"a":' * 100_000, "1" * 100_000):
        with pytest.raises(Refusal):
            strict_json(text)


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "x" * 900]
)
def test_another_type_is_told_what_to_send(small, kind):
    done = client_of(small).post(PATH, content=b'{"rows": []}', headers={"Content-Type": kind} if kind else {})
    assert done.status_code == 415
    assert done.json()["error"].startswith("the body is JSON: send Content-Type: application/json; found ")
    done = client_of(small).post(PATH, content=b'{"rows": []}', headers={"Content-Type": "Application/JSON; charset=x"})
    assert done.status_code == 200


def test_a_body_that_is_too_large_is_not_read(small):
    told = []

    def parts():
        for _ in range(10):
            told.append(1)
            yield b" " * 300

    client, said = client_of(small), "a body has at most 1,000 bytes"
    for content in (b" " * 1001, parts()):
        done = client.post(PATH, content=content, headers=JSON)
        assert (done.status_code, done.json()["error"], done.headers["Connection"]) == (413, said, "close")
    done = client.post(PATH, content=b"{}", headers={**JSON, "Content-Length": "9" * 40})
    assert done.status_code == 413
    assert client.post(PATH, content=b'{"rows": []}' + b" " * 988, headers=JSON).status_code == 200


def test_a_long_text_is_refused_wherever_it_stands():
    assert strict_json(json.dumps({"a": ["x" * bodies.LETTERS]}))
    for value in ({"a": [["x" * (bodies.LETTERS + 1)]]}, {"y" * (bodies.LETTERS + 1): 1}):
        with pytest.raises(Refusal, match="a text has at most 20,000 letters; found 20,001"):
            strict_json(json.dumps(value))


def asgi(service, receive, **headers):
    """What is answered to a request whose body comes as `receive` gives it: its status."""
    sent = []
    pairs = [
        (name.encode(), value.encode()) for name, value in ({"content-type": "application/json"} | headers).items()
    ]
    scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b""}
    scope |= {"headers": pairs, "http_version": "1.1", "scheme": "http", "server": ("localhost", 1), "client": ("y", 1)}

    async def send(message):
        sent.append(message)

    asyncio.run(make_app(service)(scope, receive, send))
    return sent[0]["status"] if sent else None


def test_a_body_that_does_not_come_is_given_up(small, monkeypatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.05)
    parts = iter([b'{"ro'])

    async def receive():
        for part in parts:
            return {"type": "http.request", "body": part, "more_body": True}
        await asyncio.sleep(30)

    assert asgi(small, receive) == 408


def test_who_leaves_in_the_middle_is_no_error_of_ours(small):
    async def receive():
        return {"type": "http.disconnect"}

    assert asgi(small, receive) == 400


def test_without_a_key_nothing_is_read(small, monkeypatch):
    async def receive():
        raise AssertionError("the body was read")

    monkeypatch.setattr(small, "keys", Keys(one="secret"))
    assert asgi(small, receive) == 401
    assert asgi(small, receive, authorization="Bearer wrong") == 401
