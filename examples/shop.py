"""E-commerce: a customer in; what they will buy again, what to show them that is new, and when they will order out.

    peftrec train shop data.events.path=FILE ... --run runs/shop         # as recipes/shop.yaml says
    python examples/shop.py runs/shop 12347 17850            # without a customer: one a line on stdin

`again` ranks the articles that the customer had, by the task `next`; `new` all others, by the task `new`; both beside
what `bulk` says, by the weighed sum. The next order comes after the last one by as long as `return` foresees from it.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd

import peftrec


class Shop:
    """A run of the recipe `shop`, and the order lines that it was trained on."""

    def __init__(self, run: Path, bulk: float = 1.0) -> None:
        self.predictor, self.bulk = peftrec.Predictor.load(run), bulk
        table = peftrec.load_recipe(str(run / "run.yaml")).data.events
        assert table is not None and table.time is not None
        lines = pd.read_parquet(table.path) if table.path.endswith(".parquet") else pd.read_csv(table.path)
        lines = lines[[table.user, table.item, table.time]].set_axis(["user", "item", "time"], axis=1)
        lines = lines.astype({"user": str, "item": str}).assign(time=pd.to_datetime(lines["time"], utc=True))
        self.lines = lines.sort_values("time", kind="stable")

    def customer(self, user: str, k: int = 5, diversity: float = 0.0) -> dict[str, Any]:
        """What a customer is shown: {"customer", "again", "new", "last_order", "next_order", "days"}."""
        own = self.lines[self.lines["user"] == user]
        if own.empty:
            raise peftrec.UserError(f"no customer {user!r} in the order lines")
        had, row = own["item"].unique().tolist(), [{"user": user}]
        (again,) = self.predictor.rank({"next": 1.0, "bulk": self.bulk}, row, min(k, len(had)), candidates=had)
        (new,) = self.predictor.rank({"new": 1.0, "bulk": self.bulk}, row, k, exclude=had, diversity=diversity)
        last = own.iloc[-1]
        (found,) = self.predictor.predict(
            "return", [{"user": user, "item": last["item"], "time": last["time"].timestamp()}]
        )
        next_order = last["time"] + timedelta(seconds=found["seconds"])
        return {
            "customer": user,
            "again": shown(again),
            "new": shown(new),
            "last_order": f"{last['time']:%Y-%m-%d}",
            "next_order": f"{next_order:%Y-%m-%d}",
            "days": round(found["seconds"] / 86_400, 1),
        }


def shown(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items as they are printed: what each task says beside the sum."""
    return [
        {"item": of["item"], "text": of["text"], "score": round(of["score"], 2)}
        | {name: round(score, 2) for name, score in of["scores"].items()}
        for of in items
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `shop`")
    parser.add_argument("customer", nargs="*")
    parser.add_argument("-k", type=int, default=5, help="articles a list")
    parser.add_argument("--bulk", type=float, default=1.0, help="what taking a dozen counts beside being bought")
    parser.add_argument("--diversity", type=float, default=0.0, help="0 to 1: how unlike each other new articles are")
    options = parser.parse_intermixed_args()
    shop = Shop(options.run, options.bulk)
    asked: Iterable[str] = options.customer or map(str.strip, sys.stdin)
    try:
        for customer in filter(None, asked):
            found = shop.customer(customer, options.k, options.diversity)
            print(json.dumps(found, ensure_ascii=False), flush=True)
    except peftrec.UserError as error:
        sys.exit(str(error))
