"""Constants chosen on validation rows: the same search for every reference, from the middle of wide ladders."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Ladders = Mapping[str, Sequence[Any]]  # constant -> values that may suit, in order


def climb(
    ladders: Ladders, begin: Mapping[str, Any], value: Callable[[dict[str, Any]], float], most: int
) -> list[dict[str, Any]]:
    """What was tried, {constant: its value, "value": what `value` gave}, the best first; at most so many.

    One constant after another is moved a rung up or down while that is better, until no rung beside the best is.
    """
    names, tried = list(ladders), dict[tuple[int, ...], float]()
    best = tuple(list(ladders[name]).index(begin[name]) for name in names)

    def of(place: tuple[int, ...]) -> dict[str, Any]:
        return {name: ladders[name][n] for name, n in zip(names, place, strict=True)}

    def better(place: tuple[int, ...]) -> bool:
        inside = all(0 <= n < len(ladders[name]) for name, n in zip(names, place, strict=True))
        if not inside or place in tried or len(tried) >= most:
            return False
        tried[place] = value(of(place))
        return tried[place] > tried[best]

    tried[best], moved = value(of(best)), True
    while moved:
        moved = False
        for axis in range(len(names)):
            for step in (1, -1):
                while better(there := tuple(n + step * (a == axis) for a, n in enumerate(best))):
                    best, moved = there, True
    order = sorted(tried, key=lambda place: -tried[place])
    return [{**of(place), "value": tried[place]} for place in order]


def at_end(ladders: Ladders, chosen: Mapping[str, Any]) -> list[str]:
    """The constants whose chosen value is the first or the last of their ladder."""
    return [name for name, rungs in ladders.items() if chosen[name] in (rungs[0], rungs[-1])]
