"""A figure of the day: a panel a topic, bars of what was counted, a line of what was expected, marks of alarms."""

import io
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from matplotlib import rc_context
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peftrec.serving.monitor.windows import Line

MOST = 12  # panels: the topics with alarms first, then those with the most texts
COLUMNS = 3
_STYLE: Any = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9}


def draw(lines: Sequence[Line], span: float, what: str) -> bytes:
    """A PNG of the lines of a day, windows of `span` seconds; told apart by form and grey, so that it can be printed.

    `what`: what is counted, for the heading.
    """
    topics: dict[str | None, list[Line]] = {}
    for line in lines:
        topics.setdefault(line.topic, []).append(line)
    order = sorted(topics, key=lambda t: (-_alarms(topics[t]), -sum(line.verdict.texts for line in topics[t])))
    shown = order[:MOST]
    columns = max(min(COLUMNS, len(shown)), 1)
    rows = max(math.ceil(len(shown) / columns), 1)
    with rc_context(_STYLE):
        figure = Figure(figsize=(max(3.6 * columns, 6), 1.8 * rows + 0.9), dpi=120, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for axes, topic in zip(panels, shown, strict=False):
            _panel(axes, topics[topic], span)
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        days = [datetime.fromtimestamp(line.start, UTC) for line in lines]
        when = f"{min(days):%Y-%m-%d %H:%M} to {max(days):%Y-%m-%d %H:%M} UTC" if days else "no window was over"
        left = f"; {len(order) - MOST} more topics without a panel" if len(order) > MOST else ""
        figure.suptitle(f"{what}, {when}{left}", fontsize=10, parse_math=False)
        if shown:
            handles, names = panels[0].get_legend_handles_labels()
            figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _alarms(lines: Sequence[Line]) -> int:
    return sum(line.verdict.alarm for line in lines)


def _panel(axes: Any, lines: Sequence[Line], span: float) -> None:
    middles = [date2num(datetime.fromtimestamp(line.start + span / 2, UTC)) for line in lines]
    counts = [line.verdict.count for line in lines]
    expected = [math.nan if line.verdict.expected is None else line.verdict.expected for line in lines]
    axes.bar(middles, counts, width=0.9 * span / 86_400, color="#c4c4c4", label="counted")
    axes.plot(middles, expected, color="black", linewidth=1, linestyle="--", marker="_", label="expected")
    alarms = [(x, line.verdict.count) for x, line in zip(middles, lines, strict=True) if line.verdict.alarm]
    x, y = zip(*alarms, strict=True) if alarms else ((), ())
    axes.plot(x, [top * 1.06 for top in y], "v", color="black", markersize=7, label="alarm")
    topic, said = lines[0].topic, f"{len(alarms)} alarms" if len(alarms) != 1 else "1 alarm"
    axes.set_title(f"{'all texts' if topic is None else topic}: {said}", loc="left", parse_math=False)
    axes.xaxis.set_major_locator(AutoDateLocator(minticks=2, maxticks=7))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_ylim(0, max([*counts, *(e for e in expected if e == e), 1]) * 1.25)
