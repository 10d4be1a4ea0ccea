"""The page of learning curves: few labels alone, and with a task that has many."""

from typing import Any

from benchmarks.report.formats import NAMES, difference, page, table
from peftrec.runs.metric_rows import number

_WHAT = """
Does a task of few labelled texts gain from another task, of many? MiniLM, no `train:` section; the other task has at
most {others:,} texts. Values are on at most 1,000 test rows, of classes that the train rows have, and means over draws
of the target's rows, a fifth of them for validation. A gain over alone is positive where the arm is better, paired by
draw and test row, its 95 % interval over both. Measured at commit {commit}. `python -m benchmarks curves --data DIR`
measures these cells, and others that are not here where the page has fewer than it tries. An interval over two or three
draws is a rough one.

| arm | |
| --- | --- |
| alone | the target by itself, as if there were no other task |
| begun | what the target begins at beside the other task (`other_tasks`): nothing is trained |
| together | both tasks in one training |
| after | the other task first, then the target from its weights (`init_from`) |

`frozen_lr` and `tfidf` are logistic or ridge regression on the backbone's vectors and on words, of the target alone.
Two arms that are gone, weighted by FAMO ([Liu et al. 2023](https://arxiv.org/abs/2306.03792)) and with a stage of each
task's own after the joint training, stand on this page at commit c3a5135: of 24 cells one was better than alone.
"""
MOST_HARM, FIELDS = 0.002, 3
Cells = dict[str, list[dict[str, Any]]]  # pair -> what was compared, a size each
_ARMS = ("begun", "together", "after")


def curves_page(result: dict[str, Any]) -> str:
    """By method a table a pair of tasks, and what they come to."""
    parts = [_WHAT.format(**result), "![What each arm gains over alone](figures/curves.png)"]
    for method, pairs in result["methods"].items():
        parts += [f"## Method `{method}`"]
        for place, measured in enumerate(("log-loss, prices by MAE", "macro-F1, prices by MAE")):
            parts += [f"Classes by {measured}:", tally(_cells(pairs, place)), aims(_cells(pairs, place))]
        for of in pairs.values():
            parts.append(f"### {of['said'][0].upper()}{of['said'][1:]}")
            for metric, cells in of["metrics"].items():
                heading = ["rows", "draws", f"alone: {NAMES.get(metric, metric)}", *_ARMS, "frozen_lr", "tfidf"]
                lines = [[f"{int(size):,}", str(cell["draws"]), *_line(cell)] for size, cell in cells.items()]
                parts.append(table(heading, lines))
    return page("When co-learning pays", *parts)


def _cells(pairs: dict[str, Any], place: int) -> Cells:
    """Pair -> its cells, by the metric in that place, or the one it has."""
    return {name: [*[*of["metrics"].values()][place % len(of["metrics"])].values()] for name, of in pairs.items()}


def tally(pairs: Cells) -> str:
    """In how many cells each arm is better and worse than alone, by intervals that leave out zero."""
    cells = [cell for of in pairs.values() for cell in of]
    lines = []
    for arm in _ARMS:
        intervals = [cell["arms"][arm]["interval"] for cell in cells]
        better, worse = sum(low > 0 for low, _ in intervals), sum(high < 0 for _, high in intervals)
        lines.append([arm, str(len(cells)), str(better), str(worse), str(len(cells) - better - worse)])
    return table(["arm", "cells", "better", "worse", "not told from alone"], lines)


def aims(pairs: Cells) -> str:
    """What was aimed at of `together`, and whether it was met."""
    gains = {name: [cell["arms"]["together"] for cell in of] for name, of in pairs.items()}
    below = [one for of in gains.values() for one in of if one["gain"] < -MOST_HARM]
    gained = [name for name, of in gains.items() if any(one["interval"][0] > 0 for one in of)]
    told = sum(one["interval"][1] < 0 for one in below)
    lines = [
        [
            f"together below alone by more than {MOST_HARM} nowhere",
            "met" if not below else "not met",
            f"{len(below)} cells lie below, {told} by more than chance",
        ],
        [
            f"above alone by more than chance in {FIELDS} pairs or more",
            "met" if len(gained) >= FIELDS else "not met",
            f"{len(gained)} pairs",
        ],
    ]
    return table(["aim", "", "found"], lines)


def _line(cell: dict[str, Any]) -> list[str]:
    gains = [difference({"by": cell["arms"][arm]["gain"], "interval": cell["arms"][arm]["interval"]}) for arm in _ARMS]
    priors = [cell["priors"].get(name) for name in ("frozen_lr", "tfidf")]
    return [number(cell["alone"]), *gains, *("-" if value is None else number(value) for value in priors)]
