"""The figure of a day: what is drawn, and that it needs no colours."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from peftrec.serving.monitor.figure import MOST, draw
from peftrec.serving.monitor.surges import Verdict
from peftrec.serving.monitor.windows import Line

TEN = 1_777_629_600.0


def line(hour, topic, count, expected=2.0, alarm=False):
    return Line(TEN + 3600 * hour, topic, "bad", Verdict(20, count, expected, 0.5, alarm))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved."""
    figures, kept = [], Figure.savefig

    def savefig(self, *given, **options):
        figures.append(self)
        return kept(self, *given, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def test_counts_expectations_and_alarms_are_drawn_in_grey(drawn):
    lines = [line(h, topic, h, alarm=h == 5 and topic == "oil $x$") for h in range(8) for topic in ("oil $x$", None)]
    picture = imread(io.BytesIO(draw(lines, 3600, "sentiment bad")))
    assert np.ptp(picture[..., :3], axis=2).max() == 0 and picture[..., 0].min() < 0.1
    first, second = (axes for axes in drawn[0].axes if axes.get_title("left"))
    assert first.get_title("left") == "oil $x$: 1 alarm" and second.get_title("left") == "all texts: 0 alarms"
    assert [bar.get_height() for bar in first.patches] == list(range(8))
    expected, alarms = first.lines
    assert list(expected.get_ydata()) == [2.0] * 8
    assert list(alarms.get_xdata()) == [expected.get_xdata()[5]]
    assert drawn[0].get_suptitle() == "sentiment bad, 2026-05-01 10:00 to 2026-05-01 17:00 UTC"


def test_many_topics_leave_the_busiest(drawn):
    draw([line(0, f"t{n:02}", 1, alarm=n == 19) for n in range(20)], 3600, "x")
    titles = [axes.get_title("left") for axes in drawn[0].axes]
    assert titles[0] == "t19: 1 alarm" and len([title for title in titles if title]) == MOST
    assert drawn[0].get_suptitle().endswith("; 8 more topics without a panel")


def test_unknown_expectations_and_no_windows_are_drawn_too(drawn):
    assert draw([line(0, None, 0, None)], 60, "x").startswith(b"\x89PNG")
    assert draw([], 60, "x").startswith(b"\x89PNG")
    assert drawn[1].get_suptitle() == "x, no window was over"
