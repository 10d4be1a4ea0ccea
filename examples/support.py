"""Customer service: an utterance in; its intent and the best stored answer out, or a person where that is too unsure.

    peftrec train support data.texts.path=FILE data.items.path=FILE data.queries.path=FILE --run runs/support
    python examples/support.py runs/support "where is my refund?"      # without an utterance: one a line on stdin

How sure is sure enough is chosen on the validation rows, which training did not see: the lowest threshold above which
no more than `--risk` of the intents (of the answers) are wrong, by a 95 % bound. An answer is right where it was
written to an utterance of the same intent. A text of no known intent goes to retrieval; where its best answer is unsure
too, a person takes over.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

import peftrec


def threshold(name: str, confidence: np.ndarray, wrong: np.ndarray, risk: float) -> float:
    """The lowest confidence from which on at most `risk` are wrong, by a 95 % bound (Clopper and Pearson); inf: none.

    Prints the risk-coverage curve: what share is answered from each confidence on, and how much of that is wrong.
    """
    order = np.argsort(-confidence)
    ranked, answered, errors = confidence[order], np.arange(1, len(order) + 1), np.cumsum(wrong[order])
    bound = np.where(errors < answered, beta.ppf(0.95, errors + 1, np.maximum(answered - errors, 1)), 1.0)
    whole = ranked != np.append(ranked[1:], np.nan)  # rows of equal confidence stay together
    allowed = np.flatnonzero(whole & (bound <= risk)).tolist()
    say(f"{name}: of {len(order)} validation rows, from a confidence on: share answered, share wrong, its bound")
    for n in sorted({round(share * (len(order) - 1)) for share in np.linspace(0.1, 1, 10)} | set(allowed[-1:])):
        mark = f"  <- the most with at most {risk:g}" if n in allowed[-1:] else ""
        shares = f"{answered[n] / len(order):6.1%} {errors[n] / answered[n]:6.1%} {bound[n]:6.1%}"
        say(f"  {ranked[n]:8.3f} {shares}{mark}")
    if not allowed:
        say(f"  none: the bound is above {risk:g} everywhere")
    return float(ranked[allowed[-1]]) if allowed else float("inf")


def say(line: str) -> None:
    """Tell people, on stderr: stdout has the decisions."""
    print(line, file=sys.stderr)


class Support:
    """A run of the recipe `support`, with its stored answers and its two thresholds."""

    def __init__(self, run: Path, risk: float) -> None:
        self.predictor = peftrec.Predictor.load(run)
        if "refit" in json.loads((run / "report.json").read_text()):
            raise SystemExit(f"{run}: was trained on its validation rows too: train it with train.refit=false")
        data = peftrec.load_data(peftrec.load_recipe(str(run / "run.yaml")))
        intent, answer = data.tasks["intent"], data.tasks["answer"]
        of_row = {
            row: intent.classes[label]
            for part in (intent.train, intent.valid, intent.test)
            for row, label in zip(part.row.tolist(), part.label.tolist(), strict=True)
        }
        (ids,) = [items.ids for items in data.items.values()]
        self.written_to: dict[str, set[str]] = {}  # answer -> intents of the utterances that it was written to
        for part in (answer.train, answer.valid, answer.test):
            for row, item in zip(part.row.tolist(), part.item.tolist(), strict=True):
                self.written_to.setdefault(ids[item], set()).add(of_row[row])
        apart = np.isin(intent.valid.row, answer.valid.row)  # rows that neither task was trained on
        texts = [data.texts.texts[row] for row in intent.valid.slots["text"][apart]]
        truth = [intent.classes[label] for label in intent.valid.label[apart]]
        intents, sure = self.intents(texts)
        found = [best[0] for best in self.answers(texts)]
        scores = np.array([best["score"] for best in found])
        self.least_intent = threshold("intent", sure, np.array(intents) != np.array(truth), risk)
        missed = [true not in self.written_to[best["item"]] for best, true in zip(found, truth, strict=True)]
        self.least_answer = threshold("answer", scores, np.array(missed), risk)

    def intents(self, texts: list[str]) -> tuple[list[str], np.ndarray]:
        """The likeliest intent of each text, and its probability."""
        said = self.predictor.predict("intent", [{"text": text} for text in texts])
        return [of["label"] for of in said], np.array([of["probabilities"][of["label"]] for of in said])

    def answers(self, texts: list[str], intent: str | None = None) -> list[list[dict[str, Any]]]:
        """The best stored answer to each text, of those written to the intent if one is named."""
        named = [answer for answer, intents in self.written_to.items() if intent in intents]
        rows = [{"query": text} | ({"candidates": named} if intent else {}) for text in texts]
        return self.predictor.recommend_all("answer", rows, k=1)

    def decide(self, text: str) -> dict[str, Any]:
        """What is to be done with an utterance: {"do": "answer" or "person", ...}."""
        (intent,), (sure,) = self.intents([text])
        known = bool(sure >= self.least_intent)
        best = self.answers([text], intent if known else None)[0][0]
        found = {"utterance": text, "intent": intent if known else None, "confidence": round(float(sure), 3)}
        if known or best["score"] >= self.least_answer:
            return {"do": "answer", **found, "score": round(best["score"], 3), "answer": best["text"]}
        return {"do": "person", **found, "score": round(best["score"], 3)}


def utterances(given: list[str]) -> Iterator[str]:
    """What was said: the argument, or the lines of stdin."""
    lines: Iterable[str] = given or sys.stdin
    yield from (line.strip() for line in lines if line.strip())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of the recipe `support`")
    parser.add_argument("utterance", nargs="*")
    parser.add_argument("--risk", type=float, default=0.05, help="share of wrong decisions that is allowed")
    options = parser.parse_intermixed_args()
    support = Support(options.run, options.risk)
    for line in utterances(options.utterance):
        print(json.dumps(support.decide(line), ensure_ascii=False), flush=True)
