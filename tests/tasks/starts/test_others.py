"""What other tables say of a row, by plain loops over the events."""

import numpy as np
import pytest
from eventful import parts, two_tables

from peftrec.tasks.starts.others import are_several, of_others


def test_what_was_met_and_how_popular_the_item_was_elsewhere():
    (few, seen), dataset = two_tables()
    checked = 0
    for rows in parts(dataset.tasks["task"]).values():
        assert are_several(rows)
        found = of_others(rows)
        for n, (user, item, time) in enumerate(zip(rows.users, rows.item, rows.time, strict=True)):
            met = sum(int(((of.user == user) & (of.time < time)).sum()) for of in (few, seen))
            then = seen.time < time
            there = int((then & (seen.item == item)).sum())
            assert found[n] == pytest.approx([np.log1p(met), np.log((1 + there) / (1 + then.sum()))])
            checked += met > 20  # a history holds fewer
    assert checked > 20


def test_without_times_what_is_known_to_the_row_counts_but_for_the_row_itself():
    _, dataset = two_tables(times=False)
    task, inside = dataset.tasks["task"], 0
    for rows in parts(task).values():
        found, log = of_others(rows), rows.log
        there = log.items[log.marks == 1]
        for n, (user, item) in enumerate(zip(rows.users, rows.item, strict=True)):
            met = int((log.users == user).sum()) - int(rows.own[n] >= 0)
            share = (1 + (there == item).sum()) / (1 + len(there))
            assert found[n] == pytest.approx([np.log1p(met), np.log(share)])
            inside += rows.own[n] >= 0
    assert inside == len(task.train)


def test_of_its_own_table_alone_there_are_no_others():
    _, dataset = two_tables(history=["few"])
    assert not any(are_several(rows) for rows in parts(dataset.tasks["task"]).values())
