"""The page of peftrec beside well-known recommenders."""

from statistics import fmean
from typing import Any

from benchmarks.card.sets import SETS
from benchmarks.recommending.logs import LOGS, METRICS, RATED
from benchmarks.report.formats import difference, page, table
from peftrec.runs.metric_rows import label, number

OWN, ITEMS, WITH_TEXT = "peftrec", "peftrec, fusion.items", "SASRec over texts"
AIM = 0.755  # interest AUC on MovieLens-100k

_WHAT = """
`python -m benchmarks recommending --data DIR --rows {rows}{asked}`: which item of the whole catalogue a user does
next. Logs are thinned to at most {rows:,} events, of whole users, as on [the score card](score-card.md); the latest
fifth are the test rows, each ranked from what its user did strictly before it. What a user had before is no candidate,
but where repeats are allowed (online-retail). One code ranks the lists of all, and the rows are the same.

- *peftrec*: a recipe that names backbone, data and the task, all else by default{keys}. With *fusion.items*, of
  the first seed, something is learned of each item too.
- References are fitted on the train rows alone and read the user's whole past up to the row; *popularity* counts the
  days before the row, the test rows' too, which peftrec also knows. ALS, BPR and item-kNN are implicit's; SASRec is in
  PyTorch's modules, by the softmax over all items that train rows have; *SASRec over texts* takes a linear map of what
  the same frozen backbone says of an item's text for the item, so that it knows items that training never saw.
- Their constants are chosen by nDCG@10 on the validation rows, with the first seed, from the middle of a ladder: a rung
  up or down as long as that is better, 12 tries at most, of SASRec 3, each trained until validation gains nothing more.
- Means over seeds. Gains are peftrec's over each, with the 95 % interval under paired draws of users, each in all seeds
  alike: above 0 is better for peftrec. Of few users they are rough.
- *cold*: no train row has the item, or the user. *repeats*: of items that the user had before; *new*: of the others.
"""


def recommending_page(result: dict[str, Any], short: dict[str, Any] | None = None) -> str:
    """Aims, values and gains by log, what was chosen, and interest; `short`: what `make bench` measured."""
    keys = f" but for {', '.join(f'`{key}`' for key in result['keys'])}" if result["keys"] else ""
    most = max(of["seeds"] for of in result["logs"].values())
    asked = f" --seeds {most}" + (f" --keys {' '.join(result['keys'])}" if result["keys"] else "")
    parts = [_WHAT.format(rows=result["rows"], keys=keys, asked=asked)]
    parts += ["## Aims", table(["aim", "where", "measured", ""], aims(result))]
    waiting = [name for name in LOGS if name not in result["logs"]]
    waiting += [f"interest on {name}" for name in RATED if name not in result["interest"]]
    parts += [f"Not measured yet: {', '.join(waiting)}."] if waiting else []
    parts += ["![what peftrec gains over each](figures/recommending.png)"]
    for name, of in result["logs"].items():
        parts += [f"## {name}", *_log(name, of)]
    if result["interest"]:
        parts += ["## Will it be liked", *_interest(result["interest"])]
    if short is not None:
        parts += ["## The short form", _SHORT.format(rows=short["rows"])]
        parts += [part for name, of in short["logs"].items() for part in _log(name, of)[:2]]
    return page("Beside well-known recommenders", *parts)


_SHORT = "What `make bench` measures: one log of {rows:,} events and one seed."


def aims(result: dict[str, Any]) -> list[list[str]]:
    """Each aim on each log, and whether it is met."""
    lines = []
    for name, of in result["logs"].items():
        hits = of["metrics"]["hr@10"]
        gains = hits["all"]["gains"]
        level = [other for other, gain in gains.items() if not gain["interval"] or gain["interval"][0] <= 0]
        said = f"not beyond chance over {', '.join(level)}" if level else "beyond chance over each"
        lines.append(["HR@10 above every reference", name, said, _met(not level)])
    for name, of in result["logs"].items():
        cold = of["metrics"]["hr@10"].get("cold items")
        if cold is not None:
            own, text = cold["values"][OWN], cold["values"][WITH_TEXT]
            said = f"{own:.4f} and {text:.4f} (popularity {cold['values']['popularity']:.4f}) of {cold['rows']:,} rows"
            gain = cold["gains"][WITH_TEXT]["interval"]
            sure = gain is not None and gain[0] > 0
            said += "" if sure else ", within chance"
            lines.append([f"HR@10 on cold items twice that of {WITH_TEXT}", name, said, _met(sure and own >= 2 * text)])
    if reports := result["interest"].get("movielens-100k"):
        value = fmean(report["metrics"]["auc"] for report in reports)
        lines.append([f"interest AUC above {AIM}", "movielens-100k", f"{value:.4f}", _met(value > AIM)])
    if reports := result["interest"].get("ml-latest-small"):
        ends = [report["gains"]["auc"]["interval"][0] for report in reports]
        by = fmean(report["gains"]["auc"]["by"] for report in reports)
        said = f"{by:+.4f} of AUC, the intervals' least {min(ends):+.4f}"
        lines.append(["interest above its best prior", "ml-latest-small", said, _met(min(ends) > 0)])
    return lines


def _met(is_so: bool) -> str:
    return "**met**" if is_so else "missed"


def _log(name: str, of: dict[str, Any]) -> list[str]:
    seeds = "one seed" if of["seeds"] == 1 else f"{of['seeds']} seeds"
    arms = list(of["metrics"]["hr@10"]["all"]["values"])
    heading = [
        "what",
        *(f"{label(metric)}" for metric in METRICS),
        *(f"{label(m)} gained over it" for m in METRICS[:2]),
    ]
    lines = []
    for arm in arms:
        whole = [of["metrics"][metric]["all"] for metric in METRICS]
        gains = [difference(part["gains"][arm]) if arm in part["gains"] else "-" for part in whole[:2]]
        lines.append([arm, *(number(part["values"][arm]) for part in whole), *gains])
    parts = {said: part for said, part in of["metrics"]["hr@10"].items() if said != "all"}
    by_part = [[arm, *(number(part["values"][arm]) for part in parts.values())] for arm in arms]
    rows = f"{of['metrics']['hr@10']['all']['rows']:,} test rows of {of['users']:,} users"
    found = [
        f"{SETS[name].said}; {rows}; {seeds}; commit {of['commit']}.",
        table(heading, lines),
    ]
    if parts:
        found += ["HR@10 of parts of the rows:", table(["what", *(_rows(*one) for one in parts.items())], by_part)]
    return [*found, *([_items(of["items"])] if "items" in of else []), _chosen(of)]


def _items(metrics: dict[str, Any]) -> str:
    """What is gained by learning something of each item."""
    lines = []
    for said, part in metrics["hr@10"].items():
        both = [metrics[metric].get(said) for metric in METRICS[:2]]
        shown = [[number(of["values"][ITEMS]), difference(of["gains"][ITEMS])] if of else ["-", "-"] for of in both]
        lines.append([_rows(said, part), *shown[0], *shown[1]])
    heading = ["with fusion.items, of", *(f for m in METRICS[:2] for f in (label(m), "gained by it"))]
    return table(heading, lines)


def _rows(said: str, part: dict[str, Any]) -> str:
    return f"{said} ({part['rows']:,})"


def _chosen(of: dict[str, Any]) -> str:
    """What each reference took, of how many tries, and where that was an end of a ladder."""
    lines = []
    for name, reference in of["references"].items():
        said = ", ".join(f"{constant} {value:g}" for constant, value in reference["chosen"].items())
        ends = f"; at the end of its ladder: {', '.join(reference['at_end'])}" if reference["at_end"] else ""
        lines.append(f"{name}: {said} ({len(reference['tried'])} tries, {reference['cpu_seconds']:.0f} s{ends})")
    own = f"peftrec {of['cpu_seconds'][OWN]:.0f} s"
    return f"Chosen, and CPU seconds of choosing and measuring: {'; '.join(lines)}; {own}."


def _interest(interest: dict[str, list[dict[str, Any]]]) -> list[str]:
    """AUC of whole logs by seeds, beside the best prior."""
    lines = []
    for name, reports in interest.items():
        gains = [report["gains"]["auc"] for report in reports]
        prior = gains[0]["prior"]
        lines.append(
            [
                name,
                f"{reports[0]['n']:,}",
                ", ".join(number(report["metrics"]["auc"]) for report in reports),
                f"{number(reports[0]['priors'][prior]['auc'])} `{prior}`",
                "; ".join(difference(gain) for gain in gains),
            ]
        )
    said = (
        "Interest, whether a film gets 4 stars or more, alone and by the recipe above, on the whole log with strict"
        " histories: a value and a gain a seed, intervals over users."
    )
    return [said, table(["log", "test rows", "AUC", "best prior", "gain over it"], lines)]
