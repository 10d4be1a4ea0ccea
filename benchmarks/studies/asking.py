"""What asking a loaded run takes: 100 candidates for a user, 40 users together and one by one, ten of a million items.

MovieLens-100k with the side network, and the million items of `growth`, both trained a little. One thread; CPU
milliseconds beside those on the clock, since other busy processes count little in the first.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.studies.growth import MILLION, Shop
from peftrec.recipe import make_recipe
from peftrec.recipe.shipped import load_recipe
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

USERS, CANDIDATES, TIMES = 40, 100, 200
QUICK = ["backbone.quantize=null", "train.epochs=1"]
NEXT = {"kind": "next-item", "column": "rating", "threshold": 4}


def measure() -> Iterator[str]:
    """Lines of a table: what is asked, its median and its 95th percentile."""
    torch.set_num_threads(1)
    yield f"| asked | CPU ms: median | 95 % | clock ms: median | 95 % |\n|{' --- |' * 5}"
    raw = load_recipe("movielens-100k", QUICK).model_dump()
    recipe = make_recipe(raw | {"tasks": {"interest": raw["tasks"]["interest"], "next": NEXT}})
    with tempfile.TemporaryDirectory() as place:
        yield from of_films(Predictor.load(train(recipe, Path(place) / "run")))
    with tempfile.TemporaryDirectory() as place:
        shop = Shop()
        predictor = Predictor.load(train(shop.recipe(Path(place)), Path(place) / "run"))
        asks = [shop.new_user()[0] for _ in range(TIMES)]
        yield line(f"next, 10 of {MILLION:,} items", lambda n: predictor.recommend("next", history=asks[n]))


def of_films(predictor: Predictor) -> Iterator[str]:
    """The lines of a run over MovieLens-100k."""
    random, ids = np.random.default_rng(0), predictor.run.items_of("next").ids
    users = predictor.run.logs["interest"].user_ids[:USERS]
    lists = [[ids[n] for n in random.choice(len(ids), CANDIDATES, replace=False)] for _ in range(TIMES)]
    rows = [{"user": user} for user in users]

    for task in ("interest", "next"):

        def rank(n: int, task: str = task) -> None:
            predictor.recommend(task, user=users[n % USERS], candidates=lists[n], k=CANDIDATES)

        def together(n: int, task: str = task) -> None:
            predictor.recommend_all(task, rows)

        def one_by_one(n: int, task: str = task) -> None:
            for user in users:
                predictor.recommend(task, user=user)

        yield line(f"{task}, {CANDIDATES} candidates for a user", rank)
        yield line(f"{task}, {USERS} users together", together, 5)
        yield line(f"{task}, {USERS} users one by one", one_by_one, 5)


def line(what: str, ask: Callable[[int], object], times: int = TIMES) -> str:
    """A line of the table; the first time is not measured."""
    ask(0)
    found = []
    for n in range(times):
        began = time.process_time(), time.perf_counter()
        ask(n)
        found.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    cells = [f"{1e3 * np.quantile(of, share):,.1f}" for of in np.transpose(found) for share in (0.5, 0.95)]
    return f"| {what} | {' | '.join(cells)} |"
