"""A predictor over the shop's run."""

import pytest

from peftrec.serving.predictor import Predictor


@pytest.fixture(scope="session")
def predictor(shop_run):
    return Predictor.load(shop_run)
