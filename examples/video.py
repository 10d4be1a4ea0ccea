"""Videos: a viewer in; what to put before them, and when they will be back out. Viewers without a past are apart.

    peftrec train video data.items.path=movies.dat data.events.path=ratings.dat --run runs/video
    python examples/video.py runs/video 4 17                  # without a viewer: one a line on stdin
    python examples/video.py runs/video new --liked 1853728   # someone new, who names what they liked

A known viewer's list is ordered by the weighed sum of what is rated next and what is liked. Of a new one nothing is
known but what they name: without that the list is what everyone rates and likes these days, and says so ("cold").
"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peftrec


class Screen:
    """A run of the recipe `video`, and what each viewer rated last."""

    def __init__(self, run: Path, like: float = 1.0) -> None:
        self.predictor, self.weights = peftrec.Predictor.load(run), {"next": 1.0, "like": like}
        table = peftrec.load_recipe(str(run / "run.yaml")).data.events
        assert table is not None and table.separator is not None
        self.last: dict[str, tuple[float, str]] = {}  # viewer -> when they rated last, and what
        with (gzip.open if table.path.endswith(".gz") else open)(table.path, "rt", encoding="utf-8") as lines:
            for line in lines:
                viewer, film, _, time = line.rstrip("\n").split(table.separator)
                self.last[viewer] = max((float(time), film), self.last.get(viewer, (0.0, "")))

    def viewer(self, name: str, k: int = 5, liked: Iterable[str] = (), diversity: float = 0.0) -> dict[str, Any]:
        """What a viewer is shown: {"viewer", "cold", "list"}, and of a known one {"next_visit"}."""
        known = name in self.last
        row = {"user": name} if known else {"history": list(liked)}
        (ranked,) = self.predictor.rank(self.weights, [row], k, diversity=diversity)
        shown = [
            {"item": of["item"], "text": of["text"], "score": round(of["score"], 2)}
            | {task: round(score, 2) for task, score in of["scores"].items()}
            for of in ranked
        ]
        found = {"viewer": name, "cold": not known and not row["history"], "list": shown}
        if not known:
            return found
        time, film = self.last[name]
        (back,) = self.predictor.predict("return", [{"user": name, "item": film, "time": time}])
        return found | {"next_visit": f"{datetime.fromtimestamp(time + back['seconds'], UTC):%Y-%m-%d %H:%M}"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `video`")
    parser.add_argument("viewer", nargs="*")
    parser.add_argument("--liked", default="", help="ids of what a new viewer liked: 12,34")
    parser.add_argument("-k", type=int, default=5, help="videos in the list")
    parser.add_argument("--like", type=float, default=1.0, help="what being liked counts beside being rated next")
    parser.add_argument("--diversity", type=float, default=0.0, help="0 to 1: how unlike each other the videos are")
    options = parser.parse_intermixed_args()
    screen = Screen(options.run, options.like)
    asked: Iterable[str] = options.viewer or map(str.strip, sys.stdin)
    try:
        for viewer in filter(None, asked):
            found = screen.viewer(viewer, options.k, list(filter(None, options.liked.split(","))), options.diversity)
            print(json.dumps(found, ensure_ascii=False), flush=True)
    except peftrec.UserError as error:
        sys.exit(str(error))
