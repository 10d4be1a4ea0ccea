"""Loading and unloading while the service goes on: for administrators, and with no request lost."""

import shutil
import threading
from urllib.parse import quote

import pytest
from served import ATTACKS, change, client_of, make_service

from peftrec.runs.folder import digest_run
from peftrec.serving.service.keys import Key, Keys


class AdminKeys(Keys):
    """Everyone is an administrator."""

    def admit(self, header):
        return Key(name="operator", sha256="0" * 64, admin=True)


@pytest.fixture
def admin(runs):
    service = make_service(runs / "one", folder=runs, keys=AdminKeys())
    return client_of(service)


def test_runs_are_listed_loaded_and_unloaded(admin, runs):
    def index():
        return [(of["name"], of["state"]) for of in admin.post("/v2/repository/index", json={}).json()]

    assert index() == [("one", "READY"), ("two", "UNAVAILABLE")]
    done = admin.post("/v2/repository/models/two/load", json={"parameters": {}})
    assert done.status_code == 200
    loaded = done.json()
    assert loaded.pop("took_ms") > 0
    assert loaded == {"run": "two", "digest": digest_run(runs / "two"), "tasks": ["interest", "next"]}
    assert index() == [("one", "READY"), ("two", "READY")]
    rows = {"rows": [{"history": [], "item": "i1"}]}
    assert admin.post("/v1/tasks/next/predict", json=rows).json()["run"] == "two"
    assert admin.post("/v2/repository/models/two/unload").json() == {"run": "two"}
    assert admin.post("/v1/tasks/next/predict", json=rows).json()["run"] == "one"
    assert admin.post("/v2/repository/models/two/unload").status_code == 404


def test_who_does_not_administer_changes_nothing(client):
    for path in ("index", "models/one/load", "models/one/unload"):
        done = client.post(f"/v2/repository/{path}")
        assert (done.status_code, done.json()["error_type"]) == (403, "forbidden")
    assert client.get("/v1/tasks").json()["tasks"]


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "\ud800"])
def test_no_name_leads_out_of_the_folder(service, client, monkeypatch, name):
    monkeypatch.setattr(service, "keys", AdminKeys())
    for action in ("load", "unload"):
        done = client.post(f"/v2/repository/models/{quote(name, safe='')}/{action}")
        assert done.status_code in (404, 405)  # as a path it may be another one, where nothing is
    assert list(service.registry.runs) == ["one", "two"]


def test_what_cannot_be_served_is_a_status_of_its_own(admin, runs, tmp_path):
    registry = admin.app.state.service.registry
    registry.folder = tmp_path
    for name in ("other", "damaged"):
        shutil.copytree(runs / "two", tmp_path / name)
    change(tmp_path / "other", "model.json", backbone_digest="0" * 64)
    (tmp_path / "damaged" / "model.json").write_text("{}")
    for name, code, kind in (("other", 409, "conflict"), ("damaged", 422, "wrong_run"), ("none", 404, "not_found")):
        done = admin.post(f"/v2/repository/models/{name}/load")
        assert (done.status_code, done.json()["error_type"]) == (code, kind)
    assert list(registry.runs) == ["one"]
    admin.app.state.service.stage = "draining"
    assert admin.post("/v2/repository/models/other/load").status_code == 503


def test_swapping_under_load_fails_no_request(admin, runs):
    rows = {"rows": [{"user": f"u{n}", "item": "i1"} for n in range(4)]}
    expected = {
        run: admin.post(f"/v1/tasks/next/predict?run={run}", json=rows).json().get("predictions") for run in ("one",)
    }
    admin.post("/v2/repository/models/two/load")
    expected["two"] = admin.post("/v1/tasks/next/predict", json=rows).json()["predictions"]
    assert expected["one"] != expected["two"]
    done, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            done.append(admin.post("/v1/tasks/next/predict", json=rows))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for run in ("one", "two") * 4:
        assert admin.post(f"/v2/repository/models/{run}/load").status_code == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert {of.status_code for of in done} == {200}
    answers = [of.json() for of in done]
    assert {of["run"] for of in answers} == {"one", "two"}
    for of in answers:
        for found, wanted in zip(of["predictions"], expected[of["run"]], strict=True):
            assert found["score"] == pytest.approx(wanted["score"], abs=1e-6)
