"""What the users of some rows had met before them: their whole past, of which histories are the newest part."""

import numpy as np

from peftrec.data.examples import Examples


def met(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """The row int64 (M,) and the item (M,) of each event of the rows' whole pasts, row by row and oldest first; without
    times of what else the users did. -1 is an item that the catalogue lacks; rows without histories have no past."""
    if examples.log is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    begin, count = _span(examples)
    row = np.repeat(np.arange(len(examples)), count)
    place = np.arange(len(row)) + (begin - np.append(0, np.cumsum(count)[:-1]))[row]
    if examples.own is not None:
        others = place != examples.own[row]
        row, place = row[others], place[others]
    return row, examples.log.items[place]


def repeated(examples: Examples) -> np.ndarray:
    """Whether each row's user had met its item before, or without times beside the row, bool (N,)."""
    if examples.log is None:
        return np.zeros(len(examples), bool)
    begin, count = _span(examples)
    first, events = examples.log.first_of(examples.users, examples.item)
    found: np.ndarray = first < begin + count
    if examples.own is not None:
        found &= (first != examples.own) | (events > 1)
    return found


def barred(examples: Examples) -> np.ndarray | None:
    """Which candidates are no alternatives to a row's own item, bool (N, C): itself, one of the same text, and unless
    repeats are allowed what the user had met. None without candidates."""
    if examples.catalogue is None or examples.candidates is None:
        return None
    found: np.ndarray = examples.candidate_rows() == examples.slots["item"][:, None]
    if not examples.repeats:
        row, item = met(examples)
        column = np.full(len(examples.catalogue) + 1, -1)  # the last is of items that the catalogue lacks
        column[examples.candidates] = np.arange(len(examples.candidates))
        place = column[item]
        found[row[place >= 0], place[place >= 0]] = True
    return found


def _span(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Where each row's user begins in the log (N,), and how many events from there on are what the user had met."""
    assert examples.log is not None and examples.stop is not None
    begin, end = (examples.log.user_start[examples.users + more] for more in (0, 1))
    return begin, (examples.stop if examples.own is None else end) - begin
