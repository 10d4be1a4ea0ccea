"""The committed pages and the committed results say the same."""

import re

import pytest

from benchmarks.places import PAGES, ROOT
from benchmarks.report.pages import build_pages, read_results

RESULTS = read_results()
FIGURES = {path.stem for path in (PAGES / "figures").glob("*.png")}
BUILT = build_pages(RESULTS, FIGURES)
NUMBER = r"(?<![\w.])[-+]?\d+(?:,\d{3})*(?:\.\d+)?"


def test_every_result_has_a_page():
    elsewhere = {"recommending-short", "priors"}  # on the page of the long form, and on every experiment's page
    of_recipes = {"demo", "retrieval"}  # reports of `peftrec train`, which the README shows
    assert set(BUILT) == set(RESULTS) - elsewhere - of_recipes
    assert {path.stem for path in PAGES.glob("*.md")} == {*BUILT, "index"}


@pytest.mark.parametrize("name", BUILT)
def test_a_page_follows_from_the_results(name):
    assert BUILT[name] == (PAGES / f"{name}.md").read_text(encoding="utf-8")


def test_every_figure_is_shown_and_every_shown_figure_is_there():
    shown = [figure for text in BUILT.values() for figure in re.findall(r"\]\(figures/(.*?)\.png\)", text)]
    assert sorted(shown) == sorted(FIGURES) and len(shown) >= 4


def test_every_number_of_the_readme_s_benchmark_is_on_a_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("<!-- benchmark:begin -->")[1].split("<!-- benchmark:end -->")[0]
    numbers = re.findall(NUMBER, section)
    assert len(numbers) > 20
    known = {n for path in PAGES.glob("*.md") for n in re.findall(NUMBER, path.read_text(encoding="utf-8"))}
    assert [n for n in numbers if n not in known and n.lstrip("+-") not in known] == []
