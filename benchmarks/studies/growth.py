"""What a larger log and a larger catalogue cost: time an example, memory, and a recommendation out of a million items.

    python -m benchmarks growth

Growth: a side network on the interest task over MiniLM in fp32, batches of 16,384, 20 films of history; events are
drawn anew from MovieLens-100k's users and films. The catalogue grows by copies of its films; their states are random
numbers in place of MiniLM's, which would cost their encoding once and change nothing after it. Recommendation: a
next-item run over 1,000,000 items with a small random BERT, made, saved, loaded and asked. Every measurement is a
process of its own.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import AutoTokenizer, BertConfig, BertModel

from benchmarks.children import answer, measured
from peftrec.data.sources.movielens import load
from peftrec.data.tables import Events, Items, Table, Tables
from peftrec.machine.environment import environment
from peftrec.machine.memory import peak_memory_mb
from peftrec.model.backbone import load_backbone, locate
from peftrec.model.cache.states import StateCache
from peftrec.model.co_learner import build_model
from peftrec.recipe import Recipe, make_recipe
from peftrec.recipe.shipped import load_recipe
from peftrec.serving.predictor import Predictor
from peftrec.tasks.dataset import build_dataset
from peftrec.tasks.kinds import resolve
from peftrec.training.defaults import settled
from peftrec.training.loop import train
from peftrec.training.optim import make_optimizer
from peftrec.training.order import make_streams
from peftrec.training.step import joint_backward
from peftrec.training.weighting import Static

BATCH = 16_384
# Times the events, times the items, and which rows share a batch (train.locality).
SIZES = [
    (1, 1, "none"),
    (10, 1, "none"),
    (100, 1, "none"),
    (1, 10, "none"),
    (1, 100, "none"),
    (1, 1, "user"),
    (1, 10, "user"),
    (1, 100, "user"),
]
MILLION, KINDS, EVENTS = 1_000_000, 997, 40_000


def grown(events: int, items: int) -> Tables:
    """MovieLens-100k's tables with so many times the events, drawn anew, and so many copies of every film."""
    real = load(None)
    items_of, events_of = real.one(Items), real.one(Events)
    assert events_of.time is not None
    random = np.random.default_rng(0)
    picked = np.sort(random.integers(0, len(events_of), len(events_of) * events))  # by user, as they were
    copy = random.integers(0, items, len(picked))
    users = len(events_of.user_ids) * events
    # As many more users, so that a history is as long as it was: the copies of a user follow each other.
    user = events_of.user[picked].astype(np.int64) * events + random.integers(0, events, len(picked))
    order = np.lexsort((time_of := events_of.time[picked] + random.random(len(picked)), user))
    named: dict[str, Table] = {
        "items": Items(
            [f"{name}-{n}" for n in range(items) for name in items_of.ids],
            [f"{text} {n}" if n else text for n in range(items) for text in items_of.texts],
        ),
        "events": Events(
            user[order].astype(np.int32),
            (events_of.item[picked] + copy * len(items_of)).astype(np.int32)[order],
            time_of[order],
            {"rating": events_of.columns["rating"][picked][order]},
            [str(n) for n in range(users)],
        ),
    }
    return Tables(named)


def growth(events: int, items: int, locality: str, steps: int = 4) -> dict[str, Any]:
    """Processor time an example of training steps in one thread, which neighbours hardly disturb, and peak memory."""
    raw = load_recipe("movielens-100k").model_dump()
    raw["backbone"] |= {"quantize": None, "dtype": "fp32"}
    raw["data"] |= {"history": 20, "split": {"kind": "global-time", "test": 0.2, "valid": 0}}
    raw["train"] |= {"batch_size": BATCH, "early_stopping": None, "locality": locality}
    recipe = make_recipe(raw | {"tasks": {"interest": raw["tasks"]["interest"]}})
    resolved = resolve(recipe)
    dataset = build_dataset(grown(events, items), resolved, recipe.data, 0)
    config = settled(recipe, dataset)
    model = build_model(recipe, resolved, load_backbone(recipe.backbone), dataset, config.dropout)
    if items > 1:
        generator = torch.Generator().manual_seed(0)

        def at_random(self: StateCache, rows: np.ndarray) -> torch.Tensor:
            return torch.randn(len(rows), *self._unit.shape[1:], generator=generator, dtype=self._unit.dtype)

        StateCache.compute = at_random  # type: ignore[method-assign]
    model.encoder.update()
    optimizer = make_optimizer(config, model.trainable(), {})
    tasks = {"interest": dataset.tasks["interest"].train}
    streams, _, _ = make_streams(recipe, config, dataset)
    torch.set_num_threads(1)
    before, seconds, accelerator = peak_memory_mb(), [], Accelerator()
    model.train()
    for step in range(steps + 1):
        started = time.process_time()
        rows = {"interest": streams["interest"].step(step)}
        joint_backward(model, tasks, rows, Static(torch.ones(1)), accelerator)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append((time.process_time() - started) / BATCH)
    return {
        "locality": locality,
        "events": len(dataset.tasks["interest"].train),
        "items": len(dataset.items["items"]),
        "unique_texts_an_example": model.work.encoded / ((steps + 1) * BATCH),
        "microseconds_an_example": 1e6 * statistics.median(seconds[1:]),
        "data_mb": before,
        "peak_memory_mb": peak_memory_mb(),
    }


class Shop:
    """A million items of `KINDS` kinds, and users who keep to two kinds each."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.liked = self.random.integers(0, KINDS, (2000, 2))

    def of_kinds(self, kinds: np.ndarray) -> np.ndarray:
        """One item a row, of one of its kinds (N, 2)."""
        of = kinds[np.arange(len(kinds)), self.random.integers(0, 2, len(kinds))]
        found: np.ndarray = of + KINDS * self.random.integers(0, MILLION // KINDS, len(kinds))
        return found

    def new_user(self) -> tuple[list[str], set[int]]:
        """A history of 20 things, and its two kinds."""
        kinds = self.random.integers(0, KINDS, (1, 2))
        return [str(i) for i in self.of_kinds(kinds.repeat(20, 0))], set(kinds[0].tolist())

    def recipe(self, folder: Path) -> Recipe:
        """A next-item run on it: a small random BERT, items and events, written into `folder`."""
        tokenizer = AutoTokenizer.from_pretrained(locate("sentence-transformers/all-MiniLM-L6-v2")[0])
        small = BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
        )
        BertModel(small).save_pretrained(folder / "bert")
        tokenizer.save_pretrained(folder / "bert")
        with (folder / "items.csv").open("w") as out:
            out.write("id,text\n")
            out.writelines(f"{n},thing {n % KINDS} of {n // KINDS}\n" for n in range(MILLION))
        with (folder / "events.csv").open("w") as out:
            out.write("user,item,time\n")
            users = self.random.integers(0, len(self.liked), EVENTS)
            items = self.of_kinds(self.liked[users])
            out.writelines(f"{u},{i},{t}\n" for t, (u, i) in enumerate(zip(users, items, strict=True), 1_600_000_000))
        return make_recipe(
            {
                "backbone": {"name": str(folder / "bert"), "max_length": 12},
                "adapter": {"method": "side", "sharing": "shared"},
                "data": {
                    "items": {"path": str(folder / "items.csv"), "id": "id", "text": "{text}"},
                    "events": {"path": str(folder / "events.csv"), "user": "user", "item": "item", "time": "time"},
                    "split": {"kind": "global-time", "test": 0.02, "valid": 0},
                },
                "tasks": {"next": {"kind": "next-item"}},
                "train": {"epochs": 10, "batch_size": 1024, "early_stopping": None},
            }
        )


def recommend(asks: int) -> dict[str, Any]:
    """A next-item run over a million items: milliseconds of `recommend` after loading, and memory."""
    shop = Shop()
    with tempfile.TemporaryDirectory() as place:
        run = train(shop.recipe(Path(place)), Path(place) / "run")
        started = time.perf_counter()
        predictor = Predictor.load(run)
        loaded = time.perf_counter() - started
        started = time.perf_counter()
        first = predictor.recommend("next", user="1", k=10)
        warmed = time.perf_counter() - started
        seconds, fitting = [], []
        for _ in range(asks):
            history, kinds = shop.new_user()
            started = time.perf_counter()
            ten = predictor.recommend("next", history=history, k=10)
            seconds.append(time.perf_counter() - started)
            fitting.append(sum(int(row["item"]) % KINDS in kinds for row in ten) / len(ten))
        started = time.perf_counter()
        predictor.recommend("next", history=[], approximate=True)
        indexed, quick, found = time.perf_counter() - started, [], []
        for _ in range(asks):
            history, _ = shop.new_user()
            exact = {row["item"] for row in predictor.recommend("next", history=history, k=10)}
            started = time.perf_counter()
            near = predictor.recommend("next", history=history, k=10, approximate=True)
            quick.append(time.perf_counter() - started)
            found.append(len(exact & {row["item"] for row in near}) / 10)
        again = predictor.predict("next", [{"user": "1", "item": row["item"]} for row in first])
        assert np.allclose([row["score"] for row in first], [row["score"] for row in again], atol=1e-3)
    return {
        "items": MILLION,
        "load_seconds": loaded,
        "first_recommend_seconds": warmed,
        "recommend_milliseconds": 1e3 * statistics.median(seconds),
        "recommend_milliseconds_95": 1e3 * float(np.quantile(seconds, 0.95)),
        "index_seconds": indexed,
        "approximate_milliseconds": 1e3 * statistics.median(quick),
        "approximate_recall": statistics.mean(found),
        "of_the_user_s_kinds": statistics.mean(fitting),
        "peak_memory_mb": peak_memory_mb(),
    }


def measure() -> dict[str, Any]:
    """Every size of log and catalogue, then the recommendation."""

    def child(**spec: Any) -> dict[str, Any]:
        print("measuring", spec, file=sys.stderr)
        return measured("studies.growth", spec)

    return {
        "growth": [child(events=events, items=items, locality=locality) for events, items, locality in SIZES],
        "recommend": child(asks=50),
        "environment": environment(),
    }


if __name__ == "__main__":
    answer(lambda spec: recommend(**spec) if "asks" in spec else growth(**spec))
