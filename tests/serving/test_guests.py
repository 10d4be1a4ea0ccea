"""Texts that only requests have: bounded, those asked for last stay, and no score depends on what was asked before."""

import numpy as np
import pytest
from tiny import make_tiny_shop, tiny_recipe

from peftrec.errors import RowError
from peftrec.model.cache.states import StateCache
from peftrec.serving import predictor as serving
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

pytestmark = pytest.mark.usefixtures("quick")
ADAPTERS = {
    "side": {"method": "side"},
    "lora": {"method": "lora", "layers": "top-1"},
    "both": {"method": "lora", "layers": "all"},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_tiny_shop(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", params=ADAPTERS)
def run(request, shop, tmp_path_factory):
    """One of pooled states, one of token states, one of pooled states beside a task without any."""
    adapter, short = ADAPTERS[request.param], {"max_steps": 2}
    tasks = {
        "query": {"kind": "match-query"},
        "interest": {"kind": "interest", "column": "stars", "threshold": 4},
    }
    if request.param == "both":
        tasks["interest"]["adapter"] = {"method": "side"}
    return train(tiny_recipe(shop, adapter=adapter, tasks=tasks, train=short), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def eight(monkeypatch):
    """The bound, instead of a thousand."""
    monkeypatch.setattr(serving, "GUESTS", 8)


def text(number):
    """Each its own, in words that the tokenizer knows."""
    return f"w{number // 100} w{number % 100}"


def new(*numbers):
    return [{"history": ["i1", {"item_text": text(n)}], "item_text": f"w99 {text(n)}"} for n in numbers]


def held(predictor):
    """Rows, tokens, guests' states and rows that a predictor keeps."""
    texts, caches = predictor.texts, predictor.model.encoder.caches.values()
    assert len(texts.texts) == len(texts.pairs) == len(texts._rows) == len(texts.offsets) - 1
    assert len(texts.ids) == len(texts.types) == texts.offsets[-1]
    for cache in caches:
        assert len(cache._place) == len(cache._entry) == len(texts)
        assert all(row >= texts.own for row in cache._guests)
    return len(texts), len(texts.ids), [cache._filled for cache in caches], max(len(c._guests) for c in caches)


def test_what_is_kept_does_not_grow(run, eight):
    predictor, most = Predictor.load(run), []
    for number in range(16):
        predictor.predict("interest", new(number))
        predictor.predict("query", [{"query": f"w90 {text(number)}", "item_text": f"w91 {text(number)}"}])
        predictor.recommend("query", query=f"w92 {text(number)}")
        most.append(held(predictor))
    rows, _, own, guests = most[-1]
    assert rows - predictor.texts.own == predictor.texts.guests <= 8
    assert 0 < guests <= 8
    assert all(filled == own for *_, filled, _ in most[1:])
    assert max(rows for rows, *_ in most) <= predictor.texts.own + 8
    assert max(tokens for _, tokens, *_ in most) <= most[0][1] + 8 * 10


def test_a_request_with_more_new_texts_than_the_bound_works(run, monkeypatch):
    rows = new(*range(30))
    expected = Predictor.load(run).predict("interest", rows)
    monkeypatch.setattr(serving, "GUESTS", 8)
    predictor = Predictor.load(run)
    assert predictor.predict("interest", rows) == expected
    assert predictor.texts.guests == 4
    assert predictor.predict("interest", rows) == [pytest.approx(row, abs=1e-6) for row in expected]


def test_those_asked_for_last_stay_and_are_not_computed_again(run, eight, monkeypatch):
    predictor, compute, computed = Predictor.load(run), StateCache.compute, []
    monkeypatch.setattr(StateCache, "compute", lambda *given: (computed.append(given), compute(*given))[1])
    kept = predictor.predict("interest", new(0))
    for number in range(1, 14):
        predictor.predict("interest", new(number))
        assert computed
        computed.clear()
        assert predictor.predict("interest", new(0)) == kept
        assert computed == []
    assert f"w99 {text(0)}" in predictor.texts.texts
    assert f"w99 {text(3)}" not in predictor.texts.texts


def test_what_was_asked_before_changes_no_bit_of_a_score(run, eight):
    fresh, busy = Predictor.load(run), Predictor.load(run)
    for number in range(100, 116):
        busy.predict("interest", new(number))
        busy.recommend("query", query=f"w90 {text(number)}")
    for number in range(6):
        rows, query = new(3 * number, 3 * number + 1, 3 * number + 2), f"w93 {text(number)}"
        expected = fresh.predict("interest", rows), fresh.recommend("query", query=query)
        assert (busy.predict("interest", rows), busy.recommend("query", query=query)) == expected
        for other in range(200, 210):  # forgotten, then asked again
            fresh.predict("interest", new(other))
        assert (fresh.predict("interest", rows), fresh.recommend("query", query=query)) == expected


def test_wrong_rows_leave_nothing_behind(run, eight):
    predictor = Predictor.load(run)
    expected = predictor.predict("interest", new(1))
    for number in range(12):
        with pytest.raises(RowError, match="no item 'i99'"):
            predictor.predict("query", [{"query": f"w94 {text(number)}", "item": "i1"}, {"query": "w1", "item": "i99"}])
    assert predictor.texts.guests <= 8
    assert predictor.predict("interest", new(1)) == expected
    held(predictor)


def test_the_runs_own_texts_stay(run, eight):
    predictor = Predictor.load(run)
    predictor.model.encoder.known = {}  # of a run that has not kept its items' vectors
    own = list(predictor.texts.texts)
    predictor.recommend("interest", history=[])
    place = [cache._place[: len(own)].copy() for cache in predictor.model.encoder.caches.values()]
    for number in range(16):
        predictor.predict("interest", new(number))
    assert predictor.texts.texts[: len(own)] == own
    for cache, before in zip(predictor.model.encoder.caches.values(), place, strict=True):
        assert np.array_equal(cache._place[: len(own)], before)


def test_states_of_requests_are_on_disk_only_where_they_are_to_be_kept(run, eight, monkeypatch, tmp_path):
    compute, computed = StateCache.compute, []
    monkeypatch.setattr(StateCache, "compute", lambda *given: (computed.append(given), compute(*given))[1])
    monkeypatch.setenv("PEFTREC_CACHE", str(tmp_path))

    def predict(**options):
        computed.clear()
        predictor = Predictor.load(run, **options)
        return predictor.predict("interest", new(*range(30))), len(computed), predictor

    predict()
    expected, ran, plain = predict()
    assert ran > 0 and plain.texts.guests == 4  # forgotten, and not written
    assert predict(cache=False, keep=True)[1] > 0
    again, ran, keeper = predict(keep=True)
    assert (again, ran > 0, keeper.texts.guests) == (expected, True, 0)
    again, ran, _ = predict(keep=True)
    assert (again, ran) == (expected, 0)
    assert predict()[:2] == (expected, 0)  # read by all
    held(keeper)


def test_predictors_over_one_backbone_share_equal_texts_and_each_scores_as_alone(run, eight, monkeypatch):
    alone, first = Predictor.load(run), Predictor.load(run)
    first.recommend("query", query="w1 w2")
    compute, computed = StateCache.compute, []
    monkeypatch.setattr(StateCache, "compute", lambda *given: (computed.append(given), compute(*given))[1])
    second = Predictor.load(run, first, cache=False)
    assert second.texts is first.texts is not alone.texts
    assert second.recommend("query", query="w1 w2") == first.recommend("query", query="w1 w2")
    assert not computed
    for number in range(100, 120):  # what one forgets the other forgets, too
        asked, rows = (first, second)[number % 3 == 0], new(number, number - 1)
        assert asked.predict("interest", rows) == alone.predict("interest", rows)
        held(asked)
    keeper = Predictor.load(run, second, keep=True)
    rows = new(119, 140, 141)
    assert keeper.texts is first.texts
    assert keeper.predict("interest", rows) == first.predict("interest", rows) == alone.predict("interest", rows)
    assert first.texts.guests == 0
    assert first.predict("interest", new(119, 150)) == alone.predict("interest", new(119, 150))
    held(second)
