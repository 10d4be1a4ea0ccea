"""The page of the study `serving`."""

from typing import Any

from benchmarks.report.formats import page, table

WAYS = {"peftrec": "peftrec", "peft": "PEFT, `set_adapter`"}
HEADS = ["", "method", "adapters", "MB", "MB an adapter", "loading ms", "CPU ms"]
HEADS += ["catalogue p50 ms", "p95 ms", "text p50 ms", "p95 ms"]


def serving_page(result: dict[str, Any]) -> str:
    """Speed by clients, what held while runs were swapped and the queue was full, memory, many adapters."""
    load = [
        [of["asked"], str(of["clients"]), f"{of['per_second']:,.0f}", *_ms(of, "p50", "p95", "p99")]
        for of in result["load"]
    ]
    memory = [[f"{of['texts']:,}", f"{of['mb']:,.0f}"] for of in result["memory"]]
    return page(
        "The service under load",
        f"`make bench-serve ROUNDS={result['rounds']}`: `peftrec serve` in a process of its own on one thread, asked"
        f" over loopback by clients that share its {result['cores']} cores; milliseconds are on the clients' clock. Two"
        " runs with MiniLM over a shop of 100 items, one by LoRA on the top two layers and one by the side network;"
        " the first table: MovieLens-100k with the side network.",
        "## Speed",
        table(["asked", "clients", "requests/s", "p50 ms", "p95 ms", "p99 ms"], load),
        "## While runs are swapped",
        _swaps(result["swaps"]),
        "## When the queue is full",
        _queue(result["queue"]),
        "## Memory",
        "Of the service, after so many texts that nobody had asked about before.",
        table(["texts", "MB"], memory),
        "## Many adapters over one backbone",
        "Copies of a run in one process, of which one by chance is asked: its whole catalogue of 100 items ranked, or"
        " one row with a new text. PEFT has the same LoRA adapters in one model, and computes the same texts by"
        " `set_adapter` and a forward; what is frozen is not kept there. Its milliseconds are of the forward alone,"
        " peftrec's of the whole answer, with history, start and head. MB are the process's; MB an adapter those since"
        " the first, and for peftrec they hold the run's own catalogue with its states, log and head. Loading: the"
        " median by the clock, and the 10th percentile of the CPU's; peftrec's verifies the run, lets every task answer"
        " and encodes the catalogue.",
        table(HEADS, [line for of in result["resident"] for line in _resident(of)]),
    )


def _swaps(of: dict[str, Any]) -> str:
    return (
        f"Four clients ask both runs while one after the other is loaded anew, {of['swaps']:,} times: of"
        f" {of['requests']:,} requests {of['failed']:,} failed, and {of['wrong']:,} answers were further than 1e-6 from"
        f" `Predictor.predict` (largest difference {of['largest']:.1e}). Loading took {of['load_ms']['p50']:,.0f} ms"
        f" (p95 {of['load_ms']['p95']:,.0f}) beside them."
    )


def _queue(of: dict[str, Any]) -> str:
    return (
        f"{of['asked']} requests of {of['rows']} rows, of 16 clients, to a service in whose queue {of['rows']} rows may"
        f" wait: {of['200']} were answered, {of['right']} of them as `Predictor.predict` does, and {of['429']} refused"
        f" with status 429. A request of one row more gets {of['one_more']}."
    )


def _resident(of: dict[str, Any]) -> list[list[str]]:
    first, lines = of["rows"][0], []
    for row in of["rows"]:
        more = row["count"] - first["count"]
        each = f"{(row['mb'] - first['mb']) / more:.1f}" if more else "-"
        loading = [f"{row[of]:,.0f}" if more and of in row else "-" for of in ("load_ms", "load_cpu_ms")]
        counted = [f"{row['count']:,}", f"{row['mb']:,.0f}", each, *loading]
        asked = [cell for kind in ("catalogue", "text") for cell in _ms(row[kind], "p50", "p95")]
        lines.append([WAYS[of["way"]], of["method"], *counted, *asked])
    return lines


def _ms(of: dict[str, Any], *names: str) -> list[str]:
    return [f"{of[name]:,.1f}" for name in names]
