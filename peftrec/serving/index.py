"""Approximate search of a catalogue for the largest scores, for catalogues where scoring every item is too slow."""

import math
from typing import Any

import numpy as np

from peftrec.errors import UserError

CELLS_READ = 1 / 32  # of the cells: the share of a catalogue that a search looks at
WIDER = 10  # times as many items are looked at where something is added to their products
TRAINING_ROWS = 64  # items a cell that the cells are placed by


def import_faiss(reason: str) -> Any:
    """The module faiss. Raises UserError where it is not installed, which `reason` needs."""
    try:
        import faiss
    except ImportError:
        raise UserError(f"{reason} needs faiss: pip install 'peftrec[faiss]'") from None
    return faiss


class ItemIndex:
    """Inner products with vectors (I, q), through FAISS' inverted file (Douze et al. 2024, arXiv:2401.08281).

    The items are put into about 4 sqrt(I) cells, of which a search reads the nearest; scores are exact, but an item in
    a cell that was not read is missed. Raises UserError where faiss is not installed.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        faiss = import_faiss("approximate search")
        vectors = np.ascontiguousarray(vectors, np.float32)
        cells = max(1, min(len(vectors) // 40, round(4 * math.sqrt(len(vectors)))))
        kind = faiss.METRIC_INNER_PRODUCT
        self._index = faiss.IndexIVFFlat(faiss.IndexFlat(vectors.shape[1], kind), vectors.shape[1], cells, kind)
        self._index.cp.seed = 0
        self._index.nprobe = max(1, round(cells * CELLS_READ), min(cells, 8))
        rows = np.random.default_rng(0).permutation(len(vectors))[: TRAINING_ROWS * cells]
        self._index.train(vectors[np.sort(rows)])
        self._index.add(vectors)
        self._index.make_direct_map()

    def search(self, asked: np.ndarray, k: int, beside: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Numbers int64 and scores float32 of at most k items for one vector (q,), best first.

        `beside` (I,): what is added to each item's product; then the best by either alone are looked at.
        """
        asked = np.ascontiguousarray(asked[None], np.float32)
        if beside is None:
            scores, numbers = self._index.search(asked, k)
            found = numbers[0] >= 0
            return numbers[0][found], scores[0][found]
        wide = min(len(beside), WIDER * k)
        near = self._index.search(asked, wide)[1][0]
        near = np.union1d(near[near >= 0], np.argpartition(-beside, wide - 1)[:wide])
        total = self._index.reconstruct_batch(near) @ asked[0] + beside[near]
        best = np.lexsort((near, -total))[:k]
        return near[best], total[best]
