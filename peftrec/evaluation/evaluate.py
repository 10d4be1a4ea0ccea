"""A model's predictions against the labels: metrics, clustered intervals, trivial priors, full-catalogue ranking.

A task's report is plain data without NaN, ready for JSON:

    n           rows evaluated (`ranked`: for how many rows the catalogue was ranked, when it was)
    sample_of   how many rows the split has, only where `n` is every so many of them
    not_trained why, only where the task was not: "weight 0"
    gain, grades  of tasks with grades: what a grade g gains in nDCG, `exponential` (2^g - 1) or `linear` (g), and every
                grade's name with its gain
    weighted_loss  the mean of weight times loss over the rows, only where rows have weights; metrics count all alike
    metrics     {metric: value}; null where the metric has no value, and then
    undefined   {metric: what it needs}
    intervals   {metric: [low, high]}: 95 %, clustered by user or query; null without one
    priors      {prior: {metric: value}}
    left_out    {prior: why}, only where one could not be had
    apart       {"repeats" and "new": {"n", "metrics", "priors"}}: the same ranks of rows whose item the user had
                before and of the others, only where repeats are allowed
    gains       {metric: {"prior", "by", "interval"}}: the best prior, and by how much the model beats it; `by` above 0
                means better whatever the metric's direction, and `interval` holds that difference under paired draws
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from peftrec.data.examples import Dataset, Examples, TaskData
from peftrec.data.scales import from_log
from peftrec.errors import Problems, UserError
from peftrec.evaluation.intervals import bootstrap, paired
from peftrec.evaluation.metric import Metric
from peftrec.evaluation.metrics import CHOICE, OF_IMPRESSIONS, RANKING, find_metric
from peftrec.evaluation.outcomes import Outcome, make_outcome
from peftrec.evaluation.ranking import Scores, apart, finite, last_liked, number_or_none, rank_catalogue
from peftrec.machine.progress import track_tasks
from peftrec.model.co_learner import Scorer
from peftrec.tasks.grades import Grades
from peftrec.tasks.kind import Task
from peftrec.tasks.losses import Loss
from peftrec.tasks.priors import PRIORS, RANKING_PRIORS, find_prior, reads_loss, reads_vectors

Report = dict[str, Any]
PARTS = ("metrics", "intervals", "priors", "gains", "undefined")
Ranking = Literal["none", "users", "rows"]  # for whom the catalogue is ranked

# And in all, by whom it is for: beyond it, every so many rows are ranked. Tasks measured by ranks alone have heads that
# score a catalogue by one matrix product; the others do it pair by pair, which takes a hundred times as long.
MOST_PAIRS: dict[Ranking, int] = {"rows": 1 << 32, "users": 1 << 25}
MOST_MATCHES = 1 << 28  # of rows that are matches: BM25 with a whole catalogue takes ten times as long as a product


def evaluate(
    scorer: Scorer,
    dataset: Dataset,
    tasks: Mapping[str, Task],
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
    for name in track_tasks(tasks, f"evaluating {split}"):
        task, kind = tasks[name], tasks[name].kind
        reports[name] = evaluate_task(
            scorer,
            dataset,
            name,
            split,
            metrics=measured_by(task, dataset.tasks[name]),
            priors=kind.priors if priors else (),
            ranking=_ranking(task, ranking),
            ranking_priors=kind.ranking if priors else (),
            resamples=resamples,
            outcomes=outcomes,
            loss=task.loss,
            grades=task.grades(dataset.tasks[name].classes),
        )
        if task.config.only_measured:
            reports[name]["not_trained"] = "weight 0"
    return {"tasks": reports}


def measured_by(task: Task, data: TaskData) -> tuple[str, ...]:
    """The names of a task's metrics on its data."""
    shown = data.impressions and task.loss.labels == "liked"
    return (*task.metrics, *OF_IMPRESSIONS) if shown else task.metrics


def check_measures(tasks: Mapping[str, Task]) -> None:
    """Raise UserErrors naming every task whose kind names a metric or prior that does not exist."""
    problems = Problems()
    for name, task in tasks.items():
        for metric in (*task.metrics, *([] if task.loss.labels == "choice" else [task.loss.metric])):
            with problems.collect(f"tasks.{name}.kind: "):
                find_metric(metric)
        for table, names in ((PRIORS, task.kind.priors), (RANKING_PRIORS, task.kind.ranking)):
            for prior in names:
                with problems.collect(f"tasks.{name}.kind: "):
                    find_prior(table, prior)
    problems.stop()


def text_rows(
    dataset: Dataset, tasks: Mapping[str, Task], splits: Sequence[str], ranking: bool
) -> dict[str, np.ndarray]:
    """The text rows that each task's examples of some splits refer to; with `ranking` also the catalogue it ranks."""
    rows = {}
    for name, task in tasks.items():
        parts = [dataset.tasks[name].split(split).text_rows() for split in splits]
        if _ranking(task, ranking) != "none":
            parts.append(dataset.items_of(name).rows.astype(np.int64))
        rows[name] = np.unique(np.concatenate(parts))
    return rows


def _ranking(task: Task, asked: bool) -> Ranking:
    """Whom the whole catalogue is ranked for: all rows where the task has no other measure; each user's last liked item
    where `asked` and the labels say who liked what; else nobody."""
    if not task.kind.ranking or not task.loss.of_likes:
        return "none"
    return "rows" if not task.metrics else "users" if asked else "none"


def evaluate_task(
    scorer: Scorer,
    dataset: Dataset,
    task: str,
    split: str,
    *,
    metrics: Sequence[str],
    priors: Sequence[str],
    ranking: Ranking = "none",
    ranking_priors: Sequence[str] = (),
    resamples: int = 500,
    outcomes: dict[str, Outcome] | None = None,
    loss: Loss | None = None,
    grades: Grades | None = None,
) -> Report:
    """The report of one task on one split, with metrics and priors by name; see `evaluate` and `rank_catalogue`.

    `loss`: for the weighted loss of rows with weights; `grades`: of a task whose classes are grades.
    """
    examples = dataset.tasks[task].split(split)
    if len(examples) == 0:
        raise UserError(f"task {task!r}: the {split} split has no rows to evaluate; see data.split.{split}")
    report: Report = {"n": len(examples), **{part: {} for part in PARTS}}
    if grades is not None:
        report |= {
            "gain": grades.gain,
            "grades": dict(zip(dataset.tasks[task].classes, grades.gains.tolist(), strict=True)),
        }
    if metrics:
        prediction = finite(scorer.predict(task, examples), task)
        trivial, left_out = _trivial(scorer, dataset, task, examples, priors, loss)
        if left_out:
            report["left_out"] = left_out
        columns = {name: find_metric(name).of(grades) for name in metrics}
        _merge(report, _measure(columns, prediction, trivial, examples, resamples))
        if loss is not None and examples.weight is not None:
            report["weighted_loss"] = weighted_loss(loss, prediction, examples)
        if outcomes is not None:
            outcomes[task] = make_outcome(dataset, task, examples, prediction)
    if ranking != "none" and examples.label.any():
        pairs = MOST_PAIRS[ranking] if examples.matches is None else MOST_MATCHES
        most = max(1, pairs // len(dataset.items_of(task)))
        targets = (last_liked(examples) if ranking == "users" else examples).thinned(most)
    else:
        targets = examples.take(np.arange(0))
    if len(targets):
        known_before, left_out = _ranking_priors(scorer, dataset, task, ranking_priors)
        found = rank_catalogue(scorer, dataset, task, targets, known_before)
        if left_out:
            report["left_out"] = report.get("left_out", {}) | left_out
        report["ranked"] = len(targets)
        if ranking == "rows":
            report["n"] = len(targets)
            if len(targets) < len(examples):
                report["sample_of"] = len(examples)
            if targets.weight is not None:
                report["weighted_loss"] = -float((targets.weight * found["model"][:, 1]).mean())
        rank, log_probability = found["model"].T
        for measures, column in ((RANKING, 0), (CHOICE, 1))[: 1 if metrics else 2]:
            known = {name: standing[:, column] for name, standing in found.items()}
            own = known.pop("model")
            _merge(report, _measure(measures, own, known, targets, resamples))
        if targets.repeats:
            report["apart"] = apart(found, targets.repeated())
        if outcomes is not None:
            own_rows = outcomes[task] if metrics else make_outcome(dataset, task, targets, log_probability)
            outcomes[task] = own_rows.with_ranks(dataset, targets, rank)
    return report


def weighted_loss(loss: Loss, prediction: np.ndarray, examples: Examples) -> float:
    """The mean of weight times loss over rows with weights, by the metric that stands for the loss."""
    weight = examples.weight
    assert weight is not None
    if not weight.any():
        return 0.0
    value = find_metric(loss.metric)(prediction, examples.label, examples.group, weight)
    return float(value**loss.power * weight.mean(dtype=np.float64))


def _trivial(
    scorer: Scorer, dataset: Dataset, task: str, examples: Examples, names: Sequence[str], loss: Loss | None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The predictions of priors, and why others are left out: vectors of a backbone that is frozen no more.

    They are fitted to labels on the scale that these are learnt on.
    """
    found, left_out, data = {}, {}, dataset.tasks[task]
    dataset, examples = dataset.learnt(task), data.learnt(examples)
    for name in names:
        prior = find_prior(PRIORS, name)
        given: dict[str, Any] = {"loss": loss} if reads_loss(prior) else {}
        if reads_vectors(prior):
            given["vectors"] = scorer.frozen_vectors
        if given.get("vectors", True) is not None:
            found[name] = prior(dataset, task, examples, **given)
        elif scorer.no_vectors:
            left_out[name] = scorer.no_vectors
    return {name: from_log(of) for name, of in found.items()} if data.log_scale else found, left_out


def _ranking_priors(
    scorer: Scorer, dataset: Dataset, task: str, names: Sequence[str]
) -> tuple[dict[str, Scores], dict[str, str]]:
    """What gives the scores of priors that rank a catalogue, and why others are left out, as of `_trivial`."""
    found, left_out = dict[str, Scores](), dict[str, str]()
    for name in names:
        prior = find_prior(RANKING_PRIORS, name)
        if reads_vectors(prior):
            if scorer.frozen_vectors is None:
                left_out |= {name: scorer.no_vectors} if scorer.no_vectors else {}
                continue
            prior = partial(prior, vectors=scorer.frozen_vectors)
        found[name] = partial(prior, dataset, task)
    return found, left_out


def _measure(
    metrics: Mapping[str, Metric],
    prediction: np.ndarray,
    priors: Mapping[str, np.ndarray],
    examples: Examples,
    resamples: int,
) -> Report:
    """Values, intervals, priors and gains of some metrics on the same rows. Of lists that users were shown, users are
    drawn: what one of them sees and clicks is alike."""
    label, group, cluster = examples.label, examples.group, examples.users
    values = {name: metric(prediction, label, group) for name, metric in metrics.items()}
    report: Report = {
        "metrics": {name: number_or_none(value) for name, value in values.items()},
        "intervals": {},
        "priors": {
            prior: {name: number_or_none(metric(trivial, label, group)) for name, metric in metrics.items()}
            for prior, trivial in priors.items()
        },
        "gains": {},
        "undefined": {name: metrics[name].undefined for name, value in values.items() if np.isnan(value)},
    }
    for name, metric in metrics.items():
        sign = 1 if metric.higher else -1
        if resamples:
            report["intervals"][name] = _pair(bootstrap(metric, prediction, label, group, resamples, cluster=cluster))
        known = {prior: of[name] * sign for prior, of in report["priors"].items() if of[name] is not None}
        if known and report["metrics"][name] is not None:
            best = max(known, key=lambda prior: known[prior])
            gain: Report = {"prior": best, "by": sign * values[name] - known[best]}
            if resamples:
                ends = paired(metric, prediction, priors[best], label, group, resamples, cluster=cluster)
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


def _pair(ends: tuple[float, float]) -> list[float] | None:
    return None if np.isnan(ends[0]) else sorted(float(end) + 0.0 for end in ends)  # + 0.0: no -0.0
