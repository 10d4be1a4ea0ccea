"""The best of many scores: the largest, or such as are also unlike each other."""

import numpy as np

from peftrec.data.unit import of_length_one

PART = 1024  # scores, of which the largest is looked at first
POOL = 10  # times as many items as are asked for, of which diversity chooses, and
LEAST = 100  # at least so many


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k largest scores (I,), largest first, equal ones by number; those at -inf never."""
    bound = -np.inf
    if len(scores) > k * PART:  # the k-th largest of so many parts' largest scores is no larger than the k-th of all
        parts = scores[: len(scores) // PART * PART].reshape(-1, PART).max(1)
        bound = np.partition(parts, -k)[-k] if len(parts) >= k else bound
    near = np.flatnonzero((scores >= bound) & (scores > -np.inf))
    k = min(k, len(near))
    if k == 0:
        return near
    if k < len(near):
        near = near[scores[near] >= np.partition(scores[near], -k)[-k]]
    return near[np.lexsort((near, -scores[near]))][:k]


def pool_size(k: int) -> int:
    """How many of the best items diversity chooses k of."""
    return max(LEAST, POOL * k)


def diverse(scores: np.ndarray, vectors: np.ndarray, k: int, diversity: float) -> np.ndarray:
    """Places of k of the scores (P,), in the order of maximal marginal relevance (Carbonell and Goldstein 1998).

    The first is the best; each further one has the largest (1 - diversity) times its score, brought to 0..1 among the
    P, less diversity times its largest cosine with what was taken before. Cosines are of vectors (P, D) about their
    mean, for those of some backbones all point one way. Equal ones by place.
    """
    unit = of_length_one(vectors - vectors.mean(0) if len(vectors) else vectors)
    least, most = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    worth = (1 - diversity) * (scores - least) / ((most - least) or 1)
    taken: list[int] = []
    alike, open_ = np.zeros(len(scores)), np.ones(len(scores), bool)
    while len(taken) < min(k, len(scores)):
        place = int(np.where(open_, worth - diversity * alike, -np.inf).argmax()) if taken else int(scores.argmax())
        alike = np.maximum(alike, unit @ unit[place]) if taken else unit @ unit[place]
        taken.append(place)
        open_[place] = False
    return np.array(taken, np.int64)
