"""What a few lines of pandas and scikit-learn give on the same rows, without the code of peftrec's own priors.

A baseline reads the tables itself. Of the run it takes which rows of the table are in train and test (`row` of
test/<task>.parquet and of the dataset), and the labels of the test rows only to check that its own are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import StandardScaler, normalize

Vectors = Callable[[list[str]], np.ndarray]  # texts -> the frozen backbone's mean-pooled vectors, of length one
Found = dict[str, np.ndarray]  # baseline -> predictions (N,) or (N, C) of the test rows; of next-item ranks
AT_ONCE = 500  # rows whose scores of the catalogue are held together


@dataclass(frozen=True)
class Given:
    """One task of one data set.

    table     its own table, all rows in the file's order
    items     the catalogue; empty of texts alone
    train     int (T,): places in `table` of the rows to learn from
    valid     int (V,): of those that choose a strength
    test      the run's test rows: row (from 1), group, item, label
    column    the column that the task is about, where there is one
    threshold of a like
    vectors   see Vectors
    """

    table: pd.DataFrame
    items: pd.DataFrame
    train: np.ndarray
    valid: np.ndarray
    test: pd.DataFrame
    column: str | None = None
    threshold: float | None = None
    vectors: Vectors | None = None

    @property
    def places(self) -> np.ndarray:
        """int (N,): places in `table` of the test rows."""
        return self.test["row"].to_numpy().astype(int) - 1

    def checked(self, label: np.ndarray, tolerance: float = 1e-3) -> np.ndarray:
        """A label of every row of the table, which is what the run has for the test rows; else ValueError."""
        differ = ~np.isclose(label[self.places], self.test["label"].to_numpy(), rtol=tolerance, atol=tolerance)
        if differ.any():
            raise ValueError(f"{differ.sum()} of {len(differ)} test rows have another label than the table says")
        return label

    def check_ids(self) -> None:
        """Raise ValueError where a test row is of another user or item than its row of the table, if that has them."""
        for name, column in (("user", "group"), ("item", "item")):
            if {"user", "item"} <= set(self.table):
                own = self.table[name].astype(str).to_numpy()[self.places]
                if (own != self.test[column].to_numpy()).any():
                    raise ValueError(f"test rows are of other {name}s than the table says")

    def embedded(self, texts: "pd.Series[str]") -> np.ndarray:
        """The vectors of texts (N, D), each text read once."""
        assert self.vectors is not None
        number, distinct = pd.factorize(texts)
        return self.vectors(list(distinct))[number]


def _ngrams() -> FeatureUnion:
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2),
    )


def classes(given: Given) -> Found:
    """Logistic regression on words and characters, and on the frozen vectors; of two strengths the validation rows'
    better."""
    names, texts = given.table[given.column].astype(str), given.table["text"]
    known, label = np.unique(names, return_inverse=True)
    given.checked(label)
    found = {}
    inputs = {"tfidf + logistic": _ngrams().fit_transform(texts), "vectors + logistic": given.embedded(texts)}
    for name, x in inputs.items():
        models = [LogisticRegression(C=c, max_iter=200).fit(x[given.train], label[given.train]) for c in (10, 100)]
        model = (
            max(models, key=lambda of: of.score(x[given.valid], label[given.valid])) if len(given.valid) else models[0]
        )
        found[name] = np.zeros((len(given.test), len(known)))
        found[name][:, model.classes_] = model.predict_proba(x[given.places])
    return found


def amounts(given: Given) -> Found:
    """A number of a text: ridge regression of its logarithm where all are above 0, and the median."""
    label, texts = given.checked(given.table[given.column].to_numpy(float)), given.table["text"]
    found = {"median": np.full(len(given.test), np.median(label[given.train]))}
    inputs = {"tfidf + ridge": _ngrams().fit_transform(texts), "vectors + ridge": given.embedded(texts)}
    for name, x in inputs.items():
        ridge = RidgeCV(alphas=[0.1, 1, 10])
        model = TransformedTargetRegressor(ridge, func=np.log1p, inverse_func=np.expm1) if label.min() > 0 else ridge
        found[name] = model.fit(x[given.train], label[given.train]).predict(x[given.places])
    return found


def so_far(events: pd.DataFrame, key: str, value: str) -> tuple[np.ndarray, np.ndarray]:
    """Sum and count (E,) of a column over the events with the same `key` at strictly earlier times."""
    now = events.groupby([key, "time"])[value].agg(["sum", "count"])
    before = now.groupby(level=0).cumsum() - now
    own = before.loc[pd.MultiIndex.from_frame(events[[key, "time"]])]
    return own["sum"].to_numpy(float), own["count"].to_numpy(float)


def _rates(events: pd.DataFrame, value: str, centre: float) -> np.ndarray:
    """What is known of user and item at each event (E, 6): means so far, shrunk by two strengths, and counts."""
    columns = []
    for key in ("user", "item"):
        total, count = so_far(events, key, value)
        columns += [(total + k * centre) / (count + k) for k in (1, 10)] + [np.log1p(count)]
    return np.stack(columns, axis=1)


def likes(given: Given) -> Found:
    """Logistic regression on how the item and the user's items were liked so far."""
    liked = given.checked((given.table[given.column] >= given.threshold).to_numpy(float))
    rates = _rates(given.table.assign(liked=liked), "liked", liked[given.train].mean())
    odds = np.log((rates + 1e-2) / (1 - rates.clip(max=0.99) + 1e-2)) * [1, 1, 0, 1, 1, 0] + rates * [0, 0, 1, 0, 0, 1]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(odds[given.train], liked[given.train])
    return {"rates + logistic": model.predict_proba(odds[given.places])[:, 1]}


def numbers(given: Given) -> Found:
    """Gradient boosting for the absolute error on means so far; the user's and the item's median, and that of all."""
    label = given.checked(given.table[given.column].to_numpy(float))
    train, test = given.table.iloc[given.train], given.table.iloc[given.places]
    median = float(np.median(label[given.train]))
    found = {"median": np.full(len(given.test), median)}
    for key in ("user", "item"):
        of = train.groupby(key)[given.column].median()
        found[f"{key}'s median"] = test[key].map(of).fillna(median).to_numpy(float)
    x = _rates(given.table, str(given.column), float(label[given.train].mean()))
    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=0).fit(x[given.train], label[given.train])
    return found | {"rates + boosting": model.predict(x[given.places])}


def gaps(given: Given) -> Found:
    """Gradient boosting for the absolute error on the last gaps, hour and weekday; medians. Labels: log1p(seconds)."""
    events = given.table.assign(place=np.arange(len(given.table))).sort_values(["user", "time"], kind="stable")
    time, by_user = events["time"], events.groupby("user")["time"]
    to_next = by_user.shift(-1) - time
    to_later = to_next.where(to_next > 0).groupby(events["user"]).bfill()  # the lines of one moment share the gap after
    x = pd.DataFrame({"hour": time % 86_400 // 3600, "day": time // 86_400 % 7, "count": by_user.cumcount()})
    for back in (1, 2, 3):
        x[f"gap_{back}"] = np.log1p(by_user.shift(back - 1) - by_user.shift(back))
    past = x["gap_1"].groupby(events["user"]).expanding()
    x["median"], x["mean"] = past.median().droplevel(0), past.mean().droplevel(0)
    order = np.argsort(events["place"].to_numpy())
    features = x.to_numpy(float)[order]
    for gap in (to_next, to_later):
        label = np.log1p(gap.to_numpy(float))[order]
        try:
            given.checked(label)
            break
        except ValueError:
            if gap is to_later:
                raise
    train, median = given.train, float(np.median(label[given.train]))
    own = np.where(np.isnan(features[:, -2]), median, features[:, -2])
    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=0).fit(features[train], label[train])
    found = {"median": np.full(len(given.test), median), "user's median": own[given.places]}
    return found | {"gaps + boosting": model.predict(features[given.places])}


def following(given: Given) -> Found:
    """Ranks, from 1, by popularity and by item-kNN: cosines of the items' train users, summed over the history.

    The history is all that the user did at strictly earlier times, or without times in the train rows; what stands in
    it is no candidate but for the true item, as in the run's own measure.
    """
    events, items = given.table, pd.Index(given.items["item"].astype(str))
    item = items.get_indexer(events["item"].astype(str))
    user, _ = pd.factorize(events["user"])
    train = given.train
    chosen = csr_matrix((np.ones(len(train)), (user[train], item[train])), shape=(user.max() + 1, len(items)))
    popular = np.asarray(chosen.sum(0))[0]
    columns = normalize(chosen.minimum(1), axis=0)
    similar = (columns.T @ columns).tolil()
    similar.setdiag(0)
    similar = similar.tocsr()
    past = _histories(events, item, user, given, len(items))
    target = item[given.places]
    ranks: dict[str, list[np.ndarray]] = {"popularity": [], "item-kNN": []}
    for first in range(0, len(target), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        near = (past[some] @ similar).toarray() + 1e-6 * popular
        for name, scores in (("popularity", np.tile(popular, (len(near), 1)).astype(float)), ("item-kNN", near)):
            ranks[name].append(_ranked(scores, target[some], past[some]))
    return {name: np.concatenate(of) for name, of in ranks.items()}


def _histories(events: pd.DataFrame, item: np.ndarray, user: np.ndarray, given: Given, items: int) -> csr_matrix:
    """0 or 1 (test rows, items): what stands in each row's history."""
    known, places = np.zeros(len(events), bool), given.places
    known[given.train] = True
    time = events["time"].to_numpy(float) if "time" in events else np.where(known, 0.0, 1.0)
    of_user = pd.Series(np.arange(len(events))).groupby(user).indices
    met = [of_user[user[place]] for place in places]
    met = [rows[time[rows] < time[place]] for rows, place in zip(met, places, strict=True)]
    line = np.repeat(np.arange(len(places)), [len(rows) for rows in met])
    columns = item[np.concatenate(met)] if met else np.zeros(0, int)
    return csr_matrix((np.ones(len(line)), (line, columns)), shape=(len(places), items)).minimum(1)


def _ranked(scores: np.ndarray, target: np.ndarray, past: csr_matrix) -> np.ndarray:
    """The target's place among the items that are not in the history, ties counting half."""
    rows = np.arange(len(target))
    own = scores[rows, target].copy()
    scores[past.nonzero()] = -np.inf
    scores[rows, target] = own
    return 1 + (scores > own[:, None]).sum(1) + ((scores == own[:, None]).sum(1) - 1) / 2


def matches(given: Given) -> Found:
    """Cosines of query and item (N,): of words and characters, and of the frozen vectors."""
    query = _queries(given)
    text = given.items.set_index(given.items["item"].astype(str))["text"].astype(str)
    item = given.test["item"].map(text)
    grams = _ngrams().fit(pd.concat([given.table["query"].astype(str), text]))
    words = np.asarray(grams.transform(query).multiply(grams.transform(item)).sum(1))[:, 0] / 2
    return {"tfidf cosine": words, "vectors cosine": (given.embedded(query) * given.embedded(item)).sum(1)}


def _queries(given: Given) -> "pd.Series[str]":
    """The query of every test row: by its row; of one that was drawn by its number, in order of first appearance."""
    distinct = given.table["query"].astype(str).unique()
    query = pd.Series(distinct[given.test["group"].to_numpy().astype(int)], index=given.test.index)
    known = given.test["row"].notna().to_numpy()
    line = given.table.iloc[given.test["row"][known].to_numpy().astype(int) - 1]
    same = (line["query"].astype(str).to_numpy() == query[known]) & (
        line["item"].astype(str).to_numpy() == given.test["item"][known]
    )
    if not same.all():
        raise ValueError(f"{(~same).sum()} test rows are of another query or item than the table says")
    return query


BASELINES: dict[str, Callable[[Given], Found]] = {
    "classification": classes,
    "interest": likes,
    "regression": numbers,
    "regression of texts": amounts,
    "next-gap": gaps,
    "next-item": following,
    "match-query": matches,
}
