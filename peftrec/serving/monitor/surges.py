"""Whether a label is more frequent in a window than it used to be: the tail of a beta-binomial over earlier windows.

Of c_i texts with the label among n_i in each of B earlier windows, the rate is p = (sum c + 1/2) / (sum n + 1). Windows
differ by more than chance, as texts about one event come together: their variance is n p (1-p) (1 + (n-1) r), that of a
beta-binomial (Skellam 1948) whose r makes Pearson's statistic what it should be (Williams 1982). Taken is not B - 1, on
average right, but the quantile `CAREFUL` of chi-squared, an upper bound of r: few windows know it badly. What p itself
may be wrong by is added to r, as Farrington et al. (1996) do for counts of diseases.

An alarm is a tail below the window's share of the false alarms that are allowed, divided by the topics that are judged
(Bonferroni): on average there are at most so many of them, however topics and windows depend on each other, and a
window is judged when it closes.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, chdtri, gammaln

LEAST = 24  # earlier windows of a topic without which none is judged
CAREFUL = 0.1  # how often the true over-dispersion may lie above what is taken for it


@dataclass(frozen=True)
class Verdict:
    """What is said of a topic's window; `expected` and `p` are None where too little is known of earlier ones."""

    texts: int
    count: int
    expected: float | None
    p: float | None
    alarm: bool


class Surges:
    """Judges window after window, and remembers of each topic the last `baseline` that had texts of it.

    Those with an alarm too: without them the past would seem calmer than it was, and what lasts becomes usual.
    """

    def __init__(self, alarms: float, baseline: int) -> None:
        """`alarms`: false ones a window, on average at most, of all topics together."""
        self._alarms, self._baseline = alarms, baseline
        self._past: dict[str | None, deque[tuple[int, int]]] = {}

    def judge(self, window: Mapping[str | None, tuple[int, int]]) -> dict[str | None, Verdict]:
        """The verdict on each topic's (texts, how many of them have the label) in the next window."""
        past = {topic: self._past.setdefault(topic, deque(maxlen=self._baseline)) for topic in window}
        judged = sum(len(windows) >= LEAST for windows in past.values())
        found = {}
        for topic, (texts, count) in window.items():
            expected = p = None
            if len(past[topic]) >= LEAST:
                expected, p = surge(np.array(past[topic], float), texts, count)
            found[topic] = Verdict(texts, count, expected, p, alarm=p is not None and p <= self._alarms / judged)
            past[topic].append((texts, count))
        return found


def surge(past: np.ndarray, texts: int, count: int) -> tuple[float, float]:
    """The expected count among `texts`, and the probability of `count` or more, given earlier windows (B, 2)."""
    of, found = past.T
    rate = (found.sum() + 0.5) / (of.sum() + 1)
    spread = over_dispersion(of, found, rate)
    error = (of * (1 + (of - 1) * spread)).sum() / of.sum() ** 2  # of the rate, as a share of p (1-p)
    return rate * texts, tail(texts, count, rate, min(spread + error, 0.999))


def over_dispersion(of: np.ndarray, found: np.ndarray, rate: float) -> float:
    """An upper bound of r, the correlation of labels within a window: 0 to 1."""
    squares = (found - of * rate) ** 2 / (of * rate * (1 - rate))
    wanted = chdtri(len(of) - 1, 1 - CAREFUL)

    def above(spread: float) -> float:
        return float((squares / (1 + (of - 1) * spread)).sum() - wanted)

    if above(0.0) <= 0:
        return 0.0
    return 1.0 if above(1.0) >= 0 else float(brentq(above, 0.0, 1.0))


def tail(texts: int, count: int, rate: float, spread: float) -> float:
    """The probability of `count` or more of `texts` by a beta-binomial of this mean rate and correlation, above 0."""
    a, b = rate * (1 - spread) / spread, (1 - rate) * (1 - spread) / spread
    k = np.arange(count, texts + 1)
    choose = gammaln(texts + 1) - gammaln(k + 1) - gammaln(texts - k + 1)
    return float(min(np.exp(choose + betaln(k + a, texts - k + b) - betaln(a, b)).sum(), 1.0))
