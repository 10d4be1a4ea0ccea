"""What a log of fifty million events and a catalogue of a million items take, beside a tenth of both.

    python -m benchmarks large

The made log of `large_log` from parquet; tasks interest, next-item and next-gap on a small random BERT, adapted by
`head_only`, in one thread; batches of 4,096 rows; the latest 100,000 events are tested. Each size is a process of its
own, which prepares, trains for some steps, evaluates with priors and intervals, and writes its run.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from benchmarks.children import answer, measured
from benchmarks.studies.large_log import write_shop
from peftrec.evaluation.evaluate import evaluate, text_rows
from peftrec.machine.environment import environment
from peftrec.machine.memory import peak_memory_mb
from peftrec.model.backbone import locate
from peftrec.recipe import Recipe, make_recipe
from peftrec.runs.saved import save_run
from peftrec.training.prepare import prepare
from peftrec.training.step import one_step, plan_steps

SIZES = [(5_000_000, 100_000), (50_000_000, 1_000_000)]
STEPS, BATCH, TESTED = 20, 4096, 100_000
T = TypeVar("T")


def recipe_of(folder: Path, events: int) -> Recipe:
    """Three tasks on the files in `folder`, where the backbone is written too."""
    tokenizer = AutoTokenizer.from_pretrained(locate("sentence-transformers/all-MiniLM-L6-v2")[0])
    small = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertModel(small).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    read = {"user": "user", "item": "item", "time": "time", "columns": ["stars"]}
    return make_recipe(
        {
            "backbone": {"name": str(folder / "bert"), "max_length": 12},
            "adapter": {"method": "head_only"},
            "data": {
                "items": {"path": str(folder / "items.parquet"), "id": "id", "text": "{text}"},
                "events": {"path": str(folder / "events.parquet"), **read},
                "split": {"kind": "global-time", "test": TESTED / events, "valid": 0},
            },
            "tasks": {
                "interest": {"kind": "interest", "column": "stars", "threshold": 4},
                "next": {"kind": "next-item"},
                "gap": {"kind": "next-gap"},
            },
            "train": {"epochs": 1, "max_steps": STEPS, "batch_size": BATCH, "early_stopping": None},
        }
    )


def write(folder: str, events: int, items: int) -> dict[str, Any]:
    """The files, made in a process of its own."""
    write_shop(Path(folder), events, items)
    return {"file_mb": sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6}


def large(folder: str, events: int, items: int) -> dict[str, Any]:
    """Seconds, and memory at its peak so far, of everything that a training does; CPU seconds of a step."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {"events": events, "items": items}

    def timed(name: str, work: Callable[[], T]) -> T:
        began, cpu = time.perf_counter(), time.process_time()
        result = work()
        found[name] = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
            "peak_memory_mb": peak_memory_mb(),
        }
        print(name, found[name], file=sys.stderr, flush=True)
        return result

    recipe = recipe_of(Path(folder), events)
    setup = timed("prepare", lambda: prepare(recipe))
    model, dataset, tasks = setup.model, setup.dataset, setup.tasks
    timed("states", lambda: model.encoder.update(text_rows(dataset, tasks, ["train", "valid", "test"], ranking=True)))
    steps = timed("plan", lambda: plan_steps(setup))
    seconds = []
    for number in range(STEPS):
        began = time.process_time()
        one_step(steps, number)
        seconds.append(time.process_time() - began)
    found["step"] = {"cpu_seconds": statistics.median(seconds), "texts": model.work.encoded / STEPS}
    print("step", found["step"], peak_memory_mb(), file=sys.stderr, flush=True)
    report = timed("evaluate", lambda: evaluate(model, dataset, tasks, "test", ranking=True))
    found["rows"] = {
        name: {key: of[key] for key in ("n", "ranked") if key in of} for name, of in report["tasks"].items()
    }
    run = Path(folder) / "run"
    run.mkdir()
    timed("save", lambda: save_run(run, recipe, dataset, model, {**report, "cost": {}}, []))
    return found


def measure() -> dict[str, Any]:
    """Both sizes: prepare, train for some steps, evaluate, with time and memory."""
    rows = []
    for events, items in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            spec = {"folder": folder, "events": events, "items": items}
            written = measured("studies.large", spec | {"write": True})
            rows.append(measured("studies.large", spec) | written)
    return {"rows": rows, "steps": STEPS, "batch": BATCH, "environment": environment()}


if __name__ == "__main__":
    answer(lambda spec: write(**{k: v for k, v in spec.items() if k != "write"}) if "write" in spec else large(**spec))
