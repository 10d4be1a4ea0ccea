"""The pages' figures, readable in black and white: marks differ by shape and filling, and are named beside."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, MaxNLocator

from benchmarks.report import curves
from benchmarks.report.formats import NAMES, has_cells
from benchmarks.studies.growth import SIZES

SHAPES = {"full": "s", "head_only": "v", "lora": "o", "side": "D", "adalora": "^"}
SHAPES |= {"bottleneck": "X", "prefix": "*", "ia3": "h"}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "svg.hashsalt": "peftrec"}


def draw_all(results: dict[str, Any], folder: Path) -> set[str]:
    """Draw what the results allow into `folder`; the names of what was drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, result in results.items():
        if has_cells(result):
            # On this experiment's own rows.
            priors = (
                results.get("priors", {}).get("experiments", {}).get(name, {}).get("interest", {}).get("priors", {})
            )
            drawn += _of_cells(name, result["rows"], priors, folder)
    studies = {"tallrec": _tallrec, "speed": _speed, "growth": _growth, "recommending": _gains}
    for name, draw in studies.items():
        if name in results:
            drawn.append(draw(results[name], folder, name))
    for method, pairs in results.get("curves", {}).get("methods", {}).items():
        drawn.append(_curves(pairs, folder, curves.figure(method)))
    return set(drawn)


def _of_cells(name: str, rows: dict[str, Any], priors: dict[str, Any], folder: Path) -> list[str]:
    """The figures of one experiment: accuracy over memory and time, slices, co-learned against alone."""
    prior = max((of["auc"] for of in priors.values() if of.get("auc") is not None), default=None)
    together = {
        c: r
        for c, r in rows.items()
        if "interest" in r["tasks"]
        and r["where"]["tasks"] == "together"
        and r["where"].get("sharing", "shared") == "shared"
        and not r["where"]["method"].endswith("unclipped")  # which only the comparison with alone is about
    }
    fp32 = {c: r for c, r in together.items() if r["where"]["quantize"] == "fp32"}
    drawn = []
    if together:
        memory, seconds = "peak memory of the process (MB, logarithmic)", "training (CPU seconds, logarithmic)"
        drawn += [
            _front(together, "peak_memory_mb", memory, prior, folder, f"{name}-memory"),
            _front(together, "cpu_seconds", seconds, prior, folder, f"{name}-time"),
            _slices(fp32 or together, folder, f"{name}-slices"),
        ]
    if any(_alone(rows, c) for c in rows):
        drawn.append(_together(rows, folder, f"{name}-together"))
    return drawn


def _front(rows: dict[str, Any], cost: str, label: str, prior: float | None, folder: Path, name: str) -> str:
    """Interest AUC against a cost; filled marks are on the Pareto front, where nothing cheaper is better; small ones
    are in nf4, the smallest in int8."""
    figure, axes = plt.subplots(figsize=(8, max(4.6, 1.2 + 0.25 * len(rows))), layout="constrained")
    points = {c: (r["cost"][cost], r["tasks"]["interest"]["auc"]) for c, r in rows.items()}
    front = [
        c for c, (x, y) in points.items() if not any(u < x and v["value"] >= y["value"] for u, v in points.values())
    ]
    for cell, (x, y) in sorted(points.items(), key=lambda point: point[1][0]):  # the legend from left to right
        low, high = y["interval"]
        axes.errorbar(x, y["value"], [[y["value"] - low], [high - y["value"]]], color="0.75", capsize=3, zorder=1)
        method = rows[cell]["where"]["method"]
        axes.plot(
            x, y["value"], SHAPES.get(method, "o"), color="black", label=_short(cell),
            markerfacecolor="black" if cell in front else "white", zorder=2,
            markersize={"fp32": 10, "nf4": 7, "int8": 4.5}[rows[cell]["where"]["quantize"]], markeredgewidth=0.7,
        )  # fmt: skip
    ordered = sorted((points[c][0], points[c][1]["value"]) for c in front)
    axes.plot(*zip(*ordered, strict=True), "--", color="0.3", linewidth=1, zorder=0, label="Pareto front (filled)")
    if prior is not None:
        axes.axhline(prior, color="0.3", linewidth=1, linestyle=":", label="best prior")
    axes.set(xlabel=label, ylabel="AUC of interest (95 % over users and seeds)", xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _saved(figure, folder, name)


def _short(cell: str) -> str:
    """A cell's name without what most of them have."""
    return cell.replace(" together", "").removesuffix(" shared")


def _alone(rows: dict[str, Any], cell: str) -> dict[str, dict[str, Any]]:
    """task -> the difference of a co-learned cell to the same method alone, of the task's first headline."""
    found = {}
    for base, tasks in rows[cell]["differences"].items():
        if rows[base]["where"]["tasks"] != rows[cell]["where"]["tasks"]:  # else quantised, or another method
            task = next(iter(rows[base]["tasks"]))
            found[task] = tasks[task]["auc" if "auc" in tasks[task] else "mae"]
    return found


def _together(rows: dict[str, Any], folder: Path, name: str) -> str:
    """What co-learning gains or loses: a panel a task, a line a method, quantised cells below it in small marks."""
    lines: dict[str, list[str]] = {}  # method -> its cells
    for cell in rows:
        if _alone(rows, cell):
            lines.setdefault(rows[cell]["where"]["method"], []).append(cell)
    tasks = dict.fromkeys(task for cells in lines.values() for cell in cells for task in _alone(rows, cell))
    figure, all_axes = plt.subplots(
        1, len(tasks), figsize=(3.2 * len(tasks) + 1.8, 1.6 + 0.5 * len(lines)), layout="constrained", sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes, task in zip(all_axes[0], tasks, strict=True):
        for place, cells in enumerate(lines.values()):
            for number, cell in enumerate(cells):
                of = _alone(rows, cell).get(task)
                if of is None:
                    continue
                low, high = of["interval"]
                axes.errorbar(
                    of["by"], place + 0.22 * number, xerr=[[of["by"] - low], [high - of["by"]]], fmt="o", capsize=2,
                    color="black", markerfacecolor="black" if low > 0 or high < 0 else "white",
                    markersize=7 if rows[cell]["where"]["quantize"] == "fp32" else 4,
                )  # fmt: skip
        axes.axvline(0, color="0.5", linewidth=1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set(title=task, xlabel=f"gain in {'MAE (log-seconds)' if task == 'time' else 'AUC'} over the task alone")
    all_axes[0, 0].set_yticks(range(len(lines)), list(lines))
    all_axes[0, 0].set_ylim(len(lines) - 0.4, -0.5)
    quantised = ", small marks: nf4" * any(len(cells) > 1 for cells in lines.values())
    figure.suptitle(
        f"Right of 0 co-learning helps; filled marks: the 95 % interval leaves out 0{quantised}", fontsize=10
    )
    return _saved(figure, folder, name)


def _slices(rows: dict[str, Any], folder: Path, name: str) -> str:
    """AUC of interest in each slice; pairs of slices stand beside each other."""
    names = list(next(iter(rows.values()))["slices"]["interest"])
    figure, axes = plt.subplots(figsize=(8, 5.6), layout="constrained")
    for number, (cell, row) in enumerate(rows.items()):
        shift = 0.6 * ((number + 0.5) / len(rows) - 0.5)  # one below the other, in the order of the legend
        known = [(n + shift, row["slices"]["interest"][part].get("auc")) for n, part in enumerate(names)]
        known = [(y, auc) for y, auc in known if auc is not None]
        axes.plot(
            [auc for _, auc in known], [y for y, _ in known], SHAPES.get(row["where"]["method"], "o"), color="black",
            markerfacecolor="white", markersize=7, linestyle="none",
            label=_short(cell),
        )  # fmt: skip
    rows_of = [next(iter(rows.values()))["slices"]["interest"][part]["n"] for part in names]
    axes.set_yticks(range(len(names)), [f"{part}\n({n:,.0f} rows)" for part, n in zip(names, rows_of, strict=True)])
    axes.invert_yaxis()
    for edge in (0.5, 2.5, 4.5):
        axes.axhline(edge, color="0.9", linewidth=0.5)
    for edge in (1.5, 3.5):
        axes.axhline(edge, color="0.8", linewidth=1)
    axes.set(xlabel="AUC of interest on the test rows of the slice (mean of seeds)")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _saved(figure, folder, name)


def _curves(found: dict[str, Any], folder: Path, name: str) -> str:
    """A panel a pair of a method, of the first metric: the gain over alone of each arm by the target's rows, with its
    interval."""
    pairs = found.values()
    marks = {"reading": ("D", "0.8"), "begun": ("s", "0.6"), "together": ("o", "black"), "after": ("^", "white")}
    wide, high = min(len(pairs), 4), -(-len(pairs) // 4)
    figure, panels = plt.subplots(high, wide, figsize=(3.2 * wide, 3.6 * high), layout="constrained", squeeze=False)
    for axes in panels.flat[len(pairs) :]:
        axes.set_axis_off()
    shown: dict[str, Any] = {}  # arm -> its marks, for the legend
    for axes, of in zip(panels.flat, pairs, strict=False):
        metric, cells = next(iter(of["metrics"].items()))
        sizes = list(cells)
        for number, (arm, (mark, fill)) in enumerate(marks.items()):
            arms = [cell["arms"][arm] for cell in cells.values() if arm in cell["arms"]]
            if len(arms) < len(sizes):
                continue
            places = np.arange(len(sizes)) + 0.2 * (number - 1.5)
            gains = np.array([one["gain"] for one in arms])
            ends = np.abs(np.array([one["interval"] for one in arms]).T - gains)
            shown[arm] = axes.errorbar(
                places, gains, ends, fmt=mark, color="black", markerfacecolor=fill, linewidth=1, capsize=2
            )
        axes.axhline(0, color="0.5", linewidth=0.8, linestyle=":")
        first, _, second = of["said"].partition(" beside ")
        axes.set_title(f"{first}\nbeside {second}", fontsize=8)
        axes.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
        axes.set(xlabel="labelled rows", xlim=(-0.6, len(sizes) - 0.4))
        axes.set_ylabel(f"gain over alone, {NAMES.get(metric, metric)}", fontsize=8)
    figure.legend(shown.values(), shown, frameon=False, fontsize=8, loc="outside upper center", ncols=len(shown))
    return _saved(figure, folder, name)


def _tallrec(result: dict[str, Any], folder: Path, name: str) -> str:
    """Few-shot curves; the band is the interval over users of the best row, the same for all within a point."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    shots = [int(k) for k in next(iter(result["rows"].values()))]
    styles = [("o", "-"), ("v", "--"), ("D", "-."), ("s", ":"), ("^", "-")]
    lines = {**{n: v for n, v in result["published"].items()}}
    lines |= {n: [of[str(k)]["auc"] for k in shots] for n, of in result["rows"].items()}
    lines = dict(sorted(lines.items(), key=lambda line: -line[1][-1]))  # the legend in the order of the curves' ends
    reach = max(
        (high - low) / 2 for of in result["rows"].values() for k in of.values() for low, high in [k["interval"]]
    )
    for (label, values), (mark, line) in zip(lines.items(), styles, strict=False):
        published = label in result["published"]
        axes.plot(
            shots, values, marker=mark, linestyle=line, color="black", markersize=8, linewidth=1,
            markerfacecolor="black" if published else "white", label=label,
        )  # fmt: skip
    axes.set(xscale="log", xlabel="K, training prompts (logarithmic)", ylabel="AUC (%), mean of 20 draws")
    axes.set_title(
        f"95 % over the {result['counts']['test users']} test users, not drawn: up to {reach:.0f} points to each side",
        fontsize=9,
    )
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return _saved(figure, folder, name)


def _speed(result: dict[str, Any], folder: Path, name: str) -> str:
    """Examples a second of every row, on a logarithmic axis."""
    names = list(result["single"])[::-1]
    rates = [result["single"][name]["examples_per_second"] for name in names]
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    bars = axes.barh(names, rates, color="0.45")
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3)
    axes.set(xscale="log", xlabel="training examples per second (logarithmic)", xlim=(min(rates) / 2, max(rates) * 5))
    return _saved(figure, folder, name)


def _growth(result: dict[str, Any], folder: Path, name: str) -> str:
    """Time an example and peak memory over the size of log and catalogue."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    sizes = dict(zip(SIZES, result["growth"], strict=True))
    lines = {
        "times the events": ([sizes[n, 1, "none"] for n in (1, 10, 100)], "o-"),
        "times the items": ([sizes[1, n, "none"] for n in (1, 10, 100)], "s--"),
        "times the items, whole users a step": ([sizes[1, n, "user"] for n in (1, 10, 100)], "^:"),
    }
    for axes, key, label in zip(
        panels,
        ("microseconds_an_example", "peak_memory_mb"),
        ("µs of processor time an example", "peak memory of the process, MB"),
        strict=True,
    ):
        for line, (found, style) in lines.items():
            axes.plot([1, 10, 100], [r[key] for r in found], style, color="black", label=line)
        axes.set(xscale="log", ylim=0, xlabel="times MovieLens-100k", ylabel=label)
        axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return _saved(figure, folder, name)


def _gains(result: dict[str, Any], folder: Path, name: str) -> str:
    """A panel a log: what peftrec gains of HR@10 over each of the others, with its interval; black where beyond 0."""
    logs = result["logs"]
    figure, panels = plt.subplots(
        1, len(logs), figsize=(2.6 * len(logs) + 1.4, 3.4), layout="constrained", squeeze=False
    )
    names = list(dict.fromkeys(other for of in logs.values() for other in of["metrics"]["hr@10"]["all"]["gains"]))[::-1]
    for axes, (log, of) in zip(panels[0], logs.items(), strict=True):
        gains = of["metrics"]["hr@10"]["all"]["gains"]
        for place, other in enumerate(names):
            if other in gains and gains[other]["interval"]:
                (low, high), by = gains[other]["interval"], gains[other]["by"]
                axes.plot([low, high], [place, place], "-", color="black", linewidth=1)
                fill = "black" if low > 0 or high < 0 else "white"
                axes.plot(by, place, "o", color="black", markerfacecolor=fill, markersize=7)
        axes.axvline(0, color="0.5", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(names)), names if axes is panels[0][0] else [""] * len(names))
        axes.set_ylim(-0.5, len(names) - 0.5)
        axes.set_title(log, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel("HR@10 that peftrec gains over it (right of the line: better; white: within chance)", fontsize=10)
    return _saved(figure, folder, name)


def _saved(figure: Any, folder: Path, name: str) -> str:
    figure.savefig(folder / f"{name}.png", dpi=130, metadata={"Software": None})
    plt.close(figure)
    return name
