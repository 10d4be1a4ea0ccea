"""A figure of what tasks do to each other: matrices, told apart by form and grey, so that it can be printed."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from peftrec.training.affinity.advice import MEASURES, in_words

_STYLE: Any = {"font.size": 8, "axes.titlesize": 9, "hatch.linewidth": 0.6}
_FORM: dict[int, dict[str, Any]] = {
    1: {"facecolor": "#d0d0d0", "edgecolor": "black"},
    0: {"facecolor": "white", "edgecolor": "#b0b0b0"},
    -1: {"facecolor": "white", "edgecolor": "black", "hatch": "////"},
}
_WORDS = {1: "surely above zero", 0: "zero is in the interval", -1: "surely below zero"}


def draw(result: Mapping[str, Any]) -> bytes:
    """A PNG of what `affinity` said: a row a task that does something, a column a task to which it is done."""
    tasks = list(result["tasks"])
    size = 0.9 + 0.85 * len(tasks)
    with rc_context(_STYLE):
        figure = Figure(figsize=(len(MEASURES) * size + 1.5, size + 1.2), dpi=120, layout="constrained")
        for axes, (measure, title) in zip(figure.subplots(1, len(MEASURES)), MEASURES.items(), strict=True):
            _panel(axes, tasks, result["pairs"], measure)
            axes.set_title(title, loc="left")
        handles = [Patch(**form, label=_WORDS[sign]) for sign, form in _FORM.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _panel(axes: Any, tasks: Sequence[str], pairs: Sequence[Mapping[str, Any]], measure: str) -> None:
    for pair in pairs:
        row, column = tasks.index(pair["of"]), tasks.index(pair["on"])
        of = pair[measure]
        sign = 0 if of is None else of["sign"]
        axes.add_patch(Rectangle((column, row), 1, 1, linewidth=1, **_FORM[sign]))
        said = in_words(measure, of).replace(" ±", "\n±")
        box = (
            {"facecolor": "white", "edgecolor": "none", "pad": 1} if sign < 0 else None
        )  # else hatching strikes it out
        axes.text(column + 0.5, row + 0.5, said, ha="center", va="center", bbox=box)
    axes.set(xlim=(0, len(tasks)), ylim=(len(tasks), 0), aspect="equal")
    places = [number + 0.5 for number in range(len(tasks))]
    axes.set_xticks(places, [f"on {name}" for name in tasks], rotation=30, ha="right", parse_math=False)
    axes.set_yticks(places, tasks, parse_math=False)
    axes.tick_params(length=0)
