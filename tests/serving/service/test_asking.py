"""From a request to the engine: the queue's bound, and clients that leave."""

import asyncio
import json
import threading

import pytest
from served import client_of, make_service

from peftrec.serving.service.app import make_app

PATH = "/v1/tasks/next/predict"
ROW = {"history": [], "item": "i1"}


class Gate:
    """Holds a predictor's answers back until it is opened."""

    def __init__(self, predictor, monkeypatch):
        self.asked, self.open, self.rows = threading.Semaphore(0), threading.Event(), []
        kept = predictor.predict_mixed

        def predict(pairs):
            self.rows.append(len(pairs))
            self.asked.release()
            assert self.open.wait(20)
            return kept(pairs)

        monkeypatch.setattr(predictor, "predict_mixed", predict)


@pytest.fixture
def gated(runs, monkeypatch):
    """A service whose queue takes four rows, and the gate before its answers."""
    service = make_service(runs / "two", queue_rows=4)
    gate = Gate(service.registry.find("next").predictor, monkeypatch)
    yield service, gate
    gate.open.set()
    service.engine.stop()


def test_at_the_limit_plus_one_is_429_and_no_answer_is_lost(gated):
    service, gate = gated
    client, done = client_of(service), []

    def ask(rows=1):
        done.append(client.post(PATH, json={"rows": [ROW] * rows}))

    threads = [threading.Thread(target=ask)]
    threads[0].start()
    assert gate.asked.acquire(timeout=20)  # the first is computed, and the queue is empty
    for _ in range(4):
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
    while service.engine.waiting < 4:
        pass
    refused = client.post(PATH, json={"rows": [ROW]})
    assert (refused.status_code, refused.json()["error_type"]) == (429, "queue_full")
    assert refused.json()["error"] == "4 rows wait, of at most 4"
    assert int(refused.headers["Retry-After"]) >= 1
    gate.open.set()
    for thread in threads:
        thread.join()
    assert [of.status_code for of in done] == [200] * 5
    # Those that waited are computed together, which may change the last bits.
    scores = [of.json()["predictions"][0]["score"] for of in done]
    assert scores == pytest.approx([scores[0]] * 5, abs=1e-6)
    assert gate.rows == [1, 4]
    assert client.post(PATH, json={"rows": [ROW] * 4}).status_code == 200


def test_for_a_client_that_left_nothing_is_computed(gated):
    service, gate = gated
    app = make_app(service)

    async def ask(leaves):
        sent, body = [], json.dumps({"rows": [ROW]}).encode()
        parts = iter([{"type": "http.request", "body": body}])
        left = asyncio.Event()

        async def receive():
            for part in parts:
                return part
            await (left.wait() if leaves else asyncio.sleep(60))
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": PATH, "raw_path": b"", "query_string": b"", "scheme": "http"}
        scope |= {
            "headers": [(b"content-type", b"application/json")],
            "server": ("localhost", 1),
            "http_version": "1.1",
        }
        task = asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(0.05)
        left.set()
        return task, sent

    async def together():
        first, held = await ask(leaves=False)
        await asyncio.to_thread(gate.asked.acquire, timeout=20)
        gone, nothing = await ask(leaves=True)
        stays, answered = await ask(leaves=False)
        await gone
        assert nothing[0]["status"] == 400
        gate.open.set()
        await asyncio.gather(first, stays)
        assert [of[0]["status"] for of in (held, answered)] == [200, 200]

    asyncio.run(together())
    assert gate.rows == [1, 1]
