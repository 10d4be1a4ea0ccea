"""Curves as small SVG pictures, one a quantity, so that a page lays them out in as many columns as it has room for."""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

# Okabe and Ito's colours, told apart by people with any kind of colour blindness; and the dashes, told apart in print.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", ":", "-.")
_STYLE: Any = {
    "svg.hashsalt": "peftrec",  # the same curves, the same bytes
    "svg.fonttype": "none",  # names stay text, which the reader's own fonts draw in any script
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Curve:
    """A named curve: its values over epochs, None where there is none; `points` marks each (few and far between)."""

    name: str
    epochs: Sequence[float]
    values: Sequence[float | None]
    points: bool = False

    @property
    def shown(self) -> list[tuple[float, float]]:
        """(epoch, value) where there is a value."""
        return [(x, y) for x, y in zip(self.epochs, self.values, strict=True) if y is not None]


@dataclass(frozen=True)
class Picture:
    """An SVG as a data address, and the words that stand for it."""

    address: str
    words: str


def draw(title: str, curves: Sequence[Curve], log: bool = False) -> Picture | None:
    """One panel of curves over epochs, `log` with a logarithmic axis where all is above 0; None: nothing to draw."""
    kept = [curve for curve in curves if curve.shown]
    if not kept:
        return None
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it only measures the text
        figure = Figure(figsize=(3.5, 2.3), layout="constrained")
        axes = figure.subplots()
        for number, curve in enumerate(kept):
            x, y = zip(*curve.shown, strict=True)
            style: dict[str, Any] = {
                "color": _COLOURS[number % len(_COLOURS)],
                "linestyle": _DASHES[number % len(_DASHES)],
            }
            axes.plot(
                x, y, linewidth=1.3, marker="o" if curve.points else None, markersize=3, label=curve.name, **style
            )
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0)
        if log and all(y > 0 for curve in kept for _, y in curve.shown):
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
            if max(abs(y) for curve in kept for _, y in curve.shown) >= 10_000:
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        if len(kept) > 1:
            figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    said = "; ".join(f"{c.name} from {c.shown[0][1]:.4g} to {c.shown[-1][1]:.4g}" for c in kept)
    coded = base64.b64encode(stream.getvalue()).decode()
    return Picture(f"data:image/svg+xml;base64,{coded}", f"{title}: {said}")
