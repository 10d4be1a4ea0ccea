"""By whose choices it is known what goes together, where histories are of several tables: by plain loops."""

import numpy as np
import pytest
from eventful import beside, make

from peftrec.data.dataset import Dataset
from peftrec.data.joined import train_on_all
from peftrec.data.split import TRAIN, VALID, by_time, time_boundaries
from peftrec.data.texts import TextTable
from peftrec.recipe import DataConfig, SplitConfig

RANDOM = np.random.default_rng(8)
SPLIT = {"test": 0.3, "valid": 0.2}


def drawn(count, first=0):
    """Events of 4 users and 6 items from a moment on, the moments all different."""
    times = first + RANDOM.permutation(20 * count)[:count]
    return [(RANDOM.integers(4), RANDOM.integers(6), time, RANDOM.integers(1, 6)) for time in times.tolist()]


FEW, SEEN = make(drawn(40)), make(drawn(150, 100))


def task_of(few=FEW, seen=SEEN, **task):
    return beside("next-item", few, seen, repeats="allow", **task)


def inside(of, *parts):
    """Which events are of these parts."""
    return np.isin(by_time(of.time, time_boundaries(of.time, SplitConfig(**SPLIT))), parts)


def by_hand(threshold, *parts):
    """(user, item) of all that counts as chosen: of few in these parts, of seen there too and no later."""
    last, found = FEW.time[inside(FEW, *parts)].max(), []
    for of in (FEW, SEEN):
        some = inside(of, *parts) & (of.columns["rating"] >= threshold) & (of.time <= last)
        found += [(of.user[n], of.time[n], of.item[n]) for n in np.flatnonzero(some)]
    return [(user, item) for user, _, item in sorted(found)]


def pairs(choices):
    return list(zip(choices.users.tolist(), choices.items.tolist(), strict=True))


@pytest.mark.parametrize("threshold", [None, 3])
def test_those_of_all_tables_count_each_user_s_oldest_first(threshold):
    task = {} if threshold is None else {"column": "rating", "threshold": threshold}
    data = task_of(**task)
    found = pairs(data.train.catalogue.learnt)
    assert found == by_hand(threshold or 0, TRAIN)
    late = SEEN.time > FEW.time[inside(FEW, TRAIN)].max()
    assert (late & inside(SEEN, TRAIN)).any() and len(found) > len(data.train)
    assert data.valid.catalogue is data.test.catalogue is data.train.catalogue


def test_those_of_its_own_table_alone_are_as_they_were():
    data = task_of(history=["few"])
    assert pairs(data.train.catalogue.learnt) == list(
        zip(data.train.users.tolist(), data.train.item.tolist(), strict=True)
    )
    assert data.train.catalogue.later is None


def test_in_a_second_training_those_of_the_validation_rows_count_too():
    data = task_of()
    again = train_on_all(Dataset(TextTable(), {}, [], {"task": data})).tasks["task"]
    found = pairs(again.train.catalogue.learnt)
    assert found == by_hand(0, TRAIN, VALID) and len(found) > len(pairs(data.train.catalogue.learnt))
    assert again.test.catalogue is again.train.catalogue


def test_without_times_the_train_rows_of_all_tables_count():
    few, seen = (make([(of.user[n], of.item[n], 0, 3) for n in range(len(of))]) for of in (FEW, SEEN))
    few, seen = (type(of)(of.user, of.item, None, of.columns, of.user_ids) for of in (few, seen))
    data = task_of(few, seen)
    own = list(zip(data.train.users.tolist(), data.train.item.tolist(), strict=True))
    found = sorted(pairs(data.train.catalogue.learnt))
    log = data.train.log
    others = log.marks == 1
    assert found == sorted(own + list(zip(log.users[others].tolist(), log.items[others].tolist(), strict=True)))
    again = train_on_all(Dataset(TextTable(), {}, [], {"task": data})).tasks["task"]
    assert len(pairs(again.train.catalogue.learnt)) > len(found)


def test_a_table_that_comes_without_parts_is_known_up_to_the_last_train_row():
    few = make(drawn(40))
    parts = ["train" if time < 500 else "valid" if time < 600 else "test" for time in few.time.tolist()]
    few = type(few)(few.user, few.item, few.time, few.columns, few.user_ids, given=parts)
    data = task_of(few, data=DataConfig(source="x", split={"kind": "given"}))
    last = data.train.time.max()
    assert len(data.train.catalogue.learnt.items) == len(data.train) + (SEEN.time <= last).sum()
