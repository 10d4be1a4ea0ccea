"""Learning curves: a task of few labelled rows alone, and with another task of many.

Recipes leave `train` out. Of the target's train rows so many are drawn anew for every draw, a fifth of them for
validation; of texts the other task's rows are the same ones each time, of events they are those that were not drawn.
Test rows are the same for all. What an arm gains over the target alone is paired by draw and test row, and the interval
is over both: over draws and rows, of events over draws and whole users.

alone        the target by itself, as if there were no other task
reading      of events: the target by itself, but for histories of the other task's events too
begun        what the target begins at beside the other task: nothing is trained
together     both tasks in one training
after        the other task first, and then the target from its weights, as with `init_from`

All arms of a draw begin at the same weights. What `together` gains over `reading` is called co-training. Beside it
stands the arm that was chosen on other fields' pairs, and what `peftrec affinity` says of the other task's effect on
the target, of the first draw.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.card.sets import ENGLISH
from benchmarks.card.tables import Frames
from benchmarks.children import commit
from benchmarks.studies.chosen import choose
from benchmarks.studies.foretold import foretold
from benchmarks.studies.pairs import ALL, OTHER, OTHERS, PAIRS, TARGET, Pair
from peftrec.evaluation.evaluate import evaluate
from peftrec.evaluation.intervals import LEVEL
from peftrec.evaluation.metrics import find_metric, is_higher
from peftrec.evaluation.outcomes import Outcome
from peftrec.recipe import make_recipe
from peftrec.training.affinity.measure import affinity_of
from peftrec.training.defaults import settled
from peftrec.training.loop import fit
from peftrec.training.prepare import Setup, prepare
from peftrec.training.starts import begin

SIZES = (60, 250, 1000, ALL)  # labelled rows of the target, those for validation among them
METHODS: dict[str, dict[str, Any]] = {
    "side": {"adapter": {"method": "side"}},
    "lora": {"adapter": {"method": "lora", "layers": "top-2"}},  # what `auto` is for texts
    "head_only": {"adapter": {"method": "head_only"}},
    "full": {"adapter": {"method": "full"}},
    "side-smollm2": {"backbone": {"name": "HuggingFaceTB/SmolLM2-135M-Instruct"}, "adapter": {"method": "side"}},
}
RESAMPLES = 500
SHOWN = 4  # digits: a draw in which next to nothing differs, drawn again and again, is no gain
FORETOLD = {"side": 1}  # draws, by so many rounds of so many steps; there may be validation rows of but seven users
ROUNDS, STEPS, ROWS = 6, 150, 2000


@dataclass(frozen=True)
class Draw:
    """One draw of so many labelled rows: predictions by arm on test rows (N, C) or (N,), their labels (N,), and the
    priors' values by metric. `group`: what an interval draws whole, int (N,); see `Drawn`. `forecast`: the effect of
    the other task on the target in short trainings, a share of the target's loss; NaN where none was made."""

    rows: int
    group: np.ndarray
    arms: dict[str, np.ndarray]
    label: np.ndarray
    priors: dict[str, dict[str, float]]
    forecast: float = np.nan

    def write(self, file: Path) -> None:
        """As one file that `read` reads."""
        arms = {f"arm {name}": of for name, of in self.arms.items()}
        priors = {f"prior {name} {metric}": np.array(v) for metric, of in self.priors.items() for name, v in of.items()}
        held: dict[str, Any] = {
            "rows": self.rows,
            "group": self.group,
            "label": self.label,
            "forecast": self.forecast,
            **arms,
            **priors,
        }
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
            return cls(int(held["rows"]), held["group"], arms, held["label"], priors, float(held["forecast"]))


def measure(
    data: Path, out: Path, draws: int, sizes: Sequence[int], only: Sequence[str], methods: Sequence[str], minutes: float
) -> dict[str, Any]:
    """Measure what of these draws, sizes, pairs and methods is not in the folder `out` yet, none after so many minutes.

    Returns method -> pair -> size -> what `compared` says of all draws there, and what was `foretold`. `data`: the
    folder that holds the data sets' folders.
    """
    until = time.monotonic() + 60 * minutes
    out.mkdir(parents=True, exist_ok=True)
    for draw in range(draws):
        for size, method, name in product(sizes, methods, only):
            if size == ALL and PAIRS[name].shared:
                continue  # the other task would have no rows
            file = out / f"{method}-{name}-{size}-{draw}.npz"
            if not file.exists() and time.monotonic() < until:
                print(f"{method}: {name}, {size} rows, draw {draw}", file=sys.stderr, flush=True)
                _draw(PAIRS[name], PAIRS[name].tables(data), method, size, draw).write(file)
    found = {method: pairs for method in METHODS if (pairs := _pairs(out, method))}
    return {
        "others": OTHERS,
        "methods": found,
        "foretold": {method: foretold(pairs) for method, pairs in found.items()},
    }


def _pairs(out: Path, method: str) -> dict[str, Any]:
    """Of a method, pair -> {"said", "field", "commit", "over": what intervals are over beside draws, "metrics": metric
    -> rows -> cell}, of sizes with two draws and more."""
    found: dict[str, Any] = {}
    for name, pair in PAIRS.items():
        files = {size: sorted(out.glob(f"{method}-{name}-{size}-*.npz")) for size in SIZES}
        read = [[Draw.read(file) for file in of] for of in files.values() if len(of) > 1]
        draws = {str(of[0].rows): of for of in read}
        if draws:
            cells = {of: {size: compared(some, of) for size, some in draws.items()} for of in pair.metrics}
            groups = max(_groups(some) for some in draws.values())
            said = {"said": pair.said, "field": pair.field, "commit": commit(), "over": f"{groups:,} {pair.over}"}
            found[name] = {**said, "metrics": cells}
    choose(found)
    return found


def compared(found: list[Draw], metric: str) -> dict[str, Any]:
    """{"draws", "alone", "arms": arm -> {"value", "gain", "interval"}, "priors", "forecast"}: means over draws; a gain
    over alone is positive where the arm is better, its interval over draws and groups of test rows. With an arm
    `reading` there is one more, `co-training`: together, and its gain over reading."""
    of, sign = find_metric(metric), 1 if is_higher(metric) else -1
    values = {arm: [of.statistic(draw.arms[arm], draw.label, draw.group) for draw in found] for arm in found[0].arms}
    groups = _groups(found)

    def means(weight: np.ndarray, drawn: np.ndarray) -> dict[str, float]:
        """By arm, the groups counted by the weight, over these draws."""
        return {arm: float(np.mean([own[n](weight[found[n].group]) for n in drawn])) for arm, own in values.items()}

    whole = means(np.ones(groups), np.arange(len(found)))
    random, again = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        weight = np.bincount(random.integers(groups, size=groups), minlength=groups).astype(float)
        again.append(means(weight, random.integers(len(found), size=len(found))))

    def gained(arm: str, base: str) -> dict[str, Any]:
        """An arm's value, and what it gains over another."""
        ends = np.percentile([sign * (one[arm] - one[base]) for one in again], LEVEL).round(SHOWN) + 0.0
        return {
            "value": whole[arm],
            "gain": sign * (whole[arm] - whole[base]),
            "interval": [float(end) for end in ends],
        }

    arms = {arm: gained(arm, "alone") for arm in values if arm != "alone"}
    if "reading" in arms:
        arms["co-training"] = gained("together", "reading")
    priors = {name: float(np.mean([draw.priors[metric][name] for draw in found])) for name in found[0].priors[metric]}
    foretold = [draw.forecast for draw in found if not np.isnan(draw.forecast)]
    forecast = float(np.mean(foretold)) if foretold else None
    return {"draws": len(found), "alone": whole["alone"], "arms": arms, "priors": priors, "forecast": forecast}


def _groups(found: Sequence[Draw]) -> int:
    """How many groups of test rows there are."""
    return 1 + max(int(draw.group.max()) for draw in found)


def _draw(pair: Pair, tables: Frames, method: str, size: int, draw: int) -> Draw:
    """The target's task on as many of its labelled rows, by every arm."""
    drawn = pair.drawn(tables, size, np.random.default_rng((draw, size)))
    arms, priors, label = dict[str, np.ndarray](), dict[str, dict[str, float]](), np.zeros(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, table in drawn.frames.items():
            table.to_parquet(f"{folder}/{name}.parquet", index=False)
        for arm, setup in _arms(pair, lambda *names: _prepared(pair, folder, method, *names)):
            outcomes: dict[str, Outcome] = {}
            measured = (setup.model, setup.dataset, {TARGET: setup.tasks[TARGET]}, "test")
            report = evaluate(*measured, resamples=0, priors=not arms, outcomes=outcomes)["tasks"][TARGET]
            for metric in pair.metrics if report["priors"] else ():
                priors[metric] = {name: of[metric] for name, of in report["priors"].items()}
            outcome = outcomes[TARGET]
            assert outcome.row is not None
            order = np.argsort(outcome.row)  # as in the table: of events it is by user, in an order of the tables'
            arms[arm], label = outcome.prediction[order], np.asarray(outcome.label)[order]
        forecast = np.nan
        if draw < FORETOLD.get(method, 0):
            both = [TARGET, OTHER]
            said = affinity_of(_prepared(pair, folder, method, both, both), ROUNDS, STEPS, ROWS)["pairs"]
            forecast = next(of["effect"]["value"] for of in said if of["on"] == TARGET)
    return Draw(drawn.rows, drawn.group, arms, label, priors, forecast)


def _prepared(pair: Pair, folder: str, method: str, tables: Sequence[str], tasks: Sequence[str]) -> Setup:
    """These tasks in a recipe of these tables."""
    adapted = {"backbone": {"name": ENGLISH}} | METHODS[method]
    setup = prepare(make_recipe(adapted | pair.recipe(folder, tables, tasks)))
    setup.model.encoder.disk = True  # the same texts again and again
    return setup


def _arms(pair: Pair, prepared: Callable[[Sequence[str], Sequence[str]], Setup]) -> Iterator[tuple[str, Setup]]:
    """Trains by each arm from the same weights; its name, while the model of the set-up is what it came to. `prepared`:
    tables and tasks -> their set-up."""
    both = [TARGET, OTHER]
    for arm, tables in {"alone": [TARGET], **({"reading": both} if pair.shared else {})}.items():
        setup = prepared(tables, [TARGET])
        begin(setup)
        fit(setup)
        yield arm, setup
    setup = prepared(both, both)
    begin(setup)
    first = {name: p.detach().clone() for name, p in setup.model.trainable().items()}
    yield "begun", setup
    fit(setup)
    yield "together", setup
    with torch.no_grad():
        for name, parameter in setup.model.trainable().items():
            parameter.copy_(first[name])
    for task in (OTHER, TARGET):
        fit(_only(setup, task))
    yield "after", setup


def _only(setup: Setup, task: str) -> Setup:
    """The set-up with one of its tasks."""
    recipe = setup.recipe.model_copy(update={"tasks": {task: setup.recipe.tasks[task]}})
    dataset = replace(setup.dataset, tasks={task: setup.dataset.tasks[task]})
    tasks = {task: setup.tasks[task]}
    return replace(setup, recipe=recipe, dataset=dataset, tasks=tasks, config=settled(recipe, dataset))
