"""Inference: a run in memory, its tasks' adapters swapped over the one backbone, rows in and predictions out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from peftrec.data.vocabulary import vocabulary_notes
from peftrec.errors import RowError, UserError, check_texts, nearest, shown
from peftrec.machine.progress import note, track_blocks
from peftrec.model.backbone import Backbone
from peftrec.runs.saved import LoadedRun, load_run
from peftrec.serving.live import LiveHistories
from peftrec.serving.reader import RowReader, check_keys
from peftrec.serving.recommender import Found, Recommender, too_few
from peftrec.serving.scoring import check_finite
from peftrec.serving.wanted import Options, Wanted, check_rows, check_scores, filled, wanted, weighed
from peftrec.tasks.rows import Row, example_row

TOGETHER = 1024  # rows whose vectors are computed together
GUESTS = 1024  # texts that are not the run's own, which are kept, with their states, from request to request


class Predictor:
    """A loaded run. Switching tasks moves no weights; the order of tasks, rows and batches changes no score.

    Any number of threads may call it: one request at a time uses the backbone, also where several predictors share
    one. It does not grow with what it is asked, unless told to keep it: of texts that are not the run's own, those last
    asked for stay.
    """

    def __init__(self, run: LoadedRun, live: LiveHistories | None = None) -> None:
        self.run = run
        self.model, self.texts = run.model.eval(), run.model.encoder.texts
        self.model.encoder.known = run.encoded
        self._reader = RowReader(run, live)
        self.recommender = Recommender(run, self._reader)
        self._keeps = False  # texts of requests as the run's own

    @classmethod
    def load(
        cls,
        run: str | Path,
        backbone: "str | Backbone | Predictor | None" = None,
        cache: bool = True,
        trust_code: bool = False,
        keep: bool = False,
        live: LiveHistories | None = None,
    ) -> "Predictor":
        """Load a run folder. Raises UserError.

        `backbone` names another place of the same weights; or it is a loaded one, or another predictor, whose backbone
        the run then shares in memory: it scores as it does alone. A run of method `full` needs its own.
        `cache`: whether the frozen part's states of the catalogue are looked for, and kept, on disk; those of other
        texts stay in memory.
        `keep`: treat the texts of requests as those of the catalogue, as `peftrec predict` does: their states are kept
        on disk too, and the predictor grows with them.
        `live`: what users did since the run was trained: it goes on in the histories of rows that name a `user`.
        `trust_code`: whether code from outside peftrec that the run names, as `package.module:name`, may be run.
        """
        if isinstance(backbone, Predictor):
            backbone = backbone.model.encoder.backbone
        loaded = load_run(Path(run), backbone, trust_code=trust_code)
        loaded.model.encoder.disk = cache
        made = cls(loaded, live)
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
        check_rows(rows)
        return self.predict_mixed([(task, row) for row in rows])

    def predict_mixed(self, asked: Sequence[tuple[str, Row]]) -> list[Row]:
        """As `predict`, of rows each with its task, in order: tasks with equal vectors have texts encoded together."""
        names = dict.fromkeys(task for task, _ in asked)
        places = {name: [n for n, (task, _) in enumerate(asked) if task == name] for name in names}
        with self._request():
            before, examples = len(self.texts), {}
            for task, of in places.items():
                self._known(task)
                try:
                    examples[task] = self._reader.examples(task, [asked[place][1] for place in of])
                except RowError as error:
                    raise RowError(of[error.row - 1] + 1, error.problem) from None
            tokenizer = self.model.encoder.backbone.tokenizer
            rows = {task: of.text_rows() for task, of in examples.items()}
            self.model.encoder.update(rows)
            for line in vocabulary_notes(self.texts, tokenizer, np.arange(before, len(self.texts))):
                note(line)
            with self.model.encoded_once(rows):
                said = {task: self.model.predict(task, of) for task, of in examples.items()}
        predicted = {task: iter(check_finite(task, of)) for task, of in said.items()}

        def answer(task: str) -> Row:
            of = self.run.tasks[task]
            return of.kind.answer(next(predicted[task]), of, self.run.described[task]["classes"])

        return [answer(task) for task, _ in asked]

    def alike(self, task: str) -> str:
        """The same for tasks whose vectors are equal. Raises UserError."""
        self._known(task)
        return self.model.encoder.adapter_of(task).encodes_alike(task)

    def keys(self, task: str) -> list[str]:
        """The keys that a row of the task may have. Raises UserError."""
        self._known(task)
        return self._reader.keys(task)

    def example(self, task: str) -> Row:
        """A row that `predict` takes, of what the run holds: of a new user, who did something with its first items.

        Raises UserError.
        """
        self._known(task)
        kind, described = self.run.tasks[task].kind, self.run.described[task]
        ids = self.run.items_of(task).ids if described["items"] else []
        row = example_row(
            kind.fields, described["slots"], ids[0] if ids else "", described["history"], kind.moment is not None
        )
        if described["history"]:
            timed = kind.moment is not None
            row["history"] = [{"item": item, "time": "2025-12-31"} if timed else item for item in ids[1:3]]
        return row

    def has_item(self, item: str) -> bool:
        """Whether a catalogue of the run has the item."""
        return any(item in self._reader.numbers_of(task) for task in self.tasks)

    def ranks(self, task: str) -> bool:
        """Whether the task orders the items of a catalogue, so that `recommend` takes it. Raises UserError."""
        self._known(task)
        return self.run.tasks[task].kind.ranks and "item" in self.run.described[task]["slots"]

    def score(self, weights: Mapping[str, float], rows: list[Row]) -> list[Row]:
        """As `rank`, of the items that rows name or bring themselves, one a row, in order: {"score", "scores"}.

        A row is one of `predict` that any of the tasks takes: each gets what it reads of it, and a number of a new item
        is its `item_features`'. Raises UserError naming the row (from 1).
        """
        tasks, _, features = weighed(self.run, weights, check_scores)
        pairs = [(task, row) for task, of in self._rows_of(list(tasks), rows).items() for row in of]
        try:
            found = [one["score"] if "score" in one else one["value"] for one in self.predict_mixed(pairs)]
        except RowError as error:
            raise RowError((error.row - 1) % len(rows) + 1, error.problem) from None
        own = {task: found[n * len(rows) : (n + 1) * len(rows)] for n, task in enumerate(tasks)}
        numbers = self._reader.numbers_of(next(iter(tasks)))
        total = sum(weight * np.array(own[task]) for task, weight in tasks.items())
        for name, (weight, known) in features.items():
            new = [(row.get("item_features") or {}).get(name) for row in rows]
            known = np.append(known, np.nan)
            place = np.array([numbers.get(str(row.get("item")), len(known) - 1) for row in rows], int)
            given = np.where(place < len(known) - 1, known[place], np.array(new, float))
            own[name] = given.tolist()
            total = total + weight * np.where(np.isnan(given), filled(known)[-1], given)
        return [
            {"score": score, "scores": {name: None if math.isnan(of[n]) else of[n] for name, of in own.items()}}
            for n, score in enumerate(np.array(total).tolist())
        ]

    def _rows_of(self, tasks: list[str], rows: list[Row]) -> dict[str, list[Row]]:
        """Each task's rows of such as any of them takes. Raises RowError for a key that none of them reads."""
        keys = {task: self._reader.keys(task) for task in tasks}
        known = list(dict.fromkeys(key for of in keys.values() for key in of))
        for number, row in enumerate(rows, 1):
            try:
                check_keys(row, known, " and ".join(tasks))
            except UserError as error:
                raise RowError(number, str(error)) from None
        return {task: [{key: row[key] for key in of if key in row} for row in rows] for task, of in keys.items()}

    def embed(self, task: str, texts: list[str], passages: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """What the task's adapter makes of texts, float32 (N, D), and how many tokens were read of each, int (N,).

        `passages`: whether they are items' texts, before which some backbones have another prompt than before queries
        and all other texts. Raises UserError naming the text (from 1).
        """
        self._known(task)
        check_texts("texts", texts)
        with self._request():
            rows = np.array(
                [self._reader.text(number, text, passages) for number, text in enumerate(texts, 1)], np.int64
            )
            unique, place = np.unique(rows, return_inverse=True)
            self.model.encoder.update({task: unique})
            with torch.inference_mode():
                found: np.ndarray = self.model.encoder.encode(unique, task).cpu().numpy()
            tokens = self.texts.tokens(unique)
        return found[place], tokens[place]

    def recommend(
        self,
        task: str,
        user: str | None = None,
        history: list[Any] | None = None,
        query: str | None = None,
        k: int = 10,
        user_features: Row | None = None,
        features: Row | None = None,
        **options: Unpack[Options],
    ) -> list[Row]:
        """The k best catalogue items, best first: {"item", "text", "score"}.

        Items already in the history are left out, unless the task allows repeats. Where fewer are left than k, stderr
        says so. Give what the task reads: `user` or `history` (an empty one for a new user), or `query`; beside a
        history the `user_features` of a new user, and the `features` that the event to come has. A `regression` task
        ranks by the value that it predicts, the largest first. `options`: see `Options`. Raises UserError.
        """
        asked = {"user": user, "history": history, "query": query, "user_features": user_features, "features": features}
        try:
            (found,) = self.recommend_all(task, [asked], k, **options)
        except RowError as error:
            raise UserError(error.problem) from None
        return found

    def recommend_all(self, task: str, rows: list[Row], k: int = 10, **options: Unpack[Options]) -> list[list[Row]]:
        """`recommend` for many rows together, in order.

        A row is a dict of what `recommend` takes: `user`, `history` or `query`, `user_features`, `features`; and of its
        own `candidates` and `exclude`, which its items must pass beside the `options`. Raises UserError naming the row
        (from 1).
        """
        self._known(task)
        return self._ranked({task: 1.0}, rows, k, options, explained=False)

    def rank(
        self, weights: Mapping[str, float], rows: list[Row], k: int = 10, **options: Unpack[Options]
    ) -> list[list[Row]]:
        """As `recommend_all`, by the weighed sum of what several tasks say, and of features: {"item", "text", "score",
        "scores"}.

        `weights`: what each task's score counts, and each number among the items' features, by name. `scores` has them
        one by one, as they are: "score" is the sum of weight times each. A feature that an item lacks is None there,
        and counts as the mean of the catalogue's. A row has what the tasks read, such as `user` and `query`; with
        `diversity` items are alike as the first of the tasks sees them. Raises UserError.
        """
        return self._ranked(weights, rows, k, options, explained=True)

    def _ranked(
        self, weights: Mapping[str, float], rows: list[Row], k: int, options: Options, explained: bool
    ) -> list[list[Row]]:
        """The best items for every row, block by block, with each task's and feature's own score where `explained`."""
        check_rows(rows)
        of_items = {task: self._reader.numbers_of(task) for task in self.tasks}
        asked = wanted(self.run, weights, k, options, of_items)
        blocks = range(0, len(rows), asked.rows_at_once)
        if len(blocks) > 1:  # what is wrong with the last row is told before the first is answered
            for first in blocks:
                with self._request():
                    self.recommender.read(asked, rows[first : first + asked.rows_at_once], first)
        found: list[Found] = []
        for first in track_blocks(blocks, len(rows), "recommending", "rows"):
            block = rows[first : first + asked.rows_at_once]
            with self._request():
                found += self.recommender.find(asked, *self.recommender.read(asked, block, first))
        if said := too_few(asked, found):
            note(said)
        return [self._answer(asked, of, explained) for of in found]

    def _answer(self, asked: Wanted, found: Found, explained: bool) -> list[Row]:
        items, texts = asked.items, self.texts.texts
        answer: list[Row] = [
            {"item": items.ids[n], "text": texts[items.rows[n]], "score": score}
            for n, score in zip(found.numbers.tolist(), found.scores.tolist(), strict=True)
        ]
        if explained:
            for place, row in enumerate(answer):
                own = {name: float(of[place]) for name, of in found.own.items()}
                row["scores"] = {name: None if math.isnan(value) else value for name, value in own.items()}
        return answer

    def item_vectors(self, task: str) -> np.ndarray:
        """The catalogue's items, in its order, float32 (I, q): the inner product with a row of `query_vectors` is the
        task's score now, but for what the row's own past or words add beside it (`peftrec.serving.vectors`).

        Raises UserError for a task whose score is no such product.
        """
        self._products(task)
        with self._request():
            found: np.ndarray = self.recommender.scoring.offered(task).cpu().numpy()
        return found

    def query_vectors(self, task: str, rows: list[Row]) -> np.ndarray:
        """What rows ask for, float32 (N, q), for inner products with `item_vectors`.

        Rows are those of `recommend_all`, without `candidates` and `exclude`. Raises UserError naming the row (from 1).
        """
        self._products(task)
        check_rows(rows)
        if not rows:
            return self.item_vectors(task)[:0]
        found = []
        for first in track_blocks(range(0, len(rows), TOGETHER), len(rows), "vectors", "rows"):
            with self._request():
                examples = self.recommender.examples(task, rows[first : first + TOGETHER], first)
                found.append(self.recommender.scoring.asked(task, examples))
        return np.concatenate(found)

    def users(self, task: str) -> list[str]:
        """The users that a row of the task may name; none where it reads no user. Raises UserError."""
        self._known(task)
        return self._reader.users_of(task) if "user" in self._reader.keys(task) else []

    def _products(self, task: str) -> None:
        """Raise UserError for a task that is unknown, or whose score is no inner product."""
        self._known(task)
        if task not in self.run.catalogues:
            able = ", ".join(self.run.catalogues) or "none of this run"
            raise UserError(
                f"vectors: the score of task {task!r} is no dot product of two vectors; tasks with one: {able}"
            )

    @contextmanager
    def _request(self) -> Iterator[None]:
        """Alone with the table of texts, the caches and the backbone; afterwards guests beyond the bound are gone."""
        with self.model.encoder.backbone.lock:
            if self._keeps:
                self.model.encoder.forget_guests(0)  # another predictor's, over the same table
                self.texts.adopt()
            try:
                yield
            finally:
                self.model.encoder.forget_guests(GUESTS)

    def _known(self, task: str) -> None:
        if task not in self.run.tasks:
            raise UserError(f"no task {shown(task)} in this run; {nearest(task, self.tasks)}")
