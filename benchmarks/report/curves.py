"""The page of learning curves: few labels alone, and with a task that has many."""

from typing import Any

from benchmarks.report.formats import NAMES, difference, page, table
from benchmarks.studies.curves import ROUNDS
from peftrec.runs.metric_rows import number

_WHAT = """
Does a task of few labelled rows gain from another task, of many? MiniLM unless another backbone is named, no `train:`
section. A line of more than 1,000 rows is of all that there are. Values are on at most 1,000 test rows and means over
draws of the target's rows, a fifth of them for validation. A gain over alone is positive where the arm is better,
paired by draw and test row; its 95 % interval is over draws and test rows, of events over draws and users, since the
rows of one user are alike. `python -m benchmarks curves --data DIR` measures these cells, and others that are not here
where the page has fewer than it tries. An interval over two or three draws is a rough one.

- Texts: the other task has at most {others:,} of its own. Test rows are of classes that the train rows have.
- Search: judgments of some queries, drawn as rows are, beside at most {others:,} questions; queries of their own are
  tested.
- Events: of a log of at most 10,000 events of whole users the latest fifth is tested on. Of those before, the target
  (`interest`) has so many rows with their label, and the other task (`next-item`) all others, without it. To every arm
  a test row's past is known, and in it the labels of earlier test rows; the other table ends before them, and knows
  nothing of users who came later, as those of 86 % of the test rows of the film likes did.

| arm | |
| --- | --- |
| alone | the target by itself, as if there were no other task, and of events no other table |
| reading | of events: the target by itself with [histories of both tables](../guide/tables.md), no other task |
| begun | what the target begins at beside the other task (of texts `other_tasks`): nothing is trained |
| together | both tasks in one training |
| co-training | of events: what together gains over *reading*, not over alone: what the other task adds to its data |
| after | the other task first, then the target from its weights (`init_from`) |
| chosen | of alone, begun, together and after the one that gained most on pairs of other fields with as many rows |

The priors are of the target alone. `frozen_lr` and `tfidf` are logistic or ridge regression on the backbone's vectors
(of searches, on both texts') and on words; `cosine` and `lexical` rank by likeness; `item_rate` is how often the train
rows' item was liked, `rates_so_far` how often item and user were until the row. Two arms that are gone, weighted by
FAMO ([Liu et al. 2023](https://arxiv.org/abs/2306.03792)) and with a stage of each task's own after the joint training,
stand on this page at commit c3a5135: of 24 cells one was better than alone.
"""
MOST_HARM, FIELDS = 0.002, 3
TITLES = {
    "side": "Method `side`",
    "lora": "Method `lora` on the two top layers, what `auto` is for texts",
    "head_only": "Method `head_only`: only heads are trained, and nothing is shared but where they begin",
    "full": "Full fine-tuning",
    "side-smollm2": "Method `side` on SmolLM2-135M",
}
Cells = dict[str, list[dict[str, Any]]]  # pair -> what was compared, a size each
ARMS = ("reading", "begun", "together", "co-training", "after", "chosen")
_PRIORS = ("frozen_lr", "layers_lr", "tfidf", "cosine", "lexical", "rates_so_far", "item_rate")


def curves_page(result: dict[str, Any]) -> str:
    """By method a table a pair of tasks, and what they come to."""
    parts = [_WHAT.format(**result)]
    for method, pairs in result["methods"].items():
        parts += [f"## {TITLES[method]}", f"![What each arm gains over alone](figures/{figure(method)}.png)"]
        for place in range(max(len(of["metrics"]) for of in pairs.values())):
            parts += [_measured(pairs, place), tally(_cells(pairs, place)), aims(_cells(pairs, place))]
        parts += _foretold(result["foretold"].get(method))
        for of in pairs.values():
            parts.append(f"### {of['said'][0].upper()}{of['said'][1:]}")
            parts.append(f"Measured at commit {of['commit']}; intervals are over draws and {of['over']}.")
            parts += [_of_sizes(metric, cells) for metric, cells in of["metrics"].items()]
    return page("When co-learning pays", *parts)


def figure(method: str) -> str:
    """The name of a method's figure."""
    return f"curves-{method}"


def _foretold(found: dict[str, Any] | None) -> list[str]:
    """What affinity said before, beside what came of it."""
    if found is None:
        return []
    low, high = found["interval"]
    said = (
        "### What `peftrec affinity` foretold\n\n"
        f"Of the first draw, in {ROUNDS} rounds: what short trainings say that the other "
        "task does to the target, a share of its loss, beside what *together* gained over alone (of events "
        "over *reading*), a share of the loss, or of what nDCG lacks, in the mean over draws. Spearman's rank "
        f"correlation over these {len(found['cells'])} cells is {found['correlation']:+.2f} ({low:+.2f} to {high:+.2f} "
        "over resampled cells)."
    )
    cells = sorted(found["cells"], key=lambda cell: -cell["forecast"])
    lines = [
        [cell["pair"], f"{cell['size']:,}", f"{100 * cell['forecast']:+.1f} %", f"{100 * cell['found']:+.1f} %"]
        for cell in cells
    ]
    return [said, table(["target", "rows", "foretold", "came of it"], lines)]


def _metric(pair: dict[str, Any], place: int) -> str:
    """A pair's metric in that place, or its last one."""
    return list(pair["metrics"])[min(place, len(pair["metrics"]) - 1)]


def _cells(pairs: dict[str, Any], place: int) -> Cells:
    """Pair -> its cells, by the metric in that place."""
    return {name: [*of["metrics"][_metric(of, place)].values()] for name, of in pairs.items()}


def _measured(pairs: dict[str, Any], place: int) -> str:
    """Which pairs are measured by what."""
    by: dict[str, list[str]] = {}
    for name, of in pairs.items():
        by.setdefault(_metric(of, place), []).append(name)
    said = (f"{NAMES.get(metric, metric)} ({', '.join(names)})" for metric, names in by.items())
    return f"By {'; '.join(said)}:"


def _of_sizes(metric: str, cells: dict[str, dict[str, Any]]) -> str:
    """A line a size; a column each of the arms and priors that there are."""
    arms, priors = (
        [name for name in names if any(name in cell[of] for cell in cells.values())]
        for names, of in ((ARMS, "arms"), (_PRIORS, "priors"))
    )
    lines = []
    for size, cell in cells.items():
        found = [cell["arms"][arm] for arm in arms]
        gains = [_gain(of) for of in found]
        told = [number(cell["priors"][name]) if name in cell["priors"] else "-" for name in priors]
        lines.append([f"{int(size):,}", str(cell["draws"]), number(cell["alone"]), *gains, *told])
    return table(["rows", "draws", f"alone: {NAMES.get(metric, metric)}", *arms, *priors], lines)


def _gain(arm: dict[str, Any]) -> str:
    """What an arm gains over alone, or which arm it is."""
    return str(arm.get("arm") or difference({"by": arm["gain"], "interval": arm["interval"]}))


def tally(pairs: Cells) -> str:
    """In how many cells each arm is better and worse than alone, by intervals that leave out zero."""
    cells = [cell for of in pairs.values() for cell in of]
    lines = []
    for arm in ARMS:
        intervals = [cell["arms"][arm]["interval"] for cell in cells if arm in cell["arms"]]
        better, worse = sum(low > 0 for low, _ in intervals), sum(high < 0 for _, high in intervals)
        if intervals:
            told = (len(intervals), better, worse, len(intervals) - better - worse)
            lines.append([arm, *(str(count) for count in told)])
    return table(["arm", "cells", "better", "worse", "not told from alone"], lines)


def aims(pairs: Cells) -> str:
    """What was aimed at of `together`, and whether it was met."""
    gains = {name: [cell["arms"]["together"] for cell in of] for name, of in pairs.items()}
    below = [one for of in gains.values() for one in of if one["gain"] < -MOST_HARM]
    gained = [name for name, of in gains.items() if any(one["interval"][0] > 0 for one in of)]
    told = sum(one["interval"][1] < 0 for one in below)
    lines = [
        [
            f"together below alone by more than {MOST_HARM}, and by more than chance, nowhere",
            "not met" if told else "met",
            f"{len(below)} cells lie below, {told} by more than chance",
        ],
        [
            f"above alone by more than chance in {FIELDS} pairs or more",
            "met" if len(gained) >= FIELDS else "not met",
            f"{len(gained)} pairs",
        ],
    ]
    return table(["aim", "", "found"], lines)
