"""How much faster the frozen part makes training when it is computed once: one run, side by side.

    python -m benchmarks speed [--repeats 3]

On MovieLens-100k, interest: (a) the padded cross-encoder with plain PEFT that one writes today, (b) the same padded to
the batch's longest only, then peftrec: (c) LoRA over unique texts without a cache, on all layers and on the top two,
LoRA on the top two layers over the cached trunk, and the side network over cached states; the test AUC of each after
the same epochs. Then what a cached trunk saves on a model of 30 layers, and what co-learning three tasks saves. Every
measurement is a process of its own; figures are medians over repeats.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.children import answer, measured
from peftrec.evaluation.evaluate import evaluate
from peftrec.machine.environment import environment
from peftrec.machine.memory import peak_memory_mb
from peftrec.model.backbone import locate
from peftrec.recipe import make_recipe
from peftrec.recipe.shipped import load_recipe
from peftrec.training.memory import plan_memory
from peftrec.training.optim import make_optimizer
from peftrec.training.order import make_streams
from peftrec.training.prepare import Setup, prepare
from peftrec.training.step import joint_backward
from peftrec.training.weighting import make_weighting

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TARGETS = ["query", "key", "value", "dense"]
LORA: dict[str, Any] = {"method": "lora", "sharing": "shared+private", "options": {"target_modules": TARGETS}}
# Name -> what the child measures. peftrec pays for unique texts, not rows, so its batches (rows a step) are large.
SINGLE: dict[str, dict[str, Any]] = {
    "a: padded cross-encoder, plain PEFT": {"baseline": "max_length"},
    "b: the same, dynamic padding": {"baseline": "longest"},
    "c: lora all layers": {"adapter": {**LORA, "layers": "all"}},
    "c: lora top-2, no cache": {"adapter": {**LORA, "layers": "top-2"}, "uncached": True},
    "lora top-2, cached trunk": {"adapter": {**LORA, "layers": "top-2"}, "profile": True},
    "side": {"adapter": {"method": "side", "sharing": "shared+private"}},
}
BATCH, EPOCHS = 16_384, 3
TOP = {"tasks": ["interest"], "adapter": {**LORA, "layers": "top-2", "options": {}}, "steps": 3}
DEEP: dict[str, dict[str, Any]] = {
    "no cache": {**TOP, "recipe": "movielens-100k-smollm2", "uncached": True},
    "cached trunk": {**TOP, "recipe": "movielens-100k-smollm2"},
}
TASKS = ["query", "interest", "time"]
TOGETHER: dict[str, dict[str, Any]] = {
    "lora top-2, shared": {"adapter": {**LORA, "sharing": "shared", "layers": "top-2"}, "steps": 3},
    "lora top-2, shared+private": {"adapter": {**LORA, "layers": "top-2"}, "steps": 3},
    "lora top-2, shared+private, states kept nowhere": {
        "adapter": {**LORA, "layers": "top-2"},
        "steps": 3,
        "unkept": True,
    },
    "side, shared+private": {"adapter": {"method": "side", "sharing": "shared+private"}, "steps": 16},
}
TOGETHER_ROWS = {"query": 1200, "interest": 7500, "time": 7500}  # a step, alone as together


def matmul_flops(dtype: Any) -> float:
    """FLOP/s of one large matrix product, the best of several: what the machine can do."""
    n = 1536
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    best = 0.0
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        best = max(best, 2 * n**3 / (time.perf_counter() - started))
    return best


def baseline(padding: str, batch: int = 32, steps: int = 5) -> dict[str, Any]:
    """`history [SEP] item` through a LoRA on every layer, as with plain PEFT; examples a second."""
    setup = prepared(["interest"], {"method": "head_only", "sharing": "shared"}, batch)
    train, texts = setup.dataset.tasks["interest"].train, setup.dataset.texts.texts
    folder, _ = locate(MINILM)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    model = get_peft_model(model, LoraConfig(r=8, target_modules=TARGETS, task_type="SEQ_CLS"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    model.train()
    assert train.start is not None and train.stop is not None
    full = np.flatnonzero(train.stop - train.start >= 20).tolist()
    picks = random.Random(0)
    times = []
    for _ in range(steps + 1):  # the first step warms up
        started = time.perf_counter()
        some = train.take(np.array(picks.sample(full, batch)))
        past = some.history().rows
        left = ["; ".join(texts[row] for row in rows[-20:]) for rows in past]
        right = [texts[row] for row in some.slots["item"]]
        inputs = tokenizer(left, right, padding=padding, max_length=128, truncation=True, return_tensors="pt")
        label = torch.from_numpy(some.label)
        torch.nn.functional.binary_cross_entropy_with_logits(model(**inputs).logits[:, 0], label).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    return {"examples_per_second": batch / statistics.median(times[1:]), "peak_memory_mb": peak_memory_mb()}


def prepared(tasks: list[str], adapter: dict[str, Any], batch: int, recipe: str = "movielens-100k") -> Setup:
    """MovieLens-100k with MiniLM, or the backbone of another recipe, in fp32, the reference's split, ready to train."""
    raw = load_recipe(recipe).model_dump()
    raw["backbone"] |= {"quantize": None, "dtype": "fp32"}
    raw["data"] |= {"history": 20, "split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    raw["train"] |= {"batch_size": batch, "epochs": EPOCHS, "early_stopping": None}
    raw["tasks"] = {name: raw["tasks"][name] for name in tasks}
    return prepare(make_recipe(raw | {"adapter": adapter}))


def steps_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Median seconds of an optimiser step (with `together` CPU seconds), examples a second, the cache's build time,
    peak memory, useful FLOP/s; and without `steps`, after whole epochs, the test AUC of interest."""
    setup = prepared(spec["tasks"], spec["adapter"], BATCH, spec.get("recipe", "movielens-100k"))
    model, config = setup.model, setup.config
    tasks = {name: setup.dataset.tasks[name].train for name in spec["tasks"]}
    if spec.get("uncached"):
        model.encoder.trunk, model.encoder.caches = 0, {}
    model.encoder.disk = False
    started = time.perf_counter()
    model.encoder.update({} if spec.get("unkept") else None)
    built = time.perf_counter() - started
    optimizer = make_optimizer(config, model.trainable(), {})
    streams, per_epoch, _ = make_streams(setup.recipe, config, setup.dataset)
    weighting = make_weighting(setup.recipe.weighting, setup.recipe)

    def rows(step: int) -> dict[str, Any]:
        if not spec.get("together"):
            return {name: streams[name].step(step) for name in tasks}
        return {n: streams[n]._pass(0)[step * TOGETHER_ROWS[n] % len(tasks[n]) :][: TOGETHER_ROWS[n]] for n in tasks}

    plan_memory(model, {name: tasks[name].take(r) for name, r in rows(0).items()}, config)
    times = []
    if spec.get("together"):
        torch.set_num_threads(1)  # for CPU seconds that the machine's other work does not change
    clock = time.process_time if spec.get("together") else time.perf_counter
    model.train()

    def one(step: int) -> tuple[float, int, int]:
        chosen = rows(step)
        started, before = clock(), model.work.padded_tokens
        joint_backward(model, tasks, chosen, weighting, setup.accelerator)
        optimizer.step()
        optimizer.zero_grad()
        return clock() - started, sum(map(len, chosen.values())), model.work.padded_tokens - before

    for step in range(spec.get("steps", EPOCHS * per_epoch)):
        times.append(one(step))
    seconds, count, tokens = sorted(times[1:])[len(times[1:]) // 2]  # the first step warms up
    peak = peak_memory_mb()
    backbone = model.encoder.backbone
    assert backbone.layers is not None
    frozen = [p for p in backbone.layers[-1].parameters() if p.ndim == 2 and not p.requires_grad]
    a_token = 2 * sum(p.numel() for p in frozen)  # FLOP of one layer's frozen matrices, one way
    trunk = model.encoder.trunk
    read = trunk if "layer" in model.encoder.caches else backbone.num_layers
    useful = {
        # Forward, and back to the input; the weights themselves have no gradient.
        "step": 2 * a_token * (backbone.num_layers - trunk) * tokens / seconds,
        "build": a_token * read * int(setup.dataset.texts.lengths.sum()) / built,
    }
    found = {
        "step_seconds": seconds,
        "examples_per_second": count / seconds,
        "peak_memory_mb": peak,
        "cache_seconds": built,
        "useful_flops": useful,
        "matmul_flops": matmul_flops(torch.float32),
        "profile": profile(lambda: one(1)) if spec.get("profile") else {},
    }
    if "steps" not in spec:
        model.eval()
        report = evaluate(model, setup.dataset, setup.tasks, "test", resamples=0, priors=False)
        found["auc"] = report["tasks"]["interest"]["metrics"]["auc"]
    return found


def profile(step: Callable[[], Any]) -> dict[str, float]:
    """Share of a step's time that PyTorch's most expensive operators take themselves, by the profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step()
    total = sum(event.self_cpu_time_total for event in found.key_averages())
    dearest = sorted(found.key_averages(), key=lambda event: -event.self_cpu_time_total)[:8]
    return {event.key.removeprefix("aten::"): event.self_cpu_time_total / total for event in dearest}


def child(spec: dict[str, Any]) -> dict[str, Any]:
    """Measure one specification in a process of its own."""
    return measured("studies.speed", spec)


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over repeats, key by key; of profiles, whose operators may differ, the first run's."""
    found: dict[str, Any] = {}
    for key, value in runs[0].items():
        every = [run[key] for run in runs]
        if key == "profile":
            found[key] = value
        else:
            found[key] = median_of(every) if isinstance(value, dict) else statistics.median(every)
    return found


def measure(repeats: int) -> dict[str, Any]:
    """Everything, repeats interleaved so that a slow minute of the machine hits all rows alike."""
    single: dict[str, list[dict[str, Any]]] = {name: [] for name in SINGLE}
    for number in range(repeats):
        for name, spec in SINGLE.items():
            print(f"repeat {number + 1}: {name}", file=sys.stderr)
            single[name].append(child({"tasks": ["interest"], **spec}))
    together = {}
    for name, spec in TOGETHER.items():
        print(f"co-learning: {name}", file=sys.stderr)
        found = {}
        for tasks in [[task] for task in TASKS] + [TASKS]:
            asked = {**spec, "tasks": tasks, "together": True}
            found[" + ".join(tasks)] = min(child(asked)["step_seconds"] for _ in range(2))  # the less disturbed one
        together[name] = found
    print("30 layers", file=sys.stderr)
    return {
        "single": {name: median_of(runs) for name, runs in single.items()},
        "deep": {name: child(spec)["step_seconds"] for name, spec in DEEP.items()},
        "together": together,
        "repeats": repeats,
        "environment": environment(),
    }


if __name__ == "__main__":
    answer(lambda spec: baseline(spec["baseline"]) if "baseline" in spec else steps_of(spec))
