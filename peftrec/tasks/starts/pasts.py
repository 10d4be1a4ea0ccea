"""What a user's past says of one item: what is left of each event's feedback once its item's rate is known.

    leaning   the mean of that: whether the user likes more than others do of the same items
    akin      what is left beyond the leaning, weighed by how alike the event's text is to the item's
    together  the same, weighed by how alike users received both, for items that the user had not met

Neighbourhood models (Sarwar et al. 2001, Koren 2008) of whatever the task counts as feedback.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np

from peftrec.data.catalogue import FOLDS, LEARNT, fold_of
from peftrec.data.examples import Examples
from peftrec.data.neighbours import Neighbours, fit_alike, left_of
from peftrec.data.rates import PSEUDO
from peftrec.tasks.priors.stored import FLOATS, WHOLE, stored
from peftrec.tasks.priors.vectors import Vectors
from peftrec.tasks.starts.base import Asked
from peftrec.tasks.starts.expected import Expected, distinct, fit_expected, likeness

PAST = 200  # newest events of a user that are read
SHARPNESS = 4  # power of cosines: of what is hardly alike there is much, which would drown the rest
DOUBT = 0.3  # weight of an event that says nothing: of a past that is hardly like the item little is believed
AT_ONCE = 256  # rows whose neighbours are looked up together
BLOCK = 8192  # rows whose columns are made together


@dataclass(frozen=True)
class Past:
    """The newest events of the users of rows (N,), as the task's own table has them, absent places on the left.

    present  bool (N, H)
    rows     int32 (N, H): text rows; -1 where absent
    items    int32 (N, H): item numbers; -1 where absent, and of what the catalogue lacks
    leaning  float64 (N,): see the module
    left     float64 (N, H): what is left of the feedback beyond the leaning; 0 where absent
    """

    present: np.ndarray
    rows: np.ndarray
    items: np.ndarray
    leaning: np.ndarray
    left: np.ndarray

    def take(self, index: np.ndarray) -> "Past":
        """That of some of the rows."""
        return Past(*(getattr(self, of.name)[index] for of in fields(self)))


def past_of(rows: Examples, worth: Callable[[np.ndarray], np.ndarray] | None) -> Past:
    """The past of each row. `worth`: text rows (M,) -> by how much an item's feedback is expected to differ from the
    base, float64 (M,), to which its rate is shrunk; None: by nothing."""
    rates = rows.rates
    assert rates is not None and rows.seen is not None
    log, users, stop, rated = rates.log, rows.users, rows.seen, rows.rated
    new = np.ones(len(rows), bool)  # candidates of one user stand side by side and have one past, which is read once
    new[1:] = (users[1:] != users[:-1]) | (stop[1:] != stop[:-1])
    if rated is not None:
        new[1:] |= rated[1:] != rated[:-1]
    whose = np.cumsum(new) - 1
    users, stop, rated = users[new], stop[new], None if rated is None else rated[new]
    begin = np.maximum(log.user_start[users], stop - PAST - (0 if rated is None else 1))
    place = stop[:, None] - np.arange(int((stop - begin).max(initial=0)), 0, -1)[None]  # (P, H)
    present = place >= begin[:, None]
    if rated is not None:
        present &= place != rated[:, None]
    some, of = distinct(place[present])
    times = log.times[some]
    if rated is not None:  # without times there is no before
        times = np.full(len(some), np.nan)
    texts, items = log.rows[some], log.items[some]
    # Of an event of which no time is known the rate is what it is now.
    mean, count = rates.of_items(items, rates.places(items, np.where(np.isneginf(times), np.nan, times))).T
    more = (
        np.zeros(len(some)) if worth is None else worth(texts) * PSEUDO / (np.expm1(count.astype(np.float64)) + PSEUDO)
    )
    left = np.zeros(place.shape)
    left[present] = (log.feedback[some] - mean.astype(np.float64) - more)[of]
    leaning = left.sum(1) / (present.sum(1) + PSEUDO)
    left -= np.where(present, leaning[:, None], 0)
    where = np.full((2, *place.shape), -1, np.int32)
    where[:, present] = np.stack([texts, items])[:, of]
    found = Past(present, where[0], where[1], leaning, left)
    return found if new.all() else found.take(whose)


def akin(past: Past, cosine: np.ndarray) -> np.ndarray:
    """What the past says by texts, float64 (N,), given the cosines (N, H) of its events with the rows' items."""
    weight = np.where(past.present, np.maximum(cosine, 0), 0) ** SHARPNESS
    found: np.ndarray = (weight * past.left).sum(1) / (weight.sum(1) + DOUBT)
    return found


@dataclass(frozen=True)
class Alike:
    """Which items are received alike.

    whole    by all train rows, and
    without  by those of other users than each fold's, for its train rows; none where a run was loaded
    """

    whole: Neighbours
    without: tuple[Neighbours, ...] = ()

    def together(self, rows: Examples, past: Past) -> np.ndarray:
        """What the past of each row says by items received alike, float64 (N,)."""
        if rows.fold is None or not self.without:
            return together(past, rows.item, self.whole)
        found = np.zeros(len(rows))
        for fold in np.unique(rows.fold).tolist():
            some = np.flatnonzero(rows.fold == fold)
            near = self.whole if fold < 0 else self.without[fold]
            found[some] = together(past.take(some), rows.item[some], near)
        return found

    def renumbered(self, numbers: np.ndarray) -> "Alike":
        """The same for a catalogue in which the items have other numbers, int (I,); -1 of those that it lacks."""
        near, known = self.whole, np.flatnonzero(numbers[: len(self.whole.items)] >= 0)
        size = int(numbers.max(initial=-1)) + 1
        items, weights = (
            np.zeros((size, near.items.shape[1]), np.int32),
            np.zeros((size, near.items.shape[1]), np.float32),
        )
        others = numbers[near.items[known]]
        items[numbers[known]] = np.maximum(others, 0)
        weights[numbers[known]] = np.where(others < 0, 0, near.weights[known])
        return Alike(Neighbours(items, weights))


@dataclass(frozen=True)
class Known:
    """What was fitted of items, by which pasts are read; `expected` is None where the backbone is trained itself.

    kept  the vectors of a block of rows, see `once`
    """

    alike: Alike
    expected: Expected | None
    vectors: Vectors | None = field(repr=False)
    kept: "_Once | None" = field(default=None, repr=False)

    def once(self) -> "Known":
        """The same for a block of rows, of whose texts several columns are made: each text's vector is fetched, and
        brought to length 1, once."""
        return self if self.expected is None or self.vectors is None else replace(self, kept=_Once(self._unit))

    def _unit(self, texts: np.ndarray) -> np.ndarray:
        """The vectors of text rows (N,) about the centre, of length 1, float32 (N, D)."""
        if self.kept is not None:
            return self.kept(texts)
        assert self.expected is not None and self.vectors is not None
        return self.expected.unit(self.vectors(texts))

    def blocks(self, rows: Examples) -> Iterator[Examples]:
        """Rows in blocks that are read at once; of several the texts are computed before, which shows its progress."""
        if self.vectors is not None and len(rows) > BLOCK:
            self.vectors(rows.text_rows())
        return rows.blocks(BLOCK)

    def said(self, rows: Examples) -> dict[str, np.ndarray]:
        """Of each row, float64 (N,): what the module says, and what the item's text lets expect (`expected`)."""
        nothing = np.zeros(len(rows))
        if self.expected is None or self.vectors is None:
            past = past_of(rows, None)
            said = {"expected": nothing, "akin": nothing}
        else:
            past = past_of(rows, partial(self._worth, rows))
            said = {"expected": self.expected.of_items(rows, self._unit)}
            said["akin"] = akin(past, self.likeness(rows, past.rows))
        return {**said, "leaning": past.leaning, "together": self.alike.together(rows, past)}

    def _worth(self, rows: Examples, texts: np.ndarray) -> np.ndarray:
        """What the texts of the rows' pasts let expect; the vectors of the rows' items are fetched with theirs."""
        assert self.expected is not None
        self._unit(distinct(np.append(rows.slots["item"], texts))[0])
        return self.expected.of_texts(texts, self._unit)

    def likeness(self, rows: Examples, past: np.ndarray) -> np.ndarray:
        """Cosines (N, H) of each row's item with the text rows of its past, -1 where absent; 0 without vectors."""
        if self.expected is None or self.vectors is None:
            return np.zeros(past.shape)
        return likeness(rows, past, self._unit)

    def tensors(self) -> dict[str, np.ndarray]:
        """What a run keeps of it."""
        near = self.alike.whole
        own = {"alike.items": near.items, "alike.weights": near.weights}
        if self.expected is None:
            return own
        return {**own, "expected.centre": self.expected.centre, "expected.weight": self.expected.weight}

    def renumbered(self, numbers: np.ndarray) -> "Known":
        """See `Alike.renumbered`."""
        return replace(self, alike=self.alike.renumbered(numbers))


class _Once:
    """Vectors of text rows, each once and ascending, that are kept once they were asked for."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._rows = np.zeros(0, np.int64)
        self._held: np.ndarray | None = None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        if self._held is None:
            self._rows, self._held = rows, self._vectors(rows)
        place = np.searchsorted(self._rows, rows)
        known = np.append(self._rows, -1)[place] == rows
        if len(new := rows[~known]):
            order = np.argsort(both := np.append(self._rows, new))
            self._rows, self._held = both[order], np.concatenate([self._held, self._vectors(new)])[order]
            place = np.searchsorted(self._rows, rows)
        found: np.ndarray = self._held[place]
        return found


def load_known(tensors: Mapping[str, np.ndarray], asked: Asked) -> Known:
    """What a run kept. Raises ValueError for what is none."""
    if not asked.rated:
        raise ValueError("it reads rates of items, and a row has none")
    expected = None
    if "expected.weight" in tensors:
        if asked.vectors is None:
            raise ValueError("it needs the frozen backbone's vectors")
        expected = Expected(
            stored(tensors, "expected.centre", FLOATS, asked.width),
            stored(tensors, "expected.weight", FLOATS, asked.width),
        )
    items = stored(tensors, "alike.items", WHOLE, None, None)
    weights = stored(tensors, "alike.weights", FLOATS, *items.shape)
    if items.size and not 0 <= items.min() <= items.max() < len(items):
        raise ValueError(f"alike.items: numbers from 0 to {len(items) - 1}")
    near = Neighbours(items.astype(np.int32, copy=False), weights.astype(np.float32, copy=False))
    return Known(Alike(near), expected, asked.vectors)


def fit_known(train: Examples, fitted: Examples, vectors: Vectors | None) -> Known:
    """From the train rows, and for texts from some of them. No train row is told what its own label was fitted to."""
    assert train.rates is not None
    base = train.rates.base
    expected = None if vectors is None else fit_expected(fitted, _feedback(fitted, base), vectors)
    return Known(fit_received(train, _feedback(train, base)), expected, vectors)


def _feedback(train: Examples, base: float) -> np.ndarray:
    """The rows' labels on the scale of the log's feedback, whose mean over the train rows is the base."""
    label = train.label.astype(np.float64)
    if np.isin(label, (0, 1)).all():
        return label
    return base + (label - label.mean()) / max(float(label.std()), 1e-9)


def fit_received(train: Examples, feedback: np.ndarray) -> Alike:
    """Which items the users of the train rows received alike, given their feedback (N,)."""
    every = -(-len(train) // LEARNT)
    users, items = np.asarray(train.users), np.asarray(train.item)
    some = np.flatnonzero(users // FOLDS % every == 0)  # of all folds
    users, items, size = users[some], items[some], int(items.max(initial=-1)) + 1
    left, fold = left_of(users, items, feedback[some]), fold_of(users)

    def without(one: int) -> Neighbours:
        others = fold != one
        return fit_alike(users[others], items[others], left[others], size)

    return Alike(without(-1), tuple(without(one) for one in range(FOLDS)))


def together(past: Past, item: np.ndarray, near: Neighbours) -> np.ndarray:
    """What the past says by items received alike, float64 (N,); 0 of an item that the user had met, or that `near` does
    not know."""
    met = (past.present & (past.items == item[:, None])).any(1)
    asked = np.flatnonzero((item >= 0) & (item < len(near.items)) & ~met)
    found = np.zeros(len(item))
    for some in np.split(asked, range(AT_ONCE, len(asked), AT_ONCE)):
        items, column = np.unique(item[some], return_inverse=True)
        # Candidates of one user stand side by side and have one past, which is read once.
        left, whose = past.left[some], past.items[some]
        new = np.ones(len(some), bool)
        new[1:] = (whose[1:] != whose[:-1]).any(1) | (left[1:] != left[:-1]).any(1)
        left, whose, own = left[new], whose[new], np.cumsum(new) - 1
        row, place = np.nonzero((whose >= 0) & (whose < len(near.items)))
        events, size = whose[row, place], len(whose)
        # The weights of every past, and then what is left of it by them, in one go.
        both = (
            np.append(row, row + size),
            np.tile(events, 2),
            np.append(np.ones(len(row)), left[row, place]),
        )
        scores = near.scores(2 * size, both, items).astype(np.float64)
        weight, said = scores[own, column], scores[size + own, column]
        found[some] = said / (weight + DOUBT)
    return found
