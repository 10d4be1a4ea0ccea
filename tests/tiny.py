"""A tiny random BERT on disk and a little data in its words: whole trainings in a second, for tests of the loop."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from minimal import QUICK
from shop import write_csv

from peftrec.model.backbone.families import tiny_config, tiny_model, tiny_tokenizer
from peftrec.recipe import Recipe, make_recipe

LORA = {"method": "lora", "options": {"r": 2, "lora_dropout": 0.1}}
THREE = {
    "query": {"kind": "match-query"},
    "interest": {"kind": "interest", "column": "stars", "threshold": 4, "weight": 0.5},
    "time": {"kind": "next-gap", "weight": 0.3},
}


def make_tiny_shop(folder: Path, users: int = 16, queries: int = 80, layers: int = 2) -> Path:
    """model/, items.csv, events.csv and queries.csv in `folder`, returned; texts are words of the tiny tokenizer.

    Each of the users has eight events. Only with hundreds of users do several threads share a step's sums.
    """
    config = tiny_config("BERT", layers)
    tiny_model(config).save_pretrained(folder / "model")
    tiny_tokenizer(config.pad_token_id).save_pretrained(folder / "model")
    random = np.random.default_rng(0)
    items = [{"id": f"i{n}", "title": " ".join(f"w{w}" for w in random.integers(0, 120, 3))} for n in range(20)]
    events, asked = [], []
    for user in range(users):
        times = 1_600_000_000 + np.cumsum(random.integers(60, 90_000, 8))
        for time, n in zip(times, random.permutation(20)[:8], strict=True):
            events.append({"user": f"u{user}", "item": f"i{n}", "time": int(time), "stars": int(random.integers(1, 6))})
    for n in range(queries):
        word, match = items[n % 20]["title"].split()[n % 3], int(random.integers(0, 2))
        asked.append({"query": f"{word} w{n}", "item": f"i{(n + 7 * (1 - match)) % 20}", "match": match})
    for name, rows in (("items", items), ("events", events), ("queries", asked)):
        write_csv(folder / f"{name}.csv", rows)
    return folder


def tiny_recipe(folder: Path, **changes: object) -> Recipe:
    """Two tasks, 12 steps in 3 epochs, dropout on, no checkpoint; `changes` replace whole groups, or are merged into
    `train`; `item_features` are the items' table's."""
    events = {"user": "user", "item": "item", "time": "time", "columns": ["stars"]}
    queries = {"text": "{query}", "item": "item", "label": "match"}
    raw: dict = {
        "backbone": {"name": str(folder / "model"), "dtype": "fp32", "max_length": 16},
        "adapter": LORA,
        "data": {
            "items": {"path": str(folder / "items.csv"), "id": "id", "text": "{title}"},
            "events": {"path": str(folder / "events.csv"), **events},
            "queries": {"path": str(folder / "queries.csv"), **queries},
            "split": {"kind": "global-time", "test": 0.2, "valid": 0.2},
            "history": 5,
        },
        "tasks": {
            "query": {"kind": "match-query"},
            "interest": {"kind": "interest", "column": "stars", "threshold": 4, "weight": 0.5},
        },
        "train": {**QUICK, "epochs": 3, "batch_size": 32, "lr": 1e-2, "checkpoint": {"every": "1000 steps"}},
    }
    raw["data"]["items"]["features"] = changes.pop("item_features", {})
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if key == "train" else value
    return make_recipe(raw)


def kept_recipe(folder: Path, **changes: Any) -> Recipe:
    """`tiny_recipe` with a checkpoint after every third step."""
    train = {"checkpoint": {"every": "3 steps"}, **changes.pop("train", {})}
    return tiny_recipe(folder, train=train, **changes)


def prepared(folder: Path, **changes: object) -> Any:
    """What training the recipe begins with, all states computed."""
    from peftrec.training.prepare import prepare

    setup = prepare(tiny_recipe(folder, **changes))
    setup.model.encoder.update()
    return setup


def train_tiny(folder: Path, run: Path, threads: int = 1, batch_size: int = 32) -> None:
    """Train for five epochs, 20 steps, with a checkpoint after each, continuing when there is something to continue."""
    import torch
    from quick import quicken
    from tqdm import tqdm

    from peftrec.training.loop import train

    quicken(pytest.MonkeyPatch())  # its process is its own
    torch.set_num_threads(threads)
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a killed process leaves behind
    recipe = tiny_recipe(folder, train={"epochs": 5, "batch_size": batch_size, "checkpoint": {"every": "1 step"}})
    train(recipe, run, resume=(run.parent / f".{run.name}.partial").exists())


def at_step(monkeypatch, wanted: int, happens: Callable[[], object]) -> None:
    """Let something happen when optimiser step `wanted`, from 0, begins."""
    import peftrec.training.step

    kept = peftrec.training.step.lr_factor

    def lr_factor(config, step, total, cooldown=None):
        if step == wanted:
            happens()
        return kept(config, step, total, cooldown)

    monkeypatch.setattr(peftrec.training.step, "lr_factor", lr_factor)


def fail() -> None:
    """What may happen at a step."""
    raise RuntimeError("power cut")


@contextmanager
def cut_after(monkeypatch, steps: int) -> Iterator[None]:
    """The power is cut inside the block once so many optimiser steps are made."""
    import peftrec.training.loop

    kept, made = peftrec.training.loop.one_step, []

    def one_step(*given):
        if len(made) == steps:
            fail()
        made.append(given[1])
        return kept(*given)

    with monkeypatch.context() as patch:
        patch.setattr(peftrec.training.loop, "one_step", one_step)
        with pytest.raises(RuntimeError, match="power cut"):
            yield


def trained_files(run: Path) -> dict:
    """Every file of a run that does not tell the time, and what metrics.jsonl holds beside speed and memory."""
    files = {
        file.relative_to(run).as_posix(): file.read_bytes()
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name not in ("report.json", "manifest.json")
    }
    return files | {"metrics.jsonl": repeatable(map(json.loads, files["metrics.jsonl"].splitlines()))}


def repeatable(lines: Iterable[dict]) -> list[dict]:
    """Lines of metrics.jsonl without what differs when a training is repeated."""
    measured = ("examples_per_second", "memory_mb")
    return [{key: value for key, value in line.items() if key not in measured} for line in lines]
