"""The pages of what is no cell: the usual script, TALLRec."""

from typing import Any

from benchmarks.report.formats import NAMES, ends, page, table
from peftrec.runs.metric_rows import number


def plain_peft_page(result: dict[str, Any]) -> str:
    """The padded cross-encoder, task after task."""
    lines = [
        [
            task,
            f"{of['trained_rows']:,}",
            f"{of['cpu_seconds_per_step']:.2f}",
            f"{of['examples_per_cpu_second']:.1f}",
            f"{NAMES[of['metric']]} {number(of['value'])}{ends(of['interval'])}",
            f"{number(of['prior_value'])} `{of['prior']}`",
            f"{of['adapter_bytes'] / 1e6:.2f}",
        ]
        for task, of in result["tasks"].items()
    ]
    options = result["experiment"]["options"]
    heading = [
        "task",
        "rows trained on",
        "CPU s a step",
        "examples a CPU s",
        f"{options['rows']} test rows",
        "prior, same rows",
        "MB",
    ]
    return page(
        "The usual way: padded cross-encoder, plain PEFT, one task after another",
        f"`python -m benchmarks full --only plain-peft`, code of `{result['commit']}`:"
        " MiniLM, LoRA on every layer, pairs padded to 128 tokens,"
        f" 32 rows a step, {options['steps']} steps a task; peak memory {result['peak_memory_mb']:,.0f} MB. At this"
        " speed an epoch of interest takes hours, so this shows the cost, not what it would reach.",
        table(heading, lines),
    )


def tallrec_page(result: dict[str, Any]) -> str:
    """The few-shot movie set."""
    lines = [[name, *(f"{v:.2f}" for v in values), "-", "-", "-"] for name, values in result["published"].items()]
    shots = list(next(iter(result["rows"].values())))
    last = shots[-1]
    for name, of in result["rows"].items():
        shown = [f"{of[k]['auc']:.2f} ± {of[k]['deviation']:.2f}{ends(of[k]['interval'], 1)}" for k in shots]
        inside = f"{of[last]['gauc']:.2f}{ends(of[last]['gauc_interval'], 1)}"
        chosen = of[last]["chosen"]
        told = "-" if chosen is None else f"{chosen['valid_auc']:.2f}"
        lines.append([name, *shown, inside, told, f"{of[last]['seconds']:.3f}"])
    counts = result["counts"]
    said = (
        f"`python -m benchmarks full --only tallrec`, code of `{result['commit']}`: rows"
        f" {'/'.join(f'{n:,}' for n in counts['rows'])}, test"
        f" positives {counts['test positives']}, test users {counts['test users']}, as published. AUC in percent, mean"
        f" and deviation of 20 draws of K training prompts; intervals over the test users, who are few:"
        f" differences of a point or two are within them. MiniLM encodes the catalogue once, in"
        f" {result['encode_seconds']:.1f} s; the rest is closed forms, constants chosen on validation rows alone."
    )
    heading = ["what", *(f"K = {k}" for k in shots), f"GAUC, K = {last}", f"validation AUC, K = {last}", "s a draw"]
    figure = "![few-shot AUC](figures/tallrec.png)"
    return page("TALLRec's few-shot movie set", said, table(heading, lines), figure)
