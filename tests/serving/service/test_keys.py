"""Keys: who may ask what and how much; read again when their file changes, and compared whole."""

import hashlib
import json
import logging
import os

import pytest
from served import client_of, make_service

from peftrec.errors import UserError
from peftrec.serving.service import keys as module
from peftrec.serving.service.errors import Refusal
from peftrec.serving.service.keys import ANYONE, Key, Keys, read_keys


def sha256(key):
    return hashlib.sha256(key.encode()).hexdigest()


def entry(name, key, **more):
    return {"name": name, "sha256": sha256(key), **more}


def write(file, *entries):
    file.write_text(json.dumps({"keys": entries}))
    return file


@pytest.fixture
def file(tmp_path):
    return write(
        tmp_path / "keys.yaml",
        entry("shop", "secret", tasks=["next"], rate="2/hour"),
        entry("operator", "other", admin=True),
    )


def test_without_keys_anyone_asks_and_nobody_administers():
    keys = Keys()
    assert not keys.required and keys.admit(None) is ANYONE
    with pytest.raises(Refusal, match="start the service with --keys FILE that has one"):
        keys.administers(ANYONE)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "127.0.0.1:8000", "localhost:8411"])
def test_without_keys_this_machine_s_own_names_are_answered(client, host):
    assert client.get("/info", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "127.0.0.1.evil.example",
        "evil_x.example",
        "evil.example:80a",
        "localhost@evil.example",
        "evil example",
        "localhost/evil",
        "",
    ],
)
def test_without_keys_other_names_are_not_answered(client, host):
    done = client.get("/info", headers={"Host": host})
    assert (done.status_code, done.json()["error_type"]) == (403, "forbidden")
    assert client.get("/health/ready", headers={"Host": host}).status_code == 200


def test_with_keys_any_name_is_answered(runs, file):
    client = client_of(make_service(runs / "two", keys=Keys(file)))
    given = {"Host": "service.example", "Authorization": "Bearer other"}
    assert client.get("/info", headers=given).status_code == 200


def test_a_key_is_known_by_its_digest(file):
    keys = Keys(file)
    assert keys.required
    assert keys.admit("Bearer secret").name == "shop"
    assert keys.admit("bearer  other ").name == "operator"
    keys.administers(keys.admit("Bearer other"))
    with pytest.raises(Refusal, match="only a key with admin: true"):
        keys.administers(keys.admit("Bearer secret"))


@pytest.mark.parametrize("header", [None, "", "secret", "Basic secret", "Bearer", "Bearer secre", "Bearer secret2"])
def test_any_other_is_refused(file, header):
    with pytest.raises(Refusal) as caught:
        Keys(file).admit(header)
    assert caught.value.status_code == 401
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


def test_every_key_is_compared_in_a_time_that_tells_nothing(file, monkeypatch):
    compared, kept = [], module.hmac.compare_digest

    def compare(one, other):
        compared.append(other)
        return kept(one, other)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    Keys(file).admit("Bearer secret")
    assert compared == [sha256("secret"), sha256("other")]


def test_a_rate_is_each_key_s_own_and_says_when_to_come_again(file):
    keys = Keys(file)
    for _ in range(2):
        keys.admit("Bearer secret")
    with pytest.raises(Refusal, match="more than 2/hour of key 'shop'") as caught:
        keys.admit("Bearer secret")
    assert caught.value.status_code == 429
    assert 3500 < int(caught.value.headers["Retry-After"]) <= 3600
    keys.admit("Bearer other")


def test_a_changed_file_is_read_and_a_wrong_one_leaves_the_keys(file, monkeypatch, caplog):
    monkeypatch.setattr(module, "LOOK", 0)
    keys = Keys(file)
    write(file, entry("new", "newer"))
    os.utime(file, ns=(1, 1))
    assert keys.admit("Bearer newer").name == "new"
    with pytest.raises(Refusal):
        keys.admit("Bearer secret")
    with caplog.at_level(logging.INFO):
        file.write_text("keys: 3")
        assert keys.admit("Bearer newer").name == "new"
        file.unlink()
        assert keys.admit("Bearer newer").name == "new"
    said = [record.of["error"] for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 2 and all(of.startswith("the keys stay as they were: ") for of in said)
    write(file, entry("shop", "secret"))
    assert keys.admit("Bearer secret").name == "shop"


def test_a_file_is_looked_at_only_now_and_then(file, monkeypatch):
    monkeypatch.setattr(module, "LOOK", 1000)
    keys = Keys(file)
    keys.admit("Bearer other")
    write(file, entry("new", "newer"))
    with pytest.raises(Refusal):
        keys.admit("Bearer newer")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([], "keys: List should have at least 1 item after validation, not 0"),
        (
            [{"name": "a", "sha256": "abc"}],
            r"keys.0.sha256: String should match pattern '\^\[0-9a-fA-F\]\{64\}\$'; see",
        ),
        ([entry("a", "x", rate="often")], "keys.0.rate: Value error, .*; found 'often'"),
        ([entry("a", "x", admin="yes")], "keys.0.admin: Input should be a valid boolean; found 'yes'"),
        ([entry("a", "x", task=["t"])], "keys.0.task: Extra inputs are not permitted"),
        ([entry("a", "x"), entry("b", "x")], "keys: two have the same sha256"),
        ([entry("a", "x"), entry("A", "y")], "keys: two have the same name"),
    ],
)
def test_a_wrong_file_is_told_without_a_digest(tmp_path, entries, said):
    with pytest.raises(UserError, match=said) as caught:
        read_keys(write(tmp_path / "keys.json", *entries))
    assert str(tmp_path / "keys.json") in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match=r"keys.yaml: cannot be read: No such file or directory"):
        Keys(tmp_path / "keys.yaml")


def test_variables_name_a_file_or_one_key(file):
    assert [Keys.given(None, {}).required, Keys.given(None, {"PEFTREC_KEY": ""}).required] == [False, False]
    assert Keys.given(None, {"PEFTREC_KEYS_FILE": str(file)}).admit("Bearer other").admin
    one = Keys.given(None, {"PEFTREC_KEY": "only"})
    assert one.admit("Bearer only") == Key(name="PEFTREC_KEY", sha256=sha256("only"))
    both = Keys.given(file, {"PEFTREC_KEY": "only", "PEFTREC_KEYS_FILE": "not/read"})
    assert {both.admit(f"Bearer {key}").name for key in ("only", "other")} == {"PEFTREC_KEY", "operator"}


def test_the_service_asks_for_keys_and_holds_each_to_its_tasks(runs, file):
    client = client_of(make_service(runs / "two", keys=Keys(write(file, entry("shop", "secret", tasks=["next"])))))
    rows = {"rows": [{"history": [], "item": "i1"}]}
    given = {"Authorization": "Bearer secret"}
    assert client.get("/health/ready").status_code == 200
    for path in ("/info", "/v1/tasks"):
        assert client.get(path).status_code == 401
    done = client.post("/v1/tasks/next/predict", json=rows)
    assert (done.status_code, done.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert done.json()["error"] == "a key is missing: Authorization: Bearer KEY"
    assert client.post("/v1/tasks/next/predict", json=rows, headers=given).status_code == 200
    done = client.post("/v1/tasks/interest/predict", json=rows, headers=given)
    assert (done.status_code, done.json()["error"]) == (403, "key 'shop' may not ask this task")
    weights = {"weights": {"next": 1, "interest": 1}, "history": [], "k": 1}
    assert client.post("/v1/rank", json=weights, headers=given).status_code == 403
    assert client.post("/v1/embeddings", json={"model": "interest", "input": "x"}, headers=given).status_code == 403
    assert {of["task"] for of in client.get("/v1/tasks", headers=given).json()["tasks"]} == {"next"}
    assert client.post("/v2/repository/index", headers=given).status_code == 403
