"""Model cards in the hub's format: a README.md for a run, and one for each task's adapter folder.

They hold nothing that tells the time or the machine: a training that is repeated writes the same cards.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from peftrec.data.examples import Dataset
from peftrec.machine.files import write_text
from peftrec.model.backbone import Backbone
from peftrec.model.co_learner import CoLearner
from peftrec.recipe import Recipe
from peftrec.runs.folder import is_plain_peft
from peftrec.runs.metric_rows import Row, metric_rows
from peftrec.tasks.kind import Task
from peftrec.tasks.rows import example_row

CARD = "README.md"


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
    write_text(folder / CARD, run_card(plain, recipe, tasks, dataset, model, report))
    for task in model.tasks:
        card = adapter_card(task, task in plain, recipe, tasks, dataset, model, report)
        write_text(folder / "adapters" / task / CARD, card)


def run_card(
    plain: list[str],
    recipe: Recipe,
    tasks: Mapping[str, Task],
    dataset: Dataset,
    model: CoLearner,
    report: dict[str, Any],
) -> str:
    """The card of a whole run: its tasks and how peftrec loads them; PEFT loads the adapters of the `plain` ones."""
    backbone = model.encoder.backbone
    methods = list(dict.fromkeys(of.method for of in recipe.adapters.values()))
    name = f"{_short(recipe)}-{'-'.join(methods)}"
    tags = {tasks[task].kind.hub_type for task in model.tasks}
    front = _front(recipe, tasks, report, model.tasks, name, "peftrec", tags.pop() if len(tags) == 1 else None, methods)
    trained, total = model.parameter_counts()
    return "\n".join(
        [
            f"---\n{front}---\n",
            f"# {name}\n",
            f"{_count(len(model.tasks), 'recommendation task')} co-learned by peftrec on one frozen language model, "
            f"{_backbone(recipe, backbone)}: {trained:,} of {total:,} parameters were trained.\n",
            "| task | question | kind | loss | λ | method | training rows |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *(_task_line(tasks[task], dataset) for task in model.tasks),
            "",
            "## Use\n",
            "In this folder:\n",
            "```python",
            "import peftrec\n",
            'predictor = peftrec.Predictor.load(".")',
            *(f'print(predictor.predict("{t}", [{_example(tasks[t], dataset)}]))' for t in model.tasks),
            "```\n",
            _plain_line(plain),
            *_measured(model.tasks, report),
            *_training(recipe, dataset),
            *_limits(model.tasks, recipe, dataset, report),
        ]
    )


def adapter_card(
    task: str,
    plain: bool,
    recipe: Recipe,
    tasks: Mapping[str, Task],
    dataset: Dataset,
    model: CoLearner,
    report: dict[str, Any],
) -> str:
    """The card of one task's adapter; with `plain`, how PEFT loads it."""
    backbone, method = model.encoder.backbone, recipe.adapters[task].method
    name = f"{_short(recipe)}-{method}-{task}"
    tag = "feature-extraction" if plain else None
    front = _front(recipe, tasks, report, [task], name, "peft" if plain else "peftrec", tag, [method])
    return "\n".join(
        [
            f"---\n{front}---\n",
            f"# {name}\n",
            f"The `{method}` adapter of the task `{task}` ({tasks[task].kind.question}), complete, over "
            f"{_backbone(recipe, backbone)}. It was co-learned with "
            f"{_count(len(model.tasks) - 1, 'other task')} by peftrec.\n",
            "## Use\n",
            *(_peft_use(recipe, backbone) if plain else [_NOT_PLAIN.format(method=method)]),
            "The task's head is not part of an adapter: whole predictions come from the run it belongs to, by "
            f'`peftrec.Predictor.load(RUN).predict("{task}", rows)`.\n',
            *_measured([task], report),
            *_training(recipe, dataset),
            *_limits([task], recipe, dataset, report),
        ]
    )


_NOT_PLAIN = "`{method}` is a method of peftrec's own: PEFT does not know it, and refuses to load this folder.\n"


def _front(
    recipe: Recipe,
    tasks: Mapping[str, Task],
    report: dict[str, Any],
    shown: list[str],
    name: str,
    library: str,
    pipeline: str | None,
    methods: list[str],
) -> str:
    """The YAML front matter, as `huggingface_hub.ModelCardData` writes and reads it."""
    base, data = recipe.backbone.name, _data_name(recipe)
    results = [
        EvalResult(
            task_type=tasks[task].kind.hub_type,
            task_name=task,
            dataset_type=data,
            dataset_name=data,
            dataset_config=task,  # else the hub would merge the results of tasks of one type
            dataset_split="test",
            metric_type=row.metric,
            metric_name=row.label,
            metric_value=round(row.value, 4),
        )
        for task in shown
        for row in metric_rows(report["tasks"][task])
        if row.value is not None
    ]
    data_ids = [data] if recipe.data.source else [path for path in _paths(recipe) if _is_hub_id(path)]
    return (
        ModelCardData(
            base_model=base if _is_hub_id(base) else None,
            library_name=library,
            pipeline_tag=pipeline,
            tags=["peftrec", "recommendation", *methods],
            datasets=data_ids or None,
            metrics=list(dict.fromkeys(row.metric for t in shown for row in metric_rows(report["tasks"][t]))),
            model_name=name,
            eval_results=results,
        ).to_yaml()
        + "\n"
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


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _backbone(recipe: Recipe, backbone: Backbone) -> str:
    held = recipe.backbone.quantize
    return (
        f"`{recipe.backbone.name}` ({backbone.num_layers} layers, width {backbone.hidden_size}, "
        f"{'unquantised' if held is None else f'in {held}'}, {backbone.pooling} pooling)"
    )


def _task_line(task: Task, dataset: Dataset) -> str:
    of = task.config
    cells = [
        task.name,
        task.kind.question,
        of.kind,
        str(of.loss),
        f"{of.weight:g}",
        f"{task.adapter.method}, {task.adapter.sharing}",
    ]
    return f"| {' | '.join(cells)} | {len(dataset.tasks[task.name].train):,} |"


def _example(task: Task, dataset: Dataset) -> str:
    """A row that the task predicts for, as Python source: of a new user, where there are users."""
    train = dataset.tasks[task.name].train
    item = dataset.item_ids[0] if dataset.item_ids else ""
    kind = task.kind
    row = example_row(kind.fields, list(train.slots), item, train.log is not None, kind.moment is not None)
    inner = ", ".join(f'"{key}": {_literal(value)}' for key, value in row.items())
    return f"{{{inner}}}"


def _literal(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain_line(plain: list[str]) -> str:
    if not plain:
        return "Its methods are peftrec's own, so plain PEFT loads none of its adapters.\n"
    return (
        f"Plain PEFT loads {', '.join(f'[adapters/{t}](adapters/{t}/{CARD})' for t in plain)}; the heads stay here.\n"
    )


def _peft_use(recipe: Recipe, backbone: Backbone) -> list[str]:
    config = recipe.backbone
    options, imports = [f'"{config.name}"'], "AutoModel"
    said = f"The text's vector is the {backbone.pooling} over the hidden states of its tokens (padding left out)."
    if backbone.pooling != "mean":
        said = f"The text's vector is the hidden state of its {'first' if backbone.pooling == 'cls' else 'last'} token."
    if backbone.origin.endswith(".gguf"):
        said += f" It was trained over the weights in `{Path(backbone.origin).name}` (`gguf_file=` of Transformers)."
    lines = []
    if config.quantize is not None:
        imports += ", BitsAndBytesConfig"
        given = "load_in_8bit=True, llm_int8_threshold=0.0"
        if config.quantize != "int8":
            lines = ["import torch"]
            given = (
                f'load_in_4bit=True, bnb_4bit_quant_type="{config.quantize}", bnb_4bit_compute_dtype={backbone.dtype}'
            )
            given += ", bnb_4bit_use_double_quant=True" * config.double_quant
        options.append(f"quantization_config=BitsAndBytesConfig({given})")
        said += " peftrec also holds the token table in 16 bits, so vectors differ in their last digits"
        said += (
            "; more so on CPUs with AVX-512-BF16, where bitsandbytes computes 4-bit layers in bf16." if lines else "."
        )
    return [
        "In this folder, without peftrec:\n",
        "```python",
        *lines,
        "from peft import PeftModel",
        f"from transformers import {imports}\n",
        f"backbone = AutoModel.from_pretrained({', '.join(options)})",
        'model = PeftModel.from_pretrained(backbone, ".").eval()',
        "```\n",
        f"{said}\n",
    ]


def _measured(tasks: list[str], report: dict[str, Any]) -> list[str]:
    lines = [
        "## Results\n",
        "On the test split, beside the best of the trivial priors for each metric. Brackets hold 95 % intervals "
        "(bootstrap of whole users or queries). A gain above 0 is better than the prior whatever the metric's "
        "direction, and open where its interval holds 0.\n",
    ]
    for task in tasks:
        of = report["tasks"][task]
        lines += [
            f"### {task}: {of['n']:,} rows\n",
            "| metric | model | best prior | gain | that is |",
            "| --- | --- | --- | --- | --- |",
            *(_metric_line(row) for row in metric_rows(of)),
            "",
        ]
    return lines


def _metric_line(row: Row) -> str:
    model = f"{_number(row.value)}{_brackets(row.interval)}"
    prior = "-" if row.prior is None else f"{_number(row.prior_value)} `{row.prior}`"
    gain = "-" if row.gain is None else f"{row.gain:+.4f}{_brackets(row.gain_interval, '+')}"
    said = {"worse": "**worse**", None: "-"}.get(row.verdict, row.verdict)
    return f"| {row.label} {row.arrow} | {model} | {prior} | {gain} | {said} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _brackets(ends: list[float] | None, sign: str = "") -> str:
    return "" if ends is None else f" [{ends[0]:{sign}.4f}, {ends[1]:{sign}.4f}]"


def _training(recipe: Recipe, dataset: Dataset) -> list[str]:
    changed = recipe.model_dump(mode="json", exclude_defaults=True)
    return [
        "## Training\n",
        f"Data: {_data_name(recipe)}, {len(dataset.item_ids):,} items, {len(dataset.user_ids):,} users, split: "
        f"{recipe.data.split.kind}. The recipe, without what is left at its default:\n",
        "```yaml",
        yaml.safe_dump(changed, sort_keys=False, allow_unicode=True).rstrip(),
        "```\n",
    ]


def _limits(tasks: list[str], recipe: Recipe, dataset: Dataset, report: dict[str, Any]) -> list[str]:
    rows = [(task, row) for task in tasks for row in metric_rows(report["tasks"][task])]
    lost = [f"{row.label} of {task} against `{row.prior}`" for task, row in rows if row.verdict == "worse"]
    even = [f"{row.label} of {task} from `{row.prior}`" for task, row in rows if row.verdict == "open"]
    lines = ["## Limits\n"]
    if lost:
        lines.append(f"- It loses to a trivial prior: {'; '.join(lost)}.")
    if even:
        lines.append(f"- These tests do not tell it from a trivial prior: {'; '.join(even)}.")
    lines += [f"- {note}." for note in dataset.notes if any(note.startswith(f"{task}:") for task in tasks)]
    lines += [
        f"- Texts are cut at {recipe.backbone.max_length} tokens"
        f"{f', histories at {recipe.data.history} events' if recipe.data.events or recipe.data.source else ''}.",
        "- The results are those of one seed, on later or held-out rows of the same data.",
        "- Not measured: other data, languages and domains; fairness between groups of users or of items; what happens "
        "when its own recommendations decide what people see.",
        "- The licences of the base model and of the data apply.",
        "",
    ]
    return lines
