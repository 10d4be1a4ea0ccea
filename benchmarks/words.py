"""The answer in words: sentences whose figures, and whose verdicts, are read from the results."""

from typing import Any

FIRST = {"query": ("auc", "AUC"), "interest": ("auc", "AUC"), "time": ("mae", "MAE")}


def answers(results: dict[str, Any]) -> list[str]:
    """Bullet lists, one a question."""
    said = []
    for name in ("matrix", "methods-quick"):
        if name in results:
            result = results[name]
            rows = {c: r for c, r in result["rows"].items() if r["where"]["tasks"] == "together"}
            said += _full(rows) + _quantised(rows) + _co_learned(result["rows"])
            if "references" in results:
                said += _priors(rows, results["references"])
            break
    if "references" in results:
        said += _outside(results["references"], results.get("next-item", {}).get("reports", []))
    if "plain-peft" in results:
        said.append(_usual(results["plain-peft"], results))
    if "tallrec" in results:
        said += _few_shot(results["tallrec"])
    return ["\n".join(f"- {sentence}" for sentence in said)] if said else ["Nothing has been measured yet."]


def _full(rows: dict[str, Any]) -> list[str]:
    """Full fine-tuning beside every other co-learned cell: what it costs, and for which tasks it is worth that."""
    full = next((c for c in rows if rows[c]["where"]["method"] == "full"), None)
    if full is None:
        return []
    own, cost = rows[full], rows[full]["cost"]
    values = ", ".join(f"{t} {m} {own['tasks'][t][k]['value']:.4f}" for t, (k, m) in FIRST.items())
    said = [
        f"**What full fine-tuning costs and buys**: `{full}` reaches {values} in {cost['train_seconds']:.0f} s"
        f" ({cost['steps']:.0f} steps of {cost['step_seconds']:.2f} s) with {cost['peak_memory_mb']:,.0f} MB, and each"
        f" task's weights take {cost['adapter_bytes_per_task'] / 1e6:.1f} MB."
    ]
    others = {c: r for c, r in rows.items() if full in r["differences"]}
    for task, (key, label) in FIRST.items():
        stands: dict[str, list[str]] = {"better": [], "open": [], "worse": []}
        for cell, row in others.items():
            found = row["differences"][full][task][key]
            stands[_verdict(found)].append(f"`{cell}` ({_numbers(found)})")
        parts = [
            f"{told} {', '.join(cells)}"
            for told, cells in (
                ("beaten by", stands["better"]),
                ("not to be told from", stands["open"]),
                ("better than", stands["worse"]),
            )
            if cells
        ]
        said.append(f"**When it is worth it**, {task}, {label} gained over it: full fine-tuning is {'; '.join(parts)}.")
    tried = [float(lr) for lr in own["tuning"]["losses"]]
    if own["tuning"]["lr"] == min(tried) and len(tried) > 1:
        said.append(
            f"Full fine-tuning took the lowest learning rate of the grid ({min(tried):g}): a lower one, which no cell"
            f" was given, may suit it better. It has {own['seeds']} seed."
        )
    for cell, row in others.items():
        own_cost = row["cost"]
        saved = cost["train_seconds"] / own_cost["train_seconds"]
        told = f"{saved:.1f} times faster" if saved >= 1 else f"{1 / saved:.1f} times slower"
        said.append(
            f"**`{cell}`** is {told} than full fine-tuning ({own_cost['steps']:.0f} steps,"
            f" {own_cost['train_seconds']:.1f} s) in {own_cost['peak_memory_mb'] / cost['peak_memory_mb']:.2f} of its"
            f" memory, and a task's weights take {own_cost['adapter_bytes_per_task'] / 1e6:.3f} MB."
        )
    return said


def _quantised(rows: dict[str, Any]) -> list[str]:
    """What 4 and 8 bits cost, by method."""
    said = []
    for cell, row in rows.items():
        for base, found in row["differences"].items():
            if rows.get(base, row)["where"]["method"] != row["where"]["method"] or base not in rows:
                continue
            gains = ", ".join(f"{t} {m} ({_gain(found[t][k])})" for t, (k, m) in FIRST.items() if t in found)
            before, after = rows[base]["cost"], row["cost"]
            said.append(
                f"**What quantisation costs**: `{cell}` against `{base}`: {gains}; the backbone takes"
                f" {after['backbone_mb']:.1f} instead of {before['backbone_mb']:.1f} MB, a step"
                f" {after['step_seconds']:.2f} instead of {before['step_seconds']:.2f} s, the process at its peak"
                f" {after['peak_memory_mb']:,.0f} instead of {before['peak_memory_mb']:,.0f} MB."
            )
    return said


def _co_learned(rows: dict[str, Any]) -> list[str]:
    """Which tasks gain and which lose beside others."""
    stands: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for row in rows.values():
        for base, found in row["differences"].items():
            alone = rows[base]["where"]
            if alone["method"] != row["where"]["method"] or alone["tasks"] == row["where"]["tasks"]:
                continue
            for task, metrics in found.items():
                key, label = FIRST[task]
                told = f"{task} with `{row['where']['method']}` ({label} {_numbers(metrics[key])})"
                stands[_verdict(metrics[key])].append(told)
    told = {"better": "it helps", "worse": "it harms", "open": "it makes no difference that can be told for"}
    parts = [f"{told[verdict]} {'; '.join(found)}" for verdict, found in stands.items() if found]
    return [f"**Co-learning**, at the same steps and rows a task: {', '.join(parts)}."] if parts else []


def _priors(rows: dict[str, Any], references: dict[str, Any]) -> list[str]:
    """Cells beside the best prior, by value."""
    said = []
    for task, (key, label) in FIRST.items():
        known = {p: v[key] for p, v in references["priors"][task]["priors"].items() if v.get(key) is not None}
        sign = -1 if key == "mae" else 1
        best = max(known, key=lambda p: sign * known[p])
        above = [c for c, r in rows.items() if sign * r["tasks"][task][key]["value"] > sign * known[best]]
        below = [c for c in rows if c not in above]
        parts = [
            f"{'better' if cells is above else 'not better'}: {', '.join(f'`{c}`' for c in cells)}"
            for cells in (above, below)
            if cells
        ]
        said.append(
            f"**Priors**, {task}: the best trivial one is `{best}` with {label} {known[best]:.4f}; {'; '.join(parts)}."
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
    return [
        f"**Outside references**: HR@10 over the full catalogue is {told}, popularity {popular:.4f};"
        f" {svd} has AUC {reports[svd]['metrics']['auc']:.4f} on likes."
    ]


def _usual(result: dict[str, Any], results: dict[str, Any]) -> str:
    of = result["tasks"]["interest"]
    rate = of["examples_per_second"]
    said = f"**The usual way** (padded cross-encoder, plain PEFT) trains {rate:.1f} examples/s on interest"
    quick = results.get("matrix") or results.get("methods-quick")
    if quick:
        rows = {c: r for c, r in quick["rows"].items() if r["where"]["tasks"] == "together"}
        said += "; " + ", ".join(f"`{c}` {r['cost']['examples_per_second']:,.0f}" for c, r in rows.items())
    return said + "."


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
    return f"{_numbers(of)}, {_verdict(of)}"


def _numbers(of: dict[str, Any]) -> str:
    low, high = of["interval"]
    return f"{of['by']:+.4f}, {low:+.4f} to {high:+.4f}"


def _verdict(of: dict[str, Any]) -> str:
    low, high = of["interval"]
    return "better" if low > 0 else "worse" if high < 0 else "open"
