"""How the pages write titles, tables, numbers and gains."""

from typing import Any

from peftrec.runs.metric_rows import number, verdict

NAMES = {"auc": "AUC", "gauc": "GAUC", "log_loss": "log-loss", "ece": "ECE", "hr@10": "HR@10", "mae": "MAE"}
NAMES |= {"ndcg@10": "nDCG@10", "macro_f1": "macro-F1"}


def has_cells(result: Any) -> bool:
    """Whether results are those of an experiment with cells."""
    return isinstance(result, dict) and "axes" in result.get("experiment", {})


def page(title: str, *parts: str) -> str:
    """A Markdown page of paragraphs, tables and headings."""
    return "\n\n".join([f"# {title}", *(part.strip() for part in parts)]) + "\n"


def table(heading: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    rows = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def value(of: dict[str, Any] | None) -> str:
    """A metric with its interval."""
    return "-" if of is None else f"{number(of['value'])}{ends(of.get('interval'))}"


def difference(of: dict[str, Any] | None) -> str:
    """A gain with its interval, and what it means where that is clear."""
    if of is None:
        return "-"
    (low, high), said = of["interval"], verdict(of["interval"])
    return f"{of['by']:+z.4f} ({low:+z.4f} to {high:+z.4f}){'' if said == 'open' else f' **{said}**'}"


def ends(interval: list[float] | None, digits: int = 3) -> str:
    """' (low to high)', or nothing; the spaces inside let no line break, which narrow columns are full of."""
    return "" if interval is None else f" ({interval[0]:.{digits}f}\u00a0to\u00a0{interval[1]:.{digits}f})"
