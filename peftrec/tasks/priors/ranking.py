"""Priors that rank a catalogue: scores (N, I) of all its items for each row."""

import numpy as np

from peftrec.data.examples import Dataset, Examples


def popularity(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """log1p of every item's train rows: scores (N, I) for ranking the catalogue."""
    seen = dataset.tasks[task].log_counts
    return np.tile(np.pad(seen, (0, len(dataset.items_of(task)) - len(seen))), (len(examples), 1))


def popularity_so_far(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """The same count of all choices before the example, (N, I): what a model with a retrieval head starts from."""
    assert examples.catalogue is not None
    return examples.catalogue.popularity(examples.time)


def shuffled(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Random scores (N, I) for ranking the catalogue: a hash of user and item, so that no batching changes them."""
    items = np.arange(len(dataset.items_of(task)), dtype=np.uint64)
    mixed = examples.users.astype(np.uint64)[:, None] << np.uint64(32) ^ items
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finaliser of SplitMix64 (Steele et al. 2014)
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(factor)
    return (mixed >> np.uint64(11)) / 2.0**53
