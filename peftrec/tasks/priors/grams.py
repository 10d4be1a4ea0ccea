"""Texts as counts of hashed n-grams, of words and of characters, and their TF-IDF."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import sparse

from peftrec.tasks.priors.stored import FLOATS, WHOLE, stored

Counter = Callable[[Sequence[str]], sparse.csr_matrix]  # at least one text -> counts float32 (N, 2 ** BITS)

BITS = 20  # of the hash: with 200,000 different n-grams a tenth share a column
UNUSUAL = 0.05  # the share of texts of which less is known than usual
AT_ONCE = 1 << 20  # characters counted in one piece: 100 MB
_TOKEN = r"\w+|[^\w\s]"  # words and single signs, so that no text is without a token
_SPACE = ord(" ")


def words(longest: int) -> Counter:
    """Words and single signs, and up to so many in a row."""

    def count(texts: Sequence[str]) -> sparse.csr_matrix:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(
            token_pattern=_TOKEN,
            ngram_range=(1, longest),
            n_features=1 << BITS,
            alternate_sign=False,
            norm=None,
            dtype=np.float32,
        ).transform(texts)

    return count


def characters(shortest: int, longest: int) -> Counter:
    """Runs of so many characters, a text's begin and end counting as spaces.

    Counted by numpy over all texts at once: ten times as fast as scikit-learn, which makes a string of each.
    """

    def count(texts: Sequence[str]) -> sparse.csr_matrix:
        plain = [" ".join(["", *text.lower().split(), ""]) for text in texts]
        ends = np.cumsum([0, *map(len, plain)])
        cuts = np.searchsorted(ends, np.arange(0, ends[-1], AT_ONCE)).tolist()
        pieces = [plain[start:stop] for start, stop in pairwise([*cuts, len(plain)]) if stop > start]
        return sparse.vstack([_count_runs(piece, shortest, longest) for piece in pieces], "csr")

    return count


def _count_runs(texts: list[str], shortest: int, longest: int) -> sparse.csr_matrix:
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    text = np.repeat(np.arange(len(texts)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(codes))
    rows, columns, key = [], [], np.zeros(len(codes), np.uint64)
    for length in range(1, longest + 1):
        key = key[: len(codes) - length + 1] * np.uint64(0x9E3779B97F4A7C15) + codes[length - 1 :] + np.uint64(1)
        if length >= shortest:
            inside = left[: len(key)] >= length
            if length == 1:
                inside &= codes != _SPACE
            mixed = key[inside]
            mixed = (mixed ^ mixed >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
            rows.append(text[: len(key)][inside])
            columns.append((mixed >> np.uint64(64 - BITS)).astype(np.int32))
    row, column = np.concatenate(rows), np.concatenate(columns)
    return sparse.coo_matrix((np.ones(len(row), np.float32), (row, column)), (len(texts), 1 << BITS)).tocsr()


@dataclass(frozen=True)
class TfIdf:
    """Counts of several sorts as TF-IDF side by side, each sort's rows of length 1, as scikit-learn computes it with a
    sublinear frequency.

    columns  of each sort the columns that count, int32 (K,), ascending; others do not
    rarity   float32 (K,): log((1 + N) / (1 + texts that have it)) + 1
    usual    of each sort the least share of a text's n-grams that count in nearly all texts that are asked; 0: unknown
    """

    columns: tuple[np.ndarray, ...]
    rarity: tuple[np.ndarray, ...]
    usual: tuple[float, ...]

    def __call__(self, counts: Sequence[sparse.csr_matrix]) -> sparse.csr_matrix:
        """TF-IDF float32 (N, columns of all sorts)."""
        from sklearn.preprocessing import normalize

        parts = []
        for of, columns, rarity in zip(counts, self.columns, self.rarity, strict=True):
            some = of[:, columns]
            weighted = ((1 + np.log(some.data)) * rarity[some.indices]).astype(np.float32)
            parts.append(normalize(sparse.csr_matrix((weighted, some.indices, some.indptr), some.shape), copy=False))
        return sparse.hstack(parts, "csr")

    def known(self, counts: Sequence[sparse.csr_matrix]) -> np.ndarray:
        """How much is known of each text, float32 (N,), from 0 to 1, which is as much as usual.

        Of a text in another language that is what it happens to have, which a length of 1 makes as loud as a whole one.
        """
        found = np.ones(counts[0].shape[0], np.float32)
        for of, columns, usual in zip(counts, self.columns, self.usual, strict=True):
            if usual:
                found = np.minimum(found, _share(of, columns) / usual)
        return found

    def asked(self, counts: Sequence[sparse.csr_matrix]) -> "TfIdf":
        """The same for texts such as those that were counted, of which it was not made."""
        shares = (_share(of, columns) for of, columns in zip(counts, self.columns, strict=True))
        return replace(self, usual=tuple(float(np.quantile(share, UNUSUAL)) for share in shares))


def _share(counts: sparse.csr_matrix, columns: np.ndarray) -> np.ndarray:
    """The share of each text's n-grams that stand in these columns, float32 (N,)."""
    counted = np.zeros(counts.shape[1], np.float32)
    counted[columns] = 1
    share: np.ndarray = (counts @ counted) / np.maximum(np.ravel(counts.sum(1)), 1)
    return share


def tf_idf(counts: Sequence[sparse.csr_matrix], most: int) -> TfIdf:
    """Of the columns that these counts (N, 2 ** BITS) have; of more than `most` a sort those that most texts have."""
    columns, rarity = [], []
    for of in counts:
        having = np.bincount(of.indices, minlength=of.shape[1])
        known = np.flatnonzero(having)
        if len(known) > most:
            known = np.sort(known[np.argsort(-having[known], kind="stable")[:most]])
        columns.append(known.astype(np.int32))
        rarity.append((np.log((1 + of.shape[0]) / (1 + having[known])) + 1).astype(np.float32))
    return TfIdf(tuple(columns), tuple(rarity), (0.0,) * len(columns))


def read_columns(tensors: Mapping[str, np.ndarray], sort: str) -> tuple[np.ndarray, np.ndarray]:
    """The columns of a sort of n-grams that count, and their rarity, as a run kept them under its name. Raises KeyError
    and ValueError for what is none."""
    columns = stored(tensors, f"{sort}.columns", WHOLE, None)
    if len(columns) and not 0 <= columns.min() <= columns.max() < 1 << BITS:
        raise ValueError(f"{sort}.columns: numbers from 0 to {(1 << BITS) - 1:,}")
    return columns, stored(tensors, f"{sort}.rarity", FLOATS, len(columns))
