"""Inference: a run in memory, its tasks' adapters swapped over the one backbone, rows in and predictions out.

A row is a plain dict. What it holds depends on the task's slots:

    query                 the query's text
    item or item_text     an id of the catalogue, or the text of an item it does not have
    text                  the text, for single-text tasks
    user or history       for tasks with histories: a user of the run's log, or a list of past events, oldest first; an
                          event is an item id, or {"item" or "item_text", "value", "time"}, `value` in the event
                          column's own unit (a bare id counts as liked, or as average). An empty list is a new user
    time                  for tasks with time features: seconds since 1970 or an ISO date
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from peftrec.data.builders import GAP_FEATURES, next_gap_features
from peftrec.data.examples import Examples
from peftrec.data.log import Log
from peftrec.data.unknown import unknown_notes
from peftrec.index import ItemIndex
from peftrec.progress import note
from peftrec.recipe import UserError, nearest
from peftrec.runs import LoadedRun, load_run
from peftrec.tasks import loss_of

Row = dict[str, Any]


@dataclass(frozen=True)
class _Past:
    """What a user did, oldest first: text rows, item numbers (-1: not in the catalogue), feedback, times."""

    rows: np.ndarray
    items: np.ndarray
    feedback: np.ndarray
    times: np.ndarray

    def until(self, stop: int) -> "_Past":
        return _Past(self.rows[:stop], self.items[:stop], self.feedback[:stop], self.times[:stop])


class Predictor:
    """A loaded run. Switching tasks moves no weights; the order of tasks, rows and batches changes no score."""

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.model, self.texts = run.model, run.model.encoder.texts
        self._item = {name: number for number, name in enumerate(run.item_ids)}
        self._user = {name: number for number, name in enumerate(run.user_ids)}
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
        examples = self._examples(task, rows)
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
        one = self._examples(task, [row])
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

    def _examples(self, task: str, rows: list[Row]) -> Examples:
        """The rows as examples of the task; labels are zero."""
        described = self.run.tasks[task]
        allowed = self._keys(described)
        slots: dict[str, list[int]] = {name: [] for name in described["slots"]}
        pasts: list[_Past] = []
        times: list[float] = []
        items: list[int] = []
        for number, row in enumerate(rows, 1):
            try:
                for key in row:
                    if key not in allowed:
                        raise UserError(f"{key!r} is no key of task {task!r}; {nearest(key, allowed)}")
                for name, column in slots.items():
                    column.append(self._slot(name, row))
                items.append(self._item.get(str(row.get("item")), -1))
                times.append(_time(row["time"]) if "time" in row else np.nan)
                if described["features"] == GAP_FEATURES and "time" not in row:
                    raise UserError("'time' is missing: the moment to predict from")
                if described["history"]:
                    pasts.append(self._past(task, row, times[-1]))
            except UserError as error:
                raise UserError(f"row {number}: {error}") from None
        examples = Examples(
            slots={name: np.array(column, np.int32) for name, column in slots.items()},
            label=np.zeros(len(rows), np.float32),
            features=np.zeros((len(rows), 0), np.float32),
            group=np.arange(len(rows)),
            item=np.array(items, np.int64),
            time=np.array(times),
        )
        examples = replace(examples, catalogue=self.run.catalogues.get(task))
        if task in self.run.rates:
            examples = examples.with_rates(self.run.rates[task])
        return self._with_history(examples, pasts, described) if described["history"] else examples

    def _keys(self, described: dict[str, Any]) -> list[str]:
        keys = {
            "query": ["query"],
            "item": ["item", "item_text"],
            "pair": ["query", "item", "item_text"],
            "text": ["text"],
        }
        found = [key for slot in described["slots"] for key in keys[slot]]
        return found + (["user", "history", "time"] if described["history"] else [])

    def _slot(self, name: str, row: Row) -> int:
        """Text row of one slot; unknown texts are added to the table."""
        if name == "item":
            return self._item_row(row)
        if name == "pair":
            return self.texts.add(_text(row, "query"), self.texts.texts[self._item_row(row)])
        return self.texts.add(_text(row, name))

    def _item_row(self, row: Row) -> int:
        if ("item" in row) == ("item_text" in row):
            raise UserError("give one of 'item' (an id of the catalogue) and 'item_text'")
        if "item_text" in row:
            return self.texts.add(_text(row, "item_text"))
        number = self._item.get(str(row["item"]))
        if number is None:
            raise UserError(f"no item {str(row['item'])!r} in the catalogue; for a new item give its 'item_text'")
        return int(self.run.item_rows[number])

    def _past(self, task: str, row: Row, time: float) -> _Past:
        if ("user" in row) == ("history" in row):
            raise UserError("give one of 'user' (a user of the run's log) and 'history' ([] for a new user)")
        if "user" in row:
            number = self._user.get(str(row["user"]))
            if number is None:
                raise UserError(f"no user {str(row['user'])!r} in the run's log; for a new user give 'history': []")
            log = self.run.logs[task]
            part = slice(*log.user_start[number : number + 2])
            past = _Past(log.rows[part], log.items[part], log.feedback[part], log.times[part])
        else:
            past = self._given_past(task, row["history"])
        return past if np.isnan(time) else past.until(int(np.searchsorted(past.times, time)))

    def _given_past(self, task: str, history: Any) -> _Past:
        if not isinstance(history, list):
            raise UserError(f"'history' is a list of item ids or events, oldest first; found {history!r}")
        events = [event if isinstance(event, dict) else {"item": event} for event in history]
        rows = [self._item_row({k: v for k, v in event.items() if k in ("item", "item_text")}) for event in events]
        items = [self._item.get(str(event.get("item")), -1) for event in events]
        times = np.array([_time(event["time"]) if "time" in event else -np.inf for event in events])
        if (times[1:] < times[:-1]).any():
            raise UserError("the events of 'history' must be in order of time, oldest first")
        feedback = [self._feedback(task, event) for event in events]
        if self.run.recipe.tasks[task].kind == "next-gap":
            if not np.isfinite(times).all():
                raise UserError("every event of 'history' needs its 'time'")
            centre, spread = self.run.tasks[task]["scale"]
            gaps = np.log1p(np.diff(times, prepend=times[:1]))
            feedback = list((gaps - centre) / spread)
        return _Past(np.array(rows, np.int32), np.array(items, np.int32), np.array(feedback, np.float32), times)

    def _feedback(self, task: str, event: Row) -> float:
        """An event's feedback as training counted it; without a value: liked, or average."""
        config = self.run.recipe.tasks[task]
        liked_or_not = loss_of(config) in ("bce", "softmax")
        if "value" not in event:
            return 1.0 if liked_or_not else 0.0
        value = event["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise UserError(f"'value' must be a number; found {value!r}")
        if config.kind == "next-item" and config.threshold is None:
            raise UserError(f"'value' is not read by task {task!r}, which has no threshold; found {value!r}")
        if liked_or_not:
            return float(value >= (config.threshold if config.threshold is not None else 1))
        centre, spread = self.run.tasks[task]["scale"]
        return (value - centre) / spread

    def _with_history(self, examples: Examples, pasts: list[_Past], described: dict[str, Any]) -> Examples:
        """Each row's past and then the row itself, as one log; the window ends before the row."""
        ends = np.cumsum([len(p.rows) + 1 for p in pasts])
        start = np.append(0, ends[:-1])

        def joined(name: str, own: np.ndarray, dtype: Any) -> np.ndarray:
            parts = [part for p, one in zip(pasts, own, strict=True) for part in (getattr(p, name), [one])]
            return np.concatenate(parts).astype(dtype)

        none = np.full(len(pasts), -1)
        times = joined("times", examples.time, np.float64)
        log = Log(
            rows=joined("rows", examples.slots["item"], np.int32),
            items=joined("items", none, np.int32),
            times=times,
            user_start=np.append(0, ends),
            feedback=joined("feedback", np.zeros(len(pasts)), np.float32),
        )
        stop = ends - 1
        features = examples.features
        if described["features"] == GAP_FEATURES:
            features = next_gap_features(times, log.user_start)[stop]
        first = np.maximum(start, stop - self.run.recipe.data.history)
        return replace(examples, log=log, start=first, stop=stop, features=features)


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k largest scores (I,), largest first, equal ones by number; those at -inf never."""
    k = min(k, int((scores > -np.inf).sum()))
    if k == 0:
        return np.zeros(0, np.int64)
    near = np.flatnonzero(scores >= -np.partition(-scores, k - 1)[k - 1])
    return near[np.lexsort((near, -scores[near]))][:k]


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{key!r} must be a text that is not empty; found {value!r}")
    return value


def _time(value: Any) -> float:
    """Seconds since 1970 from a number or an ISO date (without a zone: UTC). Raises UserError."""
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise UserError(f"'time' must be seconds since 1970 or an ISO date; found {value!r}") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
