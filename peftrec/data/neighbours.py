"""Which items go together, and whose texts are alike: what the choice of one says for every other.

EASE (Steck 2019, arXiv:1905.03375), in closed form, among the items chosen most; where these are too few of what is
chosen, cosines of co-occurrence. Where choices were rated, cosines of what is
left of the ratings. In each case an item keeps its nearest alone, so that a million items take 64 MB, and a user's past
is read in as many steps as it has events times neighbours.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from peftrec.data.unit import of_length_one

EASE_ITEMS = 4096  # items that EASE is fitted among at most: 200 MB, and 7e10 operations, a few seconds of one core
EASE_COVERS = 0.8  # the least share of all choices that are of these; below it cosines know more
STRENGTH = 200.0  # of EASE's ridge, in choices
LENT = 20  # ratings of the mean square that each item's cosine is shrunk by
SLIGHT = 1e-9  # of ratings alike, which count as not alike
TURNS, BORROWED = 3, 5  # of users' and items' means, and how many ratings of the common mean each is shrunk by
RARE = 2  # choices that an item needs to go together with another
KEPT = 100  # neighbours of each item at most
ENTRIES = 1 << 23  # neighbours of all items at most, of 8 bytes each: a larger catalogue keeps fewer of each
EACH = 200  # of each user's choices the newest that count as chosen together
PAIRS = 1 << 27  # pairs of choices that are counted at most: of larger logs every so many users
AT_ONCE = 1 << 22  # pairs that are looked at together
TEXTS = 1 << 15  # items at most whose texts are compared, each with each: 8e11 operations with MiniLM, 10 to 20 seconds

Pasts = tuple[np.ndarray, np.ndarray, np.ndarray]  # as `Neighbours.scores` takes them


@dataclass(frozen=True)
class Neighbours:
    """What a choice of each item says for others: the K that it says most for, in any order.

    items    int32 (I, K)
    weights  float32 (I, K): 1 in the mean of those that are some, 0 where an item has fewer
    """

    items: np.ndarray
    weights: np.ndarray

    @cached_property
    def _matrix(self) -> Any:
        """What each item says for every other, a sparse matrix (I, I)."""
        from scipy.sparse import csr_array

        some = self.weights > 0
        start = np.append(0, np.cumsum(some.sum(1)))
        return csr_array((self.weights[some], self.items[some], start), shape=(len(self.items), len(self.items)))

    def beside(self, items: np.ndarray) -> np.ndarray:
        """The items of which a choice of any of `items` (M,) says something, ascending."""
        found: np.ndarray = np.unique(self.items[items][self.weights[items] > 0])
        return found

    def scores(self, rows: int, events: Pasts, asked: np.ndarray | None) -> np.ndarray:
        """What the pasts of so many rows say for items, by default all: float32 (N, C), 0 where nothing.

        `events`: of which row's past each is (M,), ascending, its item (M,), and how much it counts (M,). `asked` (C,):
        the items asked about, each once.
        """
        found: np.ndarray = self._said(rows, events, asked).toarray()
        return found

    def log_scores(self, rows: int, events: Pasts, asked: np.ndarray | None) -> np.ndarray:
        """log1p of `scores`."""
        said = self._said(rows, events, asked)
        said.data = np.log1p(said.data)  # of the few that something is said for
        found: np.ndarray = said.toarray()
        return found

    def _said(self, rows: int, events: Pasts, asked: np.ndarray | None) -> Any:
        from scipy.sparse import csr_array

        row, item, weight = events
        items, place = np.unique(item, return_inverse=True)
        start = np.searchsorted(row, np.arange(rows + 1))
        pasts = csr_array((weight.astype(np.float32), place, start), shape=(rows, len(items)))
        says = self._matrix[items]
        if asked is not None:  # of the few that they speak of: scipy's own way of choosing columns looks at every item
            number = np.full(len(self.items), -1, np.int32)
            number[asked] = np.arange(len(asked))
            column, speaker = number[says.indices], np.repeat(np.arange(len(items)), np.diff(says.indptr))
            there = np.flatnonzero(column >= 0)
            start = np.append(0, np.cumsum(np.bincount(speaker[there], minlength=len(items))))
            says = csr_array((says.data[there], column[there], start), shape=(len(items), len(asked)))
        return pasts @ says


def fit_neighbours(users: np.ndarray, items: np.ndarray, size: int) -> Neighbours:
    """The neighbours of a catalogue of so many items, from who chose what: `users`, `items` int (E,), each user's
    choices oldest first."""
    chosen = _chosen(users, items, size)
    counts = np.asarray(chosen.sum(0)).ravel()
    kept = min(KEPT, size, max(1, ENTRIES // max(1, size)))
    known = np.argsort(-counts, kind="stable")[:EASE_ITEMS]
    known = np.sort(known[counts[known] >= RARE])
    if counts[known].sum() >= EASE_COVERS * counts.sum():
        found = _ease(chosen[:, known], known, size, kept)
    else:
        found = _cosines(chosen, np.maximum(counts, 1), kept, RARE)
    return _scaled(*found)


def _scaled(near: np.ndarray, weights: np.ndarray) -> Neighbours:
    mean = weights[weights > 0].mean(dtype=np.float64) if (weights > 0).any() else 1.0
    return Neighbours(near, (weights / mean).astype(np.float32))


def fit_alike(users: np.ndarray, items: np.ndarray, left: np.ndarray, size: int) -> Neighbours:
    """The neighbours of a catalogue of so many items by adjusted cosine: of each those that the same users receive like
    it. `left` float (E,): what is left of the rating of each choice beyond what user and item let expect."""
    rated = _chosen(users, items, size, left)
    square = np.asarray((rated * rated).sum(0)).ravel()
    square += LENT * max(float(square.sum()) / max(1, rated.nnz), SLIGHT)
    return Neighbours(*_cosines(rated, square, min(KEPT, size, max(1, ENTRIES // max(1, size))), SLIGHT))


def fit_texts(vectors: np.ndarray) -> Neighbours:
    """The neighbours by what the frozen backbone says of the items' texts, float32 (I, D), I at most `TEXTS`: the
    fourth power of the cosine about the mean, so that what is hardly like it says nothing."""
    size = len(vectors)
    unit = of_length_one(vectors - vectors.mean(0))
    kept, block = min(KEPT, size), max(1, AT_ONCE // size)
    items, found = np.zeros((size, kept), np.int32), np.zeros((size, kept), np.float32)
    for first in range(0, size, block):
        cosine = unit[first : first + block] @ unit.T
        row = np.arange(len(cosine))
        cosine[row, first + row] = 0  # of itself other signals tell
        near = np.argpartition(-cosine, kept - 1, axis=1)[:, :kept]
        items[first + row] = near
        found[first + row] = np.maximum(np.take_along_axis(cosine, near, 1), 0) ** 4
    return _scaled(items, found)


def left_of(users: np.ndarray, items: np.ndarray, rating: np.ndarray) -> np.ndarray:
    """Ratings (E,) less what their items and users let expect: means in turn, each shrunk to that of all."""
    rating = rating - rating.mean()
    of_user = np.zeros(len(rating))
    for _ in range(TURNS):
        of_item = _mean_of(items, rating - of_user)
        of_user = _mean_of(users, rating - of_item)
    left: np.ndarray = rating - of_item - of_user
    return left


def _mean_of(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean (E,) of each value's group, shrunk to 0."""
    return (np.bincount(groups, values) / (np.bincount(groups) + BORROWED))[groups]


def _chosen(users: np.ndarray, items: np.ndarray, size: int, rating: np.ndarray | None = None) -> Any:
    """Who chose what, 1 or 0, a sparse matrix (users, items) of what is counted; or its mean rating, of those (E,)."""
    from scipy.sparse import csr_array

    order = np.argsort(users, kind="stable")
    users, items = users[order], items[order]
    start = np.flatnonzero(np.diff(users, prepend=-1))
    count = np.diff(np.append(start, len(users)))
    row = np.repeat(np.arange(len(start)), count)
    newest = (start + count)[row] - np.arange(len(users)) <= EACH
    pairs = int((np.minimum(count, EACH).astype(np.int64) ** 2).sum())
    counted = newest & (row % max(1, -(-pairs // PAIRS)) == 0)
    shape = (len(start), size)
    where = (row[counted], items[counted])
    found = csr_array((np.ones(int(counted.sum()), np.float32), where), shape=shape)
    if rating is not None:
        rated = csr_array((rating[order][counted].astype(np.float32), where), shape=shape)
        rated.data /= found.data
        return rated
    found.data[:] = 1  # one user's choices of the same item are one
    return found


def _ease(chosen: Any, known: np.ndarray, size: int, kept: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest (I, K) by EASE among the `known` items, whose columns `chosen` has, and what they weigh (I, K)."""
    from scipy.linalg import lapack

    if not len(known):  # of an empty matrix LAPACK complains on stderr
        return np.zeros((size, 0), np.int32), np.zeros((size, 0), np.float32)
    gram = np.asfortranarray((chosen.T @ chosen).toarray(), np.float64)
    gram[np.diag_indices(len(gram))] += STRENGTH
    factor, _ = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)  # its lower triangle
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    kept = min(kept, len(known))
    near = np.argpartition(-weights, kept - 1, axis=1)[:, :kept]
    items, found = np.zeros((size, kept), np.int32), np.zeros((size, kept), np.float32)
    items[known] = known[near]
    found[known] = np.maximum(np.take_along_axis(weights, near, 1), 0)
    return items, found


def _cosines(chosen: Any, square: np.ndarray, kept: int, least: float) -> tuple[np.ndarray, np.ndarray]:
    """The nearest (I, K) by the cosine of who chose them, and what they weigh (I, K): a block of items at a time.

    `square` (I,): the squared lengths of the columns; `least`: the product of two below which they are not near.
    """
    size = len(square)
    items, found = np.zeros((size, kept), np.int32), np.zeros((size, kept), np.float32)
    columns = chosen.tocsc()
    events = np.diff(chosen.indptr)
    together = np.append(0, np.cumsum(events[columns.indices], dtype=np.int64))[columns.indptr]  # pairs up to each item
    root = np.sqrt(square)
    first = 0
    while first < size:
        last = max(first + 1, int(np.searchsorted(together, together[first] + AT_ONCE, side="right")) - 1)
        both = (columns[:, first:last].T @ chosen).tocoo()
        row, item = both.coords
        weight = both.data / (root[first + row] * root[item])
        some = (first + row != item) & (both.data >= least)
        row, item, weight = row[some], item[some], weight[some]
        order = np.lexsort((-weight, row))
        row, item, weight = row[order], item[order], weight[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        nearest = place < kept
        items[first + row[nearest], place[nearest]] = item[nearest]
        found[first + row[nearest], place[nearest]] = weight[nearest]
        first = last
    return items, found
