"""The page of the study `busy`."""

from typing import Any

from benchmarks.report.formats import page, table


def busy_page(result: dict[str, Any]) -> str:
    """A row for each setting of OpenMP's threads and number of busy processes."""
    lines = []
    for row in result["rows"]:
        ended = " (ended)" if row["ended"] else ""
        speed = "-" if row["ended"] == result["repeats"] else f"{row['examples_per_second']:,.0f}"
        measured = [f"{row['wall']:.1f}{ended}", f"{row['cpu']:.1f}", f"{row['cpu_of_idle']:.2f}"]
        lines.append([row["setting"], str(row["loops"]), *measured, speed])
    command = f"`python -m benchmarks busy --repeats {result['repeats']}`"
    return page(
        "Training beside busy processes",
        f"{command}: `peftrec train movielens-100k` for {result['steps']} steps on {result['cores']} cores, alone and"
        " beside processes that only count; medians. `peftrec` is the command's own setting (`GOMP_SPINCOUNT=3000`),"
        " `libgomp` what OpenMP's threads do by themselves: wait awake for 300,000 turns. A run that takes longer than"
        f" {result['limit']:.0f} s is ended, and counts with what it used by then.",
        table(["setting", "busy processes", "wall s", "CPU s", "CPU s / alone", "examples/s"], lines),
    )
