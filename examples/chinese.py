"""Chinese: a customer's turn or review in; what it is about, how it sounds, and the best stored paragraph out.

peftrec train chinese data.tables.turns.path=FILE ... --run runs/chinese       # as recipes/chinese.yaml says
python examples/chinese.py runs/chinese "附近有什么好吃的餐馆？"     # without a text: one a line on stdin
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import peftrec


class Reader:
    """A run of the recipe `chinese`."""

    def __init__(self, run: Path) -> None:
        self.predictor = peftrec.Predictor.load(run)

    def read(self, text: str) -> dict[str, Any]:
        """What a text is: {"text", "domain", "sentiment"}, each with its probability, and the best {"paragraph"}."""
        found: dict[str, Any] = {"text": text}
        for task in ("domain", "sentiment"):
            (said,) = self.predictor.predict(task, [{"text": text}])
            found[task] = [said["label"], round(said["probabilities"][said["label"]], 3)]
        (best,) = self.predictor.recommend("answer", query=text, k=1)
        return found | {"paragraph": best["text"], "score": round(best["score"], 2)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `chinese`")
    parser.add_argument("text", nargs="*")
    options = parser.parse_args()
    reader = Reader(options.run)
    asked: Iterable[str] = options.text or map(str.strip, sys.stdin)
    for text in filter(None, asked):
        print(json.dumps(reader.read(text), ensure_ascii=False), flush=True)
