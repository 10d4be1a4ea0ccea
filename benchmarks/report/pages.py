"""The pages of docs/results and their figures from results/*.json: the same results give the same text."""

from collections.abc import Callable
from typing import Any

from benchmarks.matrix.plan import read_experiments
from benchmarks.places import PAGES, RESULTS
from benchmarks.report.ablation import ablation_page
from benchmarks.report.busy import busy_page
from benchmarks.report.card import card_page
from benchmarks.report.cells import cells_page
from benchmarks.report.curves import curves_page
from benchmarks.report.defaults import defaults_page
from benchmarks.report.effects import effects_page
from benchmarks.report.fields import fields_page
from benchmarks.report.figures import draw_all
from benchmarks.report.formats import has_cells
from benchmarks.report.growth import growth_page, large_page
from benchmarks.report.outside import plain_peft_page, tallrec_page
from benchmarks.report.recommending import recommending_page
from benchmarks.report.serving import serving_page
from benchmarks.report.speed import speed_page
from benchmarks.report.transfer import transfer_page
from peftrec.machine.files import read_json

STUDIES: dict[str, Callable[[Any], str]] = {
    "score-card": card_page,
    "fields": fields_page,
    "ablation": ablation_page,
    "curves": curves_page,
    "transfer": transfer_page,
    "plain-peft": plain_peft_page,
    "tallrec": tallrec_page,
    "speed": speed_page,
    "serving": serving_page,
    "busy": busy_page,
    "growth": growth_page,
    "large": large_page,
    "effects": effects_page,
    "defaults": defaults_page,
}


def read_results() -> dict[str, Any]:
    """File name without its ending -> what it holds, of what was measured so far."""
    return {path.stem: read_json(path) for path in sorted(RESULTS.glob("*.json"))}


def write_pages() -> list[str]:
    """Draw the figures and write the pages; the names of those written."""
    results = read_results()
    pages = build_pages(results, draw_all(results, PAGES / "figures"))
    for name, text in pages.items():
        (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
    return list(pages)


def build_pages(results: dict[str, Any], figures: set[str]) -> dict[str, str]:
    """Page -> text, of what was measured. `figures`: the names of those that there are."""
    priors = results.get("priors", {}).get("experiments", {})
    pages = {}
    for name, experiment in read_experiments("full").items():
        if name in results and has_cells(results[name]):
            pages[name] = cells_page(name, experiment["asks"], results[name], figures, priors.get(name, {}))
    if "recommending" in results:
        pages["recommending"] = recommending_page(results["recommending"], results.get("recommending-short"))
    return pages | {name: page(results[name]) for name, page in STUDIES.items() if name in results}
