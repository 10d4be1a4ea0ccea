"""Inference: a run in memory, its tasks' adapters swapped over the one backbone, rows in and predictions out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.data.examples import Examples
from peftrec.data.vocabulary import vocabulary_notes
from peftrec.errors import RowError, UserError, nearest, shown
from peftrec.machine.progress import note
from peftrec.model.backbone import Backbone
from peftrec.runs.saved import LoadedRun, load_run
from peftrec.serving.index import ItemIndex
from peftrec.serving.reader import RowReader, check_keys
from peftrec.tasks.rows import Row

GUESTS = 1024  # texts that are not the run's own, which are kept, with their states, from request to request


class Predictor:
    """A loaded run. Switching tasks moves no weights; the order of tasks, rows and batches changes no score.

    Any number of threads may call it: one request at a time uses the backbone, also where several predictors share
    one. It does not grow with what it is asked, unless told to keep it: of texts that are not the run's own, those last
    asked for stay.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.model, self.texts = run.model, run.model.encoder.texts
        self._reader = RowReader(run)
        self._rankers: dict[str, Callable[[Examples], np.ndarray]] = {}
        self._indexes: dict[str, ItemIndex] = {}
        self._keeps = False  # texts of requests as the run's own

    @classmethod
    def load(
        cls,
        run: str | Path,
        backbone: "str | Backbone | Predictor | None" = None,
        cache: bool = True,
        trust_code: bool = False,
        keep: bool = False,
    ) -> "Predictor":
        """Load a run folder. Raises UserError.

        `backbone` names another place of the same weights; or it is a loaded one, or another predictor, whose backbone
        the run then shares in memory: it scores as it does alone. A run of method `full` needs its own.
        `cache`: whether the frozen part's states of the catalogue are looked for, and kept, on disk; those of other
        texts stay in memory.
        `keep`: treat the texts of requests as those of the catalogue, as `peftrec predict` does: their states are kept
        on disk too, and the predictor grows with them.
        `trust_code`: whether code from outside peftrec that the run names, as `package.module:name`, may be run.
        """
        if isinstance(backbone, Predictor):
            backbone = backbone.model.encoder.backbone
        loaded = load_run(Path(run), backbone, trust_code=trust_code)
        loaded.model.encoder.disk = cache
        made = cls(loaded)
        made._keeps = keep
        return made

    @property
    def tasks(self) -> list[str]:
        """The tasks' names."""
        return self.model.tasks

    def predict(self, task: str, rows: list[Row]) -> list[Row]:
        """One prediction a row, in order.

        interest: {"score"} (a probability for bce); next-item: {"score"}, which only orders items; match-query:
        {"score", "grade", "probabilities"}, score being the expected grade number, or without grades {"score"};
        classification: {"label", "probabilities"}, or {"labels", "probabilities"} where a text may have several;
        next-gap: {"value", "seconds"};
        regression: {"value"}. Raises UserError naming the row (from 1), the key and the rule.
        """
        self._known(task)
        if not isinstance(rows, list):
            raise UserError(f"rows must be a list of dicts, one a row; found a {type(rows).__name__}")
        if not rows:
            return []
        with self._request():
            before = len(self.texts)
            examples = self._reader.examples(task, rows)
            self.model.encoder.update({task: examples.text_rows()})
            new = np.arange(before, len(self.texts))
            for line in vocabulary_notes(self.texts, self.model.encoder.backbone.tokenizer, new):
                note(line)
            predicted = self.model.predict(task, examples)
        of, classes = self.run.tasks[task], self.run.described[task]["classes"]
        return [of.kind.answer(p, of, classes) for p in predicted]

    def recommend(
        self,
        task: str,
        user: str | None = None,
        history: list[Any] | None = None,
        query: str | None = None,
        k: int = 10,
        approximate: bool = False,
        user_features: Row | None = None,
        features: Row | None = None,
    ) -> list[Row]:
        """The k best catalogue items, best first: {"item", "text", "score"}.

        Items already in the history are left out, unless the task allows repeats. Where fewer are left than k, stderr
        says so. Give what the task reads: `user` or `history` (an empty one for a new user), or `query`; beside a
        history the `user_features` of a new user, and the `features` that the event to come has. A `regression` task
        ranks by the value that it predicts, the largest first.
        `approximate`: search an index (extra `faiss`) instead of scoring every item, for a task that ranks its
        catalogue; scores are the same, but a few items may be missed. Raises UserError.
        """
        self._check_ranks(task)
        if not isinstance(k, Integral) or isinstance(k, bool) or k < 1:
            raise UserError(f"k must be a whole number, 1 or more; found {shown(k)}")
        items = self.run.items_of(task)
        with self._request():
            asked = {"user": user, "history": history, "query": query}
            one = self._asker(task, asked, {"user_features": user_features, "features": features})
            self.model.encoder.update({task: one.text_rows()})
            met = np.zeros(0, np.int32) if one.repeats else np.unique(one.met()[1])
            seen = met[met >= 0]
            if approximate:
                best, scores = self._search(task, one, min(k + len(seen), len(items)))
                kept = ~np.isin(best, seen)
                best, scores = best[kept][:k], scores[kept][:k]
            else:
                every = self._ranker(task)(one)[0]
                every[seen] = -np.inf
                best = _best(every, k)
                scores = every[best]
        if len(best) < k:
            why = f"the catalogue has {len(items):,}, of which {len(seen):,} are in the history"
            missed = ", and the index may miss some" if approximate else ""
            note(f"{len(best):,} items instead of {k:,}: {why}{missed}")
        return [
            {"item": items.ids[n], "text": self.texts.texts[items.rows[n]], "score": score}
            for n, score in zip(best.tolist(), scores.tolist(), strict=True)
        ]

    def recommend_all(self, task: str, rows: list[Row], k: int = 10) -> list[list[Row]]:
        """`recommend` for each row, a dict of what it takes: `user`, `history` or `query`, `user_features`, `features`.

        Raises UserError naming the row (from 1).
        """
        found = []
        for number, row in enumerate(rows, 1):
            try:
                check_keys(row, ["user", "history", "query", "user_features", "features"], "a row to recommend for")
                found.append(self.recommend(task, **row, k=k))
            except UserError as error:
                raise RowError(number, str(error)) from None
        return found

    @contextmanager
    def _request(self) -> Iterator[None]:
        """Alone with the table of texts, the caches and the backbone; afterwards guests beyond the bound are gone."""
        with self.model.encoder.backbone.lock:
            if self._keeps:
                self.texts.adopt()
            try:
                yield
            finally:
                self.model.encoder.forget_guests(GUESTS)

    def _check_ranks(self, task: str) -> None:
        """Raise UserError, naming the tasks that do, where a task ranks no items."""
        slots = {name: self.run.described[name]["slots"] for name in self.tasks}
        able = [name for name in self.tasks if self.run.tasks[name].kind.ranks and "item" in slots[name]]
        self._known(task)
        if task not in able:
            kind = self.run.tasks[task].config.kind
            joint = " with joint pairs" if "pair" in slots[task] else ""
            others = f"tasks that do: {', '.join(able)}" if able else "no task of this run does"
            raise UserError(f"task {task!r} is of kind {kind}{joint}, which ranks no items; {others}")

    def _asker(self, task: str, asked: dict[str, Any], beside: dict[str, Row | None]) -> Examples:
        """One example of the task with what is given of `asked` and `beside` it, and any item. Raises UserError."""
        row: Row = {name: value for name, value in asked.items() if value is not None}
        reads = [name for name in asked if name in self._reader.keys(task)]
        if not row or not row.keys() <= set(reads):
            new = " (an empty one for a new user)" if "history" in reads else ""
            found = " and ".join(row) or "none of them"
            raise UserError(f"to recommend by task {task!r} give {' or '.join(reads)}{new}; found {found}")
        row |= {name: value for name, value in beside.items() if value is not None}
        row["item"] = self.run.items_of(task).ids[0]
        if self.run.tasks[task].kind.moment is not None:
            row["time"] = datetime.now(UTC).timestamp()
        try:
            return self._reader.examples(task, [row])
        except RowError as error:
            raise UserError(error.problem) from None

    def _ranker(self, task: str) -> Callable[[Examples], np.ndarray]:
        """What scores the whole catalogue for the task; what it needs of every item is computed at the first call."""
        if task not in self._rankers:
            items = self.run.items_of(task).rows
            self.model.encoder.update({task: items.astype(np.int64)})
            grades = self.run.tasks[task].grades(self.run.described[task]["classes"])
            self._rankers[task] = self.model.ranker(task, items, grades, self._reader.of_items(task))
        return self._rankers[task]

    def _search(self, task: str, one: Examples, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and scores of about the k best items for one example; the index is made at the first call."""
        if task not in self.run.catalogues:
            raise UserError(
                "approximate search needs a task that ranks its catalogue: kind next-item, or match-query without "
                f"grades; {task!r} is none"
            )
        if task not in self._indexes:
            self.model.encoder.update({task: self.run.items_of(task).rows.astype(np.int64)})
            rows, known = self.run.items_of(task).rows, self._reader.of_items(task)
            self._indexes[task] = ItemIndex(self.model.offered_now(task, rows, self.run.catalogues[task], known))
        asked = np.append(self.model.asked(task, one).cpu().numpy()[0], 1)
        beside = self.model.of_past(task, one)
        return self._indexes[task].search(asked, k, None if beside is None else beside[0])

    def _known(self, task: str) -> None:
        if task not in self.run.tasks:
            raise UserError(f"no task {shown(task)} in this run; {nearest(task, self.tasks)}")


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k largest scores (I,), largest first, equal ones by number; those at -inf never."""
    k = min(k, int((scores > -np.inf).sum()))
    if k == 0:
        return np.zeros(0, np.int64)
    near = np.flatnonzero(scores >= -np.partition(-scores, k - 1)[k - 1])
    return near[np.lexsort((near, -scores[near]))][:k]
