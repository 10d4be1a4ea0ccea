"""The scores of a catalogue's items for rows that ask, by one task."""

import time
from dataclasses import replace

import numpy as np
import torch

from peftrec.data.examples import Examples
from peftrec.data.signals import of_pasts
from peftrec.errors import UserError
from peftrec.model.cache.kept import KeptVectors
from peftrec.model.scorer import with_items
from peftrec.runs.saved import LoadedRun
from peftrec.serving.index import ItemIndex
from peftrec.serving.reader import RowReader

BLOCK = 256  # texts of a catalogue that are encoded at once while others ask: with MiniLM about 0.1 s
PAUSE = 1e-3  # seconds between blocks: a lock that is taken again at once is hardly ever given to those who wait
MOST_KEPT = 1 << 28  # bytes of the items' vectors of all tasks that are kept at most


def check_finite(task: str, said: np.ndarray) -> np.ndarray:
    """What a task's model says, as it is. Raises UserError where there are no numbers, as of a run whose own are near
    the largest that there are."""
    if not np.isfinite(said).all():
        raise UserError(f"task {task!r}: the run's numbers are so large that what it says is none: train it again")
    return said


class Scoring:
    """A loaded run's catalogues. What is needed of every item is computed at the first call."""

    def __init__(self, run: LoadedRun, reader: RowReader) -> None:
        self.run, self._reader = run, reader
        self._offered: dict[str, torch.Tensor] = {}
        self._indexes: dict[str, ItemIndex] = {}

    def scores(self, task: str, examples: Examples, asked: np.ndarray) -> np.ndarray:
        """Scores float32 (N, I) of the items that are `asked` about, bool (N, I), for each row; of others anything."""
        if task in self.run.catalogues:
            return check_finite(task, self._of_catalogue(task, examples))
        row, item = np.nonzero(asked)
        found = np.zeros(asked.shape, np.float32)
        if len(row):
            pairs = with_items(examples, row, item, self.run.items_of(task).rows)
            if len(rows := self._lacking(task)):
                self._keep(task, [self._encoded(task, rows)])
            self.run.model.encoder.update({task: pairs.text_rows()})
            predicted = self.run.model.predict(task, pairs)
            grades = self.run.tasks[task].grades(self.run.described[task]["classes"])
            found[row, item] = predicted if grades is None else grades.score(predicted)
        return check_finite(task, found)

    def near(self, task: str, one: Examples, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and scores of about the k best items for one row of a task that ranks its catalogue."""
        if task not in self._indexes:
            self._indexes[task] = ItemIndex(self.offered(task).cpu().numpy())
        beside = self.run.model.of_past(task, one)
        return self._indexes[task].search(self.asked(task, one)[0], k, None if beside is None else beside[0])

    def vectors(self, task: str, items: np.ndarray) -> np.ndarray:
        """What the task's encoder makes of items by their numbers (P,), float32 (P, D)."""
        rows, place = np.unique(self.run.items_of(task).rows[items], return_inverse=True)
        self.run.model.encoder.update({task: rows.astype(np.int64)})
        with torch.inference_mode():
            found: np.ndarray = self.run.model.encoder.encode(rows, task).cpu().numpy()
        return found[place]

    def prepare(self, task: str) -> None:
        """Encode the task's items before anybody asks for them, in blocks between which others' requests are answered:
        unlike with all else here, whoever calls this has not the backbone to itself."""
        lock, parts = self.run.model.encoder.backbone.lock, []
        with lock:
            rows = self._lacking(task)
        for first in range(0, len(rows), BLOCK):
            with lock:
                parts.append(self._encoded(task, rows[first : first + BLOCK]))
            time.sleep(PAUSE)
        if parts:
            with lock:
                self._keep(task, parts)

    def _lacking(self, task: str) -> np.ndarray:
        """The text rows of the task's items, int64 (M,), ascending, that are to be encoded and kept; none where they
        are known, or too many."""
        encoder = self.run.model.encoder
        if task in encoder.known:
            return np.zeros(0, np.int64)
        rows = np.unique(self.run.items_of(task).rows).astype(np.int64)
        too_many = len(rows) * encoder.backbone.hidden_size * 4 > MOST_KEPT // len(self.run.tasks)
        return rows[:0] if too_many else rows

    def _encoded(self, task: str, rows: np.ndarray) -> KeptVectors:
        """What the task's encoder makes of items' text rows, ascending; and have what its start reads of them kept."""
        self.run.model.encoder.update({task: rows})
        if task in self.run.starts and (frozen := self.run.model.frozen_vectors) is not None:
            frozen(rows)
        return self.run.model.encoded(task, rows)

    def _keep(self, task: str, parts: list[KeptVectors]) -> None:
        """Encode these text rows, ascending from part to part, no more."""
        rows, vectors = np.concatenate([of.rows for of in parts]), torch.cat([of.vectors for of in parts])
        self.run.model.encoder.known[task] = KeptVectors(rows, vectors)

    def _of_catalogue(self, task: str, examples: Examples) -> np.ndarray:
        """One product for what does not depend on the past, and what the past says of the few items it speaks of."""
        offered, asked = self.offered(task), self.asked(task, examples)
        with torch.inference_mode():
            found: np.ndarray = (torch.from_numpy(asked).to(offered.device) @ offered.T).cpu().numpy()
        if examples.catalogue is not None and examples.catalogue.items is not None:
            items, said = of_pasts(examples)
            found[:, items] += self.run.model.beside(task, said)
        elif (beside := self.run.model.of_past(task, examples)) is not None:
            found += beside
        return found

    def asked(self, task: str, examples: Examples) -> np.ndarray:
        """What rows ask for by a task that ranks its catalogue, float32 (N, q + 1), the last being 1.

        It does not depend on what is known of items.
        """
        self.run.model.encoder.update({task: examples.text_rows()})
        asked = self.run.model.asked(task, replace(examples, catalogue=None, offsets=None)).cpu().numpy()
        return np.append(asked, np.ones_like(asked[:, :1]), 1)

    def offered(self, task: str) -> torch.Tensor:
        """What every item offers (I, q + 1), see `CoLearner.offered_now`."""
        if task not in self._offered:
            rows = self.run.items_of(task).rows
            self.run.model.encoder.update({task: rows.astype(np.int64)})
            known = self._reader.of_items(task)
            offered = self.run.model.offered_now(task, rows, self.run.catalogues[task], known)
            self._offered[task] = torch.from_numpy(offered).to(self.run.model.encoder.backbone.device)
        return self._offered[task]
