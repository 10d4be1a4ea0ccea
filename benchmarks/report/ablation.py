"""The page of the ablation."""

from typing import Any

from benchmarks.ablation.arms import ARMS, EARNS
from benchmarks.card.sets import SETS
from benchmarks.report.formats import difference, page, table
from peftrec.runs.metric_rows import label, number

_WHAT = """
`python -m benchmarks ablation --data DIR --rows {rows} --seeds {asked}`: logs thinned to at most {rows:,} events, of
whole users; recipes that name backbone, data and tasks, all else by default{keys}; test rows; {seeds}.

- *text*: an item is its text. *id*: an item is what is learned of it (`fusion.items`), and every text is a number that
  was drawn for the item, and says nothing. *both*: text and what is learned. *features*: both, and heads read the
  features of items and users. *joined*: those of items join their vectors too (`fusion.features`), also in histories.
- What each task begins at is the same rule in all arms: popularity, co-occurrence and rates need neither texts nor
  features, and what reads some reads those of the arm.
- Earned by *identity*: what both has over text. By *text*: both over id. By *features*: features over both. By *joining
  them*: joined over features. Above 0 is better; in brackets the 95 % interval under paired draws of users, each in all
  seeds alike.
- *cold*: no train row has the item, or the user.
"""


def ablation_page(result: dict[str, Any]) -> str:
    """Values of every arm and what each part earns, by log, task and slice."""
    keys = f" but for {', '.join(f'`{key}`' for key in result['keys'])}" if result["keys"] else ""
    seeds = "one seed" if result["seeds"] == 1 else f"means over {result['seeds']} seeds"
    heading = ["task", "metric", "rows of", "rows", *ARMS, *(f"earned by {part}" for part in EARNS)]
    parts = [_WHAT.format(rows=result["rows"], asked=result["seeds"], seeds=seeds, keys=keys)]
    for name, of in result["sets"].items():
        lines = [
            [task, label(measured["metric"]), said, f"{part['rows']:,}", *_cells(part)]
            for task, measured in of["tasks"].items()
            for said, part in measured["slices"].items()
        ]
        parts += [f"## {name}", f"{SETS[name].said}; commit {of['commit']}.", table(heading, lines)]
    return page("What text, identity and features earn", *parts)


def _cells(part: dict[str, Any]) -> list[str]:
    values = [number(part["values"][arm]) for arm in ARMS]
    gains = [part["gains"][name] for name in EARNS]
    return [*values, *(difference(None if of["interval"] is None else of) for of in gains)]
