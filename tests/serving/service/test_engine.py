"""The engine: what waits together is computed together, and nobody's answer depends on whose company it waited in."""

import threading
import time
from concurrent.futures import CancelledError

import pytest

from peftrec.errors import RowError, UserError
from peftrec.serving.service.engine import AT_ONCE, Engine, QueueFull, Stopped
from peftrec.serving.service.seen import Seen


class Counting(Seen):
    def __init__(self):
        self.rows, self.batches = [], []

    def queued(self, rows):
        self.rows.append(rows)

    def batch(self, rows, requests):
        self.batches.append((rows, requests))


class Held:
    """A call that waits until it is let go, so that a queue grows behind it."""

    def __init__(self, engine):
        self.entered, self.go = threading.Event(), threading.Event()
        self.future = engine.ask("held", [0], self)
        assert self.entered.wait(10)

    def __call__(self, rows):
        self.entered.set()
        assert self.go.wait(10)
        return rows


@pytest.fixture
def seen():
    return Counting()


@pytest.fixture
def engine(seen):
    made = Engine(AT_ONCE * 4, seen)
    yield made
    made.stop()


def doubled(rows):
    for number, row in enumerate(rows, 1):
        if row == "wrong":
            raise RowError(number, "it is wrong")
    return [2 * row for row in rows]


def test_rows_of_one_question_are_computed_together_and_each_gets_its_own(engine, seen):
    held = Held(engine)
    asked = [engine.ask("double", [n, n + 1], doubled) for n in range(5)]
    other = engine.ask("other", [7], lambda rows: [row + 1 for row in rows])
    assert engine.waiting == 11
    held.go.set()
    assert [of.result(10).values for of in asked] == [[2 * n, 2 * n + 2] for n in range(5)]
    assert other.result(10).values == [8]
    assert seen.batches == [(1, 1), (10, 5), (1, 1)]
    assert max(seen.rows) == 11 and seen.rows[-1] == 0
    assert asked[0].result().queue > 0 and asked[0].result().head >= 0


def test_a_batch_has_a_bound_and_lines_take_turns(engine, seen):
    held = Held(engine)
    order = []

    def noting(name):
        return lambda rows: order.append((name, len(rows))) or rows

    half = AT_ONCE // 2 + 1
    long = [engine.ask("long", list(range(half)), noting("long")) for _ in range(3)]
    short = engine.ask("short", [1], noting("short"))
    held.go.set()
    assert [of.result(10).values for of in long] == [list(range(half))] * 3
    assert short.result(10).values == [1]
    assert order == [("long", AT_ONCE), ("short", 1), ("long", half + 2)]


def test_a_request_of_many_rows_is_computed_in_parts_and_others_in_between(engine):
    held = Held(engine)
    rows, order = list(range(AT_ONCE + 5)), []

    def doubles(given):
        order.append(len(given))
        return doubled(given)

    whole = engine.ask("double", rows, doubles)
    wrong = engine.ask("wrong", [*rows, "wrong", 3], doubles)
    other = engine.ask("other", [1], doubles)
    held.go.set()
    found = whole.result(10)
    assert found.values == [2 * row for row in rows] and found.head > 0 and found.encode == 0
    assert other.result(10).values == [2]
    with pytest.raises(RowError) as caught:
        wrong.result(10)
    assert caught.value.row == len(rows) + 1
    assert order == [AT_ONCE, AT_ONCE, 1, 5, 7]
    assert engine.waiting == 0


def test_of_a_request_that_failed_the_other_parts_are_not_computed(engine):
    held, order = Held(engine), []

    def doubles(given):
        order.append(len(given))
        return doubled(given)

    failed = engine.ask("double", ["wrong", *range(2 * AT_ONCE - 1)], doubles)
    held.go.set()
    with pytest.raises(RowError):
        failed.result(10)
    assert engine.ask("double", [1], doubles).result(10).values == [2]
    assert order == [AT_ONCE, 1]
    assert engine.waiting == 0


def test_of_a_client_that_leaves_meanwhile_the_other_parts_are_not_computed(engine):
    order, entered, go = [], threading.Event(), threading.Event()

    def waits(given):
        order.append(len(given))
        entered.set()
        assert go.wait(10)
        return given

    left = engine.ask("waits", list(range(2 * AT_ONCE)), waits)
    assert entered.wait(10) and left.cancel()
    go.set()
    assert engine.ask("waits", [1], waits).result(10).values == [1]
    assert order == [AT_ONCE, 1]


def test_a_wrong_row_fails_its_own_request_alone(engine):
    held = Held(engine)
    rows = [[1, 2], [3, "wrong"], [4], ["wrong"], [5, 6, "wrong", 7], [8]]
    asked = [engine.ask("double", of, doubled) for of in rows]
    held.go.set()
    for place, row in ((1, 2), (3, 1), (4, 3)):
        with pytest.raises(RowError) as caught:
            asked[place].result(10)
        assert (caught.value.row, caught.value.problem) == (row, "it is wrong")
    assert [asked[place].result(10).values for place in (0, 2, 5)] == [[2, 4], [8], [16]]


def test_thousands_of_wrong_rows_do_not_end_the_engine(engine):
    held = Held(engine)
    asked = [engine.ask("double", ["wrong"], doubled) for _ in range(3 * AT_ONCE)]
    good = engine.ask("double", [1], doubled)
    held.go.set()
    assert good.result(30).values == [2]
    assert all(isinstance(of.exception(1), RowError) for of in asked)


def test_where_anything_else_fails_each_is_computed_alone(engine):
    def fails(rows):
        if 3 in rows:
            raise MemoryError("too much")
        return rows

    held = Held(engine)
    asked = [engine.ask("fails", [n], fails) for n in range(5)]
    refused = engine.ask("refuses", [1], lambda rows: (_ for _ in ()).throw(UserError("not so")))
    held.go.set()
    assert [of.result(10).values for n, of in enumerate(asked) if n != 3] == [[0], [1], [2], [4]]
    with pytest.raises(MemoryError):
        asked[3].result(10)
    with pytest.raises(UserError, match="not so"):
        refused.result(10)
    assert engine.alive


def test_beyond_its_bound_the_queue_refuses_and_no_answer_is_lost(seen):
    engine = Engine(4, seen)
    held = Held(engine)
    asked = [engine.ask("double", [n], doubled) for n in range(4)]
    for _ in range(3):
        with pytest.raises(QueueFull):
            engine.ask("double", [9], doubled)
    with pytest.raises(QueueFull):
        engine.ask("other", [9], doubled)
    held.go.set()
    assert [of.result(10).values for of in asked] == [[0], [2], [4], [6]]
    assert engine.ask("double", [9], doubled).result(10).values == [18]
    engine.stop()


def test_of_a_client_that_left_nothing_is_computed(engine, seen):
    computed = []
    held = Held(engine)
    asked = [engine.ask("noted", [n], lambda rows: computed.extend(rows) or rows) for n in range(3)]
    assert asked[1].cancel()
    held.go.set()
    assert [asked[n].result(10).values for n in (0, 2)] == [[0], [2]]
    assert computed == [0, 2]
    with pytest.raises(CancelledError):
        asked[1].result(1)


def test_an_engine_that_is_stopped_answers_nobody(seen):
    engine = Engine(10, seen)
    held = Held(engine)
    waiting, left = engine.ask("double", [1], doubled), engine.ask("double", [2], doubled)
    left.cancel()
    stopping = threading.Thread(target=engine.stop)
    many = engine.ask("held", [0] * 7, held)
    stopping.start()
    while engine.alive:
        time.sleep(0.001)
    held.go.set()
    stopping.join(10)
    assert held.future.result(10).values == [0]  # what it computed it answers
    for future in (waiting, many):
        with pytest.raises(Stopped):
            future.result(10)
    with pytest.raises(Stopped):
        engine.ask("double", [1], doubled)
    assert not engine.alive and engine.waiting == 0
