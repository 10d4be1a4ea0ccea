"""Many adapters in one process over one backbone: memory of each, its loading, and asking one of them by chance.

    python -m benchmarks.studies.resident SPEC

SPEC: {"way", "run", "task", "counts", "requests"}. Way `peftrec`: runs in the service's registry, of which one is asked
to rank all its catalogue, whose frozen states are kept. Way `peft`: the same exported adapters in one PeftModel;
`set_adapter`, then a forward of the same texts, which is what there is to do without such a cache; and of one text.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.children import answer
from benchmarks.studies.loading import milliseconds


def work(spec: dict[str, Any]) -> dict[str, Any]:
    """A row for each number of adapters: MB of the process, milliseconds of a loading, and of asking."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        add, kinds = _WAYS[spec["way"]](spec, Path(place))
        there = 0
        for many in spec["counts"]:
            took, cpu = zip(*(_timed(add, n) for n in range(there, many)), strict=True)
            there = many
            row: dict[str, Any] = {"count": many, "mb": round(psutil.Process().memory_info().rss / 1e6, 1)}
            row["load_ms"] = round(1e3 * float(np.median(took)), 1)
            row["load_cpu_ms"] = round(1e3 * float(np.quantile(cpu, 0.1)), 1)
            for kind, ask in kinds.items():
                ask(0)
                chosen = random.integers(0, many, spec["requests"]).tolist()
                row[kind] = milliseconds([_timed(ask, n)[0] for n in chosen])
            rows.append(row)
    return {"rows": rows}


def _timed(call: Callable[[int], object], number: int) -> tuple[float, float]:
    """Seconds by the clock, and of the CPU."""
    begun, used = time.perf_counter(), time.process_time()
    call(number)
    return time.perf_counter() - begun, time.process_time() - used


_Way = tuple[Callable[[int], object], dict[str, Callable[[int], object]]]


def _in_registry(spec: dict[str, Any], place: Path) -> _Way:
    from peftrec.serving.predictor import Predictor
    from peftrec.serving.service.registry import Registry
    from peftrec.serving.service.seen import Seen

    run, task = Path(spec["run"]), spec["task"]
    registry = Registry(None, Seen(), lambda path, beside: Predictor.load(path, beside))

    for copy in range(spec["counts"][-1]):
        shutil.copytree(run, place / f"run-{copy}", copy_function=os.link)

    def add(number: int) -> None:
        registry.add(place / f"run-{number}")

    def rank(number: int) -> None:
        of = registry.find(task, f"run-{number}").predictor
        of.recommend(task, history=["i1", "i2", "i3"], k=10)

    def new(number: int) -> None:
        of = registry.find(task, f"run-{number}").predictor
        of.predict(task, [{"history": ["i1", "i2", "i3"], "item_text": f"a new thing {next(_COUNT)}"}])

    return add, {"catalogue": rank, "text": new}


def _in_peft(spec: dict[str, Any], place: Path) -> _Way:
    from peft import PeftModel
    from transformers import AutoModel, AutoTokenizer

    from peftrec.model.backbone import locate
    from peftrec.runs.saved import load_run

    run, task = Path(spec["run"]), spec["task"]
    loaded = load_run(run)
    items = loaded.items_of(task)
    texts = [loaded.model.encoder.texts.texts[row] for row in items.rows]
    folder, _ = locate(loaded.recipe.backbone.name)
    del loaded
    tokenizer, exported = AutoTokenizer.from_pretrained(folder), str(run / "adapters" / task)
    base = AutoModel.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, exported, adapter_name="a0")

    def add(number: int) -> None:
        if number:
            model.load_adapter(exported, adapter_name=f"a{number}")

    def forward(number: int, texts: list[str]) -> None:
        model.set_adapter(f"a{number}")
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=64, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][..., None]
            (states * mask).sum(1) / mask.sum(1)

    def rank(number: int) -> None:
        forward(number, texts)

    def new(number: int) -> None:
        forward(number, [f"a new thing {next(_COUNT)}"])

    return add, {"catalogue": rank, "text": new}


_COUNT = count()
_WAYS: dict[str, Callable[[dict[str, Any], Path], _Way]] = {"peftrec": _in_registry, "peft": _in_peft}

if __name__ == "__main__":
    answer(work)
