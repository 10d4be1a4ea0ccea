"""A small log that references are fitted on, and its pasts by other code."""

import numpy as np
import pytest
from tiny import make_tiny_shop

from benchmarks.recommending.references import Known
from peftrec.recipe import make_recipe
from peftrec.tasks.dataset import load_data

COLUMNS = {"user": "user", "item": "item", "time": "time"}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    tables = {
        "items": {"kind": "items", "path": str(folder / "items.csv"), "id": "id", "text": "{title}"},
        "events": {"kind": "events", "path": str(folder / "events.csv"), **COLUMNS},
    }
    raw = {"backbone": {"name": str(folder / "model")}, "data": {"tables": tables}}
    dataset = load_data(make_recipe(raw | {"tasks": {"next": {"kind": "next-item"}}}))
    return Known(dataset, np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32))


@pytest.fixture(scope="module")
def pasts(known):
    """(row of the test split) -> the items that its user had before, oldest first, by a loop."""
    test, log = known.dataset.tasks["next"].test, known.log

    def past(row):
        own = range(*log.user_start[[test.users[row], test.users[row] + 1]])
        return [log.items[place] for place in own if log.times[place] < test.time[row]]

    return [past(row) for row in range(len(test))]
