"""What those who ask did before: the histories that stand beside queries, for personalised search."""

from dataclasses import replace

import numpy as np

from peftrec.data.examples import Examples
from peftrec.data.log import Log, merged
from peftrec.data.tables import Events, Queries, Tables
from peftrec.data.views import Gathered, WindowStart, as_array
from peftrec.errors import UserError, shown
from peftrec.recipe import TaskConfig
from peftrec.tasks.events import tables_of


def with_pasts(
    examples: Examples, tables: Tables, config: TaskConfig, name: str, queries: Queries, rows: np.ndarray, most: int
) -> Examples:
    """The rows of queries with what their users did strictly before, at most so many events, of the tables that
    `history` names.

    `name`: of the queries' table; `rows` int32 (I,): the text row of every item. Raises UserError.
    """
    found = tables_of(tables, config.history, name, queries.catalogue, "the queries' catalogue")
    if len(set(config.history)) < len(config.history):
        raise UserError(f"history: names each table once; found {shown(config.history)}")
    timeless = [other for other in config.history if found[other].time is None]
    if queries.time is None or timeless:
        raise UserError(f"history: what was before a query is told by times; {(timeless or [name])[0]} has none")
    log = merged([_log(found[other].clicks, rows) for other in config.history])
    user, time = examples.users, examples.time
    stop = log.before(user, time)
    return replace(examples, log=log, start=as_array(WindowStart(log.user_start, user, stop, most)), stop=stop)


def askings(text: np.ndarray, queries: Queries, name: str) -> np.ndarray:
    """The number of what each row (N,) asks, by its user and its text (N,). Raises UserError where nobody asks."""
    if queries.user is None:
        raise UserError(f"history: whose it is must be known; {name} names no user")
    pairs = text * (1 + int(queries.user.max())) + queries.user
    found: np.ndarray = np.unique(pairs, return_inverse=True)[1]
    return found


def _log(events: Events, rows: np.ndarray) -> Log:
    """The events, of which nothing else is said."""
    assert events.time is not None
    alike = np.broadcast_to(np.True_, len(events))
    return Log(as_array(Gathered(rows, events.item)), events.item, events.time, events.user_start, alike)
