"""The page of the study `speed`."""

from typing import Any

from benchmarks.report.formats import page, table
from benchmarks.studies.speed import BATCH, EPOCHS, TASKS


def speed_page(result: dict[str, Any]) -> str:
    """Rates, what the cache and co-learning save."""
    single, env = result["single"], result["environment"]
    base = single["a: padded cross-encoder, plain PEFT"]["examples_per_second"]
    lines = [
        [
            name,
            f"{r['examples_per_second']:,.0f}",
            f"{r['examples_per_second'] / base:,.1f}",
            f"{r['step_seconds']:.2f}" if "step_seconds" in r else "-",
            f"{r['peak_memory_mb']:,.0f}",
            f"{r['auc']:.4f}" if "auc" in r else "-",
        ]
        for name, r in single.items()
    ]
    cached, uncached = single["lora top-2, cached trunk"], single["c: lora top-2, no cache"]
    share = cached["useful_flops"]["step"] / cached["matmul_flops"]
    build = cached["useful_flops"]["build"] / cached["matmul_flops"]
    dearest = ", ".join(f"`{name}` {part:.0%}" for name, part in cached["profile"].items())
    deep, hours = result["deep"], EPOCHS * 80_003 / base / 3600
    heading = ["what", "examples/s", "times (a)", "seconds a step", "peak memory MB", f"test AUC after {EPOCHS} epochs"]
    return page(
        "Compute less: what it buys",
        f"`python -m benchmarks speed --repeats {result['repeats']}`: MovieLens-100k, interest, 20 films of history,"
        f" MiniLM in fp32, {env['cpu']}, {env['cpu_cores']} cores. Medians; every row is a process of its own.",
        table(heading, lines),
        f"Useful FLOP/s over the matrix-product FLOP/s of the same process: cached `lora` top-2 steps {share:.2f},"
        f" cache building {build:.2f} (products with the backbone's weights only; attention, norms, heads and LoRA not"
        f" counted). Where a cached step goes, by PyTorch's profiler: {dearest}.",
        f"{EPOCHS} epochs of (a) or (b) would take about {hours:.0f} hours and were not run. {BATCH:,} rows a"
        f" step are {-(-80_003 // BATCH)} steps an epoch, which train nothing to its end.",
        f"The cached trunk makes a step {uncached['step_seconds'] / cached['step_seconds']:.1f} times as fast: 4 of 6"
        " layers less. More than 2.1 times is not to be had here, since going forward through the trunk costs four"
        " layers, and training the top two costs 3.75 with or without it (two forward, and back through all but the"
        " lowest query, key and value). On SmolLM2-135M, where 28 of 30 layers are cached, it is"
        f" {deep['no cache'] / deep['cached trunk']:.1f} times ({deep['no cache']:.1f} and {deep['cached trunk']:.1f}"
        " seconds a step).",
        "Co-learning three tasks in one run against three runs with the same rows a step, CPU seconds a step of one"
        " thread (the quicker of two runs):",
        _together(result["together"]),
        "With private parts every task reads its texts through layers of its own; what tasks share is the trunk, which"
        " the cache has computed already. Where neither memory nor disk has room for the trunk's states, a step runs it"
        " once for the texts of several tasks: that is what co-learning saves there.",
        "![examples per second](figures/speed.png)",
    )


def _together(result: dict[str, dict[str, float]]) -> str:
    """Seconds a step of each task alone, and of all together."""
    lines = []
    for name, found in result.items():
        alone, joint = [found[task] for task in TASKS], found[" + ".join(TASKS)]
        seconds = [f"{seconds:.2f}" for seconds in [*alone, joint]]
        lines.append([name, *seconds, f"{joint / sum(alone):.2f}", f"{joint / max(alone):.2f}"])
    return table(["method", *TASKS, "all three", "over their sum", "over the dearest"], lines)
