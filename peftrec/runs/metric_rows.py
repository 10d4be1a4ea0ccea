"""A task's report as rows for people: each metric beside its interval, its best trivial prior and the gain over it."""

from dataclasses import dataclass
from typing import Any

from peftrec.evaluation.metrics import HIGHER

LABELS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "mean_ap": "mAP",
    "auc": "AUC",
    "gauc": "GAUC",
    "log_loss": "log-loss",
    "ece": "calibration error",
    "ndcg@10": "nDCG@10",
    "hr@10": "HR@10",
    "mrr@10": "MRR@10",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "impression_auc": "AUC by impression",
    "impression_mrr": "MRR by impression",
    "impression_ndcg@5": "nDCG@5 by impression",
    "impression_ndcg@10": "nDCG@10 by impression",
}


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
        return LABELS.get(self.metric, self.metric)


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


def apart_lines(task: dict[str, Any]) -> list[str]:
    """What a report says of repeats and of new items apart, a line each: metrics, and the best prior by each."""
    words = {"repeats": "of items that the user had before", "new": "of items new to the user"}
    lines = []
    for part, of in task.get("apart", {}).items():
        said = []
        for metric, value in of["metrics"].items():
            priors = {name: values.get(metric) for name, values in of["priors"].items()}
            best = max(priors, key=lambda name: -1 if priors[name] is None else priors[name], default=None)
            beside = f" ({best} {number(priors[best])})" if best else ""
            said.append(f"{LABELS.get(metric, metric)} {number(value)}{beside}")
        lines.append(f"{of['n']:,} rows {words[part]}: {', '.join(said)}")
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


def arrow(metric: str) -> str:
    """'↑' where more of the metric is better, '↓' where less is, '' where nobody says."""
    return {True: "↑", False: "↓", None: ""}[HIGHER.get(metric)]
