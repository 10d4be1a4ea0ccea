"""The prior `other_tasks`: a linear model on a text's frozen vector and on what the other tasks' models say of it.

The other tasks learn from rows of their own, of which there may be many more: an utterance's category is known where
its intent is, and of few labels what another task tells apart is worth telling apart. (Stacking, Wolpert 1992, over
tasks.)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import numpy as np

from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.unit import of_length_one
from peftrec.tasks.priors.choice import Chosen, Tried, best, held_out, judge, predicted
from peftrec.tasks.priors.linear import Linear, read_linear
from peftrec.tasks.priors.pool import finite
from peftrec.tasks.priors.stored import FLOATS, stored
from peftrec.tasks.priors.vectors import (
    MOST_ROWS,
    PENALTIES,
    STRENGTHS,
    Layered,
    Vectors,
    VectorScores,
    affordable,
    choose_layers,
    choose_vectors,
    fit_linear,
    folds_of_layers,
    folds_of_vectors,
    in_blocks,
    read_vectors,
)

# Of more train rows little that others say is not known by itself (of 1,000 it is worth .003 of log-loss), and it takes
# as long to fit as all else.
FEW_ROWS = 5000
MOST_COLUMNS = 1024  # of what other tasks say; those that come later in the recipe are left out

Others = dict[
    str, list[VectorScores]
]  # task -> what was fitted for it: `frozen_lr` and, where there is one, `layers_lr`
Known = dict[str, tuple[np.ndarray, list[np.ndarray]]]  # task -> text rows (M,), ascending, and what each says (M, C)


@dataclass(frozen=True)
class OtherScores:
    """A linear model on the text's vector of length 1, and the scores that the others' models give it.

    others  in the order of the columns
    known   what is said of the texts that the others were fitted on by such as were not; none once it is fitted
    """

    others: Others
    model: Linear
    vectors: Vectors
    known: Known

    def __call__(self, rows: Examples) -> np.ndarray:
        """Log-scores (N, C), up to one factor, or numbers (N,)."""
        return in_blocks(rows, self._ready, self._block) if len(rows) else self.model.of_none()

    def _ready(self, rows: np.ndarray) -> None:
        if isinstance(self.vectors, Layered) and any(len(of) > 1 for of in self.others.values()):
            self.vectors.have_layers(rows)
        else:
            self.vectors(rows)

    def _block(self, rows: Examples) -> np.ndarray:
        return self.model(np.hstack(_read(rows, self.others, self.vectors, self.known)))

    def settings(self) -> dict[str, Any]:
        """What a run keeps of it beside its tensors."""
        return {"others": {name: [of.settings() for of in fitted] for name, fitted in self.others.items()}}

    def tensors(self) -> dict[str, np.ndarray]:
        """Its linear model, and those of the others under their places."""
        own = self.model.tensors()
        for place, of in enumerate(chain.from_iterable(self.others.values())):
            own |= {f"others.{place}.{key}": tensor for key, tensor in of.tensors().items()}
        return own


def read_others(
    settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], vectors: Vectors, width: int, classes: int
) -> OtherScores:
    """What was kept so, of vectors of that width. Raises KeyError, TypeError or ValueError for what is none."""
    others, columns, place = Others(), width, count()
    for name, fitted in settings["others"].items():
        others[name] = []
        for of in fitted:
            start = f"others.{next(place)}."
            own = {key.removeprefix(start): tensor for key, tensor in tensors.items() if key.startswith(start)}
            # What another predicts, classes or a number, is for this one so many columns.
            found = read_vectors(of, own, vectors, width, ("text",), stored(own, "bias", FLOATS, None).size)
            others[name].append(found)
            columns += found.model.bias.size
    return OtherScores(others, read_linear(tensors, columns, classes), vectors, {})


def other_tasks(dataset: Dataset, task: str, examples: Examples, vectors: Vectors) -> np.ndarray | None:
    """Class probabilities (N, C), or numbers (N,), by logistic or ridge regression on the frozen vector and on what the
    `frozen_lr` and `layers_lr` of every other task on texts say. None where there is no other, and of more than
    FEW_ROWS train rows.
    """
    chosen = choose_others(dataset, task, vectors)
    return None if chosen is None else predicted(chosen, dataset.tasks[task], examples)


def choose_others(dataset: Dataset, task: str, vectors: Vectors) -> Chosen[OtherScores] | None:
    """The strength that the validation rows choose; see `other_tasks`. Once for the same other tasks."""
    others, fitted = _others(dataset, task, vectors), dataset.tasks[task].fitted
    if not others:
        return None
    key = " ".join(("choose_others", *others))
    if key not in fitted:
        fitted[key] = _choose(dataset, task, others, vectors)
    found: Chosen[OtherScores] = fitted[key]
    return found


def _choose(dataset: Dataset, task: str, others: Others, vectors: Vectors) -> Chosen[OtherScores]:
    data = dataset.tasks[task]
    classes, known = len(data.classes), _known(dataset, task, others, vectors)
    fitted, check = (rows.thinned(MOST_ROWS) for rows in held_out(data))

    def fit(strength: float, rows: Examples, known: Known) -> OtherScores:
        rows = rows.thinned(MOST_ROWS)
        blocks = _read(rows, others, vectors, known)
        most, simple = affordable(len(rows), sum(block.shape[1] for block in blocks), classes)
        if most < len(rows):
            return fit(strength, rows.thinned(most), known)
        # Every block counts as much as the others, however many columns it has.
        centre = np.concatenate([block.mean(0) for block in blocks])
        spread = np.concatenate([np.full(of.shape[1], max(1e-9, _spread(of) * of.shape[1] ** 0.5)) for of in blocks])
        scaled = ((np.hstack(blocks) - centre) / spread).astype(np.float32)
        model = fit_linear(scaled, rows.label, strength, classes, simple).of_unscaled(centre, spread)
        return OtherScores(others, model, vectors, known)

    def attempt(strength: float) -> Tried:
        return judge(strength, fit(strength, fitted, known)(check), check.label)

    chosen = best([attempt(strength) for strength in (STRENGTHS if classes else PENALTIES)])

    def again(rows: Examples) -> OtherScores:
        return fit(chosen.way, rows, known)

    whole = again(data.train)
    return Chosen(chosen, check, again, OtherScores(others, whole.model, vectors, {}))


def _others(dataset: Dataset, task: str, vectors: Vectors) -> Others:
    """What was fitted for the other tasks on texts, in recipe order; nothing for a task of many rows."""
    found, columns = Others(), 0
    if len(dataset.tasks[task].train) > FEW_ROWS:
        return found
    for name, data in dataset.tasks.items():
        if name == task or data.train.slots.keys() != {"text"}:
            continue
        for choose in (choose_vectors, choose_layers):
            chosen = choose(dataset.learnt(name), name, vectors)
            columns += 0 if chosen is None else max(1, len(data.classes))
            if chosen is not None and columns <= MOST_COLUMNS:
                found.setdefault(name, []).append(chosen.whole)
    return found


def _known(dataset: Dataset, task: str, others: Others, vectors: Vectors) -> Known:
    """What is said of texts of this task that another was fitted on, by such as were not."""
    data, found = dataset.tasks[task], Known()
    own = np.concatenate([rows.slots["text"] for rows in (data.train, data.valid)])
    for name, fitted in others.items():
        texts, place = np.unique(dataset.tasks[name].train.slots["text"], return_index=True)
        shared = np.isin(texts, own)
        if shared.any():
            folds = (
                of(dataset.learnt(name), name, vectors) for of in (folds_of_vectors, folds_of_layers)[: len(fitted)]
            )
            found[name] = texts[shared], [said[place[shared]] for said in folds if said is not None]
    return found


def _read(rows: Examples, others: Others, vectors: Vectors, known: Known) -> list[np.ndarray]:
    """The vectors of length 1 (N, D), and what each of the others says (N, C) or (N, 1)."""
    text, blocks = rows.slots["text"], [of_length_one(vectors(rows.slots["text"]))]
    for name, fitted in others.items():
        texts, held_back = known.get(name, (text[:0], []))
        here = np.isin(text, texts)
        place = np.searchsorted(texts, text[here])
        for n, of in enumerate(fitted):
            said = finite(of(rows))
            if held_back:
                said[here] = held_back[n][place]
            blocks.append(said.reshape(len(rows), -1))
    return blocks


def _spread(block: np.ndarray) -> float:
    """The root of the mean variance of the columns."""
    return float(np.sqrt(block.var(0, dtype=np.float64).mean()))
