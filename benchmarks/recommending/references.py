"""Well-known recommenders that score a catalogue from what a user did before: fitted on the train rows alone.

ALS, BPR and item-kNN are implicit's (`pip install -c constraints.txt -e '.[bench]'`), on one thread, so that the same
seed gives the same. Each reads the user's whole past up to the row, as peftrec does.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_matrix

from benchmarks.recommending.climb import Ladders
from peftrec.data.dataset import Dataset
from peftrec.data.examples import Examples
from peftrec.data.log import spans
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.evaluation.outcomes import Outcome
from peftrec.model.scorer import Scorer
from peftrec.tasks.grades import Grades

TASK = "next"
DAY = 86_400.0
# A past event counts as much as (how many events back it is) ** -fade: 0 is as its authors have it.
FADES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


class Known:
    """What references are fitted on.

    log      what every user did
    chosen   float32 (users, items): 1 where a train row has both
    popular  float64 (items,): train rows of each item, between 0 and 1
    vectors  float32 (items, D): what the frozen backbone says of each item's text
    """

    def __init__(self, dataset: Dataset, vectors: np.ndarray) -> None:
        self.dataset, self.train, self.vectors, items = dataset, dataset.tasks[TASK].train, vectors, len(vectors)
        assert self.train.log is not None
        self.log = self.train.log
        user, item = np.asarray(self.train.users), np.asarray(self.train.item)
        shape = (len(self.log.user_start) - 1, items)
        self.chosen = csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=shape)
        self.chosen.data[:] = 1  # of a pair that occurs often too
        counts = np.bincount(item, minlength=items)
        self.popular = counts / counts.max()
        self.fitted: dict[Any, Any] = {}

    def once(self, what: tuple[Any, ...], fit: Callable[[], Any]) -> Any:
        """What `fit` gives, kept for those that differ in what it does not read."""
        if what not in self.fitted:
            self.fitted = {what: fit()}  # of the last alone: some take hundreds of megabytes
        return self.fitted[what]

    def pasts(self, rows: Examples, fade: float = 0.0) -> csr_matrix:
        """How much each item counts in each row's past, float64 (rows, items)."""
        assert rows.stop is not None
        begin, stop = self.log.user_start[rows.users], np.asarray(rows.stop)
        row, place = spans(begin, stop - begin)
        weight = (stop[row] - place).astype(float) ** -fade
        return csr_matrix((weight, (row, self.log.items[place])), shape=(len(rows), len(self.popular)))


def ranked(scorer: Scorer, dataset: Dataset, split: str) -> tuple[float, Outcome]:
    """nDCG@10 of a split's rows, each ranked in the whole catalogue by the code that ranks peftrec's, and the ranks."""
    outcomes: dict[str, Outcome] = {}
    report = evaluate_task(
        scorer, dataset, TASK, split, measures=Measures(places=("ndcg@10",)), priors=(), ranking="rows", resamples=0,
        outcomes=outcomes,
    )  # fmt: skip
    return report["metrics"]["ndcg@10"], outcomes[TASK]


class Reference(Scorer):
    """A recommender with constants; `begin` is where the search for them begins."""

    ladders: ClassVar[Ladders] = {}
    begin: ClassVar[dict[str, Any]] = {}
    natural: ClassVar[dict[str, Any]] = {}  # constants that have a value beyond which there is none
    seeded: ClassVar[bool] = False  # whether another seed gives another result
    tries: ClassVar[int] = 12

    def __init__(self, known: Known, seed: int, **constants: Any) -> None:
        self.known = known

    def scores(self, rows: Examples) -> np.ndarray:
        """What each item scores for each row, float (rows, items)."""
        raise NotImplementedError

    def ranker(
        self, task: str, item_rows: np.ndarray, grades: Grades | None = None, of_items: np.ndarray | None = None
    ) -> Callable[[Examples], np.ndarray]:
        """What scores every item for each row; popularity decides where that does not."""
        return lambda rows: self.scores(rows).astype(np.float64) + 1e-9 * self.known.popular


class Popularity(Reference):
    """How often an item was chosen in the days before the row, by anyone."""

    ladders: ClassVar[Ladders] = {"days": (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)}
    begin: ClassVar[dict[str, Any]] = {"days": 64}
    natural: ClassVar[dict[str, Any]] = {"days": 4096}

    def __init__(self, known: Known, seed: int, days: float) -> None:
        super().__init__(known, seed)
        order = np.argsort(known.log.times, kind="stable")
        self.days, self.times, self.items = days, known.log.times[order], known.log.items[order]

    def scores(self, rows: Examples) -> np.ndarray:
        """Counts."""
        ends = np.searchsorted(self.times, rows.time)  # strictly before
        begins = np.searchsorted(self.times, np.asarray(rows.time) - self.days * DAY)
        return np.stack(
            [
                np.bincount(self.items[begin:end], minlength=len(self.known.popular))
                for begin, end in zip(begins, ends, strict=True)
            ]
        )


class OwnFrequency(Reference):
    """How often, and how lately, the user had an item before: where repeats are allowed."""

    ladders: ClassVar[Ladders] = {"fade": FADES}
    begin: ClassVar[dict[str, Any]] = {"fade": 0.5}
    natural: ClassVar[dict[str, Any]] = {"fade": 0.0}

    def __init__(self, known: Known, seed: int, fade: float) -> None:
        super().__init__(known, seed)
        self.fade = fade

    def scores(self, rows: Examples) -> np.ndarray:
        """Sums."""
        return self.known.pasts(rows, self.fade).toarray()


class ItemKNN(OwnFrequency):
    """The sum of an item's cosines to the past (Sarwar et al. 2001)."""

    ladders: ClassVar[Ladders] = {"neighbours": (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000), "fade": FADES}
    begin: ClassVar[dict[str, Any]] = {"neighbours": 50, "fade": 0.5}

    def __init__(self, known: Known, seed: int, neighbours: int, fade: float) -> None:
        from implicit.nearest_neighbours import CosineRecommender

        super().__init__(known, seed, fade)
        self.model = CosineRecommender(K=neighbours, num_threads=1)
        self.model.fit(known.chosen, show_progress=False)

    def scores(self, rows: Examples) -> np.ndarray:
        """Sums."""
        return (self.known.pasts(rows, self.fade) @ self.model.similarity).toarray()


class EASE(OwnFrequency):
    """A linear item-item model in closed form (Steck 2019), among the items that train rows have."""

    ladders: ClassVar[Ladders] = {"strength": (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000), "fade": FADES}
    begin: ClassVar[dict[str, Any]] = {"strength": 100, "fade": 0.5}

    def __init__(self, known: Known, seed: int, strength: float, fade: float) -> None:
        super().__init__(known, seed, fade)
        self.seen = np.flatnonzero(known.popular)
        self.weights = known.once(("EASE", strength), lambda: self._fit(known.chosen[:, self.seen], strength))

    @staticmethod
    def _fit(chosen: csr_matrix, strength: float) -> np.ndarray:
        gram = (chosen.T @ chosen).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += strength
        inverse = np.linalg.inv(gram)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        return weights

    def scores(self, rows: Examples) -> np.ndarray:
        """Sums of weights."""
        found = np.zeros((len(rows), len(self.known.popular)))
        found[:, self.seen] = self.known.pasts(rows, self.fade)[:, self.seen] @ self.weights
        return found


class ALS(Reference):
    """Implicit-feedback matrix factorisation (Hu et al. 2008); the user's factors come from the past."""

    ladders: ClassVar[Ladders] = {
        "factors": (2, 4, 8, 16, 32, 64, 128, 256),
        "regularization": (0.001, 0.01, 0.1, 1.0, 10.0, 100.0),
    }
    begin: ClassVar[dict[str, Any]] = {"factors": 32, "regularization": 0.1}
    seeded = True

    def __init__(self, known: Known, seed: int, factors: int, regularization: float) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        super().__init__(known, seed)
        self.model = AlternatingLeastSquares(
            factors=factors, regularization=regularization, iterations=15, random_state=seed, num_threads=1
        )
        self.model.fit(known.chosen, show_progress=False)

    def scores(self, rows: Examples) -> np.ndarray:
        """The items' factors times those of a user with this past."""
        pasts = self.known.pasts(rows).astype(np.float32)
        pasts.data[:] = 1
        users: np.ndarray = self.model.recalculate_user(np.arange(len(rows)), pasts)
        return users @ self.model.item_factors.T


class BPR(Reference):
    """Matrix factorisation for ranking (Rendle et al. 2009). A user whom train rows lack gets the mean of the past's
    factors, as long as users' are."""

    ladders: ClassVar[Ladders] = {
        "factors": (4, 8, 16, 32, 64, 128, 256),
        "iterations": (12, 25, 50, 100, 200, 400, 800),
    }
    begin: ClassVar[dict[str, Any]] = {"factors": 32, "iterations": 100}
    seeded = True

    def __init__(self, known: Known, seed: int, factors: int, iterations: int) -> None:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        super().__init__(known, seed)
        model = BayesianPersonalizedRanking(
            factors=factors, iterations=iterations, learning_rate=0.05, random_state=seed, num_threads=1
        )
        model.fit(known.chosen, show_progress=False)
        self.items, self.users = model.item_factors, model.user_factors  # the last column: the items' bias, and 1
        self.warm = np.diff(known.chosen.indptr) > 0
        self.length = np.linalg.norm(self.users[self.warm, :-1], axis=1).mean()

    def scores(self, rows: Examples) -> np.ndarray:
        """Dot products."""
        past = self.known.pasts(rows) @ self.items
        past *= self.length / np.maximum(np.linalg.norm(past[:, :-1], axis=1, keepdims=True), 1e-9)
        past[:, -1] = 1
        users = np.where(self.warm[rows.users, None], self.users[rows.users], past)
        return users @ self.items.T
