"""Where right items stand in their whole catalogue, by a model's scores and by priors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.errors import Diverged
from peftrec.evaluation.at_k import spread
from peftrec.evaluation.beyond import Tally
from peftrec.model.scorer import Scorer

RANKED_PAIRS = 1 << 22  # (row, item) pairs scored in one call: large, because each call may encode the catalogue again
Scores = Callable[[Examples], np.ndarray | None]  # rows -> scores (N, I) of the catalogue's items, if any


@dataclass(frozen=True)
class Targets:
    """Lists of the whole catalogue, and what is right in them.

    asked  L rows: a list is made of what is known before each
    rows   R rows: whose items are right
    of     int (R,), ascending: the list that each is right in; every list has one
    """

    asked: Examples
    rows: Examples
    of: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def thinned(self, most: int) -> "Targets":
        """The same or, where there are more lists than `most`, every so many of them."""
        if len(self.asked) <= most:
            return self
        kept = np.arange(most) * len(self.asked) // most
        return self.among(np.flatnonzero(np.isin(self.of, kept)))

    def among(self, rows: np.ndarray) -> "Targets":
        """Some right items, ascending (N,), with the lists that they are in."""
        lists, of = np.unique(self.of[rows], return_inverse=True)
        return Targets(self.asked.take(lists), self.rows.take(rows), of)


@dataclass(frozen=True)
class Ranked:
    """What one model's, or prior's, lists are.

    place            float64 (R,): of each right item, from 1
    log_probability  float64 (R,): which the softmax of the scores gives it
    each, all        what the lists are like, each (L,) and together, by the names of metrics; see `evaluation.beyond`
    """

    place: np.ndarray
    log_probability: np.ndarray
    each: dict[str, np.ndarray] = field(default_factory=dict)
    all: dict[str, float] = field(default_factory=dict)

    def among(self, rows: np.ndarray, lists: np.ndarray) -> "Ranked":
        """The same of some right items and lists, which say nothing of all together."""
        each = {name: values[lists] for name, values in self.each.items()}
        return Ranked(self.place[rows], self.log_probability[rows], each)


def each_alone(rows: Examples) -> Targets:
    """A list a row, in which its item alone is right."""
    return Targets(rows, rows, np.arange(len(rows)))


def together(rows: Examples) -> Targets:
    """A list a group, user or query, made before the first of its rows; the items of all of them are right in it."""
    group, item, time = (np.asarray(column) for column in (rows.group, rows.item, rows.time))
    order = np.lexsort((time, group))
    _, first = np.unique(np.stack([group[order], item[order]]), axis=1, return_index=True)  # of each item in each list
    kept = order[np.sort(first)]
    _, begin, of = np.unique(group[kept], return_index=True, return_inverse=True)
    return Targets(rows.take(kept[begin]), rows.take(kept), of)


def last_liked(examples: Examples) -> Examples:
    """Each user's last example with label 1; unless repeats are allowed, the last whose item is none."""
    liked = np.flatnonzero(examples.label == 1 if examples.repeats else (examples.label == 1) & ~examples.repeated())
    liked = liked[np.lexsort((examples.time[liked], examples.users[liked]))]
    last = np.append(examples.users[liked][1:] != examples.users[liked][:-1], True)
    return examples.take(liked[last])


def rank_catalogue(
    scorer: Scorer,
    dataset: Dataset,
    task: str,
    targets: Targets,
    priors: Mapping[str, Scores] | None = None,
    tally: Callable[[], Tally] | None = None,
) -> dict[str, Ranked]:
    """Where the right items stand in the whole catalogue, from the history, features and time of who is asked for.

    Unless the task allows repeats, what the user had met before is no candidate: what `recommend` would not name. Nor
    are the other matches of a query. Right items are candidates always. `tally` makes what looks at the lists.
    Returns it of "model" and of each prior. Ties count half.
    """
    items = dataset.items_of(task).rows
    score = scorer.ranker(task, items, of_items=targets.asked.of_items)
    predict: dict[str, Scores] = {"model": lambda rows: finite(score(rows), task), **(priors or {})}
    found: dict[str, list[np.ndarray]] = {name: [] for name in predict}
    tallies = {name: tally() for name in predict} if tally is not None else {}
    at_once, first = max(1, RANKED_PAIRS // len(items)), 0
    for some in targets.asked.blocks(at_once):
        right = slice(*np.searchsorted(targets.of, [first, first + len(some)]))
        of, item = targets.of[right] - first, np.asarray(targets.rows.item[right])
        met = None if some.repeats else some.met()
        for name, score_of in predict.items():
            scores = score_of(some)
            if scores is None:  # a prior that does not apply has none
                continue
            scores = _candidates(scores, of, item, met)
            found[name].append(_standing(scores, of, item))
            if name in tallies:
                tallies[name].see(scores)
        first += len(some)
    return {
        name: Ranked(*np.concatenate(parts).T, *(tallies[name].found() if name in tallies else ()))
        for name, parts in found.items()
        if parts
    }


def _candidates(
    scores: np.ndarray, of: np.ndarray, item: np.ndarray, met: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """The scores (L, I) with -inf for what is no candidate: what was `met`, but for what is right."""
    scores = np.array(scores)
    if met is not None:
        own = scores[of, item]
        scores[met] = -np.inf
        scores[of, item] = own
    return scores


def _standing(scores: np.ndarray, of: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Place and log-probability (R, 2) of the right items of lists, by scores (L, I).

    A list at a time: what a million items need then stays in the processor's cache.
    """
    found, begin = np.empty((len(of), 2)), np.searchsorted(of, np.arange(len(scores) + 1))
    for line, first, end in zip(scores, begin[:-1].tolist(), begin[1:].tolist(), strict=True):
        own, top = line[item[first:end]], line.max()
        total = float(np.log(np.exp(line - top).sum(dtype=np.float64)))
        for n, score in enumerate(own):
            better, tied = np.count_nonzero(line > score), np.count_nonzero(line == score)
            found[first + n] = (
                spread(better, tied, np.count_nonzero(own == score), np.count_nonzero(own[: n + 1] == score)),
                float(score) - float(top) - total,
            )
    return found


def finite(prediction: np.ndarray, task: str) -> np.ndarray:
    """The predictions as they are. Raises Diverged where any is no finite number."""
    wrong = int((~np.isfinite(prediction)).sum())
    if wrong:
        raise Diverged(
            f"task {task!r}: {wrong} of {prediction.size} predictions are not finite numbers: the training diverged; "
            "lower train.lr or train.head_lr, or set train.mixed_precision: no"
        )
    return prediction
