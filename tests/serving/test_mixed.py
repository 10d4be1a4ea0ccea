"""Rows of several tasks together: tasks with equal vectors encode their texts once, and answers are those of each."""

import threading
import time

import pytest
from served import client_of, make_service
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.errors import RowError, UserError
from peftrec.model.encoder import AdaptedEncoder
from peftrec.serving.predictor import Predictor
from peftrec.serving.service.seen import Seen
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")
TIME = 1_700_000_000
PAIRS = [
    ("interest", {"user": "u1", "item": "i3"}),
    ("time", {"user": "u1", "item_text": "w1 w2 w3", "time": TIME}),
    ("query", {"query": "w4 w5", "item": "i3"}),
    ("interest", {"history": ["i1"], "item_text": "w1 w2 w3"}),
    ("time", {"history": [], "item": "i4", "time": TIME}),
]


@pytest.fixture(scope="module", params=["shared", "private"])
def run(request, tmp_path_factory):
    shop = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    adapter = {"method": "lora", "sharing": request.param, "layers": "top-1", "options": {"r": 4}}
    return train(tiny_recipe(shop, tasks=THREE, adapter=adapter, train={"max_steps": 3, "lr": 5e-2}), shop / "run")


def close(answer):
    """An answer whose numbers count to 1e-6."""
    return {
        key: close(of) if isinstance(of, dict) else pytest.approx(of, abs=1e-6) if isinstance(of, float) else of
        for key, of in answer.items()
    }


def sharing(predictor):
    return predictor.run.recipe.adapter.sharing


def test_answers_are_those_of_each_task_alone_and_equal_vectors_are_made_once(run, monkeypatch):
    predictor, encode, encoded = Predictor.load(run), AdaptedEncoder._encode, []
    predictor.model.encoder.known = {}  # of a run that has not kept its items' vectors
    alone = [predictor.predict(task, [row])[0] for task, row in PAIRS]
    monkeypatch.setattr(AdaptedEncoder, "_encode", lambda *given: (encoded.append(given), encode(*given))[1])
    assert predictor.predict_mixed(PAIRS) == [close(of) for of in alone]
    assert len(encoded) == (1 if sharing(predictor) == "shared" else 3)
    assert len({predictor.alike(task) for task in THREE}) == len(encoded)
    encoded.clear()
    asked = {"query": "w4 w5", "user": "u1"}
    rows = [{**asked, "item": "i3"}, {**asked, "item_text": "w1 w2 w3"}]
    weighed = predictor.score({"interest": 1, "query": 0.5}, rows)
    assert len(encoded) == (1 if sharing(predictor) == "shared" else 2)
    for row, found in zip(rows, weighed, strict=True):
        for task, keys in (("interest", ("user", "item", "item_text")), ("query", ("query", "item", "item_text"))):
            (one,) = predictor.predict(task, [{key: row[key] for key in keys if key in row}])
            assert found["scores"][task] == pytest.approx(one["score"], abs=1e-6)


def test_a_wrong_row_is_named_by_its_place(run):
    predictor = Predictor.load(run)
    assert predictor.predict_mixed([]) == []
    with pytest.raises(RowError, match="no item 'i99'") as error:
        predictor.predict_mixed([*PAIRS, ("interest", {"user": "u1", "item": "i99"}), PAIRS[0]])
    assert error.value.row == len(PAIRS) + 1
    with pytest.raises(UserError, match="no task 'none' in this run"):
        predictor.predict_mixed([("none", {})])
    rows = [{"query": "w1", "user": "u1", "item": item} for item in ("i1", "i99")]
    with pytest.raises(RowError, match="no item 'i99'") as error:
        predictor.score({"interest": 1, "query": 1}, rows)
    assert error.value.row == 2


def test_requests_to_tasks_that_share_their_vectors_are_computed_together(run):
    class Batches(Seen):
        def batch(self, rows, requests):
            batches.append((rows, requests))

    batches, answers = [], {}
    service = make_service(run, seen=Batches())
    predictor, client = service.registry.find("query").predictor, client_of(service)
    batches.clear()

    def ask(number, task, row):
        answers[number] = client.post(f"/v1/tasks/{task}/predict", json={"rows": [row]})

    threads = [threading.Thread(target=ask, args=(n, *pair)) for n, pair in enumerate(PAIRS)]
    held = threading.Event()
    first = service.engine.ask("first", [None], lambda rows: [held.wait(60)])
    while service.engine.waiting:
        time.sleep(0.01)
    for thread in threads:
        thread.start()
    while service.engine.waiting < len(PAIRS):
        time.sleep(0.01)
    held.set()
    for thread in threads:
        thread.join()
    assert first.result().values == [True]
    for number, (task, row) in enumerate(PAIRS):
        (found,) = answers[number].json()["predictions"]
        assert found == close(predictor.predict(task, [row])[0])
    assert batches[0] == (1, 1)
    assert sorted(batches[1:]) == ([(5, 5)] if sharing(predictor) == "shared" else [(1, 1), (2, 2), (2, 2)])
