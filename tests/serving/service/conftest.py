"""Two tiny runs over one backbone in one folder, and a client of a service over both."""

from pathlib import Path

import pytest
from served import client_of, make_service
from tiny import THREE, make_tiny_shop, tiny_recipe

from peftrec.training.loop import train

TASKS = {**THREE, "next": {"kind": "next-item"}}
FEWER = {name: TASKS[name] for name in ("interest", "next")}


@pytest.fixture(scope="session")
def runs(same_fits: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `one`, of four tasks, and `two`, of two of them and another seed."""
    import peftrec.training.finish

    shop = make_tiny_shop(tmp_path_factory.mktemp("tiny"))
    kept = peftrec.training.finish.evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            peftrec.training.finish, "evaluate", lambda *args, **options: kept(*args, **{"resamples": 9, **options})
        )
        for name, tasks in (("one", TASKS), ("two", FEWER)):
            changes = {"epochs": 1, "seed": len(tasks), "checkpoint": {"every": "1000 steps"}}
            train(tiny_recipe(shop, tasks=tasks, train=changes), shop / "runs" / name)
    return shop / "runs"


@pytest.fixture(scope="session")
def service(runs):
    """A service over both, `two` being loaded last; what tests tell it of users nobody else asks about."""
    return make_service(runs / "one", runs / "two", folder=runs)


@pytest.fixture
def client(service):
    """A client of it."""
    return client_of(service)
