"""The page: what a run's files hold, in the order in which people ask for it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peftrec.errors import UserError
from peftrec.evaluation.values import AT_BEST
from peftrec.machine.files import MOST_JSON, reading, refuse_output, write_output, write_text
from peftrec.machine.jsonl import read_objects
from peftrec.recipe import Recipe, dump_recipe
from peftrec.recipe.dotted import dotted
from peftrec.runs.folder import read_report
from peftrec.runs.metric_rows import arrow, label, metric_rows, number, slice_lines
from peftrec.runs.report.figures import Curve, Picture, draw
from peftrec.runs.saved import read_recipe
from peftrec.runs.schemas import Line as LineOf
from peftrec.runs.schemas import checked
from peftrec.runs.templates import templates
from peftrec.tasks.kind import Task
from peftrec.tasks.kinds import resolve
from peftrec.tasks.losses import Loss

Line = dict[str, Any]  # of metrics.jsonl

# The costs of report.json that the page shows first, in words; adapters' bytes follow, and whatever else there is.
_COSTS = {
    "train_seconds": ("training", "{:,.1f} s"),
    "total_seconds": ("with preparation and evaluation", "{:,.1f} s"),
    "examples_per_second": ("speed of training", "{:,.0f} examples/s"),
    "peak_memory_mb": ("peak memory", "{:,.0f} MB"),
    "trainable_parameters": ("trained parameters", "{:,}"),
    "total_parameters": ("parameters in all", "{:,}"),
    "backbone_mb": ("backbone in memory", "{:,.1f} MB"),
    "backbone_fp32_mb": ("backbone in fp32", "{:,.1f} MB"),
    "swap_milliseconds": ("switching tasks", "{:.4f} ms"),
    "skipped_steps": ("steps left out", "{:,}"),
}


def write_report(run: Path, output: Path | None = None, trust_code: bool = False) -> Path:
    """Write the page of a verified run to `output`, by default <run>.html beside the run; returns where it is.

    Raises UserError for a damaged run, an `output` inside the run, whose manifest names every file it holds, or one
    that exists already; the page beside the run is made anew.
    """
    run = run.resolve() if run.name in ("", "..") else run
    beside = run.parent / f"{run.name}.html"
    if output is None:
        write_text(beside, render(run, trust_code))
        return beside
    if output.resolve().is_relative_to(run.resolve()):
        raise UserError(f"{output}: inside the run, whose manifest names every file in it; name a place outside of it")
    refuse_output(output)  # before the page is drawn
    write_output(output, render(run, trust_code))
    return output


def render(run: Path, trust_code: bool = False) -> str:
    """The page of a run, as text."""
    report, recipe = read_report(run), read_recipe(run, trust_code)
    tasks = resolve(recipe)
    lines = _lines(run / "metrics.jsonl")
    with reading(run):
        return _page(run, recipe, tasks, report, lines)


def _lines(file: Path) -> list[Line]:
    with reading(file):
        if (size := file.stat().st_size) > MOST_JSON:
            raise UserError(f"{file}: {size:,} bytes are too many; at most {MOST_JSON:,}")
        lines = [checked(LineOf, line, f"{file}, line {number}") for number, line in read_objects(file).items()]
    if not lines:
        raise UserError(f"{file}: damaged: it has no line")
    return lines


def _page(run: Path, recipe: Recipe, tasks: Mapping[str, Task], report: dict[str, Any], lines: list[Line]) -> str:
    made = templates("peftrec.runs.report", escape=True)
    made.filters |= {"number": _number, "ends": _ends}
    methods = dict.fromkeys(f"{of.method} ({of.sharing})" for of in recipe.adapters.values())
    return made.get_template("page.html").render(
        name=run.resolve().name,
        recipe=recipe,
        methods=", ".join(methods),
        tasks=[_task(tasks[name], of, lines) for name, of in report["tasks"].items()],
        pictures=_training(lines),
        steps=lines[-1]["step"],
        epochs=lines[-1]["epoch"],
        costs=list(_costs(report["cost"])),
        environment=list(dotted(report["environment"])),
        yaml=dump_recipe(recipe),
    )


def _task(task: Task, report: dict[str, Any], lines: list[Line]) -> dict[str, Any]:
    rows = metric_rows(report)
    return {
        "name": task.name,
        "config": task.config,
        "report": report,
        "rows": rows,
        "start": report.get("start", {}),
        "counts": {word: sum(row.verdict == word for row in rows) for word in ("better", "open", "worse")},
        "slices": slice_lines(report),
        "undefined": {label(metric): why for metric, why in report["undefined"].items()},
        "pictures": _curves(task.name, task.loss, lines),
    }


def _curves(task: str, loss: Loss, lines: list[Line]) -> list[Picture]:
    """Training and validation loss in one panel, then every other validation metric in one of its own."""
    ends = [line for line in lines if task in line.get("valid", {})]
    valid = [_power(of["valid"][task].get(loss.metric), loss.power) for of in ends]
    learned = [
        Curve("training", _epochs(lines), [line["train_loss"].get(task) for line in lines]),
        Curve("validation", _epochs(ends), valid, True),
    ]
    if any(AT_BEST in of["valid"][task] for of in ends):
        kept = [_power(of["valid"][task].get(AT_BEST), loss.power) for of in ends]
        learned.append(Curve("of what is kept", _epochs(ends), kept, True))
    panels, drawn = [draw("loss ↓", learned)], (loss.metric, AT_BEST)
    for other in dict.fromkeys(name for line in ends for name in line["valid"][task] if name not in drawn):
        values = [line["valid"][task].get(other) for line in ends]
        title = f"validation {label(other)} {arrow(other)}"
        panels.append(draw(title, [Curve(other, _epochs(ends), values, True)]))
    return [panel for panel in panels if panel is not None]


def _training(lines: list[Line]) -> list[Picture]:
    """What does not belong to one task alone; a quantity that a run did not write is left out."""
    weights = _grouped(lines, "weight")
    panels = [
        draw("gradient norm on the adapters", _grouped(lines, "gradient_norm"), log=True),
        draw("gradient norm on text vectors", _grouped(lines, "vector_gradient_norm"), log=True),
        draw("cosine of gradients on text vectors", _grouped(lines, "vector_cosine")),
        draw("task weight", weights) if any(len({y for _, y in w.shown}) > 1 for w in weights) else None,
        draw("learning rate", _grouped(lines, "learning_rate")),
        draw("examples/s", [Curve("all tasks", _epochs(lines), [of.get("examples_per_second") for of in lines])]),
        draw("memory, MB", _grouped(lines, "memory_mb")),
        draw(
            "share of tokens that is padding", [Curve("padding", _epochs(lines), [of.get("padding") for of in lines])]
        ),
    ]
    return [panel for panel in panels if panel is not None]


def _grouped(lines: list[Line], group: str) -> list[Curve]:
    names = dict.fromkeys(name for line in lines for name in line.get(group, {}))
    return [Curve(name, _epochs(lines), [line.get(group, {}).get(name) for line in lines]) for name in names]


def _epochs(lines: list[Line]) -> list[float]:
    return [line["epoch"] for line in lines]


def _power(value: float | None, power: int) -> float | None:
    return None if value is None else value**power


def _costs(cost: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, (words, form) in _COSTS.items():
        if key in cost:
            yield words, form.format(cost[key])
    for task, size in cost.get("adapter_bytes", {}).items():
        yield f"adapter of {task}", f"{size / 1e6:,.2f} MB"
    for key, value in dotted({key: of for key, of in cost.items() if key not in (*_COSTS, "adapter_bytes")}):
        yield key.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else str(value)


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else number(value, sign).replace("-", "\N{MINUS SIGN}")


def _ends(ends: list[float] | None, sign: str = "") -> str:
    return "" if ends is None else f"{_number(ends[0], sign)} to {_number(ends[1], sign)}"
