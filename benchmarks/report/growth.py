"""The pages of the studies `growth` and `large`."""

from typing import Any

from benchmarks.report.formats import page, table
from benchmarks.studies.growth import KINDS, SIZES

HEADING = [
    "training events",
    "items",
    "a step's rows",
    "unique texts an example",
    "µs an example",
    "against the first",
    "memory of data MB",
    "peak memory MB",
]


def growth_page(result: dict[str, Any]) -> str:
    """Time and memory over the size of log and catalogue, and a recommendation out of a million items."""
    env, asked, rows = result["environment"], result["recommend"], result["growth"]
    of = {size: row["microseconds_an_example"] for size, row in zip(SIZES, rows, strict=True)}
    base = of[1, 1, "none"]
    first, last = rows[SIZES.index((1, 1, "none"))], rows[SIZES.index((1, 100, "none"))]
    a_text = (last["microseconds_an_example"] - first["microseconds_an_example"]) / (
        last["unique_texts_an_example"] - first["unique_texts_an_example"]
    )
    lines = [
        [
            f"{r['events']:,}",
            f"{r['items']:,}",
            "whole users" if r["locality"] == "user" else "any",
            f"{r['unique_texts_an_example']:.2f}",
            f"{r['microseconds_an_example']:.1f}",
            f"{r['microseconds_an_example'] / base:.2f}",
            f"{r['data_mb']:,.0f}",
            f"{r['peak_memory_mb']:,.0f}",
        ]
        for r in rows
    ]
    return page(
        "What growth costs",
        f"`python -m benchmarks growth` ({env['cpu']}, {env['cpu_cores']} cores; what is measured: see"
        " `benchmarks/studies/growth.py`). Training steps of the side network, 16,384 examples each; processor time,"
        " one thread:",
        table(HEADING, lines),
        f"With 100 times the log an example takes {of[100, 1, 'none'] / base:.2f} times as long. With 100 times the"
        f" catalogue it takes {of[1, 100, 'none'] / base:.0f} times as long, since with the same log a batch then holds"
        f" so many more different texts, and the side network runs once for each: {a_text:.0f} µs a text. With"
        " `train.locality: user` the rows of a step are those of whole users, whose histories overlap:"
        f" {of[1, 100, 'user'] / base:.1f} times. It cannot be flat: an item of so large a catalogue is in half an"
        " event of this log, so nearly every example brings a text that no other has.",
        f"`recommend` by a `next-item` task out of {asked['items']:,} items, exactly: median"
        f" {asked['recommend_milliseconds']:.0f} ms (95th percentile {asked['recommend_milliseconds_95']:.0f} ms)"
        f" after loading ({asked['load_seconds']:.0f} s) and the first call ({asked['first_recommend_seconds']:.0f} s,"
        f" which computes the items' vectors); peak memory of the whole process, training included,"
        f" {asked['peak_memory_mb']:,.0f} MB. Approximately (faiss, indexed in {asked['index_seconds']:.0f} s): median"
        f" {asked['approximate_milliseconds']:.1f} ms, finding {asked['approximate_recall']:.0%} of the exact ten."
        f" Users keep to two of {KINDS} kinds of items, and the run has learnt some of it:"
        f" {asked['of_the_user_s_kinds']:.0%} of what it recommends are of the user's kinds; by chance it would be"
        f" {2 / KINDS:.1%}.",
        "![growth](figures/growth.png)",
        "Fifty million events and a million items: [a large log](large.md).",
    )


def large_page(result: dict[str, Any]) -> str:
    """The largest log beside one of a tenth of its events and items."""
    env, rows = result["environment"], result["rows"]
    small, big = rows[0], rows[-1]
    phases = {"prepare": "prepare", "states": "states", "plan": "first step", "evaluate": "evaluate", "save": "write"}
    heading = ["events", "items", "files MB", *(f"{said} s" for said in phases.values()), "a step s", "its texts"]
    heading += ["peak memory MB"]
    lines = [
        [
            f"{r['events']:,}",
            f"{r['items']:,}",
            f"{r['file_mb']:,.0f}",
            *(f"{r[name]['cpu_seconds']:,.0f}" for name in phases),
            f"{r['step']['cpu_seconds']:.2f}",
            f"{r['step']['texts']:,.0f}",
            f"{max(r[name]['peak_memory_mb'] for name in phases):,.0f}",
        ]
        for r in rows
    ]
    step, text = (big["step"][name] / small["step"][name] for name in ("cpu_seconds", "texts"))
    peaks = ", ".join(f"{said} {big[name]['peak_memory_mb']:,.0f}" for name, said in phases.items())
    ranked = " and ".join(f"{of['ranked']:,} of {name}" for name, of in big["rows"].items() if "ranked" in of)
    return page(
        "What a large log takes",
        f"`python -m benchmarks large` ({env['cpu']}, {env['cpu_cores']} cores; what is measured: see"
        " `benchmarks/studies/large.py`): three tasks on a made log in parquet, read, prepared, trained for"
        f" {result['steps']} steps of {result['batch']:,} rows, evaluated on the latest 100,000 events and written."
        " Seconds of processor time, one thread:",
        table(heading, lines),
        f"With ten times the events and the items a step takes {step:.2f} times as long; it refers to {text:.2f} times"
        f" as many different texts. The peak so far after each phase of the larger one, MB: {peaks}. A"
        f" catalogue is ranked for at most so many pairs of row and item: here for {ranked}.",
    )
