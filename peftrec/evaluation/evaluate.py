"""A model's predictions against the labels: metrics, clustered intervals, trivial priors, full-catalogue ranking.

A task's report is plain data without NaN, ready for JSON:

    n           rows evaluated (`ranked`: how often the catalogue was ranked, when it was)
    relevant    "all", only where the rows of a user or query are ranked together
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
    slices      {what rows are divided by: {part: the same of some of the rows}}; see `evaluation.slices`
    gains       {metric: {"prior", "by", "interval"}}: the best prior, and by how much the model beats it; `by` above 0
                means better whatever the metric's direction, and `interval` holds that difference under paired draws
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.scales import from_log, pulled
from peftrec.errors import UserError
from peftrec.evaluation.catalogue import Ranking, Relevant, most_lists, of_part, of_ranked, rank, targets_of
from peftrec.evaluation.chosen import Measures, measures_of
from peftrec.evaluation.metrics import find_metric
from peftrec.evaluation.outcomes import Outcome, make_outcome
from peftrec.evaluation.ranking import finite
from peftrec.evaluation.slices import slices_of
from peftrec.evaluation.values import PARTS, Report, labelled, measure, merge
from peftrec.machine.progress import track_tasks
from peftrec.model.scorer import Scorer
from peftrec.tasks.grades import Grades
from peftrec.tasks.kind import Task
from peftrec.tasks.losses import Loss
from peftrec.tasks.priors import PRIORS, find_prior, reads_loss, reads_vectors


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
        measures = measures_of(task, dataset.tasks[name].impressions)
        reports[name] = evaluate_task(
            scorer,
            dataset,
            name,
            split,
            measures=measures,
            priors=kind.priors if priors else (),
            ranking=_ranking(measures, ranking),
            relevant=task.config.relevant or "one",
            ranking_priors=kind.ranking if priors else (),
            slices=task.config.slices if priors else (),
            resamples=resamples,
            outcomes=outcomes,
            loss=task.loss,
            grades=task.grades(dataset.tasks[name].classes),
        )
        if task.config.only_measured:
            reports[name]["not_trained"] = "weight 0"
    return {"tasks": reports}


def text_rows(
    dataset: Dataset, tasks: Mapping[str, Task], splits: Sequence[str], ranking: bool
) -> dict[str, np.ndarray]:
    """The text rows that each task's examples of some splits refer to; with `ranking` also the catalogue it ranks."""
    rows = {}
    for name, task in tasks.items():
        parts = [dataset.tasks[name].split(split).text_rows() for split in splits]
        if _ranking(measures_of(task, impressions=False), ranking) != "none":
            parts.append(dataset.items_of(name).rows.astype(np.int64))
        rows[name] = np.unique(np.concatenate(parts))
    return rows


def _ranking(measures: Measures, asked: bool) -> Ranking:
    """Whom the whole catalogue is ranked for: all rows where the task is told from others by it; each user's last liked
    item where `asked` and something is measured by it; else nobody."""
    return "rows" if measures.choice else "users" if asked and measures.ranks else "none"


def evaluate_task(
    scorer: Scorer,
    dataset: Dataset,
    task: str,
    split: str,
    *,
    measures: Measures,
    priors: Sequence[str],
    ranking: Ranking = "none",
    relevant: Relevant = "one",
    ranking_priors: Sequence[str] = (),
    slices: Sequence[str] = (),
    resamples: int = 500,
    outcomes: dict[str, Outcome] | None = None,
    loss: Loss | None = None,
    grades: Grades | None = None,
) -> Report:
    """The report of one task on one split, with priors by name; see `evaluate` and `rank_catalogue`.

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
    if measures.predictions:
        prediction = finite(scorer.predict(task, examples), task)
        trivial, left_out = _trivial(scorer, dataset, task, examples, priors, loss)
        if left_out:
            report["left_out"] = left_out
        metrics = {name: find_metric(name).of(grades) for name in measures.predictions}
        columns = labelled(examples)
        merge(report, measure(metrics, prediction, trivial, columns, resamples))
        for by, part, rows in slices_of(dataset.tasks[task], examples, slices):
            known = {name: of[rows] for name, of in trivial.items()}
            own = measure(metrics, prediction[rows], known, columns.take(rows), resamples)
            _add_part(report, by, part, len(rows), own)
        if loss is not None and examples.weight is not None:
            report["weighted_loss"] = weighted_loss(loss, prediction, examples)
        if outcomes is not None:
            outcomes[task] = make_outcome(dataset, task, examples, prediction)
    whole = targets_of(examples, ranking, relevant)
    if len(whole):
        targets = whole.thinned(most_lists(dataset, task, examples, ranking))
        found, left_out, lacking = rank(scorer, dataset, task, targets, measures, ranking_priors)
        if left_out:
            report["left_out"] = report.get("left_out", {}) | left_out
        report["ranked"] = len(targets.asked)
        model = found["model"]
        if ranking == "rows":
            report["n"] = len(targets)
            report |= {"relevant": "all"} if relevant == "all" else {}
            if len(targets) < len(whole):
                report["sample_of"] = len(whole)
            if targets.rows.weight is not None:
                report["weighted_loss"] = -float((targets.rows.weight * model.log_probability).mean())
        merge(report, of_ranked(found, targets, measures, lacking, resamples))
        for by, part, rows in slices_of(dataset.tasks[task], targets.rows, slices, ranked=True):
            own = of_part(found, targets, rows, measures, lacking, resamples)
            _add_part(report, by, part, len(rows), own)
        if outcomes is not None:
            own_rows = (
                outcomes[task]
                if measures.predictions
                else make_outcome(dataset, task, targets.rows, model.log_probability)
            )
            outcomes[task] = own_rows.with_ranks(dataset, targets, model)
    return report


def _add_part(report: Report, by: str, part: str, rows: int, found: Report) -> None:
    """Add what was measured of a part of the rows; `ranked` is how many of them were ranked, where others were not."""
    parts = report.setdefault("slices", {}).setdefault(by, {})
    if part in parts:
        parts[part]["ranked"] = rows
        merge(parts[part], found)
    else:
        parts[part] = {"n": rows, **found}


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
            if (said := prior(dataset, task, examples, **given)) is not None:
                found[name] = said
        elif scorer.no_vectors:
            left_out[name] = scorer.no_vectors
    # They are drawn near the levels of labels as the model is, or they would be weaker than what is to be had.
    return {name: pulled(from_log(of) if data.log_scale else of, data.levels) for name, of in found.items()}, left_out
