"""By whose choices a task on events knows what goes together: those of its own table and of its histories' others."""

import numpy as np

from peftrec.data.catalogue import Choices
from peftrec.data.split import TRAIN
from peftrec.tasks.events import Counted, Past


def learnt(past: Past, found: np.ndarray, counted: Counted) -> Choices:
    """The choices of the train rows, of own events those that are to be `found`, bool (E,).

    Of another table of the histories what counts as chosen there is known, of its own train part and, where there are
    times, not after the last train row of the task's own table.
    """
    events, size = past.events, len(past.items)
    train = np.flatnonzero(found & (past.parts == TRAIN))
    if len(past.history) == 1:
        return Choices(events.user[train], events.item[train], size).thinned()
    last = None if events.time is None else events.time[past.parts == TRAIN].max(initial=-np.inf)
    columns = []
    for name, of in past.history.items():
        if name != past.name:
            some = (past.of_all[name] == TRAIN) & (counted(of) > 0)
            known = np.flatnonzero(some if of.time is None or last is None else some & (of.time <= last))
        else:
            known = train
        times = np.zeros(len(known)) if of.time is None else of.time[known]
        columns.append((of.user[known], of.item[known], times))
    users, items, times = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    order = np.lexsort((times, users))  # stable: at one time the tables keep their order
    return Choices(users[order], items[order], size).thinned()
