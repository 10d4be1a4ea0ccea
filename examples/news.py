"""News: a reader in; their front page out, and when they will be back to read it.

    peftrec train news data.path=MINDsmall_train --run runs/news
    python examples/news.py runs/news U13740                      # without a reader: one a line on stdin
    python examples/news.py runs/news U13740 --fresh titles.txt   # with news that nobody has seen yet, one a line

Of the news that came up in the last hours of the log, and the fresh ones, the likeliest to be clicked stand first, at
most a few of one section. A fresh one is of the section that the task `category` reads in its text. The next
visit comes after the reader's last click by as long as the task `visit` foresees.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peftrec

HOUR = 3600


class FrontPage:
    """A run of the recipe `news`, and when each news of its log first came up."""

    def __init__(self, run: Path, fresh: list[str]) -> None:
        self.predictor = peftrec.Predictor.load(run)
        folder = Path(peftrec.load_recipe(str(run / "run.yaml")).data.path or "")
        self.section, self.title = {}, {}
        for line in (folder / "news.tsv").read_text(encoding="utf-8").splitlines():
            news, self.section[news], _, self.title[news] = line.split("\t")[:4]
        self.first: dict[str, float] = {}  # news -> when it first stood in a list, in seconds since 1970
        self.last: dict[str, tuple[float, str]] = {}  # reader -> when they clicked last, and what
        for line in (folder / "behaviors.tsv").read_text(encoding="utf-8").splitlines():
            _, reader, said, _, shown = line.split("\t")
            time = datetime.strptime(said, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC).timestamp()
            for news, _, clicked in (of.rpartition("-") for of in shown.split()):
                self.first[news] = min(time, self.first.get(news, time))
                if clicked == "1":
                    self.last[reader] = max((time, news), self.last.get(reader, (0.0, "")))
        self.now = max(time for time, _ in self.last.values())
        read = self.predictor.predict("category", [{"text": text} for text in fresh])
        self.fresh = [(text, of["label"]) for text, of in zip(fresh, read, strict=True)]

    def page(self, reader: str, k: int, hours: float, most: int) -> dict[str, Any]:
        """A reader's front page: {"reader", "page", "next_visit"}; at most `most` news of a section."""
        if reader not in self.last:
            raise peftrec.UserError(f"no reader {reader!r} with a click in the log")
        young = [news for news, first in self.first.items() if self.now - first <= hours * HOUR]
        rows = [{"item": news, "features": {"age": (self.now - self.first[news]) / HOUR}} for news in young]
        rows += [
            {"item_text": text, "item_features": {"category": section}, "features": {"age": 0.0}}
            for text, section in self.fresh
        ]
        said = [(self.section[news], self.title[news]) for news in young] + [(s, text) for text, s in self.fresh]
        clicked = self.predictor.predict("click", [row | {"user": reader, "time": self.now} for row in rows])
        order = sorted(range(len(rows)), key=lambda n: -clicked[n]["score"])
        page, taken = [], Counter[str]()
        for n in order:
            section, title = said[n]
            if len(page) < k and taken[section] < most:
                taken[section] += 1
                age = round(rows[n]["features"]["age"], 1)
                found = {"click": round(clicked[n]["score"], 3), "section": section, "hours": age, "title": title}
                page.append(found | ({"news": young[n]} if n < len(young) else {}))
        time, news = self.last[reader]
        (visit,) = self.predictor.predict("visit", [{"user": reader, "item": news, "time": time}])
        back = datetime.fromtimestamp(time + visit["seconds"], UTC)
        return {"reader": reader, "page": page, "next_visit": f"{back:%Y-%m-%d %H:%M}"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `news`")
    parser.add_argument("reader", nargs="*")
    parser.add_argument("--fresh", type=Path, help="texts of news that are in no log, one a line")
    parser.add_argument("-k", type=int, default=8, help="news on the page")
    parser.add_argument("--hours", type=float, default=24.0, help="how old a news may be")
    parser.add_argument("--most", type=int, default=3, help="news of one section on the page")
    options = parser.parse_intermixed_args()
    fresh = options.fresh.read_text(encoding="utf-8").splitlines() if options.fresh else []
    front = FrontPage(options.run, [line for line in fresh if line.strip()])
    asked: Iterable[str] = options.reader or map(str.strip, sys.stdin)
    try:
        for reader in filter(None, asked):
            page = front.page(reader, options.k, options.hours, options.most)
            print(json.dumps(page, ensure_ascii=False), flush=True)
    except peftrec.UserError as error:
        sys.exit(str(error))
