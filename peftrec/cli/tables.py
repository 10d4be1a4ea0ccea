"""A report on the terminal: each task's metrics with their intervals, beside its priors and the gain over them."""

from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from peftrec.runs.metric_rows import number, trained_on, verdict

NUMBER, WIDTH = 8, 63  # letters of a number, and of all numbers that stand beside each other with their gaps


def format_report(report: dict[str, Any]) -> Group:
    """Tables of `evaluation.evaluate`'s report, one a task or, beyond 80 columns, several; print with rich.

    A loss against a prior is shown as it is. Below stands what the marks that appear mean.
    """
    parts: list[Table | str] = []
    for name, task in report["tasks"].items():
        parts += [_task_table(name, task, of) for of in _side_by_side(list(task["metrics"]))]
        parts += _slice_tables(name, task)
        parts += [f"{metric}: no value, {reason}" for metric, reason in task["undefined"].items()]
        parts += [f"began at {task['began_at']}{_added(task)}"] if "began_at" in task else []
        parts += [f"prior {prior}: left out, {reason}" for prior, reason in task.get("left_out", {}).items()]
    gains = [gain for task in report["tasks"].values() for gain in task["gains"].values()]
    notes = ["*     the best trivial prior by that metric"] if gains else []
    if any(gain.get("interval") and verdict(gain["interval"]) == "open" for gain in gains):
        notes.append("open  the gain's interval holds 0: neither better nor worse can be told")
    return Group(*parts, *(["", *notes] if notes else []))


def _added(task: dict[str, Any]) -> str:
    """What to say where training added nothing to the start, or not all that was learned was worth keeping."""
    if not trained_on(task):
        return "; training added nothing"
    return f"; {task['kept']:.0%} of what was learned since is kept" if task.get("kept", 1) < 1 else ""


def _side_by_side(metrics: list[str]) -> list[list[str]]:
    """The metrics that stand beside each other in a table."""
    tables: list[list[str]] = [[]]
    for metric in metrics:
        if tables[-1] and sum(max(len(m), NUMBER) + 1 for m in [*tables[-1], metric]) > WIDTH:
            tables.append([])
        tables[-1].append(metric)
    return tables


def _task_table(name: str, task: dict[str, Any], metrics: list[str]) -> Table:
    """Columns are metrics; rows are the model, its interval, the priors (the best marked *), the gain over the best.

    A gain whose interval lies above 0 is called better, below 0 worse, and open otherwise.
    """
    gains = {m: gain for m, gain in task["gains"].items() if m in metrics}
    several = task.get("ranked", task["n"]) != task["n"]  # else every row is ranked, or none
    ranked = f", {task['ranked']:,} {'lists' if 'relevant' in task else 'users'} ranked" if several else ""
    not_trained = f", not trained: {task['not_trained']}" if "not_trained" in task else ""
    sample = f", every so many of {task['sample_of']:,}" if "sample_of" in task else ""
    table = _table(f"{name}: {task['n']:,} rows{sample}{ranked}{not_trained}", metrics)
    table.add_row("model", *(_value(task["metrics"][m]) for m in metrics), style="bold")
    if task["intervals"]:
        table.add_row("  95 % from\n       to", *(_ends(task["intervals"][m], "") for m in metrics), style="dim")
    if "start" in task:
        table.add_row("at start", *(_value(task["start"].get(m)) for m in metrics))
    for prior, values in task["priors"].items():
        best = {m for m in metrics if m in gains and gains[m]["prior"] == prior}
        table.add_row(prior, *(_value(values.get(m), "*" if m in best else " ") for m in metrics))
    if gains:
        intervals = {m: gains[m].get("interval") if m in gains else None for m in metrics}
        table.add_row("gain over *", *(f"{number(gains[m]['by'] if m in gains else None, '+')} " for m in metrics))
        if any(intervals.values()):
            table.add_row("  95 % from\n       to", *(_ends(intervals[m], "+") for m in metrics), style="dim")
            table.add_row("  that is", *(_verdict(intervals[m]) for m in metrics))
    return table


def _slice_tables(name: str, task: dict[str, Any]) -> list[Table | str]:
    """Columns are metrics; rows are the parts of a division, intervals, the best prior of each, what a gain is."""
    tables: list[Table | str] = []
    for by, parts in task.get("slices", {}).items():
        metrics = list(dict.fromkeys(metric for of in parts.values() for metric in of["metrics"]))
        for some in _side_by_side(metrics):
            table = _table(f"{name} by {by}", some)
            for part, of in parts.items():
                gains = [of["gains"].get(m) for m in some]
                ranked = f" ({of['ranked']:,} ranked)" if "ranked" in of else ""
                table.add_row(
                    f"{part}: {of['n']:,}{ranked}", *(_value(of["metrics"].get(m)) for m in some), style="bold"
                )
                if of["intervals"]:
                    ends = (_ends(of["intervals"].get(m), "") for m in some)
                    table.add_row("  95 % from\n       to", *ends, style="dim")
                if any(gains):
                    priors = [
                        None if g is None else of["priors"][g["prior"]][m] for g, m in zip(gains, some, strict=True)
                    ]
                    table.add_row("  best prior", *(_value(prior) for prior in priors))
                    table.add_row("  that is", *(_verdict(g.get("interval") if g else None) for g in gains))
            tables.append(table)
    return tables


def format_comparison(runs: dict[str, Any]) -> Group:
    """Tables of `comparison.compare_runs`: one a task, with each run's difference to the first, and one of costs."""
    first = next(iter(runs))
    parts: list[Table | str] = []
    for task in dict.fromkeys(task for run in runs.values() for task in run["tasks"]):
        of = {run: report["tasks"][task] for run, report in runs.items() if task in report["tasks"]}
        metrics = list(dict.fromkeys(metric for r in of.values() for metric in r["metrics"]))
        rows = next(iter(of.values()))["n"]
        for some in _side_by_side(metrics):
            table = _table(f"{task}: {rows:,} rows", some)
            for run, report in of.items():
                table.add_row(run, *(_value(report["metrics"].get(m)) for m in some), style="bold")
                if report["differences"]:
                    _add_differences(table, [report["differences"].get(m) for m in some])
            parts.append(table)
    costs = list(dict.fromkeys(name for run in runs.values() for name in run["cost"]))
    table = _table("cost", [name.replace("_", "\n") for name in costs])  # fits 80 columns
    for run, report in runs.items():
        table.add_row(run, *(_cost(report["cost"].get(name)) for name in costs))
    drawn = "a 95 % interval over users (or queries) drawn for both runs alike"
    note = f"better, worse: than {first}, by {drawn}; open: it holds 0"
    trained = [f"{run}: trained by {_settings(of['train'])}" for run, of in runs.items() if of.get("train")]
    return Group(*parts, *(["", *trained] if trained else []), table, "", note)


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _add_differences(table: Table, found: list[dict[str, Any] | None]) -> None:
    of: list[dict[str, Any]] = [one or {"by": None, "interval": None, "p": None} for one in found]
    table.add_row("  gain", *(f"{number(one['by'], '+')} " for one in of))
    table.add_row("  95 % from\n       to", *(_ends(one["interval"], "+") for one in of), style="dim")
    table.add_row("  p", *("- " if one["p"] is None else f"{one['p']:.3f} " for one in of), style="dim")
    table.add_row("  that is", *(_verdict(one["interval"]) for one in of))


def _settings(train: dict[str, Any]) -> str:
    """What a run was trained by, as keys of a recipe."""
    return ", ".join(
        f"{key}: {value:.4g}" if isinstance(value, float) else f"{key}: {value}" for key, value in train.items()
    )


def _cost(value: float | None) -> str:
    return "- " if value is None else f"{value:,.0f} " if abs(value) >= 100 else f"{value:.2f} "


def _value(value: float | None, mark: str = " ") -> str:
    return f"{number(value)}{mark}"


def _ends(ends: list[float] | None, sign: str) -> str:
    return "- " if ends is None else "\n".join(f"{number(end, sign)} " for end in ends)


def _verdict(ends: list[float] | None) -> Text:
    said = "-" if ends is None else verdict(ends)
    return Text.assemble((said, {"better": "green", "worse": "red"}.get(said, "")), " ")


def format_matrix(rows: list[dict[str, Any]]) -> Group:
    """`probe.method_matrix`'s rows as a table of methods by families, and the reasons below; print with rich."""
    heading, *lines = matrix_cells(rows)
    table = Table(*heading, box=None, padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row(*line)
    return Group(table, "", *matrix_reasons(rows))


def matrix_markdown(rows: list[dict[str, Any]]) -> str:
    """The same as Markdown, for docs/guide/methods.md."""
    heading, *lines = matrix_cells(rows)
    table = [heading, ["---"] * len(heading), *lines]
    return "\n".join(
        [*(f"| {' | '.join(line)} |" for line in table), "", *(f"- {r}" for r in matrix_reasons(rows)), ""]
    )


def matrix_cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A heading with the families, then a line a method: yes, no, or the quantisations that do (or do not) work."""
    methods, families = (list(dict.fromkeys(row[key] for row in rows)) for key in ("method", "family"))
    table = [["", *families]]
    for method in methods:
        cells = [[row for row in rows if (row["method"], row["family"]) == (method, family)] for family in families]
        table.append([method, *map(_matrix_cell, cells)])
    return table


def _matrix_cell(rows: list[dict[str, Any]]) -> str:
    names: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        names[row["ok"]].append(row["quantize"] or "unquantised")
    if not names[False]:
        return "yes"
    if not names[True]:
        return "no"
    return (
        f"not {', '.join(names[False])}" if len(names[False]) < len(names[True]) else f"only {', '.join(names[True])}"
    )


def matrix_reasons(rows: list[dict[str, Any]]) -> list[str]:
    """Why a method does not work or cannot be shared: once a reason, behind the methods, families and quantisations."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["reason"]:
            found.setdefault(row["reason"], []).append(row)
    lines = []
    for reason, concerned in found.items():
        methods = ", ".join(dict.fromkeys(row["method"] for row in concerned))
        where = [_named(rows, concerned, "family"), _named(rows, concerned, "quantize")]
        lines.append(f"{' on '.join([methods, *filter(None, where)])}: {reason}")
    return lines


def _named(rows: list[dict[str, Any]], concerned: list[dict[str, Any]], key: str) -> str:
    """The values of one column of the concerned rows; empty if they are all there are."""
    values = dict.fromkeys(row[key] for row in concerned)
    return "" if values.keys() == {row[key] for row in rows} else ", ".join(v or "unquantised" for v in values)


def format_affinity(result: dict[str, Any]) -> Group:
    """Matrices of `training.affinity`'s result: a row a task that does something, a column a task to which it is
    done; bold where the interval leaves zero out."""
    from peftrec.training.affinity.advice import MEASURES, in_words

    tasks, cells = list(result["tasks"]), {(pair["of"], pair["on"]): pair for pair in result["pairs"]}
    parts: list[Table | str] = []
    for measure, title in MEASURES.items():
        table = _table(title, [f"on {name}" for name in tasks])
        for one in tasks:
            found = [cells.get((one, other), {}).get(measure) for other in tasks]
            table.add_row(one, *(Text(in_words(measure, of), "bold" if of and of["sign"] else "dim") for of in found))
        parts += [table, ""]
    said = f"± together for all pairs: {result['level']:.1%} each, over {result['rounds']} rounds"
    rows = "; ".join(
        f"{name} {of['train']:,} rows, loss {number(of['loss_at_first'])} at first, {number(of['loss_alone'])} alone"
        for name, of in result["tasks"].items()
    )
    return Group(*parts, said, rows)
