"""Every method on the same three tasks: MovieLens-100k, MiniLM in nf4, equal epochs, one seed.

    python benchmarks/methods.py [--epochs 2] [--out runs/methods]

Each method trains in a process of its own, so that peak memory is its own. A finished run is not trained again. Writes
benchmarks/results/methods.json and benchmarks/METHODS.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MINILM, SMOLLM2 = "movielens-100k", "movielens-100k-smollm2"
TOP2 = "sharing: shared, layers: top-2"
# Row of the table -> (recipe, adapter). Layer methods adapt the two top layers, for all tasks together, so that a step
# encodes its texts once; prefix reaches every layer.
ROWS: dict[str, tuple[str, str]] = {
    "head_only": (MINILM, "{method: head_only, sharing: shared}"),
    "side": (MINILM, "{method: side, sharing: shared+private}"),
    "lora top-2": (MINILM, f"{{method: lora, {TOP2}}}"),
    "adalora top-2": (MINILM, f"{{method: adalora, {TOP2}}}"),
    "ia3 top-2": (MINILM, f"{{method: ia3, {TOP2}}}"),
    "bottleneck top-2": (MINILM, f"{{method: bottleneck, {TOP2}}}"),
    "prefix all": (MINILM, "{method: prefix, sharing: shared, options: {num_virtual_tokens: 8}}"),
    "SmolLM2-135M side": (SMOLLM2, "{method: side, sharing: shared+private, layers: [4, 9, 14, 19, 24, 29]}"),
    "SmolLM2-135M lora top-2": (SMOLLM2, f"{{method: lora, {TOP2}}}"),
}


def run(name: str, out: Path, epochs: int, batch_size: int) -> dict[str, Any]:
    """Train one row unless it is there already; its report."""
    recipe, adapter = ROWS[name]
    folder = out / name.replace(" ", "-")
    if not (folder / "report.json").exists():
        changes = [f"adapter={adapter}", f"train.epochs={epochs}", f"train.batch_size={batch_size}"]
        command = [sys.executable, "-m", "peftrec", "train", recipe, *changes, "train.early_stopping=null"]
        print(f"{name}: training", file=sys.stderr)
        subprocess.run([*command, "--run", str(folder)], check=True, stdout=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def row(name: str, report: dict[str, Any], epochs: int) -> dict[str, Any]:
    """What the table says of one run."""
    tasks, cost = report["tasks"], report["cost"]
    return {
        "method": name,
        "trainable_parameters": cost["trainable_parameters"],
        "adapter_bytes_per_task": round(sum(cost["adapter_bytes"].values()) / len(cost["adapter_bytes"])),
        "interest_auc": tasks["interest"]["metrics"]["auc"],
        "interest_auc_interval": tasks["interest"]["intervals"]["auc"],
        "query_auc": tasks["query"]["metrics"]["auc"],
        "time_mae": tasks["time"]["metrics"]["mae"],
        "seconds_an_epoch": cost["train_seconds"] / epochs,
        "peak_memory_mb": cost["peak_memory_mb"],
    }


def priors(report: dict[str, Any]) -> dict[str, Any]:
    """The best prior of each of the three metrics."""
    found = {}
    for task, metric, best in (("interest", "auc", max), ("query", "auc", max), ("time", "mae", min)):
        of = {p: v[metric] for p, v in report["tasks"][task]["priors"].items() if v.get(metric) is not None}
        name = best(of, key=lambda p: of[p])
        found[f"{task}_{metric}"] = {"prior": name, "value": of[name]}
    return found


def table(result: dict[str, Any]) -> str:
    """The result as a Markdown page."""
    lines = [
        "# Every method on the same three tasks",
        "",
        f"`python benchmarks/methods.py --epochs {result['epochs']} --batch-size {result['batch_size']}`: MovieLens,"
        f" MiniLM in nf4 ({result['environment']['cpu']}, {result['environment']['cpu_cores']} cores), one seed, equal"
        " epochs, test split touched once. One seed says little about small differences: the intervals are over users.",
        "",
        "| method | trainable parameters | adapter bytes a task | interest AUC (95 %) | query AUC | time MAE |"
        " seconds an epoch | peak memory MB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in result["rows"]:
        low, high = r["interest_auc_interval"]
        lines.append(
            f"| {r['method']} | {r['trainable_parameters']:,} | {r['adapter_bytes_per_task']:,} |"
            f" {r['interest_auc']:.4f} ({low:.3f} to {high:.3f}) | {r['query_auc']:.4f} | {r['time_mae']:.4f} |"
            f" {r['seconds_an_epoch']:.1f} | {r['peak_memory_mb']:,.0f} |"
        )
    best = result["priors"]
    said = [f"{name.replace('_', ' ')} {of['value']:.4f} (`{of['prior']}`)" for name, of in best.items()]
    return "\n".join([*lines, "", f"Best trivial prior: {', '.join(said)}.", ""])


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=8192)
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--only", nargs="*", choices=list(ROWS), help="these rows only; the tables are not written")
    given = parser.parse_args()
    reports = {name: run(name, given.out, given.epochs, given.batch_size) for name in given.only or ROWS}
    if given.only:
        return
    result = {
        "epochs": given.epochs,
        "batch_size": given.batch_size,
        "environment": reports["side"]["environment"],
        "rows": [row(name, report, given.epochs) for name, report in reports.items()],
        "priors": priors(reports["side"]),
    }
    (HERE / "results" / "methods.json").write_text(json.dumps(result, indent=2) + "\n")
    text = table(result)
    (HERE / "METHODS.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
