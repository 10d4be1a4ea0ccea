"""The page of the fields: what the shipped recipe of each is worth, and what it costs."""

from typing import Any

from benchmarks.report.card import COLUMNS, card_rows, tally
from benchmarks.report.formats import page, table

_WHAT = """
What the shipped recipe of each field is worth on real data. `python -m benchmarks fields --data DIR` reads the
published files, thinned where the second table says so, trains the recipe with nothing changed but the paths of its
files, and judges every task as [the score card](score-card.md) does. One seed.

- *start*: the model before its first step. *best prior*: the strongest of the report's own. *baseline*: the best of a
  few lines of pandas and scikit-learn each (`benchmarks/card/baselines.py`) on the same rows, chosen by the test rows,
  which favours it. *chance*: the commonest class, the median, or at random.
- *win*, *loss*: the 95 % interval of the difference to the better of prior and baseline leaves out zero; else *level*.
- The MAE of a time until the next is of log-seconds.
- News is not here: MIND may not be passed on, so that its recipe is tried on
  [made files of its form](../domains/news.md#tried) alone.
"""
_COSTS = """
CPU seconds are of the whole command `peftrec train`, on one thread, with nothing kept from before; MB are that
process's peak, and the largest of its tasks' adapters.
"""
# What docs/domains/index.md takes from the page stands between such marks.
_BEGIN, _END = (f"<!-- --8<-- [{end}:worth] -->" for end in ("start", "end"))


def fields_page(result: dict[str, Any]) -> str:
    """A table of every field's tasks, and one of what the fields were measured on and what they cost."""
    rows = [[_link(name), *cells] for name, of in result.items() for _, *cells in card_rows(name, of)]
    worth = [f"{tally(result).capitalize()}.", table(["field", *COLUMNS], rows)]
    costs = [[_link(name), *_cost(of)] for name, of in result.items()]
    heading = ["field", "recipe", "data", "CPU s", "peak MB", "adapter MB", "commit"]
    parts = ["\n\n".join([_BEGIN, *worth, _END]), "## What they cost", _COSTS, table(heading, costs)]
    return page("Fields", _WHAT, "## What they are worth", *parts)


def _link(name: str) -> str:
    """A field's name, which leads to its page from every folder of docs."""
    return f"[{name}](../domains/{name}.md)"


def _cost(of: dict[str, Any]) -> list[str]:
    numbers = [f"{of['cpu_seconds']:,.0f}", f"{of['peak_mb']:,.0f}", f"{of['adapter_mb']:.1f}"]
    return [f"`{of['recipe']}`", of["said"], *numbers, of["commit"]]
