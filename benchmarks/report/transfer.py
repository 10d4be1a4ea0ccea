"""The page of transfer: from one language, and one catalogue, to another."""

from typing import Any

from benchmarks.report.formats import NAMES, difference, page, table, value
from benchmarks.transfer.catalogues import AFTER, BESIDE, METRIC, NOTHING
from peftrec.runs.metric_rows import number

_WHAT = """
Is what was learned in one language, or of one catalogue, of use in another? Recipes leave `train:` out; means over
{draws} draws. Measured at commit {commit} by `python -m benchmarks transfer --data DIR --draws {draws}`.
"""
_LANGUAGES = """
multilingual-e5-small, method `side`, learns from English texts alone and is tested in English and in Chinese. `intent`:
27 intents of support (Bitext), asked in Chinese by two utterances each that were written for this study
(`benchmarks/transfer/asked.py`). `paragraph`: which of 240 English paragraphs answers a question of XQuAD, in Chinese
by its own translations of the same test questions. The interval is over draws and test rows; *start* is where training
began.
"""
_CATALOGUES = """
Few ratings of MovieTweetings, whole users, drawn anew for each draw; is a film given 8 of 10 or more, {metric} on its
latest ratings. *From nothing*; *after* the films of ml-latest-small (4 of 5 or more) by `init_from`; *beside* them, two
catalogues in one recipe. Gains over *from nothing* are paired by draw, with intervals of a t distribution over draws.
MiniLM, method `side`; the best prior is that of *from nothing*.
"""


def transfer_page(result: dict[str, Any]) -> str:
    """A table of languages and one of catalogues."""
    metric = NAMES[METRIC]
    return page(
        "Transfer",
        _WHAT.format(**result),
        "## Learned in English, asked in Chinese",
        _LANGUAGES,
        _languages(result["languages"]),
        "## A second catalogue",
        _CATALOGUES.format(metric=metric),
        _catalogues(result["catalogues"]),
    )


def _languages(found: dict[str, Any]) -> str:
    lines = [
        [task, language, _name(of["metric"]), value(of), number(of["start"]), _priors(of["priors"])]
        for task, languages in found.items()
        for language, of in languages.items()
    ]
    return table(["task", "tested in", "metric", "result (95 %)", "start", "priors"], lines)


def _catalogues(found: dict[str, Any]) -> str:
    lines = [
        [f"{int(size):,}", *(number(of[name]) for name in (NOTHING, AFTER, BESIDE, "prior"))]
        + [difference(of["gains"][arm]) for arm in (AFTER, BESIDE)]
        for size, of in found.items()
    ]
    return table(["ratings", "from nothing", "after", "beside", "best prior", "after gains", "beside gains"], lines)


def _name(metric: str) -> str:
    return NAMES.get(metric, metric.replace("mrr", "MRR"))


def _priors(priors: dict[str, float]) -> str:
    return ", ".join(f"`{name}` {number(of)}" for name, of in priors.items() if name not in ("random", "majority"))
