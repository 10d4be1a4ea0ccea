"""A shop with several tables of each sort, and a recipe whose tasks each name theirs."""

from pathlib import Path

import numpy as np
from minimal import QUICK
from shop import write_csv
from tiny import make_tiny_shop

from peftrec.recipe import Recipe, make_recipe

START = 1_600_000_000


def make_several(folder: Path) -> Path:
    """model/ and goods, books, people, clicks, purchases, friends, loans, searches and news in `folder`, returned."""
    make_tiny_shop(folder)
    random = np.random.default_rng(1)

    def words() -> str:
        return " ".join(f"w{w}" for w in random.integers(0, 120, 3))

    def some(user: str, item: str, count: int, **columns: int) -> list[dict]:
        chosen = zip(random.integers(0, 16, count), random.integers(0, 20, count), strict=True)
        rows = [{"who": f"u{u}", "what": f"{item}{n}"} for u, n in chosen]
        times = START + np.sort(random.integers(0, 10**7, count))
        drawn = {name: random.integers(1, most + 1, count) for name, most in columns.items()}
        return [
            {**row, "at": int(t), **{c: int(v[n]) for c, v in drawn.items()}}
            for n, (row, t) in enumerate(zip(rows, times, strict=True))
        ]

    files = {
        "goods": [{"sku": f"g{n}", "title": words()} for n in range(20)],
        "books": [{"isbn": f"b{n}", "title": words()} for n in range(20)],
        "people": [{"name": f"u{n}", "bio": words(), "age": 20 + n} for n in range(20)],
        "clicks": some("u", "g", 150, seconds=90),
        "purchases": some("u", "g", 120, quantity=5),
        "loans": some("u", "b", 120, stars=5),
        "friends": [{"a": f"u{a}", "b": f"u{b}"} for a in range(16) for b in random.permutation(20)[:6] if a != b],
        "searches": [
            {"q": words(), "what": f"g{n % 20}", "grade": int(random.integers(0, 3)), "who": f"u{n % 18}"}
            for n in range(80)
        ],
        "news": [
            {
                "title": words(),
                "topic": "abc"[n % 3] if n % 4 else "",
                "mood": "good" if random.random() < 0.5 else "bad",
                "price": str(random.integers(1, 99)) if n % 5 else "",
            }
            for n in range(90)
        ],
    }
    for name, rows in files.items():
        write_csv(folder / f"{name}.csv", rows)
    return folder


TASKS = {
    "buy": {
        "kind": "interest",
        "table": "purchases",
        "history": ["clicks", "purchases"],
        "column": "quantity",
        "threshold": 3,
    },
    "again": {"kind": "next-gap", "table": "clicks", "history": ["clicks", "purchases"]},
    "next": {"kind": "next-item", "table": "clicks", "history": ["clicks", "purchases"]},
    "read": {"kind": "interest", "table": "loans", "column": "stars", "threshold": 3},
    "befriend": {"kind": "next-item", "table": "friends"},
    "match": {"kind": "match-query"},
    "topic": {"kind": "classification", "label": "topic"},
    "mood": {"kind": "classification", "label": "mood"},
    "price": {"kind": "regression", "label": "price"},
}


def several_recipe(folder: Path, tasks: dict | None = None, tables: dict | None = None) -> Recipe:
    """The recipe; `tasks` instead of all, `tables` over those that are there."""
    event = {"kind": "events", "user": "who", "item": "what", "time": "at"}
    named = {
        "goods": {"kind": "items", "id": "sku", "text": "{title}"},
        "books": {"kind": "items", "id": "isbn", "text": "{title}"},
        "people": {"kind": "users", "id": "name", "text": "{bio}"},
        "clicks": {**event, "items": "goods", "columns": ["seconds"]},
        "purchases": {**event, "items": "goods", "columns": ["quantity"]},
        "loans": {**event, "items": "books", "columns": ["stars"]},
        "friends": {"kind": "events", "user": "a", "item": "b", "items": "people"},
        "searches": {"kind": "queries", "text": "{q}", "item": "what", "label": "grade", "items": "goods"},
        "news": {"kind": "texts", "text": "{title}"},
    }
    named = {
        name: {"path": str(folder / f"{name}.csv"), **of, **(tables or {}).get(name, {})} for name, of in named.items()
    }
    return make_recipe(
        {
            "backbone": {"name": str(folder / "model"), "dtype": "fp32", "max_length": 16},
            "adapter": {"method": "side", "sharing": "shared"},
            "data": {"tables": named, "history": 5},
            "tasks": TASKS if tasks is None else tasks,
            "train": {**QUICK, "epochs": 2, "batch_size": 128, "lr": 1e-2},
        }
    )
