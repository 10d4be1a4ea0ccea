"""The page of learning curves: few labels alone, and beside a task that has many."""

from typing import Any

from benchmarks.report.formats import NAMES, difference, page, table
from peftrec.runs.metric_rows import number

_WHAT = """
Does a task of few labelled texts gain where another task, of many, is trained beside it? MiniLM, method `{method}`, no
`train:` section. {metric} on at most 1,000 test rows of classes that the train rows have; means over {draws} draws of
the target's rows, a fifth of them for validation; the other task has all rows that its data are thinned to. The gain is
paired by draw and test row, its 95 % interval over both. Measured at commit {commit}.
`python -m benchmarks curves --data DIR --draws {draws}` measures these cells, and others that are not here where the
page has fewer than it tries.
"""


def curves_page(result: dict[str, Any]) -> str:
    """A table a pair of tasks, and what they come to."""
    said = _WHAT.format(**result | {"metric": NAMES.get(result["metric"], result["metric"])})
    parts = [said, tally(result), "![Alone and together](figures/curves.png)"]
    heading = ["rows", "alone", "together", "gain (95 %)", "frozen_lr", "tfidf"]
    for of in result["pairs"].values():
        lines = [[f"{int(size):,}", *_line(cell)] for size, cell in of["sizes"].items()]
        parts += [f"## {of['said'][0].upper()}{of['said'][1:]}", table(heading, lines)]
    return page("When co-learning pays", *parts)


def tally(result: dict[str, Any]) -> str:
    """In how many cells together is better and worse, by intervals that leave out zero."""
    intervals = [cell["interval"] for of in result["pairs"].values() for cell in of["sizes"].values()]
    better, worse = sum(low > 0 for low, _ in intervals), sum(high < 0 for _, high in intervals)
    return f"Of {len(intervals)} cells together is better in {better} and worse in {worse}; nothing tells the others."


def _line(cell: dict[str, Any]) -> list[str]:
    gain = difference({"by": cell["gain"], "interval": cell["interval"]})
    values = (cell["alone"], cell["together"])
    return [*map(number, values), gain, *(number(cell["priors"][name]) for name in ("frozen_lr", "tfidf"))]
