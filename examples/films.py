"""Films: what somebody writes in; the films that their words fit and that they will like out, with both reasons.

    peftrec train movielens-latest-small data.items.path=... --run runs/films     # as the recipe says
    python examples/films.py runs/films "time travel" --user 414
    python examples/films.py runs/films "time travel" --liked 1,50  # someone new; without a text: lines of stdin

The list is ordered by the weighed sum of `query`, how well a film fits the words, and `interest`, the chance that it
will be liked. Films that the user rated are left out.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import peftrec


class Films:
    """A run of the recipe `movielens-latest-small`; `like`: what being liked counts beside fitting the words."""

    def __init__(self, run: Path, like: float = 2.0) -> None:
        self.predictor, self.weights = peftrec.Predictor.load(run), {"query": 1.0, "interest": like}

    def find(self, text: str, k: int = 5, **whose: Any) -> dict[str, Any]:
        """What fits a text, for whose list it is (`user`, or `history`): {"query", "list"}."""
        (ranked,) = self.predictor.rank(self.weights, [{"query": text, **whose}], k)
        shown = [
            {"item": of["item"], "text": of["text"], "score": round(of["score"], 2)}
            | {task: round(score, 2) for task, score in of["scores"].items()}
            for of in ranked
        ]
        return {"query": text, "list": shown}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `movielens-latest-small`")
    parser.add_argument("text", nargs="*")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--user", help="whose list it is")
    whose.add_argument("--liked", default="", help="ids of films that someone new liked: 1,50")
    parser.add_argument("-k", type=int, default=5, help="films in the list")
    parser.add_argument("--like", type=float, default=2.0, help="what being liked counts beside fitting the words")
    options = parser.parse_intermixed_args()
    films = Films(options.run, options.like)
    known = {"user": options.user} if options.user else {"history": list(filter(None, options.liked.split(",")))}
    asked: Iterable[str] = options.text or map(str.strip, sys.stdin)
    try:
        for text in filter(None, asked):
            print(json.dumps(films.find(text, options.k, **known), ensure_ascii=False), flush=True)
    except peftrec.UserError as error:
        sys.exit(str(error))
