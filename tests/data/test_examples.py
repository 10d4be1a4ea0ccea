"""Columns of one task's rows: what rows are taken, which texts they refer to, histories as windows of the log."""

from dataclasses import replace

import numpy as np
from columns import rows

from peftrec.data import examples
from peftrec.data.examples import Examples
from peftrec.data.log import Log
from peftrec.data.signals import of_step

LOG = Log(np.array([7, 8, 9, 5], np.int32), np.arange(4), np.arange(4.0), np.array([0, 3, 4]), np.array([1, 0, 1, 1.0]))


def made():
    """Three rows: with two events before them, with none, and with one."""
    rows = np.arange(3)
    columns = {"group": np.array([0, 0, 1]), "item": rows, "time": rows.astype(float)}
    return Examples(
        {"item": np.array([1, 2, 1], np.int32)},
        np.array([1.0, 0.0, 1.0]),
        rows[:, None].astype(np.float32),
        **columns,
        log=LOG,
        start=np.array([0, 0, 3]),
        stop=np.array([2, 0, 4]),
    )


def test_rows_are_taken_in_every_column_and_the_log_is_shared():
    taken = made().take(np.array([2, 0, 0]))
    assert len(taken) == 3
    assert taken.label.tolist() == [1, 1, 1] and taken.features.tolist() == [[2], [0], [0]]
    assert taken.group.tolist() == [1, 0, 0] and taken.start.tolist() == [3, 0, 0] and taken.stop.tolist() == [4, 2, 2]
    assert taken.log is LOG


def test_the_texts_of_slots_and_windows_are_named_once():
    assert made().text_rows().tolist() == [1, 2, 5, 7, 8]  # not 9, which is in no window
    assert made().take(np.array([1])).text_rows().tolist() == [2]


def test_a_part_refers_to_its_rows_and_is_what_taking_them_gives(monkeypatch):
    rows = np.array([2, 0, 1], np.int32)
    part, taken = made().part(rows), made().take(rows)
    assert part.item.index is part.time.index is rows
    for name in ("label", "features", "group", "item", "time", "start", "stop"):
        assert np.array_equal(getattr(part, name), getattr(taken, name))
    again = part.take(np.array([1]))
    assert isinstance(again.label, np.ndarray) and again.history().rows.tolist() == [[7, 8]]
    monkeypatch.setattr(examples, "AT_ONCE", 2)
    assert part.text_rows().tolist() == taken.text_rows().tolist() == [1, 2, 5, 7, 8]


def test_where_there_are_too_many_every_so_many_are_taken():
    assert made().thinned(3).item.tolist() == [0, 1, 2]
    assert made().thinned(2).item.tolist() == [0, 1] and made().thinned(1).item.tolist() == [0]


def test_thinned_rows_are_spread_evenly():
    ten = rows(np.arange(10), np.arange(10), None, None)
    assert ten.thinned(4).label.tolist() == [0, 2, 5, 7]
    assert ten.thinned(10) is ten
    assert len(ten.thinned(0)) == 1


def test_blocks_are_all_rows_in_their_order():
    ten = rows(np.arange(10), np.arange(10), None, None)
    assert [block.label.tolist() for block in ten.blocks(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(ten.take(np.arange(0)).blocks(4)) == []


def test_without_a_catalogue_nothing_is_drawn_and_nothing_is_known_of_items():
    some = made()
    assert some.drawn(0, 3, np.arange(3)) is some
    assert some.candidate_rows().tolist() == [] and of_step(some) is None and some.barred() is None


def test_all_that_was_met_is_counted():
    of = made()
    row, _ = of.met()
    assert of.met_count().tolist() == np.bincount(row, minlength=3).tolist() == [2, 0, 1]
    beside = replace(of, own=np.array([1, -1, 3]))  # without times, the rows themselves in the log
    row, _ = beside.met()
    assert beside.met_count().tolist() == np.bincount(row, minlength=3).tolist() == [2, 3, 0]
