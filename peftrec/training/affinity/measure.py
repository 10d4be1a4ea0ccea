"""Which tasks help each other, in minutes: short trainings of each alone and beside each other one, and on the way the
gradients that two tasks have at what they share.

Of every ordered pair, what the one does to the other:

begun      how much lower the loss is where the one's head begins beside the other than alone, as a share of the latter:
           of all rows, each read by what was not fitted on it
effect     that, and what training does beyond: how much further the validation loss falls in a short training beside
           the other than alone, each at its best look on the way, as a share of the loss before the first step. Where
           the heads begin at something this counts only where it is told from nothing, as a training keeps no more
lookahead  of the validation loss on the way, the share that it falls by when what both share takes a step along the
           other's gradient by which the other's loss falls by 1 % (after Fifty et al. 2021, arXiv:2109.04617)
cosine     of the two gradients at what both share

All from the same weights, in rounds: each has an order of rows, a dropout and rows to judge by of its own, so that an
interval over rounds is one over all three.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from peftrec.errors import UserError
from peftrec.machine.progress import bar, note
from peftrec.recipe import Recipe
from peftrec.training.affinity.advice import Estimate, Pair, advise, estimate, groups, level
from peftrec.training.affinity.short import Beginning, Rows, Short, parts_of, rows_of, shared_by, thin, valid_parts
from peftrec.training.prepare import Setup, prepare

AHEAD = 0.01  # of its loss that a task's step ahead is to take, to first order; at most as far as AdamW's first step
GRADIENT_ROWS = 256  # of a task, at most, that a gradient is taken of


@dataclass
class _Found:
    """By task or pair, of each round what the looks on the way said (R, 1 + LOOKS), the first before the first step:
    validation losses alone and beside, those after a step along the other's gradient, and cosines; and losses of train
    and validation rows together before the first step (R,), alone and beside."""

    begun_alone: dict[str, list[float]] = field(default_factory=dict)
    begun_beside: dict[Pair, list[float]] = field(default_factory=dict)
    alone: dict[str, list[list[float]]] = field(default_factory=dict)
    beside: dict[Pair, list[list[float]]] = field(default_factory=dict)
    ahead: dict[Pair, list[list[float]]] = field(default_factory=dict)
    cosine: dict[Pair, list[list[float]]] = field(default_factory=dict)


def affinity(
    recipe: Recipe,
    rounds: int,
    steps: int,
    rows: int,
    cache: bool = True,
) -> dict[str, Any]:
    """Measure the recipe's tasks by pairs, and suggest what to do, as plain values.

    rounds  short trainings of each task and pair; steps: of each; rows: of each task at most to train on, and to
            validate on
    cache   whether the frozen part's states are looked for, and kept, on disk
    Raises UserError for all that training would refuse, where no two tasks share anything, and where there are too few
    validation rows.
    """
    return affinity_of(prepare(recipe), rounds, steps, rows, cache)


def affinity_of(setup: Setup, rounds: int, steps: int, rows: int, cache: bool = True) -> dict[str, Any]:
    """The same of what is prepared, which is trained by it: use it for nothing else."""
    tasks = [name for name, task in setup.recipe.trained.items() if task.weight > 0]
    pairs = [pair for pair in combinations(tasks, 2) if shared_by(setup, pair)]
    if not pairs:
        raise UserError(
            "affinity: no two trained tasks share anything, so none can help or harm another: at least two tasks, and "
            "a method that they share, such as adapter.sharing=shared+private"
        )
    thin(setup, rows)
    parts = {name: valid_parts(setup, name, rounds) for name in tasks}
    learnt = {name: parts_of(setup.dataset.tasks[name].train, rounds, setup.config.seed) for name in tasks}
    setup.model.encoder.disk = cache
    short, found = Short(setup, steps), _Found()
    begun = {some: short.beginning(some) for some in [*((name,) for name in tasks), *pairs]}
    note(f"{rounds} rounds of {len(begun)} short trainings of {steps} steps, at most {rows:,} rows a task")
    with bar(rounds * len(begun) * steps, "trying", "steps") as shown:
        for number, own in product(range(rounds), begun.values()):
            seed = setup.config.seed
            valid = {name: rows_of(name, of, parts[name][number], seed) for name, of in own.valid.items()}
            train = {name: rows_of(name, of, learnt[name][number], seed) for name, of in own.train.items()}
            short.restart(own)
            _look_first({name: _mean(setup, [train[name], valid[name]]) for name in valid}, found)
            _try(short, own, number, valid, found)
            shown.update(steps)
    return _described(setup, tasks, pairs, found, {"rounds": rounds, "steps": steps, "rows": rows})


def _look_first(losses: dict[str, float], found: _Found) -> None:
    """What one task's loss is where it begins, or those of two are."""
    for name, loss in losses.items():
        for other in losses.keys() - {name}:
            found.begun_beside.setdefault((other, name), []).append(loss)
        if len(losses) == 1:
            found.begun_alone.setdefault(name, []).append(loss)


def _try(short: Short, begun: Beginning, draw: int, valid: dict[str, Rows], found: _Found) -> None:
    """One task alone, or two together."""
    if len(valid) > 1:
        _try_together(short, begun, draw, valid, found)
        return
    ((task, rows),) = valid.items()
    losses: list[float] = []
    short.train(begun, draw, lambda: losses.append(_value(short.setup, rows)))
    found.alone.setdefault(task, []).append(losses)


def _try_together(short: Short, begun: Beginning, draw: int, valid: dict[str, Rows], found: _Found) -> None:
    pair = cast(Pair, (*valid,))
    setup, both = short.setup, (pair, pair[::-1])
    shared = shared_by(setup, pair)
    most = setup.config.lr * sum(p.numel() for p in shared) ** 0.5
    random, given = np.random.default_rng((setup.config.seed, draw)), {}
    for name in pair:
        train = begun.train[name]
        index = random.permutation(len(train))[:GRADIENT_ROWS]
        given[name] = rows_of(name, train, index, setup.config.seed + draw)
    for of in (found.beside, found.ahead, found.cosine):
        for ordered in both:
            of.setdefault(ordered, []).append([])

    def look() -> None:
        gradients = {name: _gradient(setup, given[name], shared) for name in pair}
        norms = {name: _dot(of, of) ** 0.5 for name, of in gradients.items()}
        cosine = _dot(*gradients.values()) / (norms[pair[0]] * norms[pair[1]] or np.nan)
        for one, other in both:
            found.beside[one, other][-1].append(_value(setup, valid[other]))
            norm = norms[one] or np.nan
            far = min(AHEAD * _value(setup, given[one]) / norm, most)
            with _moved(shared, gradients[one], far / norm):
                found.ahead[one, other][-1].append(_value(setup, valid[other]))
            found.cosine[one, other][-1].append(cosine)

    short.train(begun, draw, look)


def _value(setup: Setup, rows: Rows) -> float:
    with torch.no_grad():
        return rows.loss(setup).item()


def _mean(setup: Setup, parts: Sequence[Rows]) -> float:
    """The mean loss of all rows of the parts."""
    some = [of for of in parts if len(of.examples)]
    return float(np.average([_value(setup, of) for of in some], weights=[len(of.examples) for of in some]))


def _gradient(setup: Setup, rows: Rows, shared: Sequence[nn.Parameter]) -> list[Tensor]:
    """Of the rows' loss at what is shared; zero where it does not depend on it."""
    with torch.enable_grad():
        found = torch.autograd.grad(rows.loss(setup), shared, allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g.to_dense() if g.is_sparse else g
        for p, g in zip(shared, found, strict=True)
    ]


def _dot(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    return sum(float((a.float() * b.float()).sum()) for a, b in zip(one, other, strict=True))


@contextmanager
def _moved(shared: Sequence[nn.Parameter], gradient: Sequence[Tensor], far: float) -> Iterator[None]:
    """Inside the block what is shared has taken a step of `far` times the gradient, downwards."""
    kept = [p.detach().clone() for p in shared]
    with torch.no_grad():
        for parameter, of in zip(shared, gradient, strict=True):
            parameter.sub_(of.to(parameter.dtype), alpha=far)
        yield
        for parameter, before in zip(shared, kept, strict=True):
            parameter.copy_(before)


def _described(
    setup: Setup, tasks: list[str], pairs: list[Pair], found: _Found, plan: dict[str, int]
) -> dict[str, Any]:
    ordered = [(one, other) for one in tasks for other in tasks if (one, other) in found.beside]
    sure = level(len(ordered))
    effects, described = {}, []
    for one, other in ordered:
        alone, before, after = (
            np.array(of) for of in (found.alone[other], found.beside[one, other], found.ahead[one, other])
        )
        begun = _share(np.array(found.begun_alone[other]), np.array(found.begun_beside[one, other]))
        further = (_fallen(before) - _fallen(alone)) / alone[:, 0].mean()
        effects[one, other] = effect(begun, further, sure)
        described.append(
            {
                "of": one,
                "on": other,
                "effect": effects[one, other].described(),
                "begun": estimate(begun, sure).described(),
                "lookahead": estimate(_means(before - after) / before.mean(), sure).described(),
                "cosine": estimate(_means(np.array(found.cosine[one, other])), sure).described(),
            }
        )
    apart = groups(tasks, effects)
    return {
        "tasks": {
            name: {
                "train": len(setup.dataset.tasks[name].train),
                "valid": len(setup.dataset.tasks[name].valid),
                "loss_at_first": float(np.mean(np.array(found.alone[name])[:, 0])),
                "loss_alone": float(kept(np.array(found.alone[name])).mean()),
            }
            for name in tasks
        },
        **plan,
        "level": sure,
        "pairs": described,
        "groups": apart,
        "suggestions": advise(effects, apart, {name: task.sharing for name, task in setup.recipe.adapters.items()}),
    }


def effect(begun: np.ndarray, further: np.ndarray, sure: float) -> Estimate:
    """Of what each round (R,) says of beginning, and of training beyond that, the effect of both: the latter counts
    where it is told from nothing, and where both begin at the same it is all there is."""
    if not begun.any():
        return estimate(further, sure)
    return estimate(begun + further if estimate(further, sure).sign else begun, sure)


def _share(alone: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """How much lower losses (R,) are beside, as a share of their mean alone."""
    found: np.ndarray = (alone - beside) / alone.mean()
    return found


def _fallen(losses: np.ndarray) -> np.ndarray:
    """How far the losses (R, K) of looks have fallen by those that are kept (R,)."""
    found: np.ndarray = losses[:, 0] - kept(losses)
    return found


def kept(losses: np.ndarray) -> np.ndarray:
    """Of the losses (R, K) of K looks in R rounds, each round's (R,) at the look that is best on average over the
    others: as a training keeps its best epoch, but chosen on other rows than it is measured on."""
    others = (losses.sum(0) - losses).argmin(1)
    return losses[np.arange(len(losses)), others]


def _means(looks: np.ndarray) -> np.ndarray:
    """Over the looks (R, K) of each round (R,), those without a value left out; NaN where none has one."""
    return np.array([of[~np.isnan(of)].mean() if not np.isnan(of).all() else np.nan for of in looks])
