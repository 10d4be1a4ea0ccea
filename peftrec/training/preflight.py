"""What `peftrec check` says before anything is trained: data, tasks, methods, caches, parameters, memory, time."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from peftrec.data.dataset import TaskData
from peftrec.data.features import in_words
from peftrec.data.load import Ahead
from peftrec.data.summary import TableSummary
from peftrec.errors import UserError
from peftrec.evaluation.evaluate import text_rows
from peftrec.model.cache.states import StateCache
from peftrec.recipe import Recipe
from peftrec.tasks.kind import Task
from peftrec.tasks.words import first_examples
from peftrec.training.defaults import rows_an_epoch
from peftrec.training.order import make_streams
from peftrec.training.prepare import prepare
from peftrec.training.rehearsal import rehearse

NAMED = 5  # classes of a task that are named


def check(recipe: Recipe, ahead: Ahead | None = None) -> dict[str, Any]:
    """Build everything that training would, take a few steps, keep nothing, and describe it all as plain values.

    `ahead` has the tables, described, where they were read already. Raises UserErrors for whatever training would
    refuse.
    """
    setup = prepare(recipe, described=True, ahead=ahead)
    dataset, model = setup.dataset, setup.model
    encoder = model.encoder
    backbone = encoder.backbone
    _, steps, _ = make_streams(recipe, setup.config, dataset)
    needed = text_rows(dataset, setup.tasks, ["train", "valid", "test"], ranking=True)
    caches = {level: _describe_cache(of, encoder.rows_of(level, needed)) for level, of in encoder.caches.items()}
    trainable, total = model.parameter_counts()
    lengths = dataset.texts.lengths
    return {
        "tables": [_describe_table(table, setup.tasks) for table in dataset.tables],
        "data": {
            "items": sum(len(of) for of in dataset.items.values()),
            "users": len(dataset.user_ids),
            "unique_texts": len(dataset.texts),
            "tokens": int(lengths.sum()),
            "longest_text": int(lengths.max(initial=0)),
            "texts_cut_at_max_length": int((lengths >= backbone.config.max_length).sum()),
            "notes": setup.notes,
        },
        "backbone": {
            "name": recipe.backbone.name,
            "found_at": backbone.origin,
            "layers": backbone.num_layers,
            "width": backbone.hidden_size,
            "pooling": backbone.pooling,
            "quantize": recipe.backbone.quantize,
            "megabytes": backbone.footprint() / 1e6,
            "megabytes_fp32": backbone.parameter_count() * 4 / 1e6,
            "dtype": str(backbone.dtype).removeprefix("torch."),
            "dtype_reason": backbone.dtype_reason,
        },
        "tasks": {
            name: {
                "kind": task.config.kind,
                "question": task.kind.question,
                "loss": task.config.loss,
                "weight": task.config.weight,
                "method": task.adapter.method,
                "sharing": task.adapter.sharing,
                **_features(dataset.tasks[name]),
                **{part: _describe(dataset.tasks[name], part, task) for part in ("train", "valid", "test")},
                "first": first_examples(dataset, name, task),
                "cache_level": encoder.level(name)[0],
                "cache_reason": encoder.level(name)[1],
            }
            for name, task in setup.tasks.items()
        },
        "cache": caches,
        "training": {
            "rows_per_epoch": rows_an_epoch(recipe, dataset),
            "steps_per_epoch": steps,
            "epochs": setup.config.epochs,
            "trainable_parameters": trainable,
            "total_parameters": total,
            "cache_megabytes": sum(of["megabytes"] for of in caches.values()),
            "optimizer_megabytes": trainable * (8 if recipe.train.optimizer == "adamw" else 4) / 1e6,
            **rehearse(setup, needed),
        },
    }


def find_problems(recipe: Recipe, ahead: Ahead) -> list[str]:
    """Everything that training would refuse, one message each, beside the tables that were read `ahead`."""
    try:
        prepare(recipe, ahead=ahead)
    except UserError as error:
        return error.problems
    return []


def _describe_table(table: TableSummary, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """A summary as plain values, with the columns that tasks take for labels and weights too."""
    uses: dict[str | None, str] = {}
    for config in (task.config for task in tasks.values() if task.config.table in (None, table.name)):
        uses |= {config.row_weight: "weight", config.label_column: "label"}
    named = uses if table.kind in ("texts", "queries") else {}
    columns = [replace(of, use=of.use or named.get(of.name, "")) for of in table.columns]
    return asdict(replace(table, columns=sorted(columns, key=lambda of: not of.use)))


def _describe_cache(cache: StateCache, rows: np.ndarray) -> dict[str, Any]:
    """What a cache will hold for training, how much of it the disk has, and the time the rest takes."""
    missing = cache.missing(rows)
    return {
        "texts": len(rows),
        "megabytes": cache.bytes(rows) / 1e6,
        "texts_on_disk": len(rows) - len(missing),
        "seconds_to_build": cache.build_seconds(missing),
    }


def _features(data: TaskData) -> dict[str, Any]:
    """How many features a task reads, and which; nothing where it reads none."""
    count = sum(len(encoding.names) for encoding in data.encodings.values())
    return {"features": f"{count}: {in_words(data.encodings)}"} if count else {}


def _describe(data: TaskData, part: str, task: Task) -> str:
    """Rows, what their labels are, and the time they span, on one line."""
    examples, labels = data.split(part), task.loss.labels
    if not len(examples):
        return "0 rows"
    line = f"{len(examples):,} rows"
    if labels == "liked":
        liked = int(examples.label.sum())
        line += f", {liked:,} liked and {len(examples) - liked:,} not"
    elif labels == "number":
        ends = np.quantile(examples.label, (0.05, 0.5, 0.95), method="nearest")
        low, middle, high = (task.kind.words(of, task, data.classes) for of in ends)
        line += f", labels: {low} to {high} in 9 of 10 rows, median {middle}"
    elif labels in ("class", "tags"):
        line += _classes(examples.label, data.classes)
    if np.isfinite(examples.time).all():
        first, last = (str(np.datetime64(int(t), "s"))[:10] for t in (examples.time.min(), examples.time.max()))
        line += f", {first} to {last}"
    return line


def _classes(label: np.ndarray, classes: list[str]) -> str:
    """How many rows the classes of labels (N,) or (N, C) have, the most frequent by name."""
    count = label.sum(0).astype(int) if label.ndim == 2 else np.bincount(label, minlength=len(classes))
    there = np.flatnonzero(count)
    order = there[np.argsort(-count[there], kind="stable")].tolist()
    said = ", ".join(f"{classes[c]} {count[c]:,}" for c in order[:NAMED])
    more = len(order) - NAMED
    rest = f" and {more:,} more of at most {count[order[NAMED]]:,}" if more > 0 else ""
    return f" of {len(order)} of the {len(classes)} classes: {said}{rest}"
