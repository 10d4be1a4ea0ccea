"""What ranks the catalogue of matches with no training, or begins a training: the frozen cosine, BM25, and both."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from peftrec.data.examples import Dataset, Examples
from peftrec.data.texts import TextTable
from peftrec.tasks.priors.blend import Told, fit_weights, loss_of, told_apart
from peftrec.tasks.priors.bm25 import COUNTERS, CatalogueBm25
from peftrec.tasks.priors.choice import held_out
from peftrec.tasks.priors.vectors import Vectors

CHARACTERS = 20_000_000  # of a catalogue, beyond which only words are counted: of runs there are far more


@dataclass(frozen=True)
class Blend:
    """cosine * (frozen cosine) + lexical * BM25 of one sort; a weight may be 0."""

    cosine: float
    lexical: float
    sort: str
    loss: float


def cosine(dataset: Dataset, task: str, vectors: Vectors) -> Callable[[Examples], np.ndarray]:
    """Scores (N, I): the cosine of the frozen vectors of query and item, times what makes it most probable."""
    found = best_blend(dataset, task, vectors, lexical=False)
    return lambda rows: np.float32(found.cosine) * likeness(_with_all(rows), vectors)[:, 1:]


def bm25(dataset: Dataset, task: str) -> Callable[[Examples], np.ndarray]:
    """Scores (N, I): BM25 of words or of runs of characters, as the validation rows choose, times the same."""
    found = best_blend(dataset, task, None)
    catalogue = dataset.tasks[task].train.catalogue
    assert catalogue is not None
    score = CatalogueBm25(found.sort, dataset.texts, catalogue)
    return lambda rows: np.float32(found.lexical) * score(_with_all(rows))[:, 1:]


def best_blend(dataset: Dataset, task: str, vectors: Vectors | None, lexical: bool = True) -> Blend:
    """The weights of least log-loss on the train rows; whether both take part, and which n-grams, the validation rows
    choose. Without `vectors` BM25 alone, without `lexical` the cosine alone."""
    fitted, check = (told_apart(rows) for rows in held_out(dataset.tasks[task]))
    near, tried = {}, list[Blend]()
    if vectors is not None:
        near["cosine"] = likeness(fitted.rows, vectors), likeness(check.rows, vectors)
        tried.append(_blend(near, "words", fitted, check))
    catalogue = fitted.rows.catalogue
    assert catalogue is not None
    for sort in sorts_of(dataset.texts, catalogue.rows) if lexical else ():
        of = CatalogueBm25(sort, dataset.texts, catalogue)
        shared = {"lexical": (of(fitted.rows), of(check.rows))}
        tried += [_blend(columns, sort, fitted, check) for columns in ([shared, near | shared] if near else [shared])]
    return min(tried, key=lambda one: one.loss)


def sorts_of(texts: TextTable, rows: np.ndarray) -> list[str]:
    """The sorts of n-grams that a catalogue of these texts is not too large for."""
    affordable = sum(len(texts.texts[row]) for row in rows) <= CHARACTERS
    return list(COUNTERS) if affordable else ["words"]


def likeness(rows: Examples, vectors: Vectors) -> np.ndarray:
    """Cosines of the query with the row's own item, and then with every candidate, float32 (N, 1 + C)."""
    query, own = _unit(rows.slots["query"], vectors), _unit(rows.slots["item"], vectors)
    there = _unit(rows.candidate_rows(), vectors)
    return np.concatenate([(query * own).sum(1, keepdims=True), query @ there.T], 1)


def _blend(columns: dict[str, tuple[np.ndarray, np.ndarray]], sort: str, fitted: Told, check: Told) -> Blend:
    """The weights of `cosine`, `lexical` or both, of each of which there are scores of the rows fitted and checked."""
    weights = fit_weights([of for of, _ in columns.values()], fitted)
    loss = loss_of(weights, [of for _, of in columns.values()], check)
    by_name = dict(zip(columns, weights.tolist(), strict=True))
    return Blend(by_name.get("cosine", 0.0), by_name.get("lexical", 0.0), sort, loss)


def _with_all(rows: Examples) -> Examples:
    assert rows.catalogue is not None
    return replace(rows, candidates=np.arange(len(rows.catalogue)))


def _unit(rows: np.ndarray, vectors: Vectors) -> np.ndarray:
    places, place = np.unique(rows, return_inverse=True)
    found = vectors(places.astype(np.int64)) if len(places) else np.zeros((0, 1), np.float32)
    unit: np.ndarray = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return unit[place]
