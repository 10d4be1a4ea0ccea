"""What ranks the catalogue of matches with no training, or begins a training: the frozen cosine, BM25, and both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.texts import TextTable
from peftrec.data.unit import of_length_one
from peftrec.tasks.priors.blend import Told, fit_weights, loss_of, told_apart
from peftrec.tasks.priors.bm25 import COUNTERS, CatalogueBm25
from peftrec.tasks.priors.choice import held_out, once
from peftrec.tasks.priors.vectors import Vectors

CHARACTERS = 5_000_000  # of a catalogue, beyond which one sort of n-grams is counted: of runs there are far more
SPACES = 0.05  # the least share of characters that are spaces where words are written apart


@dataclass(frozen=True)
class Blend:
    """cosine * (frozen cosine) + lexical * BM25 of one sort; a weight may be 0."""

    cosine: float
    lexical: float
    sort: str
    loss: float


def cosine(dataset: Dataset, task: str, examples: Examples, vectors: Vectors) -> np.ndarray:
    """Scores (N, I): the cosine of the frozen vectors of query and item, times what makes it most probable."""
    found = choose_cosine(dataset, task, vectors)
    return np.float32(found.cosine) * likeness(examples.with_every_candidate(), vectors)[:, 1:]


def bm25(dataset: Dataset, task: str, examples: Examples) -> np.ndarray:
    """Scores (N, I): BM25 of words or of runs of characters, as the validation rows choose, times the same."""
    found, score = choose_bm25(dataset, task)
    return np.float32(found.lexical) * score(examples.with_every_candidate())[:, 1:]


@once
def choose_cosine(dataset: Dataset, task: str, vectors: Vectors) -> Blend:
    """The cosine's weight of least log-loss on the train rows."""
    return min(_tried(dataset, task, vectors, []), key=lambda one: one.loss)


@once
def choose_bm25(dataset: Dataset, task: str) -> tuple[Blend, CatalogueBm25]:
    """The same of BM25, the validation rows choosing the n-grams; and what gives it."""
    catalogue = dataset.tasks[task].train.catalogue
    assert catalogue is not None
    found = min(_tried(dataset, task, None, sorts_of(dataset.texts, catalogue.rows)), key=lambda one: one.loss)
    return found, CatalogueBm25(found.sort, dataset.texts, catalogue)


@once
def choose_blend(dataset: Dataset, task: str, vectors: Vectors | None) -> Blend:
    """The weights of both of least log-loss on the train rows. The validation rows choose whether both take part, and
    the n-grams. Without `vectors` BM25 alone."""
    catalogue = dataset.tasks[task].train.catalogue
    assert catalogue is not None
    return min(_tried(dataset, task, vectors, sorts_of(dataset.texts, catalogue.rows)), key=lambda one: one.loss)


def _tried(dataset: Dataset, task: str, vectors: Vectors | None, sorts: Sequence[str]) -> list[Blend]:
    """The cosine, BM25 of each sort, and these with the cosine, each fitted on train rows and judged by others."""
    fitted, check = (told_apart(rows) for rows in held_out(dataset.tasks[task]))
    near, tried = {}, list[Blend]()
    if vectors is not None:
        near["cosine"] = likeness(fitted.rows, vectors), likeness(check.rows, vectors)
        tried.append(_blend(near, "words", fitted, check))
    catalogue = fitted.rows.catalogue
    assert catalogue is not None
    for sort in sorts:
        of = CatalogueBm25(sort, dataset.texts, catalogue)
        shared = {"lexical": (of(fitted.rows), of(check.rows))}
        tried += [_blend(columns, sort, fitted, check) for columns in ([shared, near | shared] if near else [shared])]
    return tried


def sorts_of(texts: TextTable, rows: np.ndarray) -> list[str]:
    """The sorts of n-grams that are tried for a catalogue of these texts: of a large one, what its language writes."""
    read = [texts.texts[row] for row in rows]
    characters = sum(map(len, read))
    if characters <= CHARACTERS:
        return list(COUNTERS)
    return ["words"] if sum(text.count(" ") for text in read) >= SPACES * characters else ["short runs"]


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


def _unit(rows: np.ndarray, vectors: Vectors) -> np.ndarray:
    places, place = np.unique(rows, return_inverse=True)
    found = vectors(places.astype(np.int64)) if len(places) else np.zeros((0, 1), np.float32)
    return of_length_one(found)[place]
