"""A model's predictions against the labels: metrics, clustered intervals, trivial priors, full-catalogue ranking.

A task's report is plain data without NaN, ready for JSON:

    n           rows evaluated (`ranked`: users whose catalogue was ranked, when it was)
    metrics     {metric: value}; null where the metric has no value, and then
    undefined   {metric: what it needs}
    intervals   {metric: [low, high]}: 95 %, clustered by user or query; null without one
    priors      {prior: {metric: value}}
    gains       {metric: {"prior", "by", "interval"}}: the best prior, and by how much the model beats it; `by` above 0
                means better whatever the metric's direction, and `interval` holds that difference under paired draws
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from peftrec.data.examples import Dataset, Examples
from peftrec.intervals import bootstrap, paired
from peftrec.metrics import METRICS, RANKING, Metric
from peftrec.outcomes import Outcome, make_outcome
from peftrec.priors import PRIORS, RANKING_PRIORS
from peftrec.progress import track_rows
from peftrec.recipe import TaskConfig, UserError
from peftrec.runs import load_run, read_recipe
from peftrec.tasks import find_kind, load_data, loss_of

Report = dict[str, Any]

RANKED_ROWS = 1 << 20  # (user, item) rows scored in one call: large, because each call may encode the catalogue again


class Scorer(Protocol):
    """Anything that predicts: a trained model, a loaded run, a baseline."""

    def predict(self, task: str, examples: Examples) -> np.ndarray:
        """Predictions of the rows: class probabilities (N, C), a probability (N,), or a number (N,)."""
        ...


def evaluate(
    scorer: Scorer,
    dataset: Dataset,
    tasks: Mapping[str, TaskConfig],
    split: str,
    *,
    resamples: int = 500,
    priors: bool = True,
    ranking: bool = False,
    outcomes: dict[str, Outcome] | None = None,
) -> Report:
    """{"tasks": {task: its report}} of one split. `resamples` 0: no intervals; without `priors` no gains either.

    `ranking` adds the full-catalogue metrics where the task's kind has them. `outcomes`, when given, receives every
    task's rows with their predictions. Raises UserError for an empty split or for predictions that are not finite.
    """
    reports = {}
    for task, config in tasks.items():
        kind = find_kind(config.kind)
        loss = loss_of(config)
        reports[task] = evaluate_task(
            scorer,
            dataset,
            task,
            split,
            metrics=kind.metrics[loss],
            priors=kind.priors if priors else (),
            resamples=resamples,
            ranking=ranking and ranks_catalogue(config),
            outcomes=outcomes,
        )
    return {"tasks": reports}


def text_rows(
    dataset: Dataset, tasks: Mapping[str, TaskConfig], splits: Sequence[str], ranking: bool
) -> dict[str, np.ndarray]:
    """The text rows that each task's examples of some splits refer to; with `ranking` also the catalogue it ranks."""
    rows = {}
    for task, config in tasks.items():
        parts = [dataset.tasks[task].split(split).text_rows() for split in splits]
        if ranking and ranks_catalogue(config):
            parts.append(dataset.item_rows.astype(np.int64))
        rows[task] = np.unique(np.concatenate(parts))
    return rows


def evaluate_run(run: Path, split: str, cache: bool = True) -> Report:
    """Measure a trained run on a split of its recipe's data, which is read again. Raises UserError.

    `cache`: whether the frozen part's states are looked for, and kept, on disk.
    """
    recipe = read_recipe(run)
    dataset = load_data(recipe)
    model = load_run(run, texts=dataset.texts).model
    model.encoder.disk = cache
    ranking = split == "test"
    model.encoder.update(text_rows(dataset, recipe.tasks, [split], ranking), track_rows)
    return evaluate(model, dataset, recipe.tasks, split, ranking=ranking)


def ranks_catalogue(task: TaskConfig) -> bool:
    """Whether the whole catalogue is ranked for the task: the targets are liked items."""
    return find_kind(task.kind).ranks and loss_of(task) == "bce"


def evaluate_task(
    scorer: Scorer,
    dataset: Dataset,
    task: str,
    split: str,
    *,
    metrics: Sequence[str],
    priors: Sequence[str],
    resamples: int = 500,
    ranking: bool = False,
    outcomes: dict[str, Outcome] | None = None,
) -> Report:
    """The report of one task on one split, with metrics and priors by name; see `evaluate`."""
    examples = dataset.tasks[task].split(split)
    if len(examples) == 0:
        raise UserError(f"task {task!r}: the {split} split has no rows to evaluate; see data.split.{split}")
    prediction = _finite(scorer.predict(task, examples), task)
    trivial = {name: PRIORS[name](dataset, task, examples) for name in priors}
    columns = {name: METRICS[name] for name in metrics}
    report = _measure(columns, prediction, trivial, examples.label, examples.group, resamples)
    report = {"n": len(examples), **report}
    rank = users = None
    if ranking and examples.label.any():
        ranks, users = rank_catalogue(scorer, dataset, task, examples, tuple(RANKING_PRIORS) if priors else ())
        rank = ranks.pop("model")
        report["ranked"] = len(users)
        _merge(report, _measure(RANKING, rank, ranks, np.ones(len(users)), users, resamples))
    if outcomes is not None:
        outcomes[task] = make_outcome(dataset, examples, prediction, rank, users)
    return report


def rank_catalogue(
    scorer: Scorer, dataset: Dataset, task: str, examples: Examples, priors: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Rank of each user's last liked item among the whole catalogue, from 1, ties counting half.

    The target is the user's last example with label 1, seen from its own history and features. Candidates are all items
    except those of the user's events strictly before it; the target itself always stays. Returns {"model" and each
    prior: float64 (U,)} and the users int64 (U,).
    """
    liked = np.flatnonzero(examples.label == 1)
    liked = liked[np.lexsort((examples.time[liked], examples.group[liked]))]
    last = np.append(examples.group[liked][1:] != examples.group[liked][:-1], True)
    targets = examples.take(liked[last])
    predict: dict[str, Callable[[Examples], np.ndarray]] = {
        "model": lambda rows: _finite(scorer.predict(task, rows), task)
    }
    for name in priors:
        predict[name] = lambda rows, prior=RANKING_PRIORS[name]: prior(dataset, task, rows)  # type: ignore[misc]
    ranks: dict[str, list[np.ndarray]] = {name: [] for name in predict}
    users = max(1, RANKED_ROWS // len(dataset.item_rows))
    for first in range(0, len(targets), users):
        some = targets.take(np.arange(first, min(first + users, len(targets))))
        owner, item = _candidates(some, len(dataset.item_rows))
        rows = some.take(owner)
        rows = replace(rows, item=item, slots={**rows.slots, "item": dataset.item_rows[item]})
        for name, score in predict.items():
            ranks[name].append(_ranks(score(rows), owner, item == some.item[owner]))
    return {name: np.concatenate(parts) for name, parts in ranks.items()}, targets.group


def _candidates(targets: Examples, items: int) -> tuple[np.ndarray, np.ndarray]:
    """(row of the target, item) of every candidate, both int64, ordered by target."""
    log, stop = targets.log, targets.stop
    assert log is not None and stop is not None
    allowed = np.ones((len(targets), items), bool)
    for row, (user, end) in enumerate(zip(targets.group, stop, strict=True)):
        allowed[row, log.items[log.user_start[user] : end]] = False
    allowed[np.arange(len(targets)), targets.item] = True
    owner, item = np.nonzero(allowed)
    return owner, item


def _ranks(score: np.ndarray, owner: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mid-rank of each owner's target row among the owner's rows; owners are ascending."""
    own = score[target][owner]
    better, tied = np.bincount(owner, score > own), np.bincount(owner, score == own)
    return 1 + better + (tied - 1) / 2


def _measure(
    metrics: Mapping[str, Metric],
    prediction: np.ndarray,
    priors: Mapping[str, np.ndarray],
    label: np.ndarray,
    group: np.ndarray,
    resamples: int,
) -> Report:
    """Values, intervals, priors and gains of some metrics on the same rows."""
    values = {name: metric(prediction, label, group) for name, metric in metrics.items()}
    report: Report = {
        "metrics": {name: _number(value) for name, value in values.items()},
        "intervals": {},
        "priors": {
            prior: {name: _number(metric(trivial, label, group)) for name, metric in metrics.items()}
            for prior, trivial in priors.items()
        },
        "gains": {},
        "undefined": {name: metrics[name].undefined for name, value in values.items() if np.isnan(value)},
    }
    for name, metric in metrics.items():
        sign = 1 if metric.higher else -1
        if resamples:
            report["intervals"][name] = _pair(bootstrap(metric, prediction, label, group, resamples))
        known = {prior: of[name] * sign for prior, of in report["priors"].items() if of[name] is not None}
        if known and report["metrics"][name] is not None:
            best = max(known, key=lambda prior: known[prior])
            gain: Report = {"prior": best, "by": sign * values[name] - known[best]}
            if resamples:
                ends = paired(metric, prediction, priors[best], label, group, resamples)
                gain["interval"] = _pair((sign * ends[0], sign * ends[1]))
            report["gains"][name] = gain
    return report


def _merge(report: Report, more: Report) -> None:
    for part, values in more.items():
        for name, value in values.items():
            if part == "priors":
                report[part].setdefault(name, {}).update(value)
            else:
                report[part][name] = value


def _finite(prediction: np.ndarray, task: str) -> np.ndarray:
    wrong = int((~np.isfinite(prediction)).sum())
    if wrong:
        raise UserError(
            f"task {task!r}: {wrong} of {prediction.size} predictions are not finite numbers: the training diverged; "
            "lower train.lr or train.head_lr, or set train.mixed_precision: no"
        )
    return prediction


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _pair(ends: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(ends[0]) else sorted(float(end) + 0.0 for end in ends)  # + 0.0: no -0.0
