"""Values and gains of the arms, from their test rows."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.ablation.arms import ARMS, EARNS
from benchmarks.ablation.compare import compared


def seeds(places, users=40, of=2):
    """As many seeds of a row a user, whose right item stands at a place; the last ten users and five items are cold."""
    place = np.resize(places, users)
    rows = {"user": [f"u{n}" for n in range(users)], "label": 1, "prediction": place.astype(float)}
    cold = {"cold_item": np.arange(users) < 5, "cold_user": np.arange(users) >= users - 30}
    return [pd.DataFrame(rows | cold) for _ in range(of)]


def test_a_gain_is_the_difference_of_means_and_above_zero_is_better():
    arms = {"text": seeds([3]), "id": seeds([100]), "both": seeds([1, 3])}
    arms |= {"features": seeds([3]), "joined": seeds([1])}
    found = compared("ndcg@10", arms, EARNS)
    assert list(found) == ["all", "warm items", "cold users"]
    whole = found["all"]
    assert whole["rows"] == 40
    assert whole["values"] == pytest.approx({"text": 0.5, "id": 0, "both": 0.75, "features": 0.5, "joined": 1})
    gains = {part: of["by"] for part, of in whole["gains"].items()}
    assert gains == pytest.approx({"identity": 0.25, "text": 0.75, "features": -0.25, "joining them": 0.5})
    low, high = whole["gains"]["identity"]["interval"]
    # Each user's gain is 0 or .5: the mean of 40 draws has a deviation of .25 / sqrt(40).
    assert low == pytest.approx(0.25 - 1.96 * 0.25 / 40**0.5, abs=0.02)
    assert high == pytest.approx(0.25 + 1.96 * 0.25 / 40**0.5, abs=0.02)
    assert found["warm items"]["rows"] == 35 and found["cold users"]["rows"] == 30


def test_of_errors_less_is_better_and_seeds_are_averaged():
    def rows(errors):
        return [of.assign(label=0.0, prediction=float(error)) for of, error in zip(seeds([1]), errors, strict=True)]

    arms = {"text": rows([1, 3])} | dict.fromkeys(ARMS[1:], rows([1, 1]))
    whole = compared("mae", arms, EARNS)["all"]
    assert whole["values"]["text"] == 2 and whole["gains"]["identity"]["by"] == 1
    assert whole["gains"]["identity"]["interval"] == [1, 1]


def test_what_has_no_value_is_none():
    arms = {arm: seeds([1]) for arm in ARMS}
    whole = compared("auc", arms, EARNS)["all"]  # all were liked: no AUC
    assert whole["values"]["text"] is None
    assert whole["gains"]["text"] == {"by": None, "interval": None}


def test_arms_whose_users_stand_in_another_order_are_paired():
    arms = {arm: seeds([1, 3, 100]) for arm in ARMS}
    turned = arms | {"features": [of.iloc[::-1].reset_index(drop=True) for of in arms["features"]]}
    assert compared("ndcg@10", turned, EARNS) == compared("ndcg@10", arms, EARNS)


def test_arms_are_of_the_same_rows():
    arms = {arm: seeds([1]) for arm in ARMS}
    arms["both"][1].loc[0, "label"] = 0
    with pytest.raises(ValueError, match="not of the same test rows"):
        compared("ndcg@10", arms, EARNS)
