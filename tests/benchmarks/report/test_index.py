"""docs/results/index.md is written by hand: each of its figures and verdicts is one of the committed results."""

import re
from collections import Counter

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


def pairs(file, axis, **where):
    """(cell, base, task, comparison) of the cells with `where` against those that differ from them in `axis` alone."""
    rows = RESULTS[file]["rows"]
    return [
        (cell, base, task, metrics[METRIC[task]])
        for cell, row in rows.items()
        if where.items() <= row["where"].items()
        for base, found in row["differences"].items()
        if rows[base]["where"] == row["where"] | {axis: rows[base]["where"][axis]}
        for task, metrics in found.items()
    ]


def counted(found, stands):
    return Counter(verdict(of) for *_, of in found)[stands]


def most(found, stands):
    """The largest difference of a verdict, without its sign."""
    return max(abs(of["by"]) for *_, of in found if verdict(of) == stands)


def ratios(file, what, found):
    """The smallest and the largest ratio of a cost over comparisons."""
    of = [cost(file, cell, what) / cost(file, base, what) for cell, base, *_ in found]
    return min(of), max(of)


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


FULL, SIDE, LORA, HEAD = (f"{method} fp32 together" for method in ("full", "side", "lora", "head_only"))
OTHERS = [f"{method} fp32 together shared" for method in ("adalora", "bottleneck", "ia3", "prefix")]
NF4, INT8 = (pairs("matrix", "quantize", tasks="together", quantize=kind) for kind in ("nf4", "int8"))
SMALL_NF4 = [of for _, _, task, of in pairs("smollm2", "quantize", tasks="together") if task == "query"]
ALONE = pairs("matrix", "tasks", tasks="together")
BOTH = pairs("matrix", "sharing", sharing="shared+private", quantize="fp32")
S = " shared"
PRIOR = at("priors", "experiments", "matrix", "interest", "priors", "rates_so_far", "auc")
RATES = [at("speed", "single", name, "examples_per_second") for name in at("speed", "single")]
EPOCH = [of["auc"] for of in at("equal-epochs", "rows").values()]
FEW = {name: [of["auc"] for of in rows.values()] for name, rows in at("tallrec", "rows").items()}
CACHE = {name: np.mean([run["cache MB"] for run in runs]) for name, runs in at("effects", "rows").items()}

# What the page says, and the figures in it.
SAID = [
    (
        "at most {} steps of {:,} rows",
        *(at("longer", "experiment", "changes", f"train.{k}") for k in ("max_steps", "batch_size")),
    ),
    (
        "reaches interest AUC {:.4f}, query AUC {:.4f} and time MAE {:.4f}",
        *(value("longer", FULL, t) for t in ("interest", "query", "time")),
    ),
    (
        "for {:,.0f} CPU seconds, {:,.0f} MB of memory and {:.1f} MB a task",
        cost("longer", FULL, "cpu_seconds"),
        cost("longer", FULL, "peak_memory_mb"),
        cost("longer", FULL, "adapter_bytes_per_task") / 1e6,
    ),
    (
        "the side network ({:.1f} CPU seconds, {:,.0f} MB, {:.1f} MB a task)",
        cost("longer", SIDE, "cpu_seconds"),
        cost("longer", SIDE, "peak_memory_mb"),
        cost("longer", SIDE, "adapter_bytes_per_task") / 1e6,
    ),
    ("gives up {:.4f} of AUC there", -gain("worse", "longer", SIDE, FULL, "query")),
    (
        "LoRA on the top two layers ({:.1f} CPU seconds, {:,.0f} MB, {:.1f} MB)",
        cost("longer", LORA, "cpu_seconds"),
        cost("longer", LORA, "peak_memory_mb"),
        cost("longer", LORA, "adapter_bytes_per_task") / 1e6,
    ),
    ("In a budget of {} steps", at("matrix", "experiment", "changes", "train.max_steps")),
    ("beaten on interest by the side network (AUC {:+.4f})", gain("better", "matrix", SIDE + S, FULL + S, "interest")),
    ("on query by LoRA (AUC {:+.4f})", gain("better", "matrix", LORA + S, FULL + S, "query")),
    ("beats the bare head on time (MAE {:.4f})", -gain("worse", "matrix", HEAD + S, FULL + S, "time")),
    (
        "ml-latest-small](latest-small.md), {} steps and one seed",
        at("latest-small", "experiment", "changes", "train.max_steps"),
    ),
    ("worth {:.4f} of interest AUC over the side network", -gain("worse", "latest-small", SIDE, FULL, "interest")),
    (
        "takes {:,.0f} MB, and loses {:.4f} of query AUC",
        cost("latest-small", FULL, "peak_memory_mb"),
        gain("better", "latest-small", SIDE, FULL, "query"),
    ),
    (
        "{:.0f} times the speed of full fine-tuning in {:.2f} of its memory",
        cost("longer", FULL, "cpu_seconds") / cost("longer", SIDE, "cpu_seconds"),
        cost("longer", SIDE, "peak_memory_mb") / cost("longer", FULL, "peak_memory_mb"),
    ),
    (
        "LoRA alone beats it on query (AUC {:+.4f}), in {:.1f} times its CPU time",
        gain("better", "matrix", LORA + S, SIDE + S, "query"),
        cost("matrix", LORA + S, "cpu_seconds") / cost("matrix", SIDE + S, "cpu_seconds"),
    ),
    ("it gains {:.4f} of query AUC over the side network", gain("better", "longer", LORA, SIDE, "query")),
    ("at {:.1f} times its speed", cost("longer", FULL, "cpu_seconds") / cost("longer", LORA, "cpu_seconds")),
    ("trained longer it takes {:.1f} CPU seconds", cost("longer", HEAD, "cpu_seconds")),
    (
        "`prefix` take {:.1f} to {:.1f} times the side network's CPU time",
        *ratios("matrix", "cpu_seconds", [(cell, SIDE + S) for cell in OTHERS]),
    ),
    ("`prefix` loses {:.4f} of query AUC", -gain("worse", "matrix", OTHERS[-1], SIDE + S, "query")),
    ("the best one of interest (AUC {:.4f})", PRIOR),
    (
        "the lexical one (AUC {:.4f}; full fine-tuning {:.4f})",
        at("priors", "experiments", "esci", "relevance", "priors", "lexical", "auc"),
        value("esci", FULL, "relevance"),
    ),
    ("With {} to {} labels", *(list(at("tallrec", "rows", "with text"))[end] for end in (0, -1))),
    ("reach AUC {:.2f} to {:.2f}", FEW["with text"][0], FEW["with text"][-1]),
    (
        "the published LLaMA-7B {:.2f} to {:.2f}",
        *(at("tallrec", "published", "LLaMA-7B (TALLRec)")[end] for end in (0, -1)),
    ),
    ("trains {:.0f} examples a second", RATES[0]),
    ("over cached states {:,.0f}, the side network {:,.0f}", *RATES[-2:]),
    ("they have interest AUC {:.4f}, {:.4f} and {:.4f}", EPOCH[0], *EPOCH[-2:]),
    (
        "from {:.1f} to {:.1f} MB and is worse",
        cost("matrix", SIDE + S, "backbone_mb"),
        cost("matrix", "side nf4 together shared", "backbone_mb"),
    ),
    (
        "worse in {} of {} comparisons, by {:.4f} of query AUC at most",
        counted(NF4, "worse"),
        len(NF4),
        most(NF4, "worse"),
    ),
    ("a step takes {:.2f} to {:.2f} times as long", *ratios("matrix", "cpu_seconds_per_step", NF4)),
    ("the process's peak is {:.2f} to {:.2f} times as high", *ratios("matrix", "peak_memory_mb", NF4)),
    (
        "({:.1f} to {:.1f} MB) query loses",
        cost("smollm2", SIDE, "backbone_mb"),
        cost("smollm2", "side nf4 together", "backbone_mb"),
    ),
    ("query loses {:.4f} to {:.4f}", *sorted(-of["by"] for of in SMALL_NF4)[:: len(SMALL_NF4) - 1]),
    (
        "`int8` ({:.1f} MB) is worse in none of {}",
        cost("matrix", "side int8 together shared", "backbone_mb"),
        len(INT8),
    ),
    ("takes {:.2f} to {:.2f} times as long at", *ratios("matrix", "cpu_seconds_per_step", INT8)),
    ("at {:.2f} to {:.2f} times the peak", *ratios("matrix", "peak_memory_mb", INT8)),
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
    (
        "rows a task, {} steps, it is better in {} of {} comparisons",
        at("matrix", "experiment", "changes", "train.max_steps"),
        counted(ALONE, "better"),
        len(ALONE),
    ),
    (
        "interest with full fine-tuning, AUC {:+.4f}",
        gain("better", "matrix", FULL + S, "full fp32 interest shared", "interest"),
    ),
    (
        "query with `side` in nf4, {:+.4f}",
        gain("better", "matrix", "side nf4 together shared", "side nf4 query shared", "query"),
    ),
    (
        "worse in {}, by up to {:.4f} of AUC on query with `prefix` in nf4",
        counted(ALONE, "worse"),
        -gain("worse", "matrix", "prefix nf4 together shared", "prefix nf4 query shared", "query"),
    ),
    ("LoRA's loss on query ({:+.4f})", gain("worse", "matrix", LORA + S, "lora fp32 query shared", "query")),
    ("take {:.1f} to {:.1f} times the CPU time and are better", *ratios("matrix", "cpu_seconds", BOTH)),
    ("better in {} of {} comparisons: query", counted(BOTH, "better"), len(BOTH)),
    (
        "query with `prefix` (AUC {:+.4f})",
        gain("better", "matrix", "prefix fp32 together shared+private", OTHERS[-1], "query"),
    ),
    ("and `ia3` ({:+.4f})", gain("better", "matrix", "ia3 fp32 together shared+private", OTHERS[2], "query")),
    (
        "interest with `bottleneck` ({:+.4f})",
        gain("better", "matrix", "bottleneck fp32 together shared+private", OTHERS[1], "interest"),
    ),
    (
        "worse in {}, query with LoRA ({:+.4f})",
        counted(BOTH, "worse"),
        gain("worse", "matrix", "lora fp32 together shared+private", LORA + S, "query"),
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
    assert re.findall(r"\S*\d\S*", re.sub(names, "", rest)) == ["95", "24", "24"]  # of the intervals; two more of steps


def test_what_cannot_be_told_apart_is_open_in_the_results():
    for cell in (SIDE, LORA):
        for task in ("interest", "time"):
            gain("open", "longer", cell, FULL, task)
    for task in METRIC:
        gain("open", "longer", HEAD, SIDE, task)
    gain("open", "longer", LORA, FULL, "query")
    gain("open", "matrix", "lora unclipped fp32 together shared", "lora unclipped fp32 query shared", "query")
    longer = pairs("longer", "tasks", tasks="together")
    assert {cell for cell, *_ in longer} == {SIDE, HEAD} and counted(longer, "open") == len(longer) == 6
    assert all(verdict(gains["without text"]) == "open" for gains in at("tallrec", "gains").values())


def test_what_is_said_of_all_methods_holds_for_each():
    shared = {c: r for c, r in at("matrix", "rows").items() if c.endswith("fp32 together shared") and c != SIDE + S}
    over = {c: {t: verdict(r["differences"][SIDE + S][t][METRIC[t]]) for t in METRIC} for c, r in shared.items()}
    assert {(c, t) for c, of in over.items() for t, v in of.items() if v == "better"} == {
        (LORA + S, "query"), ("lora unclipped fp32 together shared", "query")
    }  # fmt: skip
    assert all(value("matrix", cell, "interest") < PRIOR for cell in [*shared, SIDE + S])
    assert all(value("longer", cell, "interest") > PRIOR for cell in (FULL, SIDE, LORA, HEAD))
    lexical = at("priors", "experiments", "esci", "relevance", "priors", "lexical", "auc")
    assert all(value("esci", cell, "relevance") < lexical for cell in at("esci", "rows"))
    assert (counted(NF4, "better"), counted(INT8, "worse")) == (0, 0)
    assert [verdict(of) for of in SMALL_NF4] == ["worse"] * 3


def test_cells_named_fp32_and_full_fine_tuning_are_in_16_bits():
    of = at("matrix", "rows", FULL + S, "cost")
    assert of["backbone_mb"] == pytest.approx(of["backbone_fp32_mb"] / 2, rel=0.01)
    assert of["adapter_bytes_per_task"] == pytest.approx(1e6 * of["backbone_mb"], rel=0.01)


def test_states_in_16_bits_stay_within_the_spread_of_seeds():
    rows = at("effects", "rows")
    for name in ("interest AUC", "query AUC", "time MAE"):
        spread = [run[name] for run in rows["as shipped, states in fp32"]]
        for kind in ("fp16", "bf16"):
            assert min(spread) <= np.mean([run[name] for run in rows[f"states in {kind}"]]) <= max(spread)
