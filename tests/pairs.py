"""Cases of three things at once without all their combinations."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any


def every_pair(first: Sequence[Any], second: Sequence[Any], third: Sequence[Any]) -> list[tuple[Any, Any, Any]]:
    """Triples in which any value of one meets any value of another, len(first) * len(second) of them: for what has no
    path of its own where three values come together. `third` is the shortest."""
    given = (first, second, third)
    places = [(i, j, (i + j) % len(third)) for i in range(len(first)) for j in range(len(second))]
    for a, b in combinations(range(3), 2):
        assert len({(of[a], of[b]) for of in places}) == len(given[a]) * len(given[b])
    return [(first[i], second[j], third[k]) for i, j, k in places]
