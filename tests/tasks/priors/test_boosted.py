"""Boosted trees: the arrays say what scikit-learn says, and validation rows choose what they are added to."""

from dataclasses import replace

import numpy as np
import pytest
from eventful import ITEMS, chaotic, make, rated
from made import made
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from peftrec.data.dataset import Dataset
from peftrec.data.tables import Tables
from peftrec.data.texts import TextTable
from peftrec.recipe import DataConfig
from peftrec.tasks.columns import columns
from peftrec.tasks.losses import LOSSES
from peftrec.tasks.priors import PRIORS
from peftrec.tasks.priors.boosted import TRIED, Base, _arrays, _fitted, _linear, boosted, choose_boosted


def errors(of, names=("median", "user_median", "boosted")):
    test = of.tasks["task"].test
    return {name: float(np.abs(PRIORS[name](of, "task", test) - test.label).mean()) for name in names}


@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_the_arrays_say_what_scikit_learn_says(loss):
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 5)).astype(np.float32)
    label = np.where(values[:, 0] > 0, 3 * values[:, 1], values[:, 2] ** 2)
    model = GradientBoostingRegressor(loss=loss, n_estimators=TRIED[-1], max_depth=3, init="zero", random_state=0)
    model.fit(values, label)
    for count, staged in enumerate(model.staged_predict(values), 1):
        if count in (1, 7, TRIED[-1]):
            np.testing.assert_allclose(_arrays(model, count)(values), staged, rtol=1e-9, atol=1e-12)
    assert _arrays(model, 0)(values).tolist() == [0] * 400 and len(_arrays(model, 0)) == 0


def test_no_more_trees_are_fitted_than_the_validation_rows_chose_and_these_are_the_first():
    train = chaotic().tasks["task"].train
    values, base = columns(train), Base(0.5)
    few, many = (_fitted(train, values, base, False, count) for count in (5, TRIED[-1]))
    assert len(few.estimators_) == 5
    np.testing.assert_array_equal(_arrays(few, 5)(values), _arrays(many, 5)(values))


def test_what_turns_on_the_past_is_learnt_better_than_by_medians():
    found = errors(chaotic())
    assert found["boosted"] < 0.4 * min(found["median"], found["user_median"])


def test_a_users_own_level_is_known_where_it_is_all_that_there_is():
    found = errors(rated(lambda user, n, random: 100 * user + random.normal()))
    assert found["boosted"] < 1.1 * found["user_median"] < 0.1 * found["median"]


def test_what_nothing_tells_is_a_constant_and_the_mean_where_errors_are_squared():
    of = rated(lambda user, n, random: random.exponential())
    data = of.tasks["task"]
    chosen = choose_boosted(of, "task", LOSSES["mae"]).whole
    assert np.abs(chosen(data.test) - np.median(data.train.label)).mean() < 0.1
    data.fitted.clear()
    mean = boosted(of, "task", data.test, loss=LOSSES["mse"])
    assert np.abs(mean - data.train.label.mean()).mean() < 0.15 < np.abs(mean - np.median(data.train.label)).mean()


def test_bases():
    values = np.array([[0.5, 0, 0, 3], [9, 0, 0, 0]], np.float32)
    assert Base(7.0)(values).tolist() == [7, 7]
    assert Base(7.0, (0, 3), centre=1.0, spread=4.0)(values).tolist() == [3, 7]
    assert Base(7.0, weight=(2.0, 0, 0, -1.0))(values).tolist() == [5, 25]
    assert [Base(1.0).name, Base(1.0, (0, 3)).name, Base(1.0, weight=(1.0,)).name] == [
        "constant",
        "recent_median",
        "linear",
    ]


def test_a_linear_base_is_that_of_scikit_learn_and_follows_what_drifts():
    of = rated(lambda user, n, random: n / 10 + random.normal())  # test is beyond all that train has seen
    data = of.tasks["task"]
    values = columns(data.train)
    right = LinearRegression().fit(values.astype(float), data.train.label)
    base = _linear(data.train, values)
    np.testing.assert_allclose(base(values), right.predict(values.astype(float)), atol=1e-4)
    high = float(data.train.label.max())
    assert boosted(of, "task", data.test).max() == high  # but no further than the labels of train


def test_gaps_have_the_median_of_moments():
    events = make([(user, line % 6, 1000 * user + 500 * n * (1 + user), 1) for user in range(4) for n in range(40)
                   for line in range(3)])  # fmt: skip
    texts, data = TextTable(), DataConfig(source="x", split={"test": 0.2, "valid": 0.2}, history=10)
    built = made(kind="next-gap").examples(Tables({"items": ITEMS, "events": events}), texts, data, 0)
    of = Dataset(texts, {}, [], {"task": built})
    found = errors(of)
    assert found["boosted"] < 0.02 < 0.1 * found["median"]


def test_rows_that_weigh_nothing_are_not_learnt():
    of = rated(lambda user, n, random: 50.0 if n % 2 else random.normal())
    data = of.tasks["task"]
    train = replace(data.train, weight=(data.train.label < 40).astype(np.float32) * 2)
    weighed = Dataset(of.texts, {}, [], {"task": replace(data, train=train, fitted={})})
    assert boosted(weighed, "task", data.test).max() <= 60


def test_bases_are_averaged_but_for_those_that_are_surely_worse():
    data = (of := rated(lambda user, n, random: 100 * user + random.normal())).tasks["task"]
    chosen = choose_boosted(of, "task", LOSSES["mae"])
    whole, values = chosen.whole, columns(data.test)
    assert [part.base.name for part in whole.parts] == ["recent_median", "linear"]  # a constant is far off
    each = [np.clip(part.base(values) + part.trees(values), whole.low, whole.high) for part in whole.parts]
    np.testing.assert_allclose(whole(data.test), np.mean(each, 0))
    alone = [np.abs(said - data.test.label).mean() for said in each]
    assert np.abs(whole(data.test) - data.test.label).mean() <= np.mean(alone)
    assert chosen.tried.scores.shape == data.valid.label.shape
