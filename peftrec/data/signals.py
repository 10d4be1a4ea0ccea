"""What is known of items for a row before anything is learnt: a few numbers an item, which a task's scores begin with.

popularity  log1p of how often it had been chosen, and
recent      of how often lately
together    log1p of what the user's newest events say for it, by which items go together
own_count   log1p of how often the user had met it; 0, as
own_last    1 / sqrt(how many events back the user last met it), where repeats are not allowed
alike       log1p of what the user's newest events say for it, by whose texts are alike; 0 without such
"""

from dataclasses import replace

import numpy as np

from peftrec.data.catalogue import Catalogue
from peftrec.data.dataset import TaskData
from peftrec.data.examples import Examples
from peftrec.data.neighbours import Neighbours

SIGNALS = ("popularity", "recent", "together", "own_count", "own_last", "alike")
ALIKE = SIGNALS.index("alike")
SHARED = 2  # of these the first say the same for all users at a moment
READ = 50  # newest events of a past whose neighbours are looked up
ROWS = 256  # rows whose own items are asked about together


def of_every_item(examples: Examples) -> np.ndarray:
    """The signals of the whole catalogue for every row, float32 (N, I, S): computed once for the same examples, which a
    model and several priors rank one after the other."""
    kept = vars(examples)  # where cached properties are kept too
    if "every_item" not in kept:
        kept["every_item"] = of_items(examples, None)
        kept["every_item"].flags.writeable = False
    found: np.ndarray = kept["every_item"]
    return found


def of_own_item(examples: Examples) -> np.ndarray:
    """The signals of each row's own item, float32 (N, 1, S); 0 for one that the catalogue lacks."""
    found = np.zeros((len(examples), 1, len(SIGNALS)), np.float32)
    for first in range(0, len(examples), ROWS):
        some = examples.take(np.arange(first, min(first + ROWS, len(examples))))
        items, place = np.unique(some.item, return_inverse=True)
        if items[0] < 0:
            items, place = items[1:], place - 1
        known = np.flatnonzero(place >= 0)
        found[first + known, 0] = _without_itself(some.take(known), of_items(some, items)[known, place[known]])
    return found


def of_step(examples: Examples) -> np.ndarray | None:
    """The signals of each row's own item, and then of every candidate, float32 (N, 1 + C, S); None for rows that rank
    no catalogue, or one where choices do not count."""
    if examples.catalogue is None or examples.catalogue.items is None:
        return None
    if examples.candidates is None:
        return of_own_item(examples)
    others = np.setdiff1d(examples.item, examples.candidates)  # of a sample
    asked = np.append(examples.candidates, others)
    found, order = of_items(examples, asked), np.argsort(asked)
    own = found[np.arange(len(examples)), order[np.searchsorted(asked, examples.item, sorter=order)]]
    return np.concatenate([_without_itself(examples, own)[:, None], found[:, : len(examples.candidates)]], 1)


def _without_itself(examples: Examples, own: np.ndarray) -> np.ndarray:
    """The signals (N, S) of each row's own item; without times its choice is among all that are counted."""
    if examples.rated is not None:
        own[:, :SHARED] = np.log1p(np.expm1(own[:, :SHARED]) - (examples.rated >= 0)[:, None])
    return own


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
    row, item, back = _past(examples)
    # Without times there is no order, and all count alike.
    weight = back**-0.5 if examples.own is None else np.ones(len(back))
    folds = np.full(len(examples), -1) if examples.fold is None else np.asarray(examples.fold)
    for fold in np.unique(folds).tolist():
        of = np.flatnonzero(folds == fold)
        some = (back <= READ) & (folds[row] == fold)
        events = (np.searchsorted(of, row[some]), item[some], weight[some])
        found[of, :, 2] = catalogue.neighbours_for(fold).log_scores(len(of), events, items)
    if catalogue.alike is not None:
        some = back <= READ
        events = (row[some], item[some], weight[some])
        found[:, :, ALIKE] = catalogue.alike.log_scores(len(examples), events, items)
    if examples.repeats:
        column = np.arange(len(catalogue))
        if items is not None:
            column[:] = -1
            column[items] = np.arange(len(items))
        place = column[item]
        row, place, weight = (of[place >= 0] for of in (row, place, weight))
        count = np.bincount(row * shape[1] + place, minlength=shape[0] * shape[1]).reshape(shape)
        found[:, :, 3] = np.log1p(count)
        found[row, place, 4] = weight  # of an item met several times the newest stands last
    return found


def of_pasts(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The items int (A,) of which the past of any row says something, and what those of every row say of them, float32
    (N, A, S): the same as `of_items` but for what is known to all, which is 0."""
    _, item, back = _past(examples)
    assert examples.fold is None  # rows of training, which have one, read other neighbours
    catalogue, new = _catalogue(examples), np.unique(item[back <= READ])
    near = [of.beside(new) for of in (catalogue.neighbours, catalogue.alike) if of is not None]
    items = np.unique(np.concatenate([*near, item]))
    found = of_items(examples, items)
    found[:, :, :SHARED] = 0
    return items, found


def with_neighbours(data: TaskData, alike: Neighbours | None, known: Neighbours | None = None) -> TaskData:
    """A task's data, whose rows' catalogues know whose texts are `alike`, and by a run that kept it what goes together
    (`known`)."""
    made: dict[int, Catalogue] = {}  # rows go on to share what they shared

    def knowing(rows: Examples) -> Examples:
        catalogue = _catalogue(rows)
        if id(catalogue) not in made:
            made[id(catalogue)] = catalogue.with_neighbours(alike, known)
        return replace(rows, catalogue=made[id(catalogue)])

    train, valid, test = map(knowing, (data.train, data.valid, data.test))
    divided = data.divided and (knowing(data.divided[0]), knowing(data.divided[1]))
    return replace(data, train=train, valid=valid, test=test, divided=divided)


def of_nobody(catalogue: Catalogue) -> np.ndarray:
    """The signals of every item now for a user without a past, float32 (I, S)."""
    found, now = np.zeros((len(catalogue), len(SIGNALS)), np.float32), np.array([np.nan])
    found[:, 0] = catalogue.popularity(now)[0]
    found[:, 1] = catalogue.popularity(now, lately=True)[0]
    return found


def _past(examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The events of the rows' whole pasts: the row (M,), the item (M,), and how many events back, 1 for the newest."""
    row, item = examples.met()
    back = np.cumsum(np.bincount(row, minlength=len(examples)))[row] - np.arange(len(row))
    known = item >= 0
    return row[known], item[known], back[known]
