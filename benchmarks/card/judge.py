"""Whether a result is above what is cheap: its values beside the best prior and the best baseline on the same rows."""

from typing import Any

import numpy as np

from peftrec.evaluation.intervals import paired
from peftrec.evaluation.metric import Metric

# Kind -> the metric that its tasks are judged by.
JUDGED_BY = {
    "classification": "accuracy",
    "interest": "auc",
    "next-item": "ndcg@10",
    "next-gap": "mae",
    "regression": "mae",
    "match-query": "ndcg@10",
}


def verdict(gain: list[float] | None, own: list[float] | None, rival: float, higher: bool) -> str:
    """`win`, `level` or `loss` against a rival's value.

    gain  interval of the gain over it, above 0 is better: the rival wins or loses where that does not hold 0
    own   without one, the interval of the result alone: where that does not hold the rival's value
    """
    if gain is None and own is None:
        return "level"
    if gain is None:
        assert own is not None
        gain = [own[0] - rival, own[1] - rival] if higher else [rival - own[1], rival - own[0]]
    return "win" if gain[0] > 0 else "loss" if gain[1] < 0 else "level"


def over_baselines(
    metric: Metric,
    prediction: np.ndarray,
    found: dict[str, np.ndarray],
    label: np.ndarray,
    group: np.ndarray,
    cluster: np.ndarray | None = None,
) -> dict[str, Any]:
    """The best baseline on these rows, and what the prediction gains over it: {"name", "value", "by", "interval",
    "all": {name: value}}; `by` above 0 is better, the interval that of paired draws of groups, or of clusters."""
    sign = 1 if metric.higher else -1
    values = {name: metric(of, label, group) for name, of in found.items()}
    best = max(values, key=lambda name: sign * values[name])
    ends = sorted(sign * end for end in paired(metric, prediction, found[best], label, group, cluster=cluster))
    return {
        "name": best,
        "value": values[best],
        "by": sign * (metric(prediction, label, group) - values[best]),
        "interval": None if np.isnan(ends).any() else ends,
        "all": values,
    }


def judged(report: dict[str, Any], name: str, higher: bool, baseline: dict[str, Any], chance: float) -> dict[str, Any]:
    """One line of the card from a task's report: {"metric", "higher", "n", "start", "result", "interval", "prior",
    "baseline", "chance", "rival", "verdict"}. The rival is the better of the best prior and the best baseline."""
    gain, own = report["gains"].get(name), report["intervals"].get(name)
    prior = None
    if gain is not None:
        prior = {"name": gain["prior"], "value": report["priors"][gain["prior"]][name]}
        prior |= {"by": gain["by"], "interval": gain.get("interval")}
    rivals = [baseline, *([] if prior is None else [prior])]
    rival = (max if higher else min)(rivals, key=lambda of: of["value"])
    return {
        "metric": name,
        "higher": higher,
        "n": report["n"],
        "start": report["start"].get(name),
        "result": report["metrics"][name],
        "interval": own,
        "prior": prior,
        "baseline": baseline,
        "chance": chance,
        "rival": rival["name"],
        "verdict": verdict(rival.get("interval"), own, rival["value"], higher),
    }
