"""The pages of what is no cell: the usual script, TALLRec, the order of events."""

from statistics import fmean
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


def equal_epochs_page(result: dict[str, Any]) -> str:
    """The padded cross-encoder and peftrec's methods after one epoch of the same rows."""
    options = result["experiment"]["options"]
    usual = next(iter(result["rows"].values()))["cpu_seconds"]
    lines = [
        [
            name,
            f"{number(of['auc'])}{ends(of['interval'])}",
            f"{of['cpu_seconds']:,.0f}",
            f"{usual / of['cpu_seconds']:.1f}",
        ]
        for name, of in result["rows"].items()
    ]
    lines += [[f"prior `{name}`", number(auc), "-", "-"] for name, auc in result["priors"].items()]
    steps = next(iter(result["rows"].values()))["steps"]
    return page(
        "The same rows, the same epochs",
        f"`python -m benchmarks full --only equal-epochs`, code of `{result['commit']}`: interest, one epoch"
        f" of the same {options['train_rows']:,} train rows, {steps} steps of 32, one seed, learning rates as shipped,"
        f" and the same {options['test_rows']:,} test rows. CPU seconds are those of training, computing the cached"
        " states included. The cross-encoder reads the films' texts alone; peftrec's head reads how they were liked"
        " too, and the rates so far of user and item, as that prior does. Few rows a step are not what peftrec is made"
        " for: 32 rows share few texts.",
        table(["what", "test AUC", "CPU s", "times as fast"], lines),
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


def reference_split_page(rows: list[dict[str, Any]]) -> str:
    """Interest with histories counted strictly and in the file's order."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["order"], row["tasks"]), []).append(row)
    shown = ("auc", "gauc", "item_and_user", "rates_so_far")
    lines = [
        [order, tasks, *(number(fmean(row[key] for row in of)) for key in shown)]
        for (order, tasks), of in groups.items()
    ]
    seeds = len({row["seed"] for row in rows})
    return page(
        "What the order of events inside a second tells",
        f"`python -m benchmarks reference-split --seeds {seeds}`: half of MovieLens-100k's ratings share their second"
        " with others of the same user. `strict` histories hold only events strictly before an example, as everywhere"
        " in peftrec; `file` takes the file's order inside a second for time, which tells a model more. Interest on the"
        f" 80/20 split by time, the side network in fp32, six epochs, means of {seeds} seeds.",
        table(["order", "tasks", "AUC", "GAUC", "prior `item_and_user` AUC", "prior `rates_so_far` AUC"], lines),
    )
