"""A log of users with habits: a share of what they choose is what they had before."""

import numpy as np
from shop import shop_recipe, write_csv

from peftrec.tasks.dataset import load_data
from peftrec.training.loop import train

ITEMS, USERS = 30, 40


def habits(shop, folder, again, timed=True):
    """The shop with users of ten events each, of which a share `again` is of an item that the user had before."""
    random = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        fresh, had = random.permutation(ITEMS).tolist(), []
        for place in range(10):
            item = had[random.integers(len(had))] if had and random.random() < again else fresh.pop()
            had.append(item)
            time = 1_600_000_000 + 86_400 * place + user
            rows.append({"user": f"u{user}", "item": f"i{item}", "time": time, "stars": int(random.integers(1, 6))})
    events = write_csv(folder / "events.csv", rows)
    columns = {"user": "user", "item": "item", "columns": ["stars"], **({"time": "time"} if timed else {})}
    return {
        "events": {"path": str(events), **columns},
        "split": {"kind": "global-time" if timed else "random", "test": 0.2, "valid": 0.2},
    }


def load(shop, data, **task):
    return load_data(shop_recipe(shop, data=data, tasks={"next": {"kind": "next-item", **task}}))


def runs_by_rule(shop, folders):
    """A short training on the log by each rule on repeats: `allow`, `exclude`."""
    found = {}
    for rule in ("allow", "exclude"):
        folder = folders.mktemp(rule)
        tasks = {"next": {"kind": "next-item", "repeats": rule}}
        recipe = shop_recipe(shop, data=habits(shop, folder, 0.3), tasks=tasks, train={"epochs": 1, "batch_size": 128})
        found[rule] = train(recipe, folder / "run")
    return found


def past_of(examples, row):
    """The items that a row's user met before it, read off the log one event at a time."""
    log, user = examples.log, int(examples.users[row])
    events = range(int(log.user_start[user]), int(log.user_start[user + 1]))
    if examples.own is None:
        return [int(log.items[e]) for e in events if log.times[e] < examples.time[row]]
    return [int(log.items[e]) for e in events if e != examples.own[row]]
