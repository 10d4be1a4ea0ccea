"""A social network: a user in; people and artists to follow out, the likeliest, and a list of artists less alike.

    peftrec train social data.tables.artists.path=FILE ... --run runs/social       # as recipes/social.yaml says
    python examples/social.py runs/social 275                  # without a user: one a line on stdin

`artists` are the likeliest; `diverse` are chosen among the best of them by maximal marginal relevance, each for its
score and for being unlike those before it (`--diversity`). Beside both stands how unlike their artists are: the mean
of 1 - cosine over pairs, of what the task's adapter makes of the names.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import peftrec


class Network:
    """A run of the recipe `social`."""

    def __init__(self, run: Path) -> None:
        self.predictor = peftrec.Predictor.load(run)

    def follow(self, user: str, k: int = 5, diversity: float = 0.5) -> dict[str, Any]:
        """Whom and what a user may follow: {"user", "people", "tags", "artists", "diverse", "unlike"}."""
        artists = self.predictor.recommend("artist", user=user, k=k)
        diverse = self.predictor.recommend("artist", user=user, k=k, diversity=diversity)
        return {
            "user": user,
            "people": [of["item"] for of in self.predictor.recommend("friend", user=user, k=k, exclude=[user])],
            "tags": [of["text"] for of in self.predictor.recommend("tag", user=user, k=k)],
            "artists": [of["text"] for of in artists],
            "diverse": [of["text"] for of in diverse],
            "unlike": {"artists": self.unlike(artists), "diverse": self.unlike(diverse)},
        }

    def unlike(self, items: list[dict[str, Any]]) -> float:
        """How unlike each other items are, from 0."""
        vectors, _ = self.predictor.embed("artist", [of["text"] for of in items], passages=True)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return round(float((1 - vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean()), 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `social`")
    parser.add_argument("user", nargs="*")
    parser.add_argument("-k", type=int, default=5, help="names in a list")
    parser.add_argument("--diversity", type=float, default=0.5, help="0 to 1: how unlike each other artists are")
    options = parser.parse_intermixed_args()
    network = Network(options.run)
    asked: Iterable[str] = options.user or map(str.strip, sys.stdin)
    try:
        for user in filter(None, asked):
            print(json.dumps(network.follow(user, options.k, options.diversity), ensure_ascii=False), flush=True)
    except peftrec.UserError as error:
        sys.exit(str(error))
