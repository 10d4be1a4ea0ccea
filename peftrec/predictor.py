"""Inference: a run in memory, its tasks' adapters swapped over the one backbone, rows in and predictions out."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.data.builders import GAP_FEATURES
from peftrec.data.examples import Examples
from peftrec.data.unknown import unknown_notes
from peftrec.index import ItemIndex
from peftrec.progress import note
from peftrec.reader import Row, RowReader
from peftrec.recipe import UserError, nearest
from peftrec.runs import LoadedRun, load_run
from peftrec.tasks import loss_of


class Predictor:
    """A loaded run. Switching tasks moves no weights; the order of tasks, rows and batches changes no score."""

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.model, self.texts = run.model, run.model.encoder.texts
        self._reader = RowReader(run)
        self._rankers: dict[str, Callable[[Examples], np.ndarray]] = {}
        self._indexes: dict[str, ItemIndex] = {}

    @classmethod
    def load(cls, run: str | Path, backbone: str | None = None, cache: bool = True) -> "Predictor":
        """Load a run folder; `backbone` names another place of the same weights. Raises UserError.

        `cache`: whether the frozen part's states of the catalogue are looked for, and kept, on disk; those of other
        texts stay in memory.
        """
        loaded = load_run(Path(run), backbone)
        loaded.model.encoder.disk = cache
        return cls(loaded)

    @property
    def tasks(self) -> list[str]:
        """The tasks' names."""
        return self.model.tasks

    def predict(self, task: str, rows: list[Row]) -> list[Row]:
        """One prediction a row, in order.

        interest: {"score"} (a probability for bce); next-item: {"score"}, which only orders items; match-query:
        {"score", "grade", "probabilities"}, score being the expected grade number; classification: {"label",
        "probabilities"}; next-gap: {"value", "seconds"}; regression: {"value"}. Raises UserError naming the row (from
        1), the key and the rule.
        """
        self._known(task)
        if not rows:
            return []
        before = len(self.texts)
        examples = self._reader.examples(task, rows)
        self.model.encoder.update({task: examples.text_rows()})
        new = np.arange(before, len(self.texts))
        for line in unknown_notes(self.texts, self.model.encoder.backbone.tokenizer, new):
            note(line)
        return [self._result(task, p) for p in self.model.predict(task, examples)]

    def recommend(
        self,
        task: str,
        user: str | None = None,
        history: list[Any] | None = None,
        query: str | None = None,
        k: int = 10,
        approximate: bool = False,
    ) -> list[Row]:
        """The k best catalogue items, best first: {"item", "text", "score"}; items already in the history are left out.

        Give what the task reads: `user` or `history` (an empty one for a new user), or `query`. `approximate`: search
        an index (extra `faiss`) instead of scoring every item, for a `next-item` task; scores are the same, but a few
        items may be missed. Raises UserError.
        """
        described = self._known(task)
        kind = self.run.recipe.tasks[task].kind
        if "item" not in described["slots"] or kind == "next-gap":
            raise UserError(f"task {task!r} is of kind {kind}, which ranks no items; name another task")
        if k < 1:
            raise UserError(f"k must be at least 1; found {k}")
        given = {"user": user, "history": history, "query": query}
        row: Row = {name: value for name, value in given.items() if value is not None}
        row["item"] = self.run.item_ids[0]
        if described["features"] == GAP_FEATURES:
            row["time"] = datetime.now(UTC).timestamp()
        one = self._reader.examples(task, [row])
        self.model.encoder.update({task: one.text_rows()})
        seen = np.zeros(0, np.int64) if one.log is None else np.unique(one.log.items[one.log.items >= 0])
        if approximate:
            best, scores = self._search(task, one, k + len(seen))
            kept = ~np.isin(best, seen)
            best, scores = best[kept][:k], scores[kept][:k]
        else:
            every = self._ranker(task)(one)[0]
            every[seen] = -np.inf
            best = _best(every, k)
            scores = every[best]
        return [
            {"item": self.run.item_ids[n], "text": self.texts.texts[self.run.item_rows[n]], "score": score}
            for n, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def _ranker(self, task: str) -> Callable[[Examples], np.ndarray]:
        """What scores the whole catalogue for the task; what it needs of every item is computed at the first call."""
        if task not in self._rankers:
            self.model.encoder.update({task: self.run.item_rows.astype(np.int64)})
            self._rankers[task] = self.model.ranker(task, self.run.item_rows)
        return self._rankers[task]

    def _search(self, task: str, one: Examples, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and scores of about the k best items for one example; the index is made at the first call."""
        if task not in self.run.catalogues:
            raise UserError(f"approximate search needs a task of kind next-item; {task!r} is of another kind")
        if task not in self._indexes:
            self.model.encoder.update({task: self.run.item_rows.astype(np.int64)})
            popularity = self.run.catalogues[task].popularity(np.array([np.nan]))[0]
            self._indexes[task] = ItemIndex(self.model.offered_now(task, self.run.item_rows, popularity))
        return self._indexes[task].search(np.append(self.model.asked(task, one).cpu().numpy()[0], 1), k)

    def _known(self, task: str) -> dict[str, Any]:
        if task not in self.run.tasks:
            raise UserError(f"no task {task!r} in this run; {nearest(task, self.tasks)}")
        return self.run.tasks[task]

    def _result(self, task: str, predicted: np.ndarray) -> Row:
        kind, classes = self.run.recipe.tasks[task].kind, self.run.tasks[task]["classes"]
        if classes:
            chances = {name: float(p) for name, p in zip(classes, predicted, strict=True)}
            best = max(chances, key=lambda name: chances[name])
            if kind == "classification":
                return {"label": best, "probabilities": chances}
            return {"score": float(predicted @ np.arange(len(classes))), "grade": best, "probabilities": chances}
        if loss_of(self.run.recipe.tasks[task]) in ("bce", "softmax"):
            return {"score": float(predicted)}
        seconds = {"seconds": float(np.expm1(predicted))} if kind == "next-gap" else {}
        return {"value": float(predicted), **seconds}


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k largest scores (I,), largest first, equal ones by number; those at -inf never."""
    k = min(k, int((scores > -np.inf).sum()))
    if k == 0:
        return np.zeros(0, np.int64)
    near = np.flatnonzero(scores >= -np.partition(-scores, k - 1)[k - 1])
    return near[np.lexsort((near, -scores[near]))][:k]
