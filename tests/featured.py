"""A small shop in which nothing but features decides, and recipes on it."""

from pathlib import Path
from typing import Any

import numpy as np
from minimal import QUICK
from shop import write_csv
from tiny import make_tiny_shop

from peftrec.recipe import Recipe, make_recipe

LIMITS = {"acme": 40, "zeta": 10, "nova": 20, "orbit": 25}  # of each brand: what is cheap
LOVED = {"de": "acme", "fr": "zeta", "jp": "nova", "us": "orbit"}  # in each country: the brand that people choose
FEATURES = {
    "items": {"price": "number", "brand": "category"},
    "users": {"age": "number", "country": "category"},
    "events": {"hour": "number", "device": "category"},
}


def make_featured_shop(folder: Path, rows: int = 600) -> Path:
    """model/, items.csv, users.csv, events.csv and queries.csv in `folder`, returned.

    Every user chooses one item, of the brand that the country loves, and no item is chosen twice, so that no rate says
    anything; the titles are words at random.
    Columns of events depend on features alone: `cheap` on price and brand of the item, `young` on the age of the user,
    `mobile` on device and hour of the event. Items 3, 43, 83 and so on have no price, items 4, 44 and so on no brand,
    users 5, 45 and so on no age, and the last user no row. An item matches the one query about it if it is cheap.
    """
    make_tiny_shop(folder)
    random = np.random.default_rng(0)
    price, brand = random.lognormal(3, 0.7, rows).round(2), random.choice(list(LIMITS), rows)
    age, country = random.integers(18, 80, rows), [next(c for c, of in LOVED.items() if of == name) for name in brand]
    hour, device = random.integers(0, 24, rows), random.choice(("phone", "desk"), rows)
    word = random.integers(0, 120, (rows, 3))
    goods: list[dict[str, Any]] = [
        {"id": f"i{n}", "title": " ".join(f"w{w}" for w in word[n]), "price": price[n], "brand": brand[n]}
        for n in range(rows)
    ]
    people: list[dict[str, Any]] = [{"id": f"u{n}", "age": age[n], "country": country[n]} for n in range(rows - 1)]
    for n in range(0, rows - 40, 40):
        goods[n + 3]["price"], goods[n + 4]["brand"], people[n + 5]["age"] = "", "", ""
    events = [
        {
            "user": f"u{n}",
            "item": f"i{n}",
            "time": 1_600_000_000 + 1000 * int(time),
            "hour": hour[n],
            "device": device[n],
        }
        | {
            "cheap": int(price[n] < LIMITS[brand[n]]),
            "young": int(age[n] < 45),
            "mobile": int(device[n] == "phone" and hour[n] < 16),
        }
        for n, time in enumerate(random.permutation(rows))
    ]
    queries = [
        {"query": f"w{word[n - 1][0]} w{n % 7}", "item": f"i{n}", "match": int(price[n] < LIMITS[brand[n]])}
        | {"asker": f"u{n}", "grown": int(age[n] >= 45)}
        for n in range(rows)
    ]
    for name, of in (("items", goods), ("users", people), ("events", events), ("queries", queries)):
        write_csv(folder / f"{name}.csv", of)
    return folder


def featured_recipe(folder: Path, features: dict[str, dict[str, str]] = FEATURES, **changes: Any) -> Recipe:
    """`cheap`, `young` and `mobile` are tasks; `changes` replace groups, or are merged into `data` and `train`."""
    columns = {"user": "user", "item": "item", "time": "time", "columns": ["cheap", "young", "mobile"]}
    data: dict[str, Any] = {
        "items": {"path": str(folder / "items.csv"), "id": "id", "text": "{title}"},
        "users": {"path": str(folder / "users.csv"), "id": "id"},
        "events": {"path": str(folder / "events.csv"), **columns},
        "queries": {"path": str(folder / "queries.csv"), "text": "{query}", "item": "item", "label": "match"},
        "split": {"kind": "global-time", "test": 0.3, "valid": 0.1},
        "history": 3,
    }
    for name, of in features.items():
        data[name]["features"] = of
    raw: dict[str, Any] = {
        "backbone": {"name": str(folder / "model"), "dtype": "fp32", "max_length": 16},
        "adapter": {"method": "head_only"},
        "data": data,
        "tasks": {name: {"kind": "interest", "column": name} for name in ("cheap", "young", "mobile")},
        "train": {**QUICK, "epochs": 10, "batch_size": 128, "lr": 2e-2},
    }
    for key, value in changes.items():
        raw[key] = {**raw[key], **value} if key in ("train", "data") else value
    return make_recipe(raw)
