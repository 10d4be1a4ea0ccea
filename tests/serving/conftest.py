"""Predictors over the shop's run, and over one where features decide."""

import pytest
from featured import featured_recipe, make_featured_shop
from quick import quicken

from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

TASKS = {
    "cheap": {"kind": "interest", "column": "cheap"},
    "next": {"kind": "next-item"},
    "query": {"kind": "match-query"},
    "joint": {"kind": "match-query", "input": "joint"},
}


@pytest.fixture(scope="session")
def predictor(shop_run):
    return Predictor.load(shop_run)


@pytest.fixture(scope="session")
def featured(same_fits, tmp_path_factory):
    """Of 600 items and as many users, each of whom chose the one item of the same number."""
    shop = make_featured_shop(tmp_path_factory.mktemp("featured"))
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        return Predictor.load(train(featured_recipe(shop, tasks=TASKS, train={"epochs": 2}), shop / "run"))
