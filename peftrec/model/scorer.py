"""What predicts: scores of rows, and of a whole catalogue for each row."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from peftrec.data.examples import Examples
from peftrec.tasks.grades import Grades
from peftrec.tasks.priors import Vectors


def with_items(examples: Examples, row: np.ndarray, item: np.ndarray, item_rows: np.ndarray) -> Examples:
    """The examples at `row` (M,), each with an `item` (M,) in place of its own; `item_rows` (I,): text rows of all."""
    pairs = examples.take(row)
    pairs = replace(pairs, item=item, slots={**pairs.slots, "item": item_rows[item]}, offset=None)
    return pairs if pairs.rates is None else pairs.with_rates(pairs.rates, pairs.seen)


class Scorer:
    """Anything that predicts: a trained model, or a baseline."""

    @property
    def frozen_vectors(self) -> Vectors | None:
        """What its backbone says of text rows with no method on it; None where there is nothing of the sort."""
        return None

    @property
    def no_vectors(self) -> str:
        """Why there are none, where there could be."""
        return ""

    def predict(self, task: str, examples: Examples) -> np.ndarray:
        """Predictions of the rows: class probabilities (N, C), a probability (N,), or a number (N,)."""
        raise NotImplementedError

    def ranker(
        self, task: str, item_rows: np.ndarray, grades: Grades | None = None, of_items: np.ndarray | None = None
    ) -> Callable[[Examples], np.ndarray]:
        """A function from examples to the scores (N, I) of every item in place of their own; `item_rows` (I,) are the
        items' text rows. `grades`: of a task that predicts their probabilities. `of_items`: the examples' own."""

        def scores(examples: Examples) -> np.ndarray:
            row, item = (of.ravel() for of in np.indices((len(examples), len(item_rows))))
            found = self.predict(task, with_items(examples, row, item, item_rows))
            scored = found if grades is None else grades.score(found)
            return scored.reshape(len(examples), -1)

        return scores
