"""docs/results/index.md is written by hand: each of its figures and verdicts is one of the committed results."""

import re
from itertools import product

import numpy as np
import pytest

from benchmarks.places import PAGES
from benchmarks.report.pages import read_results

RESULTS = read_results()
TEXT = " ".join((PAGES / "index.md").read_text(encoding="utf-8").split())
METRIC = {"query": "auc", "interest": "auc", "time": "mae"}


def at(file, *path):
    """What stands in a results file."""
    found = RESULTS[file]
    for key in path:
        found = found[key]
    return found


def cost(file, cell, what):
    return at(file, "rows", cell, "cost", what)


def value(file, cell, task):
    return at(file, "rows", cell, "tasks", task, METRIC.get(task, "auc"), "value")


def verdict(of):
    low, high = of["interval"]
    return "better" if low > 0 else "worse" if high < 0 else "open"


def gain(expected, file, cell, base, task):
    """What a cell gains over another in a task's first metric; it must be as `expected` says."""
    found = at(file, "rows", cell, "differences", base, task, METRIC[task])
    assert verdict(found) == expected, (file, cell, base, task)
    return found["by"]


def slowdown(events, items, locality):
    """Time an example with so many times the log and the catalogue, over what the first row takes."""
    rows = at("growth", "growth")
    first = rows[0]
    (row,) = (
        r for r in rows
        if (r["events"], r["items"], r["locality"]) == (events * first["events"], items * first["items"], locality)
    )  # fmt: skip
    return row["microseconds_an_example"] / first["microseconds_an_example"]


def resident(method):
    """What many runs of a method in one process take."""
    (found,) = [of for of in at("serving", "resident") if (of["way"], of["method"]) == ("peftrec", method)]
    return found


def each_mb(method):
    """Of which each after the first takes so many megabytes."""
    first, *_, last = resident(method)["rows"]
    return (last["mb"] - first["mb"]) / (last["count"] - first["count"])


def together(method, over):
    """Seconds of three tasks co-learned, over what `over` (sum, max) makes of the three alone."""
    found = at("speed", "together", method)
    alone = [found[task] for task in METRIC]
    return found["query + interest + time"] / over(alone)


FULL, SIDE, LORA, HEAD = (f"{method} fp32 together shared" for method in ("full", "side", "lora", "head_only"))
RATES = [at("speed", "single", name, "examples_per_second") for name in at("speed", "single")]
FEW = {name: [of["auc"] for of in rows.values()] for name, rows in at("tallrec", "rows").items()}
CACHE = {name: np.mean([run["cache MB"] for run in runs]) for name, runs in at("effects", "rows").items()}


def reached(cell):
    """Interest and query AUC, time MAE, CPU seconds, MB of memory and MB a task."""
    costs = (cost("matrix", cell, "cpu_seconds"), cost("matrix", cell, "peak_memory_mb"))
    size = cost("matrix", cell, "adapter_bytes_per_task") / 1e6
    return *(value("matrix", cell, task) for task in ("interest", "query", "time")), *costs, size


# What the page says, and the figures in it.
SAID = [
    (
        "In {} steps of {:,} rows",
        *(at("matrix", "experiment", "changes", f"train.{key}") for key in ("max_steps", "batch_size")),
    ),
    (
        "it reaches interest AUC {:.4f}, query AUC {:.4f} and time MAE {:.4f}, for {:,.0f} CPU seconds, {:,.0f} MB of "
        "memory and {:.1f} MB a task",
        *reached(FULL),
    ),
    (
        "better than it on interest by {:.4f} each",
        gain("better", "matrix", SIDE, FULL, "interest"),
    ),
    ("The side network reaches {:.4f}, {:.4f} and {:.4f}, for {:.1f}, {:,.0f} MB and {:.1f} MB", *reached(SIDE)),
    (
        "LoRA on the top two layers {:.4f}, {:.4f} and {:.4f}, for {:.1f}, {:,.0f} MB and {:.1f} MB",
        *reached(LORA),
    ),
    ("the heads alone {:.4f}, {:.4f} and {:.4f}, for {:.1f} and {:,.0f} MB", *reached(HEAD)[:-1]),
    (
        "fitted before, in {:.0f} CPU seconds ({:.0f} for full fine-tuning",
        *(cost("matrix", cell, "start_cpu_seconds") for cell in (SIDE, FULL)),
    ),
    (
        "{:.0f} times the speed of full fine-tuning in {:.2f} of its memory",
        cost("matrix", FULL, "cpu_seconds") / cost("matrix", SIDE, "cpu_seconds"),
        cost("matrix", SIDE, "peak_memory_mb") / cost("matrix", FULL, "peak_memory_mb"),
    ),
    ("With {} to {} labels", *(list(at("tallrec", "rows", "with text"))[end] for end in (0, -1))),
    ("reach AUC {:.2f} to {:.2f}", FEW["with text"][0], FEW["with text"][-1]),
    (
        "the published LLaMA-7B {:.2f} to {:.2f}",
        *(at("tallrec", "published", "LLaMA-7B (TALLRec)")[end] for end in (0, -1)),
    ),
    ("trains {:.0f} examples a second", RATES[0]),
    ("over cached states {:,.0f}, the side network {:,.0f}", *RATES[-2:]),
    (
        "from {:.1f} MB in fp32 to {:.1f} MB",
        *(at("demo", "cost", key) for key in ("backbone_fp32_mb", "backbone_mb")),
    ),
    ("take {:.0f} MB instead of {:.0f}", CACHE["states in fp16"], CACHE["as shipped, states in fp32"]),
    (
        "three tasks take {:.2f} of the CPU time of three runs, {:.2f} times the dearest",
        together("lora top-2, shared", sum),
        together("lora top-2, shared", max),
    ),
    (
        "with private parts {:.2f}, or {:.2f} where no states are kept",
        together("lora top-2, shared+private", sum),
        together("lora top-2, shared+private, states kept nowhere", sum),
    ),
    ("With 100 times the log an example takes {:.2f} times as long", slowdown(100, 1, "none")),
    (
        "with 100 times the catalogue {:.1f} times, {:.1f} with batches of whole users",
        slowdown(1, 100, "none"),
        slowdown(1, 100, "user"),
    ),
    ("takes {:.0f} ms out of a million items", at("growth", "recommend", "recommend_milliseconds")),
    (
        "With {} runs over one backbone in one process each more takes {:.1f} MB (LoRA) and {:.1f} MB (`side`)",
        resident("lora")["rows"][-1]["count"],
        each_mb("lora"),
        each_mb("side"),
    ),
    (
        "of {:,} requests while runs were swapped {} failed",
        at("serving", "swaps", "requests"),
        at("serving", "swaps", "failed"),
    ),
]


@pytest.mark.parametrize("said", SAID, ids=[template for template, *_ in SAID])
def test_a_sentence_has_the_figures_of_the_results(said):
    template, *figures = said
    assert template.format(*figures) in TEXT


def test_no_figure_is_in_no_sentence():
    rest = TEXT
    for template, *figures in sorted(SAID, key=lambda said: -len(said[0])):
        rest = rest.replace(template.format(*figures), re.sub(r"\{.*?\}|\d", "", template))
    names = r"\S*[A-Za-z@]\S*\d\S*"  # MovieLens-100k, HR@10, nf4
    assert re.findall(r"\S*\d\S*", re.sub(names, "", rest)) == ["95"]  # of the intervals


def test_what_is_told_apart_and_what_is_not():
    for cell in (SIDE, LORA, HEAD):
        gain("better", "matrix", cell, FULL, "interest")
        for task in ("query", "time"):
            gain("open", "matrix", cell, FULL, task)
    for cell in (LORA, HEAD):
        for task in METRIC:
            gain("open", "matrix", cell, SIDE, task)
    for method, task in product(("side", "lora", "head_only"), METRIC):
        gain("open", "matrix", f"{method} fp32 together shared", f"{method} fp32 {task} shared", task)
    for sharing, task in product(("private", "shared+private"), METRIC):
        gain("open", "matrix", f"side fp32 together {sharing}", SIDE, task)
    for method, task in product(("side", "lora", "head_only"), METRIC):
        wanted = "better" if task == "interest" else "open"
        gain(wanted, "matrix", f"{method} nf4 together shared", f"{method} fp32 together shared", task)
    assert all(verdict(gains["without text"]) == "open" for gains in at("tallrec", "gains").values())


def test_full_fine_tuning_is_in_16_bits():
    of = at("matrix", "rows", FULL, "cost")
    assert of["backbone_mb"] == pytest.approx(of["backbone_fp32_mb"] / 2, rel=0.01)
    assert of["adapter_bytes_per_task"] == pytest.approx(1e6 * of["backbone_mb"], rel=0.01)


def test_states_in_16_bits_stay_within_the_spread_of_seeds():
    rows = at("effects", "rows")
    for name in ("interest AUC", "query AUC", "time MAE"):
        spread = [run[name] for run in rows["as shipped, states in fp32"]]
        for kind in ("fp16", "bf16"):
            assert min(spread) <= np.mean([run[name] for run in rows[f"states in {kind}"]]) <= max(spread)
