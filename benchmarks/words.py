"""The answer in words: sentences whose figures, and whose verdicts, are read from the results."""

from typing import Any

from summary import over_reference

FIRST = {"query": ("auc", "AUC"), "interest": ("auc", "AUC"), "time": ("mae", "MAE")}
LABELS = {"auc": "AUC", "mae": "MAE"}
LONGER = ", trained longer"  # what experiment `longer` is called


def answers(results: dict[str, Any]) -> list[str]:
    """Bullet lists, one a question."""
    said = []
    if "matrix" in results:
        everything = results["matrix"]["rows"]
        rows = {c: r for c, r in everything.items() if r["where"]["tasks"] == "together"}
        plain = {c: r for c, r in rows.items() if (r["where"]["quantize"], r["where"]["sharing"]) == ("fp32", "shared")}
        every_longer = results.get("longer", {}).get("rows", {})
        longer = {c: r for c, r in every_longer.items() if r["where"]["tasks"] == "together"}
        said += (
            _full(plain)
            + _methods(plain)
            + _full(longer, LONGER)
            + _methods(longer, LONGER)
            + _quantised(rows)
            + _sharing(rows)
            + _co_learned(everything)
            + _co_learned(every_longer, LONGER)
            + _clipped(everything)
        )
        if "references" in results:
            said += _priors(plain, results["references"]) + _priors(longer, results["references"], LONGER)
    said += [line for name in ("esci", "smollm2", "latest-small") for line in _elsewhere(name, results.get(name))]
    if "references" in results:
        said += _outside(results["references"], results.get("next-item", {}).get("reports", []))
    if "plain-peft" in results:
        said.append(_usual(results["plain-peft"], results))
    if "tallrec" in results:
        said += _few_shot(results["tallrec"])
    return ["\n".join(f"- {sentence}" for sentence in said)] if said else ["Nothing has been measured yet."]


def _full(rows: dict[str, Any], trained: str = "") -> list[str]:
    """Full fine-tuning beside every other co-learned cell: what it costs, and for which tasks it is worth that."""
    full = next((c for c in rows if rows[c]["where"]["method"] == "full"), None)
    if full is None:
        return []
    own, cost = rows[full], rows[full]["cost"]
    values = ", ".join(f"{t} {m} {own['tasks'][t][k]['value']:.4f}" for t, (k, m) in FIRST.items())
    said = [
        f"**What full fine-tuning costs and buys{trained}**: {values} for {cost['cpu_seconds']:.0f} CPU seconds"
        f" ({cost['steps']:.0f} steps of {cost['cpu_seconds_per_step']:.2f}), {cost['peak_memory_mb']:,.0f} MB, and"
        f" {cost['adapter_bytes_per_task'] / 1e6:.1f} MB a task to store."
    ]
    others = {c: r for c, r in rows.items() if full in r["differences"]}
    for task, (key, label) in FIRST.items():
        stands = {"better": list[str](), "worse": list[str](), "open": list[str]()}
        for cell, row in others.items():
            found = row["differences"][full][task][key]
            by = "" if _verdict(found) == "open" else f" ({found['by']:+z.4f})"
            stands[_verdict(found)].append(f"`{_short(cell)}`{by}")
        opening = "it is here, against" if stands["worse"] else "not here"
        parts = [
            f"{told}{', '.join(cells)}"
            for told, cells in (
                ("", stands["worse"]),
                ("better than it: ", stands["better"]),
                ("no difference that can be told: ", stands["open"]),
            )
            if cells
        ]
        opening += " " if stands["worse"] else "; "
        told = f"{task} ({label} gained over it): {opening}{'; '.join(parts)}."
        said.append(f"**When full fine-tuning is worth it{trained}**, {told}")
    return said + _at_the_end(rows)


def _at_the_end(rows: dict[str, Any]) -> list[str]:
    """The cells that took the first or last learning rate of the grid, but for those with nothing to tune."""
    told = []
    for cell, row in rows.items():
        losses, lr = row["tuning"]["losses"], row["tuning"]["lr"]
        rates = [float(rate) for rate in losses]
        if len(set(losses.values())) > 1 and lr in (min(rates), max(rates)):
            told.append(f"`{_short(cell)}` ({lr:g})")
    return [f"At an end of the grid of learning rates, so that one beyond may suit better: {', '.join(told)}."] * bool(
        told
    )


def _methods(rows: dict[str, Any], trained: str = "") -> list[str]:
    """What each method costs beside full fine-tuning, and for which tasks it is worth more than the side network, which
    reads the frozen layers from a cache."""
    full = next((r["cost"] for r in rows.values() if r["where"]["method"] == "full"), None)
    said = []
    for row in rows.values():
        cost, method = row["cost"], row["where"]["method"]
        if full is None or method == "full":
            continue
        steps = "" if cost["steps"] == full["steps"] else f" ({cost['steps']} steps, not {full['steps']})"
        line = (
            f"**When {method}{trained}**{steps}: {_times(full['cpu_seconds'] / cost['cpu_seconds'])} the speed of full"
            f" fine-tuning in {cost['peak_memory_mb'] / full['peak_memory_mb']:.2f} of its memory,"
            f" {cost['adapter_bytes_per_task'] / 1e6:.3f} MB a task"
        )
        side = next((b for b in row["differences"] if b in rows and rows[b]["where"]["method"] == "side"), None)
        if side:
            of, seconds = row["differences"][side], rows[side]["cost"]["cpu_seconds"]
            gains = {t: (_verdict(of[t][k]), f"{t} ({m} {of[t][k]['by']:+z.4f})") for t, (k, m) in FIRST.items()}
            told = {"better": "better for ", "worse": "worse for ", "open": "no difference that can be told for "}
            parts = [
                word + ", ".join(names)
                for verdict, word in told.items()
                if (names := [name for stands, name in gains.values() if stands == verdict])
            ]
            line += (
                f"; beside the side network ({cost['cpu_seconds']:.1f} CPU seconds instead of {seconds:.1f}):"
                f" {'; '.join(parts)}"
            )
        said.append(line + ".")
    return said


def _times(ratio: float) -> str:
    return f"{ratio:.0f} times" if ratio >= 10 else f"{ratio:.1f} times"


def _short(cell: str) -> str:
    """A co-learned cell's name without what most of them have."""
    return cell.replace(" together", "").removesuffix(" shared")


def _quantised(rows: dict[str, Any]) -> list[str]:
    """What 4 and 8 bits cost, over all methods."""
    said = []
    for kind in dict.fromkeys(row["where"]["quantize"] for row in rows.values() if row["where"]["quantize"] != "fp32"):
        pairs = [
            (cell, base)
            for cell, row in rows.items()
            for base in row["differences"]
            if row["where"]["quantize"] == kind and rows.get(base, row)["where"] == row["where"] | {"quantize": "fp32"}
        ]
        stands: dict[str, list[str]] = {"worse": [], "better": []}
        for cell, base in pairs:
            for task, (key, label) in FIRST.items():
                found = rows[cell]["differences"][base][task][key]
                if (verdict := _verdict(found)) in stands:
                    stands[verdict].append(f"{task} with `{_short(cell)}` ({label} {found['by']:+z.4f})")
        told = "; ".join(f"{verdict} for {', '.join(found)}" for verdict, found in stands.items() if found)
        if not pairs:
            continue
        costs = {
            what: [rows[cell]["cost"][key] / rows[base]["cost"][key] for cell, base in pairs]
            for what, key in (
                ("a step's CPU time", "cpu_seconds_per_step"),
                ("the process's peak memory", "peak_memory_mb"),
            )
        }
        ratios = ", ".join(f"{what} by {min(of):.2f} to {max(of):.2f}" for what, of in costs.items())
        before, after = (rows[pairs[0][side]]["cost"]["backbone_mb"] for side in (1, 0))
        said.append(
            f"**What quantisation costs**, `{kind}` beside fp32, {len(pairs)} pairs of cells, three tasks each:"
            f" {told or 'better or worse nowhere'}, and no difference that can be told else; the backbone takes"
            f" {after:.1f} instead of {before:.1f} MB; it multiplies {ratios}."
        )
    return said


def _sharing(rows: dict[str, Any]) -> list[str]:
    """What private parts buy over shared adapters alone, and what they cost."""
    told = []
    for cell, row in rows.items():
        for base, found in row["differences"].items():
            if base not in rows or rows[base]["where"] != row["where"] | {"sharing": "shared"}:
                continue
            if row["where"]["sharing"] == "shared":
                continue
            gains = ", ".join(f"{t} {_word(found[t][k])}" for t, (k, _) in FIRST.items())
            ratio = row["cost"]["cpu_seconds"] / rows[base]["cost"]["cpu_seconds"]
            told.append(f"`{_short(cell)}` {gains}, in {ratio:.1f} times the CPU time")
    return [f"**What private parts buy** over one adapter for all tasks: {'; '.join(told)}."] if told else []


def _word(of: dict[str, Any]) -> str:
    verdict = _verdict(of)
    return "open" if verdict == "open" else f"{verdict} ({of['by']:+z.4f})"


def _co_learned(rows: dict[str, Any], trained: str = "") -> list[str]:
    """Which tasks gain and which lose beside others: `shared` adapters against the same alone."""
    stands: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for row in rows.values():
        for base, found in row["differences"].items():
            alone = rows[base]["where"]
            if alone["method"] != row["where"]["method"] or alone["tasks"] == row["where"]["tasks"]:
                continue
            for task, metrics in found.items():
                key, label = FIRST[task]
                method = row["where"]["method"] + (" nf4" if row["where"]["quantize"] == "nf4" else "")
                by = "" if _verdict(metrics[key]) == "open" else f" ({label} {metrics[key]['by']:+z.4f})"
                stands[_verdict(metrics[key])].append(f"{task} with `{method}`{by}")
    told = {"better": "it helps", "worse": "it harms", "open": "it makes no difference that can be told for"}
    return [
        f"**Co-learning{trained}**, at the same steps and rows a task: {told[verdict]} {'; '.join(found)}."
        for verdict, found in stands.items()
        if found
    ]


def _clipped(rows: dict[str, Any]) -> list[str]:
    """What co-learning gains or loses with the gradients of all tasks clipped together, and with none clipped."""
    gains = {
        row["where"]["method"]: [
            f"{task} {_word(metrics[FIRST[task][0]])}"
            for base, found in row["differences"].items()
            if rows[base]["where"] == row["where"] | {"tasks": rows[base]["where"]["tasks"]}
            for task, metrics in found.items()
        ]
        for row in rows.values()
        if row["where"]["tasks"] == "together"
        and (row["where"]["quantize"], row["where"]["sharing"]) == ("fp32", "shared")
    }
    told = [
        f"`{method}` {', '.join(of)}; clipped {', '.join(gains[clipped])}"
        for method, of in gains.items()
        if of and gains.get(clipped := method.removesuffix(" unclipped")) and clipped != method
    ]
    if not told:
        return []
    return [
        "**Clipping**: the recipes clip one norm over the gradients of all tasks, which ties the tasks' heads to each"
        f" other; co-learned beside alone, {'; '.join(told)}."
    ]


def _elsewhere(name: str, result: dict[str, Any] | None) -> list[str]:
    """The values of another experiment's co-learned cells, and where they differ from full fine-tuning."""
    if result is None:
        return []
    told = []
    for cell, row in result["rows"].items():
        if row["where"]["tasks"] != "together":
            continue
        known = {t: ("auc" if "auc" in of else "mae") for t, of in row["tasks"].items()}
        values = ", ".join(f"{t} {LABELS[k]} {row['tasks'][t][k]['value']:.4f}" for t, k in known.items())
        over = next((of for b, of in row["differences"].items() if b.startswith("full")), None)
        gains = "" if over is None else f" ({', '.join(_gain(over[t][k]) for t, k in known.items())}, over full)"
        told.append(f"`{_short(cell)}` {values}{gains}")
    return [f"**`{name}`**: {'; '.join(told)}."] if told else []


def _priors(rows: dict[str, Any], references: dict[str, Any], trained: str = "") -> list[str]:
    """Cells beside the best prior, by value."""
    said = []
    for task, (key, label) in FIRST.items() if rows else ():
        known = {p: v[key] for p, v in references["priors"][task]["priors"].items() if v.get(key) is not None}
        sign = -1 if key == "mae" else 1
        best = max(known, key=lambda p: sign * known[p])
        above = [c for c, r in rows.items() if sign * r["tasks"][task][key]["value"] > sign * known[best]]
        below = [c for c in rows if c not in above]
        parts = [
            f"{'better' if cells is above else 'not better'}: {', '.join(f'`{_short(c)}`' for c in cells)}"
            for cells in (above, below)
            if cells
        ]
        said.append(
            f"**Priors{trained}**, {task}: the best trivial one is `{best}` with {label} {known[best]:.4f};"
            f" {'; '.join(parts)}."
        )
    return said


def _outside(result: dict[str, Any], own: list[dict[str, Any]]) -> list[str]:
    reports = result["reports"]
    popular = result["priors"]["interest"]["priors"]["popularity"]["hr@10"]
    ranked = sorted(reports, key=lambda n: -reports[n]["metrics"]["hr@10"])
    told = ", ".join(f"{n} {reports[n]['metrics']['hr@10']:.4f}" for n in ranked)
    if own:
        values = [report["metrics"]["hr@10"] for report in own]
        told += f", peftrec's next-item task {sum(values) / len(values):.4f} (mean of {len(values)} seeds)"
    svd = next(n for n in reports if n.startswith("SVD"))
    said = [
        f"**Outside references**: HR@10 over the full catalogue is {told}, popularity {popular:.4f};"
        f" {svd} has AUC {reports[svd]['metrics']['auc']:.4f} on likes."
    ]
    if own:
        sas = next(n for n in reports if n.startswith("SASRec"))
        gains = ", ".join(
            f"{n} {_gain(over_reference('hr@10', [o['ranks'] for o in own], reports[n]['ranks']))}" for n in ranked
        )
        said.append(
            f"**Next-item against them**, HR@10 on the same users, paired: over {gains}; SASRec was"
            f" given {max(map(int, reports[sas]['chosen']['valid']))} epochs at most and took"
            f" {reports[sas]['chosen']['constant']}."
        )
    return said


def _usual(result: dict[str, Any], results: dict[str, Any]) -> str:
    of = result["tasks"]["interest"]
    rate = of["examples_per_cpu_second"]
    said = f"**The usual way** (padded cross-encoder, plain PEFT) trains {rate:.1f} examples a CPU second on interest"
    rows = results.get("matrix", {}).get("rows", {})
    shown = [
        f"`{_short(c)}` {r['cost']['examples_per_cpu_second']:,.0f}"
        for c, r in rows.items()
        if r["where"]["tasks"] == "together"
    ]
    return said + (f"; co-learned, {', '.join(shown)}." if shown else ".")


def _few_shot(result: dict[str, Any]) -> list[str]:
    name, published = next(iter(result["published"].items()))
    rows, said = result["rows"], []
    for place, shots in enumerate(next(iter(rows.values()))):
        prior = max(rows[n][shots]["auc"] for n in rows if n.startswith("prior"))
        best, bare, lm = rows["with text"][shots]["auc"], rows["without text"][shots]["auc"], published[place]
        text, over = result["gains"][shots]["without text"], result["gains"][shots]["prior"]
        beats = "above" if best > lm else "below"
        said.append(
            f"**TALLRec's movies, K = {shots}**: {best:.2f} with text, {beats} {name}'s {lm:.2f};"
            f" {prior:.2f} for the better prior ({_points(over)} over share and rates), {bare:.2f} without text (text"
            f" adds {_points(text)})."
        )
    return said


def _points(of: dict[str, Any]) -> str:
    low, high = of["interval"]
    return f"{of['by']:+.2f} points, {low:+.2f} to {high:+.2f} over users, {_verdict(of)}"


def _gain(of: dict[str, Any]) -> str:
    return f"({_numbers(of)}, {_verdict(of)})"


def _numbers(of: dict[str, Any]) -> str:
    low, high = of["interval"]
    return f"{of['by']:+z.4f}, {low:+z.4f} to {high:+z.4f}"


def _verdict(of: dict[str, Any]) -> str:
    low, high = of["interval"]
    return "better" if low > 0 else "worse" if high < 0 else "open"
