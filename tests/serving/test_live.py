"""Live histories: what users did since goes on in what the run's log has of them, as if it had been there."""

import threading

import pytest

from peftrec.serving.live import LiveEvent, LiveHistories
from peftrec.serving.predictor import Predictor

NOW = 1_700_000_000


def event(user, item, time, **values):
    return LiveEvent(user, item, time, values=values)


def test_events_are_kept_in_order_of_time_the_newest_of_a_user_and_in_all():
    live = LiveHistories(most=6, of_user=3)
    live.add([event("a", "i5", 5), event("a", "i1", 1), event("b", "i1", 1), event("a", "i3", 3), event("a", "i3b", 3)])
    assert [one.item for one in live.of("a")] == ["i3", "i3b", "i5"]
    assert len(live) == 4
    live.add([event("c", "i1", 1), event("c", "i2", 2), event("b", "i0", 0)])
    assert [one.item for one in live.of("b")] == ["i0", "i1"]
    assert [one.item for one in live.of("c")] == ["i1", "i2"]
    assert live.of("a") == []  # who did nothing for longest
    assert len(live) == 4
    assert live.of("nobody") == []


def test_it_may_be_told_and_asked_by_many_threads():
    live = LiveHistories(most=100, of_user=10)

    def tell(user):
        for n in range(200):
            live.add([event(user, f"i{n}", n)])
            assert len(live.of(user)) <= 10

    threads = [threading.Thread(target=tell, args=(f"u{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(live) == 80


@pytest.fixture(scope="module")
def live():
    return LiveHistories()


@pytest.fixture(scope="module")
def told(shop_run, live):
    return Predictor.load(shop_run, live=live)


def logged(predictor, task, user):
    """What the run's log has of a user, as events of a `history`."""
    of = predictor.run.logs[task]
    number = of.user_ids.index(user)
    part = slice(*of.log.user_start[number : number + 2])
    ids = predictor.run.items_of(task).ids
    stars = {True: 5, False: 2}
    return [
        {"item": ids[item], "time": time, "value": stars[bool(liked)]}
        for item, time, liked in zip(of.log.items[part], of.log.times[part], of.log.feedback[part], strict=True)
    ]


@pytest.mark.parametrize("task", ["interest", "time"])
def test_told_events_are_as_if_they_were_in_the_history(told, live, predictor, task):
    user = {"interest": "u3", "time": "u4"}[task]
    before = logged(told, "interest", user)
    last, seen = before[-1]["time"], {of["item"] for of in before}
    new = [item for item in told.run.items_of(task).ids if item not in seen][:3]
    since = [{"item": item, "time": last + 9_000 * (n + 1), "value": 5 - 3 * n} for n, item in enumerate(new[:2])]
    live.add([event(user, of["item"], of["time"], stars=float(of["value"])) for of in since])
    row = {"item": new[2]} | ({"time": last + 50_000} if task == "time" else {})
    (found,) = told.predict(task, [{"user": user, **row}])
    (expected,) = told.predict(task, [{"history": [*before, *since], **row}])
    assert found == pytest.approx(expected, abs=1e-6)
    (unaware,) = predictor.predict(task, [{"user": user, **row}])
    assert found != pytest.approx(unaware, abs=1e-5)
    if task == "interest":
        best = told.recommend(task, user=user, k=30)
        assert not {of["item"] for of in best} & (seen | set(new[:2]))


def test_a_user_of_whom_the_run_knows_nothing_is_one_of_whom_was_told(told, live):
    live.add([event("stranger", "i4", NOW, stars=5.0)])
    (found,) = told.predict("interest", [{"user": "stranger", "item": "i9"}])
    history = [{"item": "i4", "time": NOW, "value": 5}]
    assert found == told.predict("interest", [{"history": history, "item": "i9"}])[0]
    with pytest.raises(ValueError, match="no user 'another' in the run's log"):
        told.predict("interest", [{"user": "another", "item": "i9"}])


def test_what_the_log_has_already_or_the_catalogue_has_not_changes_nothing(told, live, predictor):
    last = logged(told, "interest", "u7")[-1]
    live.add([event("u7", last["item"], last["time"], stars=2.0), event("u7", "i0", 0, stars=5.0)])
    live.add([event("u7", "of another catalogue", NOW, stars=5.0)])
    live.add([LiveEvent("u7", "i1", NOW, "no table of this task")])
    row = {"user": "u7", "item": "i9"}
    assert told.predict("interest", [row]) == predictor.predict("interest", [row])
