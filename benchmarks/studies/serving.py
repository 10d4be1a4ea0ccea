"""What the service holds: speed by clients, answers over swaps, a full queue, memory, many resident adapters.

The clients are this process's, over loopback to `peftrec serve` in one of its own, on one thread. Load: MovieLens-100k
with the side network. Swaps, queue and memory: a shop of 100 items with MiniLM, one run by LoRA on the top two layers
and one by the side network. Adapters: copies of those two runs over one backbone (`resident`).
"""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.children import commit, measured
from benchmarks.studies.asking import NEXT, QUICK
from benchmarks.studies.loading import Answer, Client, ask_all, milliseconds, resident_mb, service
from peftrec.machine.environment import environment
from peftrec.recipe import Recipe, make_recipe
from peftrec.recipe.shipped import load_recipe
from peftrec.serving.predictor import Predictor
from peftrec.training.loop import train

CLIENTS = (1, 4, 16)
CANDIDATES, ITEMS = 100, 100
TASK = "interest"
COLOURS = ["red", "blue", "green", "white", "black", "golden", "small", "large", "old", "new"]
THINGS = ["table", "lamp", "chair", "shelf", "box", "cup", "plate", "knife", "clock", "bag"]
WORDS = COLOURS + THINGS
METHODS = {"lora": {"method": "lora", "layers": "top-2"}, "side": {"method": "side"}}
QUEUE, TOGETHER = 8, 64  # rows that may wait, and requests at once, of the service whose queue is filled
COUNTS = (1, 10, 100, 1000)  # of PEFT's no thousand: each takes longer to load than the one before


def measure(rounds: int) -> dict[str, Any]:
    """Load, swaps, a full queue, memory and adapters; a round is 1,000 requests over 10 swaps, 100 of each load."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _note("training")
        raw = load_recipe("movielens-100k", QUICK).model_dump()
        recipe = make_recipe(raw | {"tasks": {TASK: raw["tasks"][TASK], "next": NEXT}})
        films = train(recipe, folder / "films" / "movielens-100k")
        shop = _make_shop(folder)
        runs = {name: train(_shop_recipe(shop, adapter), folder / "runs" / name) for name, adapter in METHODS.items()}
        found = {"load": _load(films, folder, rounds), "swaps": _swaps(runs, folder, rounds)}
        found |= {"queue": _queue(runs, folder), "memory": _memory(runs, folder)}
        _note("many adapters")
        counts = [count for count in COUNTS if count <= 100 * rounds]
        asked = {"task": TASK, "requests": 100}
        resident = [
            {
                "way": way,
                "method": name,
                **measured("studies.resident", asked | {"way": way, "run": str(runs[name]), "counts": of}),
            }
            for way, name, of in (
                ("peftrec", "lora", counts),
                ("peftrec", "side", counts),
                ("peft", "lora", counts[:3]),
            )
        ]
    about = {"commit": commit(), "environment": environment(), "cores": os.cpu_count()}
    return {"rounds": rounds, **about, **found, "resident": resident}


def _load(films: Path, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Requests a second and milliseconds of each, by what is asked and how many ask at once."""
    _note("load")
    predictor, random = Predictor.load(films), np.random.default_rng(0)
    ids, users = predictor.run.items_of(TASK).ids, predictor.run.logs[TASK].user_ids

    def some(count: int) -> list[str]:
        return [ids[n] for n in random.choice(len(ids), count, replace=False)]

    def asked(kind: str) -> tuple[str, Any]:
        user = users[random.integers(len(users))]
        if kind == "a row":
            return f"/v1/tasks/{TASK}/predict", {"rows": [{"user": user, "item": some(1)[0]}]}
        if kind == "a row with a new text":
            return f"/v1/tasks/{TASK}/predict", {"rows": [{"user": user, "item_text": f"{random.random()} (1999)"}]}
        if kind == "100 candidates":
            return f"/v1/tasks/{TASK}/recommend", {"user": user, "candidates": some(CANDIDATES)}
        return "/v1/tasks/next/recommend", {"user": user}

    found = []
    with service(films.parent, folder) as port:
        for kind in ("a row", "a row with a new text", "100 candidates", "10 of the catalogue"):
            ask_all(port, 1, [asked(kind) for _ in range(5)])
            for clients in CLIENTS:
                answers, whole = ask_all(port, clients, [asked(kind) for _ in range(100 * min(rounds, 10))])
                _check(answers)
                row = {"asked": kind, "clients": clients, "per_second": round(len(answers) / whole, 1)}
                found.append({**row, **milliseconds([answer.seconds for answer in answers])})
    return found


def _swaps(runs: dict[str, Path], folder: Path, rounds: int) -> dict[str, Any]:
    """Requests to two runs while each is loaded again and again in its own place: how many failed, or were wrong."""
    _note("swaps")
    rows = [{"history": [f"i{n}", f"i{n + 1}"], "item": f"i{n + 2}"} for n in range(50)]
    expected = {name: Predictor.load(run).predict(TASK, rows) for name, run in runs.items()}
    names, wanted = list(runs), 10 * rounds
    failed = wrong = asked = swaps = 0
    swapping, off = [], 0.0
    with service(folder / "runs", folder) as port:
        administers = Client(port)
        while swaps < wanted:
            batch = [(names[n % 2], (n * 7) % 46) for n in range(100)]
            with _loading(administers, names[swaps % 2]) as swapped:
                answers, _ = ask_all(
                    port, 4, [(f"/v1/tasks/{TASK}/predict?run={name}", {"rows": rows[n : n + 4]}) for name, n in batch]
                )
            swapping.append(swapped[0].seconds)
            failed += sum(answer.status != 200 for answer in answers) + (swapped[0].status != 200)
            for (name, n), answer in zip(batch, answers, strict=True):
                if answer.status == 200:
                    pairs = zip(answer.value["predictions"], expected[name][n : n + 4], strict=True)
                    off = max(off, largest := max(abs(one["score"] - other["score"]) for one, other in pairs))
                    wrong += largest > 1e-6
            asked += len(answers)
            swaps += 1
    found = {"requests": asked, "swaps": swaps, "failed": failed, "wrong": wrong, "largest": off}
    return {**found, "load_ms": milliseconds(swapping)}


@contextmanager
def _loading(client: Client, run: str) -> Iterator[list[Answer]]:
    """Meanwhile the service loads a run; afterwards the list has what it answered."""
    found: list[Answer] = []
    thread = threading.Thread(target=lambda: found.append(client.ask(f"/v2/repository/models/{run}/load", {})))
    thread.start()
    yield found
    thread.join()


def _queue(runs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Many more rows at once than may wait: each is answered, or refused at once."""
    _note("a full queue")
    body = {"rows": [{"history": ["i1"], "item": f"i{n}"} for n in range(QUEUE)]}
    with service(folder / "runs", folder, "--queue-rows", str(QUEUE), "--max-rows", str(QUEUE)) as port:
        answers, _ = ask_all(port, 16, [(f"/v1/tasks/{TASK}/predict?run=lora", body)] * TOGETHER)
        too_many = Client(port).ask(f"/v1/tasks/{TASK}/predict", {"rows": [*body["rows"], body["rows"][0]]})
    by_status = {str(code): sum(answer.status == code for answer in answers) for code in (200, 429)}
    expected = Predictor.load(runs["lora"]).predict(TASK, body["rows"])
    right = sum(
        all(
            abs(one["score"] - other["score"]) < 1e-6
            for one, other in zip(of.value["predictions"], expected, strict=True)
        )
        for of in answers
        if of.status == 200
    )
    return {"asked": TOGETHER, "rows": QUEUE, "right": right, "one_more": too_many.status, **by_status}


def _memory(runs: dict[str, Path], folder: Path) -> list[dict[str, Any]]:
    """Megabytes of the service after so many texts that nobody asked about before, ten times as many as it keeps."""
    _note("memory")
    found = []
    with service(folder / "runs", folder) as port:
        count = 0
        for until in (1000, 2500, 5000, 7500, 10_000):
            batches = []
            while count < until:
                rows = [{"history": [], "item_text": f"{WORDS[n % 20]} number {n}"} for n in range(count, count + 100)]
                batches.append((f"/v1/tasks/{TASK}/predict?run=side", {"rows": rows}))
                count += 100
            _check(ask_all(port, 1, batches)[0])
            found.append({"texts": count, "mb": round(resident_mb(port), 1)})
    return found


def _make_shop(folder: Path) -> Path:
    """items.csv and events.csv: who likes one word of the titles."""
    random, shop = np.random.default_rng(0), folder / "shop"
    shop.mkdir()
    titles = [" ".join(random.choice(WORDS, 3, replace=False)) for _ in range(ITEMS)]
    (shop / "items.csv").write_text("id,title\n" + "".join(f"i{n},{title}\n" for n, title in enumerate(titles)))
    (shop / "events.csv").write_text("user,item,time,stars\n" + "".join(_events(random, titles)))
    return shop


def _events(random: np.random.Generator, titles: list[str]) -> Iterator[str]:
    for user in range(200):
        times = 1_600_000_000 + np.cumsum(random.integers(60, 90_000, 12))
        for time, n in zip(times, random.choice(ITEMS, 12, replace=False), strict=True):
            yield f"u{user},i{n},{time},{5 if WORDS[user % 20] in titles[n] else 2}\n"


def _shop_recipe(shop: Path, adapter: dict[str, Any]) -> Recipe:
    events = {"path": str(shop / "events.csv"), "user": "user", "item": "item", "time": "time", "columns": ["stars"]}
    return make_recipe(
        {
            "backbone": {"name": "sentence-transformers/all-MiniLM-L6-v2", "dtype": "fp32"},
            "adapter": adapter,
            "data": {
                "items": {"path": str(shop / "items.csv"), "id": "id", "text": "{title}"},
                "events": events,
                "split": {"kind": "global-time", "test": 0.2, "valid": 0.1},
            },
            "tasks": {TASK: {"kind": "interest", "column": "stars", "threshold": 4}},
            "train": {"epochs": 1, "batch_size": 512, "lr": 1e-3},
        }
    )


def _check(answers: list[Answer]) -> None:
    if wrong := [answer for answer in answers if answer.status != 200]:
        raise SystemExit(f"{len(wrong)} of {len(answers)} were not answered, the first: {wrong[0]}")


def _note(what: str) -> None:
    print(what, flush=True)
