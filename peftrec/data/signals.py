"""What is known of items for a row before anything is learnt: a few numbers an item, which a task's scores begin with.

popularity  log1p of how often it had been chosen, and
recent      of how often lately
together    log1p of what the user's newest events say for it, by which items go together
own_count   log1p of how often the user had met it; 0, as
own_last    1 / sqrt(how many events back the user last met it), where repeats are not allowed
"""

import numpy as np

from peftrec.data.catalogue import Catalogue
from peftrec.data.examples import Examples

SIGNALS = ("popularity", "recent", "together", "own_count", "own_last")
SHARED = 2  # of these the first say the same for all users at a moment
READ = 50  # newest events of a past whose neighbours are looked up
ROWS = 256  # rows whose own items are asked about together


def of_every_item(examples: Examples) -> np.ndarray:
    """The signals of the whole catalogue for every row, float32 (N, I, S)."""
    return of_items(examples, None)


def of_own_item(examples: Examples) -> np.ndarray:
    """The signals of each row's own item, float32 (N, 1, S); 0 for one that the catalogue lacks."""
    found = np.zeros((len(examples), 1, len(SIGNALS)), np.float32)
    for first in range(0, len(examples), ROWS):
        some = examples.take(np.arange(first, min(first + ROWS, len(examples))))
        items, place = np.unique(some.item, return_inverse=True)
        if items[0] < 0:
            items, place = items[1:], place - 1
        known = np.flatnonzero(place >= 0)
        of = of_items(some, items)[known, place[known]]
        if some.rated is not None:  # without times the row's own choice is among all that are counted
            of[:, :2] = np.log1p(np.expm1(of[:, :2]) - (some.rated[known] >= 0)[:, None])
        found[first + known, 0] = of
    return found


def of_step(examples: Examples) -> np.ndarray | None:
    """The signals of each row's own item, and then of every candidate, float32 (N, 1 + C, S); None for rows that rank
    no catalogue."""
    if examples.catalogue is None:
        return None
    own = of_own_item(examples)
    return own if examples.candidates is None else np.concatenate([own, of_items(examples, examples.candidates)], 1)


def _catalogue(examples: Examples) -> Catalogue:
    assert examples.catalogue is not None
    return examples.catalogue


def of_items(examples: Examples, items: np.ndarray | None) -> np.ndarray:
    """The signals of some items, by default all, for every row, float32 (N, A, S)."""
    catalogue = _catalogue(examples)
    shape = (len(examples), len(catalogue) if items is None else len(items))
    found = np.zeros((*shape, len(SIGNALS)), np.float32)
    found[:, :, 0] = catalogue.popularity(examples.time, items)
    found[:, :, 1] = catalogue.popularity(examples.time, items, lately=True)
    column = np.arange(len(catalogue))
    if items is not None:
        column[:] = -1
        column[items] = np.arange(len(items))
    row, item, back = _past(examples)
    # Without times there is no order, and all count alike.
    weight = back**-0.5 if examples.own is None else np.ones(len(back))
    folds = np.full(len(examples), -1) if examples.fold is None else np.asarray(examples.fold)
    for fold in np.unique(folds).tolist():
        of = (back <= READ) & (folds[row] == fold)
        events = (row[of], item[of], weight[of])
        found[:, :, 2] += catalogue.neighbours_for(fold).scores(events, column, shape)
    np.log1p(found[:, :, 2], out=found[:, :, 2])
    if examples.repeats:
        place = column[item]
        row, place, weight = (of[place >= 0] for of in (row, place, weight))
        count = np.bincount(row * shape[1] + place, minlength=shape[0] * shape[1]).reshape(shape)
        found[:, :, 3] = np.log1p(count)
        found[row, place, 4] = weight  # of an item met several times the newest stands last
    return found


def reached(examples: Examples) -> np.ndarray:
    """The items of which a past says more than of all others, by number, ascending: what its events go together with,
    and where repeats are allowed the events' own."""
    _, item, back = _past(examples)
    near = _catalogue(examples).neighbours.items[item[back <= READ]].ravel()
    return np.unique(np.append(near, item) if examples.repeats else near)


def _past(examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The events of the rows' whole pasts: the row (M,), the item (M,), and how many events back, 1 for the newest."""
    row, item = examples.met()
    back = np.cumsum(np.bincount(row, minlength=len(examples)))[row] - np.arange(len(row))
    known = item >= 0
    return row[known], item[known], back[known]
