"""examples/shop.py over a run of the shipped recipe, on made order lines of the form of its data."""

import json
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import warm
from pages import ROOT, load
from shop import write_csv
from tiny import make_tiny_shop

from peftrec.errors import UserError
from peftrec.recipe import load_recipe
from peftrec.recipe.shipped import find_recipe
from peftrec.training.loop import train

FILE = ROOT / "examples" / "shop.py"
BEGIN = datetime(2011, 1, 3, 9)  # of no zone, as the published file's
EVERY = (2, 5, 10)  # days between the orders of a customer


@pytest.fixture(scope="module")
def shop():
    return load(FILE)


@pytest.fixture(scope="module")
def run(tmp_path_factory, quick):
    """18 customers: each has a staple in every order, and orders at a distance of their own; half take dozens."""
    folder, random = make_tiny_shop(tmp_path_factory.mktemp("orders")), np.random.default_rng(0)
    items = [{"item_id": f"a{n}", "title": f"w{n} w{n + 40}", "price": 1.0 + n % 7} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(items), folder / "items.parquet")
    write_csv(folder / "users.csv", [{"user_id": u, "country": ("Iceland", "Peru")[u % 2]} for u in range(18)])
    lines = []
    for user in range(18):
        for order in range(200 // EVERY[user % 3]):
            time = BEGIN + timedelta(days=EVERY[user % 3] * order, hours=user % 5)
            for item in {user % 10, *random.integers(10, 40, 2).tolist()}:
                quantity = 12 if user % 2 else int(random.integers(1, 12))
                lines.append({"user_id": user, "item_id": f"a{item}", "time": time, "quantity": quantity, "price": 1.0})
    pq.write_table(pa.Table.from_pylist(lines), folder / "events.parquet")
    changes = [f"data.{of}.path={folder}/{of}.parquet" for of in ("events", "items")]
    changes += [
        f"data.tables.orders.path={folder}/events.parquet",
        f"data.users.path={folder}/users.csv",
        f"backbone.name={folder}/model",
        "train.batch_size=128",
    ]
    return train(load_recipe(find_recipe("shop"), changes), folder / "run")


def test_the_recipe_learns_what_when_and_how_much(run):
    tasks = json.loads((run / "report.json").read_text())["tasks"]
    repeats, new = (tasks["next"]["slices"]["repeats"][part]["metrics"]["hr@10"] for part in ("repeats", "new"))
    assert repeats > 0.5 > new and "slices" not in tasks["new"]
    assert tasks["bulk"]["metrics"]["auc"] > 0.95 and set(tasks["bulk"]["metrics"]) >= {"auc", "gauc"}
    assert tasks["return"]["metrics"]["mae"] < 0.3


def test_a_customer_gets_both_lists_and_a_date(shop, run):
    desk = shop.Shop(run)
    for user in (4, 11):  # every fifth and every tenth day
        found = desk.customer(str(user), 3)
        assert found["again"][0]["item"] == f"a{user % 10}" and len(found["again"]) == len(found["new"]) == 3
        had = set(desk.lines.loc[desk.lines["user"] == str(user), "item"])
        assert {of["item"] for of in found["again"]} <= had and not {of["item"] for of in found["new"]} & had
        for task, several in (("next", found["again"]), ("new", found["new"])):
            for of in several:
                assert of["score"] == pytest.approx(of[task] + of["bulk"], abs=0.02)
        days = datetime.fromisoformat(found["next_order"]) - datetime.fromisoformat(found["last_order"])
        assert days.days == pytest.approx(found["days"], abs=1) and found["days"] == pytest.approx(
            EVERY[user % 3], rel=0.4
        )
    with pytest.raises(UserError, match="no customer '99' in the order lines"):
        desk.customer("99")


def test_the_program_reads_its_arguments_or_lines(run):
    given = "3\n\n99\n"
    done = warm.run(FILE, run, "-k", 2, input=given)
    assert [json.loads(line)["customer"] for line in done.stdout.splitlines()] == ["3"]
    assert done.returncode == 1 and done.stderr.endswith("no customer '99' in the order lines\n")
