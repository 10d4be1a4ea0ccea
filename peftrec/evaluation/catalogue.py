"""The part of a task's report that is of its whole catalogue, ranked."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.evaluation.at_k import CHOICE, mean_of_lists, of_places, split_name
from peftrec.evaluation.beyond import EACH, Shelf, Tally
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.metric import Metric
from peftrec.evaluation.metrics import find_metric
from peftrec.evaluation.ranking import Ranked, Scores, Targets, each_alone, last_liked, rank_catalogue, together
from peftrec.evaluation.values import PARTS, Columns, Report, listed, measure, merge
from peftrec.model.scorer import Scorer
from peftrec.tasks.priors import RANKING_PRIORS, find_prior, reads_vectors

Ranking = Literal["none", "users", "rows"]  # for whom the catalogue is ranked
Relevant = Literal["one", "all"]  # what is right in a list: its own row's item, or those of all rows of a user or query

# And in all, by whom it is for: beyond it, every so many rows are ranked. Tasks measured by ranks alone have heads that
# score a catalogue by one matrix product; the others do it pair by pair, which takes a hundred times as long.
MOST_PAIRS: dict[Ranking, int] = {"rows": 1 << 32, "users": 1 << 25}
MOST_MATCHES = 1 << 28  # of rows that are matches: BM25 with a whole catalogue takes ten times as long as a product


def targets_of(examples: Examples, ranking: Ranking, relevant: Relevant) -> Targets:
    """What is to be found in the catalogue; nothing where nothing was liked."""
    if ranking == "none" or not examples.label.any():
        return each_alone(examples.take(np.arange(0)))
    if ranking == "rows" and relevant == "all":
        return together(examples)
    return each_alone(last_liked(examples) if ranking == "users" else examples)


def most_lists(dataset: Dataset, task: str, examples: Examples, ranking: Ranking) -> int:
    """How many lists of the catalogue are made at most."""
    pairs = MOST_PAIRS[ranking] if examples.matches is None else MOST_MATCHES
    return max(1, pairs // len(dataset.items_of(task)))


def rank(
    scorer: Scorer, dataset: Dataset, task: str, targets: Targets, measures: Measures, priors: Sequence[str]
) -> tuple[dict[str, Ranked], dict[str, str], dict[str, str]]:
    """What the model's and the priors' lists are; why priors are left out, and why metrics of lists have no value."""
    known, left_out = _priors(scorer, dataset, task, priors)
    shelf, lacking = _shelf(scorer, dataset, task, targets, measures.lists)
    names = [name for name in measures.lists if name not in lacking]
    tally: Callable[[], Tally] | None = partial(Tally, names, shelf) if names else None
    return rank_catalogue(scorer, dataset, task, targets, known, tally), left_out, lacking


def of_ranked(
    found: dict[str, Ranked], targets: Targets, measures: Measures, lacking: dict[str, str], resamples: int
) -> Report:
    """The values of a task's metrics of its ranked catalogue, as `values.measure` reports them."""
    report: Report = {part: {} for part in PARTS}
    rows, lists = listed(targets.of, targets.rows.users), listed(np.arange(len(targets.asked)), targets.asked.users)
    places = {name: of_places(name) or find_metric(name) for name in measures.places}
    merge(report, _measured(places, {name: of.place for name, of in found.items()}, rows, resamples))
    for name in measures.lists:
        if split_name(name)[0] in EACH and name not in lacking:
            each = {model: of.each[name] for model, of in found.items()}
            # Of what lists are like no prior is the better: random ones are the most novel.
            merge(report, _measured({name: of_each(name)}, each, lists, resamples, gains=False))
            continue
        values = {model: None if name in lacking else of.all[name] for model, of in found.items()}
        report["metrics"][name] = values.pop("model")
        merge(report, {"priors": {prior: {name: value} for prior, value in values.items()}})
        report["intervals"] |= {name: None} if resamples else {}
        report["undefined"] |= {name: lacking[name]} if name in lacking else {}
    choice = {name: CHOICE[name] for name in measures.choice}
    merge(report, _measured(choice, {name: of.log_probability for name, of in found.items()}, rows, resamples))
    return report


def of_part(
    found: dict[str, Ranked],
    targets: Targets,
    rows: np.ndarray,
    measures: Measures,
    lacking: dict[str, str],
    resamples: int,
) -> Report:
    """The same of some of the right items, by their numbers (N,), and the lists that they are in."""
    lists = np.unique(targets.of[rows])
    some = {name: of.among(rows, lists) for name, of in found.items()}
    return of_ranked(some, targets.among(rows), measures.of_parts, lacking, resamples)


def _measured(
    metrics: dict[str, Metric], found: dict[str, np.ndarray], columns: Columns, resamples: int, gains: bool = True
) -> Report:
    priors = {name: of for name, of in found.items() if name != "model"}
    return measure(metrics, found["model"], priors, columns, resamples, gains)


def of_each(name: str) -> Metric:
    """The mean over lists of a metric of `beyond.EACH`, given in the place of predictions."""
    return Metric(mean_of_lists, higher=EACH[split_name(name)[0]].higher, grouped=True)


def _priors(
    scorer: Scorer, dataset: Dataset, task: str, names: Sequence[str]
) -> tuple[dict[str, Scores], dict[str, str]]:
    """What gives the scores of priors, and why others are left out: vectors of a backbone that is frozen no more."""
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


def _shelf(
    scorer: Scorer, dataset: Dataset, task: str, targets: Targets, names: Sequence[str]
) -> tuple[Shelf, dict[str, str]]:
    """What metrics of lists read of the catalogue, and which have no value for want of it."""
    items, train = dataset.items_of(task), np.asarray(dataset.tasks[task].train.item)
    rows = np.bincount(train[train >= 0], minlength=len(items)).astype(np.float64)
    usual, vectors, lacking = float(rows[targets.rows.item].mean()), None, dict[str, str]()
    for name in names:
        base, _ = split_name(name)
        if base == "popularity_bias" and not usual:
            lacking[name] = "needs rows of items that train rows have"
        if base == "diversity" and scorer.frozen_vectors is None:
            lacking[name] = f"needs the frozen backbone's vectors{scorer.no_vectors and f': {scorer.no_vectors}'}"
        elif base == "diversity" and vectors is None and scorer.frozen_vectors is not None:
            texts, place = np.unique(items.rows, return_inverse=True)
            vectors = scorer.frozen_vectors(texts.astype(np.int64))[place]
    return Shelf(rows, usual, vectors), lacking
