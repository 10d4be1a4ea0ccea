"""What a few lines of pandas and scikit-learn give on the same rows, without the code of peftrec's own priors.

A baseline reads the tables itself, and learns from all rows but those of test, as whoever writes such lines would. Of
the run it takes which rows of the table are in which part (`row` of test/<task>.parquet and of the dataset), and the
labels of the test rows only to check that its own are the same.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import StandardScaler, normalize

Vectors = Callable[[list[str]], np.ndarray]  # texts -> the frozen backbone's mean-pooled vectors, of length one
Found = dict[str, np.ndarray]  # baseline -> predictions (N,) or (N, C) of the test rows, or ranks
FEW = 20  # different numbers at most that count as classes too
AT_ONCE = 500  # rows whose scores of the catalogue are held together


@dataclass(frozen=True)
class Given:
    """One task of one data set.

    table     its own table, all rows in the file's order
    items     the catalogue; empty of texts alone
    train     int (T,): places in `table` of the train rows
    valid     int (V,): of the validation rows, which choose a strength; then all `known` rows are learnt from
    test      the run's test rows: row (from 1), group, item, label
    column    the column that the task is about, where there is one
    threshold of a like
    vectors   see Vectors
    repeats   whether what a user had before is a candidate
    """

    table: pd.DataFrame
    items: pd.DataFrame
    train: np.ndarray
    valid: np.ndarray
    test: pd.DataFrame
    column: str | None = None
    threshold: float | None = None
    vectors: Vectors | None = None
    repeats: bool = False

    @property
    def known(self) -> np.ndarray:
        """int (T + V,): places in `table` of all rows but those of test."""
        return np.concatenate([self.train, self.valid])

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
            if name in self.table:
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
        tried = [LogisticRegression(C=c, max_iter=200).fit(x[given.train], label[given.train]) for c in (10, 100)]
        of_valid = [of.score(x[given.valid], label[given.valid]) if len(given.valid) else 0 for of in tried]
        model = clone(tried[int(np.argmax(of_valid))]).fit(x[given.known], label[given.known])
        found[name] = np.zeros((len(given.test), len(known)))
        found[name][:, model.classes_] = model.predict_proba(x[given.places])
    return found


def amounts(given: Given) -> Found:
    """A number of a text: ridge regression of its logarithm where all are above 0, and the median; of few different
    numbers, such as stars, the median by logistic regression too."""
    label, texts = given.checked(given.table[given.column].to_numpy(float)), given.table["text"]
    found = {"median": np.full(len(given.test), np.median(label[given.known]))}
    inputs = {"tfidf + ridge": _ngrams().fit_transform(texts), "vectors + ridge": given.embedded(texts)}
    for name, x in inputs.items():
        ridge = RidgeCV(alphas=[0.1, 1, 10])
        model = TransformedTargetRegressor(ridge, func=np.log1p, inverse_func=np.expm1) if label.min() > 0 else ridge
        found[name] = model.fit(x[given.known], label[given.known]).predict(x[given.places])
    levels, level = np.unique(label, return_inverse=True)
    for name, x in inputs.items() if len(levels) <= FEW else ():
        classifier = LogisticRegression(C=10, max_iter=200).fit(x[given.known], level[given.known])
        below = classifier.predict_proba(x[given.places]).cumsum(1)
        found[name.replace("ridge", "logistic")] = levels[classifier.classes_[(below >= 0.5).argmax(1)]]
    return found


def so_far(events: pd.DataFrame, key: str, value: str, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and count (E,) of a column over the events with the same `key` at strictly earlier times; where events have
    no time over all others of the `known` places."""
    if "time" not in events:
        counts = np.isin(np.arange(len(events)), known)
        own = np.where(counts, events[value], 0.0)
        of = pd.DataFrame({"sum": own, "count": counts}).groupby(events[key].to_numpy()).transform("sum")
        return of["sum"].to_numpy(float) - own, (of["count"] - counts).to_numpy(float)
    now = events.groupby([key, "time"])[value].agg(["sum", "count"])
    before = now.groupby(level=0).cumsum() - now
    own = before.loc[pd.MultiIndex.from_frame(events[[key, "time"]])]
    return own["sum"].to_numpy(float), own["count"].to_numpy(float)


def _rates(events: pd.DataFrame, value: str, known: np.ndarray) -> np.ndarray:
    """What is known of user and item at each event (E, 6): means so far, shrunk by two strengths, and counts."""
    columns, centre = [], float(events[value].iloc[known].mean())
    for key in ("user", "item"):
        total, count = so_far(events, key, value, known)
        columns += [(total + k * centre) / (count + k) for k in (1, 10)] + [np.log1p(count)]
    return np.stack(columns, axis=1)


def likes(given: Given) -> Found:
    """Logistic regression on how the item and the user's items were liked so far."""
    liked = given.checked((given.table[given.column] >= given.threshold).to_numpy(float))
    rates = _rates(given.table.assign(liked=liked), "liked", given.known)
    odds = np.log((rates + 1e-2) / (1 - rates.clip(max=0.99) + 1e-2)) * [1, 1, 0, 1, 1, 0] + rates * [0, 0, 1, 0, 0, 1]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(odds[given.known], liked[given.known])
    return {"rates + logistic": model.predict_proba(odds[given.places])[:, 1]}


def numbers(given: Given) -> Found:
    """Gradient boosting for the absolute error on means so far; the user's and the item's median, and that of all."""
    label = given.checked(given.table[given.column].to_numpy(float))
    known, test = given.table.iloc[given.known], given.table.iloc[given.places]
    median = float(np.median(label[given.known]))
    found = {"median": np.full(len(given.test), median)}
    for key in ("user", "item"):
        of = known.groupby(key)[given.column].median()
        found[f"{key}'s median"] = test[key].map(of).fillna(median).to_numpy(float)
    x = _rates(given.table, str(given.column), given.known)
    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=0).fit(x[given.known], label[given.known])
    return found | {"rates + boosting": model.predict(x[given.places])}


def gaps(given: Given) -> Found:
    """Gradient boosting for the absolute error on the last gaps, hour and weekday; medians. Labels: log1p(seconds).

    What a user does at one time is one moment, known by the last of its rows in the file.
    """
    events = given.table[["user", "time"]].sort_values(["user", "time"], kind="stable")
    moments = events.drop_duplicates(keep="last")
    time, by_user = moments["time"], moments.groupby("user")["time"]
    label = np.log1p(by_user.shift(-1) - time)
    given.checked(label.reindex(given.table.index).to_numpy())
    x = pd.DataFrame({"hour": time % 86_400 // 3600, "day": time // 86_400 % 7, "count": by_user.cumcount()})
    for back in (1, 2, 3):
        x[f"gap_{back}"] = np.log1p(by_user.shift(back - 1) - by_user.shift(back))
    past = x["gap_1"].groupby(moments["user"]).expanding()
    x["median"], x["mean"] = past.median().droplevel(0), past.mean().droplevel(0)
    median, test = float(label[given.known].median()), x.loc[given.places]
    model = HistGradientBoostingRegressor(loss="absolute_error", random_state=0)
    model.fit(x.loc[given.known], label[given.known])
    found = {"median": np.full(len(test), median), "user's median": test["median"].fillna(median).to_numpy()}
    return found | {"gaps + boosting": model.predict(test)}


def following(given: Given) -> Found:
    """Ranks, from 1, by popularity, by how often the user had the item, and by item-kNN: cosines of the items' train
    users, summed over the history.

    The history is all that the user did at strictly earlier times, or without times in the known rows. What stands in
    it is no candidate unless the run allows repeats.
    """
    events, items = given.table, pd.Index(given.items["item"].astype(str))
    item = items.get_indexer(events["item"].astype(str))
    user, _ = pd.factorize(events["user"])
    known = given.known
    chosen = csr_matrix((np.ones(len(known)), (user[known], item[known])), shape=(user.max() + 1, len(items)))
    popular = np.asarray(chosen.sum(0))[0]
    columns = normalize(chosen.minimum(1), axis=0)
    similar = csr_matrix(columns.T @ columns)
    past = _histories(events, item, user, given, len(items))
    target, ranks = item[given.places], dict[str, list[np.ndarray]]()
    for first in range(0, len(target), AT_ONCE):
        some = slice(first, first + AT_ONCE)
        scores = {"item-kNN": past[some].minimum(1) @ similar, "own frequency": past[some]}
        for name, of in {"popularity": csr_matrix(past[some].shape), **scores}.items():
            values = of.toarray() + 1e-6 * popular  # which decides where the history does not
            out = None if given.repeats else past[some].nonzero()
            ranks.setdefault(name, []).append(ranked(values, target[some], out))
    return {name: np.concatenate(of) for name, of in ranks.items()}


def _histories(events: pd.DataFrame, item: np.ndarray, user: np.ndarray, given: Given, items: int) -> csr_matrix:
    """How often each item stands in each row's history (test rows, items)."""
    known, places = np.zeros(len(events), bool), given.places
    known[given.known] = True
    time = events["time"].to_numpy(float) if "time" in events else np.where(known, 0.0, 1.0)
    of_user = pd.Series(np.arange(len(events))).groupby(user).indices
    met = [of_user[user[place]] for place in places]
    met = [rows[time[rows] < time[place]] for rows, place in zip(met, places, strict=True)]
    line = np.repeat(np.arange(len(places)), [len(rows) for rows in met])
    columns = item[np.concatenate(met)] if met else np.zeros(0, int)
    return csr_matrix((np.ones(len(line)), (line, columns)), shape=(len(places), items))


def ranked(scores: np.ndarray, target: np.ndarray, out: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Each row's target's place (N,) by scores (N, I), ties counting half; `out`: rows and items that are none of the
    candidates, but for the target."""
    own = scores[np.arange(len(target)), target].copy()
    if out is not None:
        scores[out] = -np.inf
        scores[np.arange(len(target)), target] = own
    return 1 + (scores > own[:, None]).sum(1) + ((scores == own[:, None]).sum(1) - 1) / 2


def matches(given: Given) -> Found:
    """Of graded pairs the cosines of query and item (N,): of words and characters, and of the frozen vectors."""
    text = given.items.set_index(given.items["item"].astype(str))["text"]
    given.checked(np.unique(given.table["grade"], return_inverse=True)[1])
    pairs = given.table.iloc[given.places]
    query, item = pairs["query"].astype(str), pairs["item"].astype(str).map(text)
    grams = _ngrams().fit(pd.concat([given.table["query"].astype(str), text]))
    words = np.asarray(grams.transform(query).multiply(grams.transform(item)).sum(1))[:, 0]
    return {"tfidf cosine": words, "vectors cosine": (given.embedded(query) * given.embedded(item)).sum(1)}


def finding(given: Given) -> Found:
    """Of pairs without grades the rank, from 1, of the item in the whole catalogue, by the same cosines; the query's
    other matches are no candidates."""
    texts, queries = given.items["text"], given.table["query"].astype(str)
    item = pd.Index(given.items["item"].astype(str)).get_indexer(given.table["item"].astype(str))
    query, distinct = pd.factorize(queries)
    known = csr_matrix((np.ones(len(item)), (query, item)), shape=(len(distinct), len(texts)))[query[given.places]]
    asked = queries.iloc[given.places]
    grams = _ngrams().fit(pd.concat([queries, texts]))
    scores = {
        "tfidf cosine": (grams.transform(asked) @ grams.transform(texts).T).toarray(),
        "vectors cosine": given.embedded(asked) @ given.embedded(texts).T,
    }
    return {name: ranked(of, item[given.places], known.nonzero()) for name, of in scores.items()}


BASELINES: dict[str, Callable[[Given], Found]] = {
    "classification": classes,
    "interest": likes,
    "regression": numbers,
    "regression of texts": amounts,
    "next-gap": gaps,
    "next-item": following,
    "match-query": matches,
    "match-query without grades": finding,
}
