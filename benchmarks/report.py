"""REPORT.md and its figures from results/*.json: nothing is measured here, so the same results give the same text.

python benchmarks/bench.py report
"""

from pathlib import Path
from typing import Any

from figures import draw_all
from words import answers

from peftrec.checkpoint import read_json

Results = dict[str, Any]
TITLE = """# Full fine-tuning against adapter co-learning: memory, time, accuracy

`make bench` (what is below) and `make bench-full` (the whole matrix) write this page from `results/*.json`;
`python benchmarks/bench.py report` rebuilds it. Intervals are 95 %, over users (or queries) and seeds drawn together;
differences are paired on the same test rows and seeds, above 0 meaning better, and `open` where the interval holds 0.
Costs are those of the seed that trained fastest, which other work on the machine disturbed least; memory is the
process's high-water mark, Python and libraries included.
The test split is read once a cell and seed; learning rates are chosen on validation rows. A row that loses is printed
as it is."""
HEADLINES = {
    "query": ["auc", "log_loss"],
    "interest": ["auc", "gauc", "log_loss", "ece", "hr@10"],
    "time": ["mae"],
    "relevance": ["auc", "ndcg@10"],
}
NAMES = {"auc": "AUC", "gauc": "GAUC", "log_loss": "log-loss", "ece": "ECE", "hr@10": "HR@10", "mae": "MAE"}
NAMES |= {"ndcg@10": "nDCG@10"}


def read_results(here: Path) -> Results:
    """experiment -> what its results file holds, of those measured so far."""
    names = [path.stem for path in sorted((here / "experiments").glob("*.yaml"))]
    files = {name: here / "results" / f"{name}.json" for name in names}
    return {name: read_json(file) for name, file in files.items() if file.is_file()}


def write_report(here: Path) -> str:
    """Draw the figures, write REPORT.md, and return its text."""
    results = read_results(here)
    drawn = draw_all(results, here / "figures")
    text = build_report(here, results, drawn)
    (here / "REPORT.md").write_text(text, encoding="utf-8")
    return text


def build_report(here: Path, results: Results, figures: list[str]) -> str:
    """The text of REPORT.md. `figures`: the names of those that there are."""
    parts = [TITLE, "## The answer", *answers(results)]
    for name, result in results.items():
        if "rows" in result and "experiment" in result and "axes" in result["experiment"]:
            parts += matrix(name, result, figures)
    if "references" in results:
        parts += references(results)
    if "plain-peft" in results:
        parts += plain_peft(results["plain-peft"])
    if "tallrec" in results:
        parts += tallrec(results["tallrec"], figures)
    unmeasured = [path.stem for path in sorted((here / "experiments").glob("*.yaml")) if path.stem not in results]
    parts += ["## Not run", f"Not run here: {', '.join(f'`{n}`' for n in unmeasured) or 'nothing'}."]
    return "\n\n".join(parts) + "\n"


def matrix(name: str, result: dict[str, Any], figures: list[str]) -> list[str]:
    """The sections of one experiment with cells."""
    experiment, rows, machine = result["experiment"], result["rows"], result["environment"]
    changes = experiment["changes"]
    count = changes["train.max_steps"]
    said = (
        f"`python benchmarks/bench.py --only {name}`: recipe `{experiment['recipe']}`, {count} steps of"
        f" {changes['train.batch_size']:,} rows unless the name says otherwise, commit `{result['commit']}`,"
        f" {machine['cpu']}, {machine['cpu_cores']} cores, no GPU; {result['seconds'] / 60:.1f} minutes in all. Each"
        f" cell tried the learning rates {', '.join(f'{lr:g}' for lr in experiment['grid'])} for"
        f" {experiment['tune_steps']} steps and kept the one with the lowest weighted validation loss: the same budget"
        " for all. Alone, a task has the rows a step that it has among the three."
    )
    parts = [f"## {name}: the methods", said]
    parts.append(table(["cell", *COSTS], [[cell, *costs(row)] for cell, row in rows.items()]))
    for task in dict.fromkeys(task for row in rows.values() for task in row["tasks"]):
        metrics = [
            m for m in HEADLINES.get(task, ["accuracy"]) if any(m in r["tasks"].get(task, {}) for r in rows.values())
        ]
        lines = [
            [cell, *(value(row["tasks"][task].get(m)) for m in metrics)]
            for cell, row in rows.items()
            if task in row["tasks"]
        ]
        parts += [f"**{task}**", table(["cell", *(NAMES.get(m, m) for m in metrics)], lines)]
    for kind, heading in (
        ("full", "Against full fine-tuning"),
        ("alone", "Co-learned against alone"),
        ("fp32", "Quantised against fp32"),
    ):
        lines = differences(rows, kind)
        if lines:
            parts += [f"### {heading} ({name})", table(["cell", "held against", "task", "metric", *DIFFERENCE], lines)]
    parts += slices(name, rows)
    for figure, what in FIGURES.items():
        if f"{name}-{figure}" in figures:
            parts.append(f"![{what}](figures/{name}-{figure}.png)")
    cut = [f"- {where(rule['cells'])}: {rule['because']}" for rule in experiment.get("left_out", [])]
    if cut:
        parts += [f"### Left out of {name}", "\n".join(cut)]
    return parts


COSTS = [
    "lr",
    "seeds",
    "trained parameters",
    "adapter MB a task",
    "s a step",
    "training s",
    "examples/s",
    "peak MB",
    "swap ms",
]
DIFFERENCE = ["gain (95 %)", "p", "seeds", "that is"]
FIGURES = {
    "memory": "interest AUC against peak memory",
    "time": "interest AUC against training time",
    "together": "co-learned against alone",
    "slices": "cold against warm",
}


def costs(row: dict[str, Any]) -> list[str]:
    """The cells of COSTS."""
    cost = row["cost"]
    return [
        f"{row['tuning']['lr']:g}",
        str(row["seeds"]),
        f"{cost['trainable_parameters']:,.0f}",
        f"{cost['adapter_bytes_per_task'] / 1e6:.3f}",
        f"{cost['step_seconds']:.2f}",
        f"{cost['train_seconds']:.1f}",
        f"{cost['examples_per_second']:,.0f}",
        f"{cost['peak_memory_mb']:,.0f}",
        f"{cost['swap_milliseconds']:.3f}",
    ]


def differences(rows: dict[str, Any], kind: str) -> list[list[str]]:
    """Lines of one kind of paired comparison, each task's first headline and calibration."""
    lines = []
    for cell, row in rows.items():
        for base, tasks in row["differences"].items():
            if kind_of(rows, cell, base) != kind:
                continue
            for task, metrics in tasks.items():
                for m in HEADLINES.get(task, []):
                    if m in metrics:
                        lines.append([cell, base, task, NAMES[m], *difference(metrics[m])])
    return lines


def kind_of(rows: dict[str, Any], cell: str, base: str) -> str:
    """What a comparison is about: `full`, `alone` or `fp32`."""
    if rows[base]["where"]["method"] != rows[cell]["where"]["method"]:
        return "full"
    return "alone" if rows[base]["where"].get("tasks") != rows[cell]["where"].get("tasks") else "fp32"


def slices(name: str, rows: dict[str, Any]) -> list[str]:
    """Cold and warm users and items, short and long histories, of the co-learned cells."""
    parts = []
    for task, metrics in (("interest", ["auc", "log_loss", "ece"]), ("time", ["mae"])):
        cells = {c: r["slices"][task] for c, r in rows.items() if r["slices"].get(task) and len(r["tasks"]) > 1}
        if not cells:
            continue
        names = list(next(iter(cells.values())))
        lines = []
        for part in names:
            first = next(iter(cells.values()))[part]
            for cell, of in cells.items():
                shown = [f"{of[part][m]:.4f}" if of[part].get(m) is not None else "-" for m in metrics]
                lines.append([part, f"{first['n']:,.0f}", cell, *shown])
        heading = ["test rows of", "rows", "cell", *(NAMES[m] for m in metrics)]
        parts += [f"### Slices of {task} ({name})", table(heading, lines)]
    return parts


def references(results: Results) -> list[str]:
    """Outside recommenders, priors and peftrec's own next-item task on the same rows."""
    result = results["references"]
    lines = []
    for prior, values in result["priors"]["interest"]["priors"].items():
        lines.append([f"prior `{prior}`", *(plain(values.get(m)) for m in RANKED), "-"])
    for name, report in result["reports"].items():
        shown = [f"{plain(report['metrics'][m])}{ends(report['intervals'].get(m))}" for m in RANKED]
        lines.append([name, *shown, f"{report['seconds']:.1f}"])
    for seed, report in enumerate(results.get("next-item", {}).get("reports", [])):
        shown = [f"{plain(report['metrics'].get(m))}{ends(report['intervals'].get(m))}" for m in RANKED]
        lines.append([f"peftrec `movielens-100k-retrieval`, seed {seed}", *shown, f"{report['seconds']:.1f}"])
    chosen = "; ".join(f"{n}: {r['chosen']['constant']}" for n, r in result["reports"].items())
    first = next(iter(result["reports"].values()))
    said = (
        f"`python benchmarks/bench.py --only references`: MovieLens-100k, interest, the shipped recipe's split:"
        f" {first['n']:,} test rows, {first['ranked']:,} users ranked over the whole catalogue (each user's last liked"
        " film; films seen before are no candidates). Every reference is fitted on the train rows alone; its one"
        f" constant was chosen on validation rows ({chosen}). ALS, item-kNN and SASRec rank what a user will choose,"
        " so their AUC of like against dislike is beside the point; SVD predicts likes. Seconds are those of choosing,"
        " fitting and scoring; for peftrec of training. Its next-item task also reads popularity as it stood at each"
        " moment, which the others, fitted once, do not; SASRec was tuned in its epochs alone."
    )
    rest = [
        [task, f"`{prior}`", *(plain(values.get(m)) for m in ("auc", "log_loss", "mae"))]
        for task in ("query", "time")
        for prior, values in result["priors"][task]["priors"].items()
    ]
    return [
        "## Outside references",
        said,
        table(["what", *(NAMES.get(m, m) for m in RANKED), "seconds"], lines),
        table(["task", "prior", "AUC", "log-loss", "MAE"], rest),
    ]


RANKED = ["auc", "gauc", "hr@10", "ndcg@10"]


def plain_peft(result: dict[str, Any]) -> list[str]:
    """The padded cross-encoder, task after task."""
    lines = [
        [
            task,
            f"{of['trained_rows']:,}",
            f"{of['step_seconds']:.2f}",
            f"{of['examples_per_second']:.1f}",
            f"{NAMES[of['metric']]} {plain(of['value'])}{ends(of['interval'])}",
            f"{plain(of['prior_value'])} `{of['prior']}`",
            f"{of['adapter_bytes'] / 1e6:.2f}",
        ]
        for task, of in result["tasks"].items()
    ]
    options = result["experiment"]["options"]
    heading = [
        "task",
        "rows trained on",
        "s a step",
        "examples/s",
        f"{options['rows']} test rows",
        "prior, same rows",
        "MB",
    ]
    return [
        "## The usual way: padded cross-encoder, plain PEFT, one task after another",
        f"`python benchmarks/bench.py --only plain-peft`: MiniLM, LoRA on every layer, pairs padded to 128 tokens,"
        f" 32 rows a step, {options['steps']} steps a task; peak memory {result['peak_memory_mb']:,.0f} MB. At this"
        " speed an epoch of interest takes hours, so this shows the cost, not what it would reach.",
        table(heading, lines),
    ]


def tallrec(result: dict[str, Any], figures: list[str]) -> list[str]:
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
        f"`python benchmarks/bench.py --only tallrec`: rows {'/'.join(f'{n:,}' for n in counts['rows'])}, test"
        f" positives {counts['test positives']}, test users {counts['test users']}, as published. AUC in percent, mean"
        f" and deviation of 20 draws of K training prompts; intervals over the test users, who are few:"
        f" differences of a point or two are within them. MiniLM encodes the catalogue once, in"
        f" {result['encode_seconds']:.1f} s; the rest is closed forms, constants chosen on validation rows alone."
    )
    heading = ["what", *(f"K = {k}" for k in shots), f"GAUC, K = {last}", f"validation AUC, K = {last}", "s a draw"]
    parts = ["## TALLRec's few-shot movie set", said, table(heading, lines)]
    if "tallrec" in figures:
        parts.append("![few-shot AUC](figures/tallrec.png)")
    return parts


def table(heading: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    rows = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def value(of: dict[str, Any] | None) -> str:
    """A metric with its interval."""
    return "-" if of is None else f"{plain(of['value'])}{ends(of.get('interval'))}"


def difference(of: dict[str, Any]) -> list[str]:
    """The cells of DIFFERENCE."""
    low, high = of["interval"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "open"
    return [f"{of['by']:+.4f} ({low:+.4f} to {high:+.4f})", f"{of['p']:.3f}", str(of["seeds"]), verdict]


def plain(number: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if number is None else f"{number:.4f}"


def ends(interval: list[float] | None, digits: int = 3) -> str:
    """' (low to high)', or nothing."""
    return "" if interval is None else f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def where(cells: dict[str, Any]) -> str:
    """'method lora with tasks query, time'."""
    said = (f"{axis} {', '.join(names) if isinstance(names, list) else names}" for axis, names in cells.items())
    return " with ".join(said)
