"""The page and the figure of learning curves, from results made up."""

from benchmarks.report.curves import curves_page, tally
from benchmarks.report.figures import draw_all


def cell(gain, low, high):
    priors = {"frozen_lr": 0.5, "tfidf": 0.25}
    return {"alone": 0.4, "together": 0.4 + gain, "gain": gain, "interval": [low, high], "priors": priors}


RESULT = {
    "commit": "abc",
    "draws": 5,
    "metric": "macro_f1",
    "method": "side",
    "pairs": {
        "a": {"said": "one beside another", "sizes": {"60": cell(0.1, 0.05, 0.15), "1000": cell(0.01, -0.01, 0.03)}},
        "b": {"said": "two beside three", "sizes": {"60": cell(-0.1, -0.2, -0.05), "1000": cell(0.0, -0.01, 0.01)}},
    },
}


def test_gains_are_told_by_intervals_that_leave_out_zero():
    assert tally(RESULT) == "Of 4 cells together is better in 1 and worse in 1; nothing tells the others."


def test_the_page_has_a_line_a_size_and_the_figure():
    text = curves_page(RESULT)
    assert "macro-F1 on at most 1,000 test rows" in text and "means over 5 draws" in text
    assert "Measured at commit abc." in text
    assert "| 60 | 0.4000 | 0.5000 | +0.1000 (+0.0500 to +0.1500) **better** | 0.5000 | 0.2500 |" in text
    assert "| 1,000 | 0.4000 | 0.4100 | +0.0100 (-0.0100 to +0.0300) | 0.5000 | 0.2500 |" in text
    assert "## Two beside three" in text and "](figures/curves.png)" in text


def test_the_figure_is_drawn(tmp_path):
    assert draw_all({"curves": RESULT}, tmp_path) == {"curves"}
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
