"""Lists that were shown to users, of whom each clicks what is of one of two tastes, and a run trained on them."""

from pathlib import Path

import numpy as np
from minimal import QUICK
from shop import MINILM, write_csv

from peftrec.recipe import Recipe, make_recipe

START = 1_600_000_000
FOODS = ["apple cake", "bread with butter", "cheese soup", "fish stew", "tomato pasta", "roast chicken"]
GAMES = ["football match", "tennis final", "chess open", "rugby derby", "cycling race", "swimming record"]


def make_shown(folder: Path, users: int = 40, each: int = 12) -> Path:
    """news.csv and shown.csv in `folder`, returned.

    A user of even number likes food, of odd number games. A list holds two items of each taste; of those to the user's
    taste one is clicked in nine of ten lists, or else one of the others. Which items are shown more is unrelated. A
    user's first two clicks stand in no list, and a last user never clicks at all.
    """
    random, names = np.random.default_rng(0), [*FOODS, *GAMES]
    items = [{"id": f"n{n}", "title": name} for n, name in enumerate(names)]
    rows: list[dict] = []

    def row(user: int, item: int, time: int, number: int | str, hit: bool) -> dict:
        return {"who": f"u{user}", "what": f"n{item}", "at": START + time, "list": number, "hit": int(hit)}

    for user in range(users):
        mine = np.arange(6) + 6 * (user % 2)
        rows += [row(user, item, n, "", True) for n, item in enumerate(random.permutation(mine)[:2].tolist())]
    for number in range(users * each + 3):
        user = number % users if number < users * each else users
        chosen = np.concatenate([random.permutation(6)[:2], 6 + random.permutation(6)[:2]])
        own = user % 2 if random.random() < 0.9 else 1 - user % 2
        click = -1 if user == users else chosen[2 * own + random.integers(2)]
        for item in random.permutation(chosen).tolist():
            rows.append(row(user, item, 1000 + 60 * number + number // users % 3, f"s{number}", item == click))
    write_csv(folder / "news.csv", items)
    write_csv(folder / "shown.csv", rows)
    return folder


def shown_recipe(folder: Path, tasks: dict | None = None, epochs: int = 4, **events: object) -> Recipe:
    """Interest in what is shown; `events` over the table's keys."""
    table = {
        "path": str(folder / "shown.csv"),
        **{"user": "who", "item": "what", "time": "at", "clicked": "hit", "impression": "list"},
        **events,
    }
    return make_recipe(
        {
            "backbone": {"name": MINILM, "dtype": "fp32"},
            "adapter": {"method": "head_only"},
            "data": {
                "items": {"path": str(folder / "news.csv"), "id": "id", "text": "{title}"},
                "events": table,
                "split": {"kind": "global-time", "test": 0.3, "valid": 0.1},
            },
            "tasks": tasks or {"click": {"kind": "interest"}},
            "train": {**QUICK, "epochs": epochs, "batch_size": 128, "lr": 3e-3},
        }
    )
