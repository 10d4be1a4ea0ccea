"""Priors that rank a catalogue: scores (N, I) of all its items for each row."""

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.signals import of_every_item


def popularity(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """log1p of every item's train rows: scores (N, I) for ranking the catalogue."""
    seen = dataset.tasks[task].log_counts
    return np.tile(np.pad(seen, (0, len(dataset.items_of(task)) - len(seen))), (len(examples), 1))


def popularity_so_far(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The same count of all choices before the example, (N, I): what a model with a retrieval head starts from."""
    assert examples.catalogue is not None
    return examples.catalogue.popularity(examples.time)


def recent_popularity(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The same of the choices shortly before the example, (N, I); popularity so far between items chosen as often."""
    assert examples.catalogue is not None
    return examples.catalogue.popularity(examples.time, lately=True) + _tie(popularity_so_far(dataset, task, examples))


def item_item(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """What the user's newest events say for every item, (N, I), by EASE, or by cosines in a large catalogue; fitted to
    the train rows. Popularity so far where they say nothing."""
    return of_every_item(examples)[:, :, 2] + _tie(popularity_so_far(dataset, task, examples))


def own_frequency(dataset: Dataset, task: str, examples: Examples) -> np.ndarray | None:
    """How often the user had met every item, (N, I), the more recent first of equals, and popularity so far of those
    never met. None where repeats are not ranked."""
    if not examples.repeats:
        return None
    own = of_every_item(examples)[:, :, 3:]
    return np.expm1(own[:, :, 0]) + own[:, :, 1] / 2 + _tie(popularity_so_far(dataset, task, examples))


def _tie(scores: np.ndarray) -> np.ndarray:
    """Scores that only decide between equals."""
    return scores.astype(np.float64) * 1e-6


def shuffled(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Random scores (N, I) for ranking the catalogue: a hash of user and item, so that no batching changes them."""
    items = np.arange(len(dataset.items_of(task)), dtype=np.uint64)
    mixed = examples.users.astype(np.uint64)[:, None] << np.uint64(32) ^ items
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finaliser of SplitMix64 (Steele et al. 2014)
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(factor)
    return (mixed >> np.uint64(11)) / 2.0**53
