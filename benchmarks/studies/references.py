"""Other people's recommenders on the same rows: priors, SVD, ALS, item-kNN, SASRec; MovieLens-100k, interest.

    python -m benchmarks.studies.references SPEC.json OUT

Needs `pip install -c constraints.txt -e '.[bench]'`. Each is fitted on the train rows, its one constant chosen on the
validation rows, then scores the test rows once: AUC over the rows, and the full-catalogue ranking of each user's last
liked film from the history strictly before it, by the same code as peftrec's own models (peftrec.evaluation.evaluate).
"""

import copy
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix

from benchmarks.children import deliver
from benchmarks.studies.priors import priors_of
from peftrec.data.examples import Dataset, Examples
from peftrec.evaluation.chosen import Measures
from peftrec.evaluation.evaluate import evaluate_task
from peftrec.evaluation.outcomes import Outcome
from peftrec.model.scorer import Scorer
from peftrec.recipe.shipped import load_recipe
from peftrec.tasks.dataset import load_data
from peftrec.tasks.grades import Grades
from peftrec.tasks.kind import RANKING
from peftrec.tasks.kinds import KINDS

TASK = "interest"


class Reference(Scorer):
    """A recommender with one constant."""

    grid: ClassVar[tuple[int, ...]]

    def __init__(self, data: Dataset, constant: int) -> None:
        raise NotImplementedError

    @classmethod
    def over_grid(cls, data: Dataset) -> Iterator[tuple[int, "Reference"]]:
        """Each constant, and what was fitted with it."""
        for constant in cls.grid:
            yield constant, cls(data, constant)


class Surprise(Reference):
    """SVD with biases (Koren 2009), scikit-surprise; users without training rows get the item's bias."""

    grid = (1, 3, 10, 50)  # factors

    def __init__(self, data: Dataset, factors: int) -> None:
        import pandas
        from surprise import SVD, Reader
        from surprise import Dataset as Ratings

        train = data.tasks[TASK].train
        frame = pandas.DataFrame({"user": train.group, "item": train.item, "like": train.label})
        fitted = SVD(n_factors=factors, random_state=0).fit(
            ratings := Ratings.load_from_df(frame, Reader(rating_scale=(0, 1))).build_full_trainset()
        )
        users, items = 1 + int(max(s.group.max() for s in _splits(data))), len(data.items_of(TASK))
        self.user, self.item = np.zeros((users, factors)), np.zeros((items, factors))
        self.user_bias, self.item_bias, self.mean = np.zeros(users), np.zeros(items), ratings.global_mean
        inner_user = [ratings.to_raw_uid(n) for n in ratings.all_users()]
        inner_item = [ratings.to_raw_iid(n) for n in ratings.all_items()]
        self.user[inner_user], self.user_bias[inner_user] = fitted.pu, fitted.bu
        self.item[inner_item], self.item_bias[inner_item] = fitted.qi, fitted.bi

    def predict(self, task: str, rows: Examples) -> np.ndarray:
        """How probable a like is, float (N,)."""
        dot = np.einsum("nf,nf->n", self.user[rows.group], self.item[rows.item])
        return (self.mean + self.user_bias[rows.group] + self.item_bias[rows.item] + dot).clip(0, 1)


class FromHistory(Reference):
    """Scores of items from the whole history before a row; how, subclasses say."""

    def __init__(self, data: Dataset) -> None:
        self.items = len(data.items_of(TASK))

    def scores(self, histories: list[np.ndarray]) -> np.ndarray:
        """float (histories, items)."""
        raise NotImplementedError

    def ranker(
        self, task: str, item_rows: np.ndarray, grades: Grades | None = None, of_items: np.ndarray | None = None
    ) -> Callable[[Examples], np.ndarray]:
        """What scores every item for each row's history."""
        return lambda rows: self.scores(_histories(rows))

    def predict(self, task: str, rows: Examples) -> np.ndarray:
        """The score of each row's own item, squeezed between 0 and 1, float (N,)."""
        found = np.empty(len(rows))
        for first in range(0, len(rows), 4096):
            some = np.arange(first, min(first + 4096, len(rows)))
            found[some] = self.scores(_histories(rows.take(some)))[np.arange(len(some)), rows.item[some]]
        return 1 / (1 + np.exp(-found))


class ALS(FromHistory):
    """Implicit-feedback matrix factorisation (Hu et al. 2008), implicit; the user's factors come from the history."""

    grid = (8, 16, 32, 64, 128)  # factors

    def __init__(self, data: Dataset, factors: int) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        super().__init__(data)
        self.model = AlternatingLeastSquares(factors=factors, regularization=0.05, iterations=15, random_state=0)
        self.model.fit(_matrix(data), show_progress=False)

    def scores(self, histories: list[np.ndarray]) -> np.ndarray:
        """The items' factors times those of a user with this history."""
        users = self.model.recalculate_user(np.arange(len(histories)), _rows(histories, self.items))
        return users @ self.model.item_factors.T


class ItemKNN(FromHistory):
    """Item-kNN by cosine (Sarwar et al. 2001), implicit: the sum of an item's similarities to the history."""

    grid = (2, 5, 10, 20, 50, 200)  # neighbours

    def __init__(self, data: Dataset, neighbours: int) -> None:
        from implicit.nearest_neighbours import CosineRecommender

        super().__init__(data)
        self.model = CosineRecommender(K=neighbours)
        self.model.fit(_matrix(data), show_progress=False)

    def scores(self, histories: list[np.ndarray]) -> np.ndarray:
        """Sums of similarities."""
        return (_rows(histories, self.items) @ self.model.similarity).toarray()


class SASRec(FromHistory):
    """Self-attentive sequential recommendation (Kang and McAuley 2018): RecBole's model, trained on every prefix."""

    grid = (3, 6, 12, 18, 24)  # epochs
    length = 20

    def __init__(self, data: Dataset) -> None:
        from recbole.data.interaction import Interaction
        from recbole.model.sequential_recommender.sasrec import SASRec as Model

        super().__init__(data)
        self.interaction = Interaction
        torch.manual_seed(0)
        settings = {
            "n_layers": 2, "n_heads": 2, "hidden_size": 64, "inner_size": 256, "hidden_dropout_prob": 0.2,
            "attn_dropout_prob": 0.2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "initializer_range": 0.02,
            "loss_type": "CE", "USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "LIST_SUFFIX": "_list",
            "ITEM_LIST_LENGTH_FIELD": "length", "NEG_PREFIX": "neg_", "MAX_ITEM_LIST_LENGTH": self.length,
            "device": torch.device("cpu"),
        }  # fmt: skip
        known = type("Known", (), {"num": lambda _, field: self.items + 1})()  # item 0 is the padding
        self.model = Model(settings, known)

    @classmethod
    def over_grid(cls, data: Dataset) -> Iterator[tuple[int, Reference]]:
        """One training, of which each number of epochs keeps a copy."""
        scorer = cls(data)
        train = data.tasks[TASK].train
        log, stop = train.log, train.stop
        assert log is not None and stop is not None
        rows = np.flatnonzero(stop > log.user_start[train.group])  # with at least one event before
        past = [before[-cls.length :] for before in _histories(train.take(rows))]
        target = torch.from_numpy(train.item[rows] + 1)
        optimizer = torch.optim.Adam(scorer.model.parameters(), 1e-3)
        for epoch in range(1, 1 + max(cls.grid)):
            scorer.model.train()
            for batch in torch.randperm(len(rows)).split(1024):
                inputs = scorer._interaction([past[n] for n in batch])
                inputs.update(scorer.interaction({"item": target[batch]}))
                scorer.model.calculate_loss(inputs).backward()
                optimizer.step()
                optimizer.zero_grad()
            if epoch in cls.grid:
                scorer.model.eval()
                yield epoch, copy.deepcopy(scorer)

    def _interaction(self, histories: list[np.ndarray]) -> Any:
        items = np.zeros((len(histories), self.length), np.int64)
        for row, past in enumerate(histories):
            items[row, : len(past)] = past + 1
        lengths = torch.tensor([max(1, len(past)) for past in histories])
        return self.interaction({"item_list": torch.from_numpy(items), "length": lengths})

    def scores(self, histories: list[np.ndarray]) -> np.ndarray:
        """The model's logits after the last films."""
        with torch.inference_mode():
            inputs = self._interaction([past[-self.length :] for past in histories])
            return self.model.full_sort_predict(inputs)[:, 1:].numpy()


REFERENCES: dict[str, type[Reference]] = {
    "SVD (scikit-surprise)": Surprise,
    "ALS (implicit)": ALS,
    "item-kNN (implicit)": ItemKNN,
    "SASRec (RecBole)": SASRec,
}


def _splits(data: Dataset) -> list[Examples]:
    return [data.tasks[TASK].split(name) for name in ("train", "valid", "test")]


def _histories(rows: Examples) -> list[np.ndarray]:
    """Every film of the row's user strictly before the row, oldest first."""
    log, stop = rows.log, rows.stop
    assert log is not None and stop is not None
    return [log.items[log.user_start[user] : end] for user, end in zip(rows.group, stop, strict=True)]


def _rows(histories: list[np.ndarray], items: int) -> csr_matrix:
    ends = np.append(0, np.cumsum([len(past) for past in histories]))
    columns = np.concatenate([*histories, np.zeros(0, np.int64)])
    return csr_matrix((np.ones(len(columns), np.float32), columns, ends), shape=(len(histories), items))


def _matrix(data: Dataset) -> csr_matrix:
    """Users x items of the train rows, 1 for every event: what a user chose, liked or not."""
    train = data.tasks[TASK].train
    ones = np.ones(len(train), np.float32)
    return csr_matrix((ones, (train.group, train.item)), shape=(1 + int(train.group.max()), len(data.items_of(TASK))))


def measure() -> dict[str, Any]:
    """Every reference's report on the test split, and the priors of all three tasks."""
    recipe = load_recipe("movielens-100k")
    data = load_data(recipe)
    kind = KINDS["interest"]
    reports: dict[str, Any] = {}
    options: dict[str, Any] = {"measures": Measures(("auc", "gauc"), RANKING), "priors": (), "ranking": "users"}
    for name, make in REFERENCES.items():
        started, outcomes = time.process_time(), dict[str, Outcome]()
        tried = {}
        for constant, scorer in make.over_grid(data):
            valid = evaluate_task(scorer, data, TASK, "valid", resamples=0, **options)["metrics"]
            tried[constant] = (valid["auc" if make is Surprise else "ndcg@10"], scorer)
        best = max(tried, key=lambda c: tried[c][0])
        report = evaluate_task(tried[best][1], data, TASK, "test", outcomes=outcomes, **options)
        chosen = {"constant": best, "valid": {str(c): value for c, (value, _) in tried.items()}}
        seconds = time.process_time() - started
        reports[name] = report | {"chosen": chosen, "cpu_seconds": seconds, "ranks": ranks(outcomes[TASK])}
        print(name, report["metrics"], file=sys.stderr, flush=True)
    return {"reports": reports, "priors": priors_of(recipe, data), "metrics": list(kind.losses)}


def ranks(outcome: Outcome) -> dict[str, int]:
    """User -> where the user's last liked film stood in the whole catalogue, from 1."""
    assert outcome.ranked is not None and outcome.rank is not None
    return dict(zip(outcome.ranked.tolist(), outcome.rank.astype(int).tolist(), strict=True))


if __name__ == "__main__":
    deliver(lambda spec, folder: measure())  # nothing to choose
