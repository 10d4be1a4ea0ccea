"""Model cards in the hub's format: a README.md for a run, and one for each task's adapter folder.

card.md          what every card has: the front matter, results, training, limits
card_run.md      what a run's card says of its tasks and their use
card_adapter.md  what an adapter's card says of it and its use

They hold nothing that tells the time or the machine: a training that is repeated writes the same cards.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from peftrec.data.dataset import Dataset
from peftrec.data.features import in_words
from peftrec.machine.files import write_text
from peftrec.model.backbone import Backbone
from peftrec.model.co_learner import CoLearner
from peftrec.recipe import Recipe
from peftrec.runs.folder import is_plain_peft
from peftrec.runs.metric_rows import ends, metric_rows, number, slice_lines
from peftrec.runs.templates import templates
from peftrec.tasks.kind import Task
from peftrec.tasks.rows import example_row

CARD = "README.md"


@dataclass(frozen=True)
class _Run:
    """What a run's cards are made of; PEFT loads the adapters of the `plain` tasks."""

    recipe: Recipe
    tasks: Mapping[str, Task]
    dataset: Dataset
    model: CoLearner
    report: dict[str, Any]
    plain: list[str]

    @cached_property
    def changed(self) -> str:
        """What the recipe says beside its defaults, as YAML."""
        said = self.recipe.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(said, sort_keys=False, allow_unicode=True).rstrip()


def write_cards(
    folder: Path,
    recipe: Recipe,
    tasks: Mapping[str, Task],
    dataset: Dataset,
    model: CoLearner,
    report: dict[str, Any],
) -> None:
    """Write README.md into the run `folder` and into each of its adapters/<task>/."""
    plain = [task for task in model.tasks if is_plain_peft(folder / "adapters" / task)]
    run = _Run(recipe, tasks, dataset, model, report, plain)
    write_text(folder / CARD, _run_card(run))
    for task in model.tasks:
        write_text(folder / "adapters" / task / CARD, _adapter_card(run, task))


def _run_card(run: _Run) -> str:
    """The card of a whole run: its tasks, and how peftrec loads them."""
    shown = [run.tasks[task] for task in run.model.tasks]
    methods = list(dict.fromkeys(task.adapter.method for task in shown))
    types = {task.kind.hub_type for task in shown}
    tasks = [
        {"of": task, "rows": len(run.dataset.tasks[task.name].train), "example": _example(task, run.dataset)}
        for task in shown
    ]
    name, tag = f"{_short(run.recipe)}-{'-'.join(methods)}", types.pop() if len(types) == 1 else None
    front = _front(run, run.model.tasks, name, "peftrec", tag, methods)
    trained, total = run.model.parameter_counts()
    of_all = {"tasks": tasks, "trained": trained, "total": total, "fused": bool(run.model.fusion.held)}
    return _render("card_run.md", run, front, run.model.tasks, **of_all)


def _adapter_card(run: _Run, name: str) -> str:
    """The card of one task's adapter, and how PEFT loads it where it can."""
    task, plain = run.tasks[name], name in run.plain
    method, tag = task.adapter.method, "feature-extraction" if plain else None
    title = f"{_short(run.recipe)}-{method}-{name}"
    front = _front(run, [name], title, "peft" if plain else "peftrec", tag, [method])
    origin = Path(run.model.encoder.backbone.origin)
    return _render(
        "card_adapter.md",
        run,
        front,
        [name],
        task=task,
        others=len(run.model.tasks) - 1,
        fused=bool(run.model.fusion.read_by(name)),
        gguf=origin.name if origin.suffix == ".gguf" else None,
    )


def _render(template: str, run: _Run, front: ModelCardData, about: list[str], **own: Any) -> str:
    """A card about these tasks from its template, which `own` is for alone."""
    recipe, results = run.recipe, {task: metric_rows(run.report["tasks"][task]) for task in about}
    rows = [(task, row) for task, of in results.items() for row in of]
    made = templates("peftrec.runs", escape=False)
    made.filters |= {"number": number, "brackets": ends, "count": "{:,}".format}
    return made.get_template(template).render(
        front=front.to_yaml(),
        name=front.model_name,
        recipe=recipe,
        dataset=run.dataset,
        items=sum(len(of) for of in run.dataset.items.values()),
        backbone=run.model.encoder.backbone,
        over=_backbone(recipe, run.model.encoder.backbone),
        plain=run.plain,
        results=results,
        counts={task: run.report["tasks"][task]["n"] for task in about},
        slices={task: slice_lines(run.report["tasks"][task]) for task in about},
        gains={task: run.report["tasks"][task].get("gain") for task in about},
        lost=[f"{row.label} of {task} against `{row.prior}`" for task, row in rows if row.verdict == "worse"],
        open=[f"{row.label} of {task} from `{row.prior}`" for task, row in rows if row.verdict == "open"],
        features={task: said for task in about if (said := in_words(run.dataset.tasks[task].encodings))},
        left_out=[
            f"The prior `{prior}` of {task} is left out: {why}"
            for task in about
            for prior, why in run.report["tasks"][task].get("left_out", {}).items()
        ],
        notes=[note for note in run.dataset.notes if any(note.startswith(f"{task}:") for task in about)],
        data=_data_name(recipe),
        changed=run.changed,
        **own,
    )


def _front(
    run: _Run, tasks: list[str], name: str, library: str, pipeline: str | None, methods: list[str]
) -> ModelCardData:
    """The front matter, as the hub reads it."""
    recipe = run.recipe
    base, data = recipe.backbone.name, _data_name(recipe)
    rows = [(task, row) for task in tasks for row in metric_rows(run.report["tasks"][task])]
    results = [
        EvalResult(
            task_type=run.tasks[task].kind.hub_type,
            task_name=task,
            dataset_type=data,
            dataset_name=data,
            dataset_config=task,  # else the hub would merge the results of tasks of one type
            dataset_split="test",
            metric_type=row.metric,
            metric_name=row.label,
            metric_value=round(row.value, 4),
        )
        for task, row in rows
        if row.value is not None
    ]
    data_ids = [data] if recipe.data.source else [path for path in _paths(recipe) if _is_hub_id(path)]
    return ModelCardData(
        base_model=base if _is_hub_id(base) else None,
        library_name=library,
        pipeline_tag=pipeline,
        tags=["peftrec", "recommendation", *methods],
        datasets=data_ids or None,
        metrics=list(dict.fromkeys(row.metric for _, row in rows)),
        model_name=name,
        eval_results=results,
    )


def _is_hub_id(name: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) is not None and not Path(name).exists()


def _paths(recipe: Recipe) -> list[str]:
    data = recipe.data
    return [of.path for of in (data.items, data.events, data.queries, data.texts) if of is not None]


def _data_name(recipe: Recipe) -> str:
    return recipe.data.source or "own-tables"


def _short(recipe: Recipe) -> str:
    return Path(recipe.backbone.name).name.removesuffix(".gguf")


def _backbone(recipe: Recipe, backbone: Backbone) -> str:
    held = recipe.backbone.quantize
    return (
        f"`{recipe.backbone.name}` ({backbone.num_layers} layers, width {backbone.hidden_size}, "
        f"{'unquantised' if held is None else f'in {held}'}, {backbone.pooling} pooling)"
    )


def _example(task: Task, dataset: Dataset) -> str:
    """A row that the task predicts for, as Python source: of a new user, where there are users."""
    train = dataset.tasks[task.name].train
    items = dataset.items.get(dataset.tasks[task.name].items)
    item = items.ids[0] if items else ""
    kind = task.kind
    row = example_row(kind.fields, list(train.slots), item, train.log is not None, kind.moment is not None)
    inner = ", ".join(f'"{key}": {_literal(value)}' for key, value in row.items())
    return f"{{{inner}}}"


def _literal(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
