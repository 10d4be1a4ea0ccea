"""A small shop that tests make themselves, and runs trained on it with the real packaged backbone."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may depend on the network
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # nothing is compiled; to be ready for it costs seconds a process
os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the command has it, before torch is loaded

import numpy as np
import pytest
from hypothesis import settings
from quick import quicken
from shop import shop_recipe, write_csv

from peftrec.__main__ import YOUNG

gc.disable()  # until all is loaded
settings.register_profile("untimed", deadline=None)  # what a busy machine is slow at is no mistake
settings.load_profile("untimed")

GENRES = ["romance", "space adventure", "horror", "cooking", "football"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders with the longest modules first, and those of many short ones last: a long one that begins last leaves
    the other test processes idle."""
    here = Path(__file__).parent
    order = dict.fromkeys(("training", "machine", "serving", "docs"), 0) | dict.fromkeys(("data", "recipe"), 2)
    items.sort(key=lambda item: order.get(item.path.relative_to(here).parts[0], 1))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: collections of garbage need not look through it, each for half a second.

    From here on they are as in the command. A process that only hands tests out does not come here, nor loads torch,
    for whose two seconds the others would wait.
    """
    import torch

    torch.set_num_threads(1)
    gc.enable()
    gc.set_threshold(YOUNG)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty items of five genres; forty users who like one genre each; queries naming a genre."""
    folder, random = tmp_path_factory.mktemp("shop"), np.random.default_rng(0)
    items = [{"id": f"i{n}", "title": f"The {GENRES[n % 5]} film number {n}"} for n in range(30)]
    events, queries, texts = [], [], []
    for user in range(40):
        times = 1_600_000_000 + np.cumsum(random.integers(60, 90_000, 12))
        for time, n in zip(times, random.permutation(30)[:12], strict=True):
            liked = n % 5 == user % 5
            events.append({"user": f"u{user}", "item": f"i{n}", "time": int(time), "stars": 5 if liked else 2})
    for number, genre in enumerate(GENRES * 4):
        for n in random.permutation(30)[:8]:
            queries.append({"query": f"{genre} number {number}", "item": f"i{n}", "match": int(n % 5 == number % 5)})
    for n in range(60):
        texts.append(
            {"text": f"{GENRES[n % 5]} {n}", "genre": GENRES[n % 5], "part": ["train", "valid", "test"][n % 3]}
        )
    write_csv(folder / "items.csv", items)
    write_csv(folder / "events.csv", events)
    write_csv(folder / "queries.csv", queries)
    write_csv(folder / "texts.csv", texts)
    return folder


@pytest.fixture(scope="session")
def shop_run(shop: Path, same_fits: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished three-task run on the shop."""
    from peftrec.training.loop import train

    return train(shop_recipe(shop), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's cache is neither read nor written, by child processes too."""
    os.environ["PEFTREC_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """A busy disk may take a second for each file that is synced; those who test what is synced, and when, look on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def same_fits() -> Iterator[None]:
    """From the first module on that trains: what is fitted to the same rows again is remembered."""
    from fitted import fit_once

    with pytest.MonkeyPatch.context() as patch:
        fit_once(patch)
        yield


@pytest.fixture(scope="module")
def quick_intervals(same_fits: None) -> Iterator[None]:
    """For modules that do not look at the intervals' width, but train elsewhere what they train here."""
    import peftrec.training.finish

    kept = peftrec.training.finish.evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            peftrec.training.finish, "evaluate", lambda *args, **options: kept(*args, **{"resamples": 9, **options})
        )
        yield


@pytest.fixture(scope="module")
def quick(quick_intervals: None) -> Iterator[None]:
    """For modules that train much and look neither at the intervals' width nor at how well starts and priors fit: all
    of it is fitted, but one of each sort, as a tiny training takes less long than the choice among them.

    Not beside `shop_run`, which is whole, and other modules' too.
    """
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        yield


@pytest.fixture
def notes(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """`capsys` of a test that calls the library, with its notes on stderr as the command shows them."""
    from peftrec.cli.notes import notes_shown

    with notes_shown():
        yield capsys


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Two test processes share two cores. A test that asks for more leaves none to the next module's fixtures."""
    import torch

    yield
    torch.set_num_threads(1)
