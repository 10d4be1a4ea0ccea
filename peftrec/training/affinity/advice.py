"""What follows from the effects of tasks on each other, by rules that say nothing where an interval has zero in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, product
from typing import Any

import numpy as np

MEASURES = {
    "effect": "lower loss beside it than alone",
    "begun": "of that, where its head begins",
    "lookahead": "lower loss after a step for it",
    "cosine": "cosine of the gradients",
}
ERROR = 0.05  # chance that any of the intervals misses, all of them together

Pair = tuple[str, str]  # who does something, and to whom


@dataclass(frozen=True)
class Estimate:
    """A mean over rounds, and its interval; NaN where fewer than three rounds have a value."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves zero out, else 0."""
        return (self.low > 0) - (self.high < 0)

    def described(self) -> dict[str, Any] | None:
        """As plain values; None where there is none."""
        return None if np.isnan(self.value) else {**asdict(self), "sign": self.sign}


def in_words(measure: str, of: Mapping[str, Any] | None) -> str:
    """A value and how far its interval reaches: '+3.12 % ±1.20', of a cosine '+0.12 ±0.05'; '-' without one."""
    if of is None:
        return "-"
    value, far = of["value"], of["high"] - of["value"]
    return f"{value:+.2f} ±{far:.2f}" if measure == "cosine" else f"{100 * value:+.2f} % ±{100 * far:.2f}"


def level(intervals: int) -> float:
    """The level of each of so many intervals such that all of them hold together with 1 - ERROR (Bonferroni)."""
    return 1 - ERROR / intervals


def estimate(values: np.ndarray, level: float) -> Estimate:
    """Student's interval of the mean of rounds (R,), those without a value left out."""
    from scipy.stats import t

    defined = values[~np.isnan(values)]
    if len(defined) < 3:
        return Estimate(np.nan, np.nan, np.nan)
    far = t.ppf((1 + level) / 2, len(defined) - 1) * defined.std(ddof=1) / len(defined) ** 0.5
    return Estimate(float(defined.mean()), float(defined.mean() - far), float(defined.mean() + far))


def groups(tasks: Sequence[str], effects: Mapping[Pair, Estimate]) -> list[list[str]]:
    """The tasks in groups to learn together: beginning with all apart, the two groups that help each other most are
    joined again and again, never two of which any task harms one of the other. Groups that only might help each other,
    or of which nothing is told, are joined too: together saves time."""
    found = [[task] for task in tasks]

    def gain(one: list[str], other: list[str]) -> float:
        between = [effects[pair] for a, b in product(one, other) for pair in ((a, b), (b, a)) if pair in effects]
        if any(of.sign < 0 for of in between):
            return -np.inf
        return sum(of.value for of in between if of.sign > 0)

    while len(found) > 1:
        best = max(combinations(range(len(found)), 2), key=lambda two: gain(found[two[0]], found[two[1]]))
        one, other = (found[number] for number in best)
        if gain(one, other) == -np.inf:
            break
        found = [of for of in found if of is not one and of is not other]
        found.append(sorted(one + other, key=list(tasks).index))
    return sorted(found, key=lambda of: list(tasks).index(of[0]))


def advise(effects: Mapping[Pair, Estimate], apart: Sequence[Sequence[str]], sharing: Mapping[str, str]) -> list[str]:
    """What to do, a sentence a pair of which something is sure, and one for the groups where there are several.

    sharing  the tasks' `adapter.sharing`
    """
    said = [line for pair in effects if pair < pair[::-1] and (line := _of_pair(*pair, effects, sharing))]
    if len(apart) > 1:
        said.append("groups to train apart: " + "; ".join(", ".join(of) for of in apart))
    return said


def _of_pair(one: str, other: str, effects: Mapping[Pair, Estimate], sharing: Mapping[str, str]) -> str:
    there, back = effects[one, other], effects[other, one]
    if there.sign < back.sign:
        one, other, there, back = other, one, back, there
    helped = f"{one} helps {other} ({there.value:+.1%})"
    harmed = f"{other} harms {one} ({back.value:+.1%})"
    if (there.sign, back.sign) == (0, 0):
        return ""
    if (there.sign, back.sign) == (1, 1):
        return f"{helped}, and {other} helps {one} ({back.value:+.1%}): learn them together"
    if (there.sign, back.sign) == (1, 0):
        return f"{helped}: learn them together"
    if (there.sign, back.sign) == (1, -1):
        return (
            f"{helped} and is harmed by it ({back.value:+.1%}): train {one} first, then {other} from its run with "
            f"init_from, {one} frozen; or lower tasks.{other}.weight and measure again"
        )
    both = f"{one} and {other} harm each other ({there.value:+.1%} and {back.value:+.1%})"
    line = harmed if there.sign == 0 else both
    if "shared" in (sharing[one], sharing[other]):
        return f"{line}: measure again with adapter.sharing=shared+private; if they still do, train them apart"
    return f"{line}: train them apart, or with adapter.sharing=private"
