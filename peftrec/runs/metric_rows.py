"""A task's report as rows for people: each metric beside its interval, its best trivial prior and the gain over it."""

from dataclasses import dataclass
from typing import Any

from peftrec.evaluation.at_k import split_name
from peftrec.evaluation.metrics import direction

_LABELS = {  # without @k and "impression_", which are written behind
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mean_ap": "mAP",
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "log-loss",
    "ece": "calibration error",
    "hr": "HR",
    "map": "MAP",
    "mrr": "MRR",
    "ndcg": "nDCG",
    "gini": "Gini",
    "popularity_bias": "popularity bias",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
}


def label(metric: str) -> str:
    """A metric's name as it is written in the field."""
    base, k = split_name(metric)
    plain = base.removeprefix("impression_")
    cut, of = "" if k is None else f"@{k}", "" if plain == base else " by impression"
    return f"{_LABELS.get(plain, plain)}{cut}{of}"


@dataclass(frozen=True)
class Row:
    """One metric of a task on the test split; None where there is no value.

    arrow     '↑' where more is better, '↓' where less is
    interval  95 %, as `gain_interval`
    prior     the best trivial prior, and its value
    gain      by how much the model beats it: above 0 is better, whatever the metric's direction
    verdict   better, worse or open (the interval holds 0), or none
    """

    metric: str
    arrow: str
    value: float | None
    interval: list[float] | None
    prior: str | None
    prior_value: float | None
    gain: float | None
    gain_interval: list[float] | None
    verdict: str | None

    @property
    def label(self) -> str:
        """The metric's name as it is written in the field."""
        return label(self.metric)


def metric_rows(task: dict[str, Any]) -> list[Row]:
    """The rows of one task of a `report.json`, in its order of metrics."""
    rows = []
    for metric, value in task["metrics"].items():
        gain = task["gains"].get(metric, {})
        prior, interval = gain.get("prior"), gain.get("interval")
        rows.append(
            Row(
                metric,
                arrow(metric),
                value,
                task["intervals"].get(metric),
                prior,
                None if prior is None else task["priors"][prior][metric],
                gain.get("by"),
                interval,
                None if interval is None else verdict(interval),
            )
        )
    return rows


_PARTS = {
    ("repeats", "repeats"): "of items that the user had before",
    ("repeats", "new"): "of items new to the user",
    ("cold_items", "cold"): "of items that no train row has",
    ("cold_items", "warm"): "of items that train rows have",
    ("cold_users", "cold"): "of users that no train row has",
    ("cold_users", "warm"): "of users that train rows have",
}


def slice_lines(task: dict[str, Any]) -> list[str]:
    """What a report says of parts of the rows, a line each: metrics with intervals, and the best prior by each."""
    lines = []
    for by, parts in task.get("slices", {}).items():
        for part, of in parts.items():
            said = []
            for metric, value in of["metrics"].items():
                gain = of["gains"].get(metric)
                beside = f" ({gain['prior']} {number(of['priors'][gain['prior']][metric])})" if gain else ""
                said.append(f"{label(metric)} {number(value)}{ends(of['intervals'].get(metric))}{beside}")
            words = _PARTS.get((by, part), f"with {by} {part!r}")
            ranked = f", {of['ranked']:,} of them ranked" if "ranked" in of else ""
            lines.append(f"{of['n']:,} rows {words}{ranked}: {', '.join(said)}")
    return lines


def trained_on(task: dict[str, Any]) -> bool:
    """Whether training changed anything of what the task's start says, as far as the report of the test split shows."""
    start, metrics = task.get("start"), task["metrics"]
    return start is None or any(metrics[metric] != value for metric, value in start.items() if metric in metrics)


def verdict(interval: list[float]) -> str:
    """What the interval of a gain says: better above 0, worse below, open where it holds 0."""
    return "better" if interval[0] > 0 else "worse" if interval[1] < 0 else "open"


def number(value: float | None, sign: str = "") -> str:
    """A metric's value or gain as people read it, with four digits after the point; `sign` '+' gives gains theirs."""
    return "-" if value is None else f"{value:{sign}.4f}"


def ends(interval: list[float] | None, sign: str = "") -> str:
    """An interval as people read it behind a number; empty without one."""
    return "" if interval is None else f" [{number(interval[0], sign)}, {number(interval[1], sign)}]"


def arrow(metric: str) -> str:
    """'↑' where more of the metric is better, '↓' where less is, '' where nobody says."""
    return {True: "↑", False: "↓", None: ""}[direction(metric)]
