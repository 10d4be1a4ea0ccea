"""Learning curves: a task of few labelled texts alone, and with another task of many.

Recipes leave `train` out. Of the target's train rows so many are drawn anew for every draw, a fifth of them for
validation; the other task's rows are the same ones each time, all of those that were thinned to. Test rows are the same
for all. What an arm gains over the target alone is paired by draw and by test row, and the interval is over both.

alone        the target by itself, as if there were no other task
begun        what the target begins at beside the other task: nothing is trained
together     both tasks in one training
after        the other task first, and then the target from its weights, as with `init_from`

All arms of a draw begin at the same weights.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.card.sets import ENGLISH
from benchmarks.card.tables import clinc150, online_retail, retail_price, some, twitter_finance
from benchmarks.children import commit
from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.intervals import LEVEL
from peftrec.evaluation.metrics import find_metric, is_higher
from peftrec.evaluation.outcomes import Outcome
from peftrec.recipe import make_recipe
from peftrec.training.defaults import settled
from peftrec.training.loop import fit
from peftrec.training.prepare import Setup, prepare
from peftrec.training.starts import begin

SIZES = (60, 250, 1000)  # labelled texts of the target, those for validation among them
POOL = 10_000  # as `benchmarks.card.tables` counts: 2,000 texts to draw the target's from
OTHERS = 2000  # texts of the other task
TEST = 1000  # texts
VALID = 0.2
METHODS = ("side", "lora", "head_only")
RESAMPLES = 500
ALL = 10**6  # rows
TARGET = "few"

Tables = tuple[pd.DataFrame, dict[str, pd.DataFrame]]
_TEXTS: dict[str, Any] = {"kind": "texts", "text": "{text}", "split": "split"}


@dataclass(frozen=True)
class Pair:
    """A target with few labels and the task beside it.

    said     what they are
    tables   data folder -> the target's table, with text, label and split, and the other task's, by name
    kind     of both tasks
    metrics  what the target is measured by: of few test rows log-loss, which training lowers, tells most, and macro-F1
             moves by hundredths from one draw to the next
    """

    said: str
    tables: Callable[[Path], Tables]
    kind: str = "classification"
    metrics: tuple[str, ...] = ("log_loss", "macro_f1")


def finance(target: str, data: Path) -> Tables:
    """Of financial news: the table of the target, and the other one."""
    found = twitter_finance(data, POOL)
    return found.pop(target), {"many": some(next(iter(found.values())), OTHERS)}


def support(data: Path) -> pd.DataFrame:
    """Support utterances, half for the one task and half for the other."""
    found = pd.read_csv(data / "bitext-support/support.csv.gz").rename(columns={"instruction": "text"})
    found = found[["text", "intent", "category"]].drop_duplicates("text").sample(frac=1, random_state=0)
    place = np.arange(len(found))
    return found.assign(split=np.where(place < TEST, "test", "train"), half=place % 2)


def intents_and_categories(target: str, other_label: str, data: Path) -> Tables:
    """27 intents of utterances, or 11 categories, which these belong to; the other ones of other utterances."""
    found = support(data)
    train = found["split"] == "train"
    other = found[train & (found["half"] == 1)].drop(columns="half").rename(columns={other_label: "label"})
    found = found[~train | (found["half"] == 0)].rename(columns={target: "label"})
    return found, {"many": divided(some(other, OTHERS))}


def intents_and_others(data: Path) -> Tables:
    """27 intents of support; 151 of another source."""
    other = clinc150(data, POOL)["texts"].rename(columns={"intent": "label"})
    return support(data).rename(columns={"intent": "label"}), {"many": some(other, OTHERS)}


def prices_and_orders(data: Path) -> Tables:
    """Prices of a shop's articles; how many of another article a line of an order has, the median."""
    target = retail_price(data, ALL)["texts"].rename(columns={"price": "label"}).drop_duplicates("text")
    target = target.sample(frac=1, random_state=0)
    target = target.assign(split=np.where(np.arange(len(target)) < TEST, "test", "train"))
    tables = online_retail(data, ALL)
    lines = tables["events"].merge(tables["items"], on="item")
    other = lines[~lines["text"].isin(target["text"][target["split"] == "test"])]
    other = other.groupby("text", as_index=False)["quantity"].median().rename(columns={"quantity": "label"})
    return target, {"many": divided(some(other, OTHERS))}


def divided(found: pd.DataFrame) -> pd.DataFrame:
    """Every tenth row to test by, and every tenth to validate by."""
    place = np.arange(len(found)) % 10
    return found.assign(split=np.select([place == 0, place == 1], ["test", "valid"], "train"))


PAIRS = {
    "sentiment": Pair("sentiment of financial news beside their topics", partial(finance, "opinions")),
    "topic": Pair("topics of financial news beside their sentiment", partial(finance, "topics")),
    "intent and category": Pair(
        "intents of support beside the categories of other texts", partial(intents_and_categories, "intent", "category")
    ),
    "category and intent": Pair(
        "categories of support beside the intents of other texts", partial(intents_and_categories, "category", "intent")
    ),
    "intent and clinc150": Pair("intents of support beside those of CLINC150", intents_and_others),
    "price": Pair("prices of a shop's articles beside how many are ordered", prices_and_orders, "regression", ("mae",)),
}


@dataclass(frozen=True)
class Draw:
    """One draw: predictions by arm on test rows (N, C) or (N,), their labels (N,), and the priors' values by metric.
    `rows`: which of the pair's test rows they are, int (N,), those of classes that the draw has rows of to train on."""

    rows: np.ndarray
    arms: dict[str, np.ndarray]
    label: np.ndarray
    priors: dict[str, dict[str, float]]

    def write(self, file: Path) -> None:
        """As one file that `read` reads."""
        arms = {f"arm {name}": of for name, of in self.arms.items()}
        priors = {f"prior {name} {metric}": np.array(v) for metric, of in self.priors.items() for name, v in of.items()}
        held: dict[str, Any] = {"rows": self.rows, "label": self.label, **arms, **priors}
        np.savez_compressed(file, **held)

    @classmethod
    def read(cls, file: Path) -> "Draw":
        """What was written."""
        with np.load(file) as held:
            of = {what: [name for name in held.files if name.startswith(what)] for what in ("arm ", "prior ")}
            arms = {name.removeprefix("arm "): held[name] for name in of["arm "]}
            priors: dict[str, dict[str, float]] = {}
            for key in of["prior "]:
                _, name, metric = key.split(" ")
                priors.setdefault(metric, {})[name] = float(held[key])
            return cls(held["rows"], arms, held["label"], priors)


def measure(
    data: Path, out: Path, draws: int, sizes: Sequence[int], only: Sequence[str], methods: Sequence[str], minutes: float
) -> dict[str, Any]:
    """Measure what of these draws, sizes, pairs and methods is not in the folder `out` yet, none after so many minutes.

    Returns method -> pair -> size -> what `compared` says of all draws there. `data`: the folder that holds the data
    sets' folders.
    """
    until = time.monotonic() + 60 * minutes
    out.mkdir(parents=True, exist_ok=True)
    for draw in range(draws):
        for size, method, name in product(sizes, methods, only):
            file = out / f"{method}-{name}-{size}-{draw}.npz"
            if not file.exists() and time.monotonic() < until:
                print(f"{method}: {name}, {size} rows, draw {draw}", file=sys.stderr, flush=True)
                _draw(PAIRS[name], PAIRS[name].tables(data), method, size, draw).write(file)
    found = {method: pairs for method in METHODS if (pairs := _pairs(out, method))}
    return {"commit": commit(), "others": OTHERS, "methods": found}


def _pairs(out: Path, method: str) -> dict[str, Any]:
    """Of a method, pair -> {"said", "metrics": metric -> size -> cell}, of sizes with two draws and more."""
    found: dict[str, Any] = {}
    for name, pair in PAIRS.items():
        files = {size: sorted(out.glob(f"{method}-{name}-{size}-*.npz")) for size in SIZES}
        draws = {str(size): [Draw.read(file) for file in of] for size, of in files.items() if len(of) > 1}
        if draws:
            cells = {of: {size: compared(some, of) for size, some in draws.items()} for of in pair.metrics}
            found[name] = {"said": pair.said, "metrics": cells}
    return found


def compared(found: list[Draw], metric: str) -> dict[str, Any]:
    """{"draws", "alone", "arms": arm -> {"value", "gain", "interval"}, "priors"}: means over draws; a gain over alone
    is positive where the arm is better, its interval over draws and test rows."""
    of, sign = find_metric(metric), 1 if is_higher(metric) else -1
    values = {arm: [of.statistic(draw.arms[arm], draw.label, draw.rows) for draw in found] for arm in found[0].arms}
    tests = 1 + max(int(draw.rows.max()) for draw in found)

    def means(weight: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
        """By arm, the test rows counted by the weight, over these draws."""
        return {arm: float(np.mean([own[n](weight[found[n].rows]) for n in drawn])) for arm, own in values.items()}

    whole = means(np.ones(tests), np.arange(len(found)))
    random, again = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(tests, size=tests), minlength=tests).astype(float)
        again.append(means(weight, random.integers(len(found), size=len(found))))
    arms = {}
    for arm in (name for name in values if name != "alone"):
        gains = [sign * (one[arm] - one["alone"]) for one in again]
        interval = [float(end) for end in np.percentile(gains, LEVEL)]
        arms[arm] = {"value": whole[arm], "gain": sign * (whole[arm] - whole["alone"]), "interval": interval}
    priors = {name: float(np.mean([draw.priors[metric][name] for draw in found])) for name in found[0].priors[metric]}
    return {"draws": len(found), "alone": whole["alone"], "arms": arms, "priors": priors}


def _draw(pair: Pair, tables: Tables, method: str, size: int, draw: int) -> Draw:
    """The target's task on as many of its labelled rows, by every arm."""
    (target, others), random = tables, np.random.default_rng((draw, size))
    known, test = target[target["split"] != "test"], target[target["split"] == "test"].iloc[:TEST]
    known = known.iloc[random.permutation(len(known))[:size]]
    few = known.assign(split=np.where(np.arange(size) < VALID * size, "valid", "train"))
    taught = np.ones(len(test), bool)
    if pair.kind == "classification":  # no class that the target cannot know
        taught = test["label"].isin(few["label"][few["split"] == "train"]).to_numpy()
    rows, test = np.flatnonzero(taught), test[taught]
    with tempfile.TemporaryDirectory() as folder:
        for name, table in {TARGET: pd.concat([few, test]), **others}.items():
            table[["text", "label", "split"]].to_parquet(f"{folder}/{name}.parquet", index=False)
        arms, priors, label = dict[str, np.ndarray](), dict[str, dict[str, float]](), np.zeros(0)
        alone, both = (_prepared(pair, folder, method, names) for names in ([TARGET], [TARGET, *others]))
        for arm, setup in _arms(alone, both):
            outcomes: dict[str, Outcome] = {}
            measured = (setup.model, setup.dataset, {TARGET: setup.tasks[TARGET]}, "test")
            report = evaluate(*measured, resamples=0, priors=not arms, outcomes=outcomes)["tasks"][TARGET]
            for metric in pair.metrics if report["priors"] else ():
                priors[metric] = {name: of[metric] for name, of in report["priors"].items()}
            arms[arm], label = outcomes[TARGET].prediction, np.asarray(outcomes[TARGET].label)
    return Draw(rows, arms, label, priors)


def _prepared(pair: Pair, folder: str, method: str, names: Sequence[str]) -> Setup:
    """The tasks of these tables, which are called like them."""
    setup = prepare(
        make_recipe(
            {
                "backbone": {"name": ENGLISH},
                "adapter": {"method": method},
                "data": {"tables": {name: {**_TEXTS, "path": f"{folder}/{name}.parquet"} for name in names}},
                "tasks": {name: {"kind": pair.kind, "table": name, "label": "label"} for name in names},
            }
        )
    )
    setup.model.encoder.disk = True  # the same texts again and again
    return setup


def _arms(alone: Setup, both: Setup) -> Iterator[tuple[str, Setup]]:
    """Trains by each arm from the same weights; its name, while the model of the set-up is what it came to."""
    begin(alone)
    fit(alone)
    yield "alone", alone
    begin(both)
    first = {name: p.detach().clone() for name, p in both.model.trainable().items()}
    yield "begun", both
    fit(both)
    yield "together", both
    with torch.no_grad():
        for name, parameter in both.model.trainable().items():
            parameter.copy_(first[name])
    for task in [name for name in both.tasks if name != TARGET] + [TARGET]:
        fit(_only(both, task))
    yield "after", both


def _only(setup: Setup, task: str) -> Setup:
    """The set-up with one of its tasks."""
    recipe = setup.recipe.model_copy(update={"tasks": {task: setup.recipe.tasks[task]}})
    dataset = replace(setup.dataset, tasks={task: setup.dataset.tasks[task]})
    tasks = {task: setup.tasks[task]}
    return replace(setup, recipe=recipe, dataset=dataset, tasks=tasks, config=settled(recipe, dataset))
