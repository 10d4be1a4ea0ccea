"""The page of an experiment with cells: costs, metrics beside priors, paired comparisons, slices, what is left out."""

from typing import Any

from benchmarks.report.formats import NAMES, difference, page, table, value
from peftrec.runs.metric_rows import number

READING = """
Intervals are 95 %, over users (or queries) and seeds drawn together; differences are paired on the same test rows and
seeds, above 0 meaning better, said to be **better** or **worse** where the interval leaves out 0. Time is CPU
seconds of a process with one thread, the closing validation included, of the seed that took least: other work on the
machine hardly changes them. What tasks begin at is fitted before and timed apart: it is the same for all methods, but
for `full`, whose starts know no frozen vectors. Memory is the process's high-water mark once its first training,
validation included, is done. The test split is read once a cell and seed. A row that loses is printed as it is."""
HEADLINES = {
    "query": ["auc", "log_loss"],
    "interest": ["auc", "gauc", "log_loss", "ece", "hr@10"],
    "time": ["mae"],
}


def cells_page(name: str, asks: str, result: dict[str, Any], figures: set[str], priors: dict[str, Any]) -> str:
    """The page of one experiment. `figures`: the names of those that there are; `priors`: those of its tasks, as far
    as measured."""
    experiment, rows = result["experiment"], result["rows"]
    parts = [asks, _said(name, result), READING]
    parts.append(table(["cell", *COSTS], [[cell, *costs(row)] for cell, row in rows.items()]))
    for figure, what in FIGURES.items():
        if f"{name}-{figure}" in figures:
            parts.append(f"![{what}](figures/{name}-{figure}.png)")
    tasks = dict.fromkeys(task for row in rows.values() for task in row["tasks"])
    parts.append("## Metrics")
    for task in tasks:
        parts += [f"**{task}**", _metrics(task, rows, priors.get(task, {}).get("priors", {}))]
    for kind, heading in KINDS.items():
        found = [(task, lines) for task in tasks if (lines := differences(rows, kind, task))]
        if found:
            parts.append(f"## {heading}")
        for task, lines in found:
            names = [f"{NAMES.get(m, m)} gained" for m in metrics_of(task, rows)]
            parts += [f"**{task}**", table(["cell", "held against", *names], lines)]
    parts += slices(rows)
    if cut := [f"- {where(rule['cells'])}: {rule['because']}" for rule in experiment.get("left_out", [])]:
        parts += ["## Left out", "\n".join(cut)]
    if missing := [f"- {cell}: {why}" for cell, why in result["missing"].items()]:
        parts += ["## Not run", "\n".join(missing)]
    return page(f"{name}: the methods", *parts)


def _said(name: str, result: dict[str, Any]) -> str:
    """How the experiment was run."""
    experiment, rows, machine = result["experiment"], result["rows"], result["environment"]
    changes = experiment["changes"]
    swap = max(row["cost"]["swap_milliseconds"] for row in rows.values())
    commits = ", ".join(f"`{commit}`" for commit in dict.fromkeys(row["commit"] for row in rows.values()))
    said = (
        f"`python -m benchmarks full --only {name}`: recipe `{experiment['recipe']}`,"
        f" {changes['train.max_steps']} steps of {changes['train.batch_size']:,} rows; code of {commits},"
        f" {machine['cpu']}, {machine['cpu_cores']} cores, no GPU. Finished: {len(rows)} cells of"
        f" {len(rows) + len(result['missing'])}. Learning rates are those that each method has by default. Switching"
        f" from one task's adapter to another's takes {swap:.3f} ms at most."
    )
    plain = [row["cost"] for row in rows.values() if row["where"]["quantize"] == "fp32"]
    if any(cost["backbone_mb"] < 0.75 * cost["backbone_fp32_mb"] for cost in plain):
        said += " Cells named fp32 are those without quantisation: `backbone.dtype: auto` computed in bf16 here."
    if len({row["where"]["tasks"] for row in rows.values()}) > 1:
        said += " Alone, a task has the rows a step that it has among the others."
    return said


def _metrics(task: str, rows: dict[str, Any], priors: dict[str, Any]) -> str:
    """A task's headlines, a row a cell, then a row a prior."""
    metrics = metrics_of(task, rows)
    lines = [
        [cell, *(value(row["tasks"][task].get(m)) for m in metrics)]
        for cell, row in rows.items()
        if task in row["tasks"]
    ]
    lines += [[f"prior `{prior}`", *(number(of.get(m)) for m in metrics)] for prior, of in priors.items()]
    return table(["cell", *(NAMES.get(m, m) for m in metrics)], lines)


def metrics_of(task: str, rows: dict[str, Any]) -> list[str]:
    """Those of a task's headlines that there are."""
    of = [row["tasks"][task] for row in rows.values() if task in row["tasks"]]
    return [m for m in HEADLINES.get(task, ["accuracy"]) if any(m in metrics for metrics in of)]


COSTS = [
    "lr",
    "seeds",
    "trained parameters",
    "MB a task",
    "CPU s of the start",
    "CPU s a step",
    "CPU s training",
    "examples a CPU s",
    "peak MB",
]
KINDS = {
    "full": "Against full fine-tuning",
    "side": "Through the backbone's layers against the side network",
    "alone": "Co-learned against alone",
    "fp32": "Quantised against fp32",
    "shared": "Private parts against shared adapters alone",
}
FIGURES = {
    "memory": "interest AUC against peak memory",
    "time": "interest AUC against training time",
    "together": "co-learned against alone",
    "slices": "cold against warm",
}


def costs(row: dict[str, Any]) -> list[str]:
    """The cells of COSTS."""
    cost = row["cost"]
    return [
        f"{cost['lr']:g}",
        str(row["seeds"]),
        f"{cost['trainable_parameters']:,.0f}",
        f"{cost['adapter_bytes_per_task'] / 1e6:.3f}",
        f"{cost['start_cpu_seconds']:.1f}",
        f"{cost['cpu_seconds_per_step']:.2f}",
        f"{cost['cpu_seconds']:.1f}",
        f"{cost['examples_per_cpu_second']:,.0f}",
        f"{cost['peak_memory_mb']:,.0f}",
    ]


def differences(rows: dict[str, Any], kind: str, task: str) -> list[list[str]]:
    """Lines of one kind of paired comparison for one task, all its headlines beside each other."""
    return [
        [cell, base, *(difference(found[task].get(m)) for m in metrics_of(task, rows))]
        for cell, row in rows.items()
        for base, found in row["differences"].items()
        if task in found and kind_of(rows, cell, base) == kind
    ]


def kind_of(rows: dict[str, Any], cell: str, base: str) -> str:
    """What a comparison is about, of KINDS."""
    one, two = rows[cell]["where"], rows[base]["where"]
    if two["method"] != one["method"]:
        return "full" if two["method"] == "full" else "side"
    if two["tasks"] != one["tasks"]:
        return "alone"
    return "fp32" if two["quantize"] != one["quantize"] else "shared"


def slices(rows: dict[str, Any]) -> list[str]:
    """Cold and warm users and items, short and long histories, of the co-learned cells."""
    parts = []
    for task, metrics in (("interest", ["auc", "log_loss", "ece"]), ("time", ["mae"])):
        cells = {c: r["slices"][task] for c, r in rows.items() if r["slices"].get(task) and len(r["tasks"]) > 1}
        if not cells:
            continue
        parts.append(f"## Slices of {task}")
        first = next(iter(cells.values()))
        for m in metrics:
            lines = [[cell, *(number(of[part].get(m)) for part in first)] for cell, of in cells.items()]
            heading = [f"{part} ({of['n']:,.0f} rows)" for part, of in first.items()]
            parts.append(table([NAMES[m], *heading], lines))
    return parts


def where(cells: dict[str, Any]) -> str:
    """'method lora with tasks query, time'."""
    said = (f"{axis} {', '.join(names) if isinstance(names, list) else names}" for axis, names in cells.items())
    return " with ".join(said)
