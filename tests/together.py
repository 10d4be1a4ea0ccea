"""Trainings that `test_processes.py` lets one and two processes make: `torchrun ... together.py SHOP RUNS CASE ...`."""

import atexit
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fitted import fit_once
from quick import quicken

import peftrec.training.finish
from peftrec.cli.notes import notes_shown
from peftrec.errors import UserError
from peftrec.machine import processes
from peftrec.model import co_learner as model
from peftrec.model import encoder
from peftrec.model.cache import states
from peftrec.recipe import Recipe
from peftrec.training.loop import train
from peftrec.training.weighting import Weighting

PLAIN = {"method": "lora", "options": {"r": 2, "lora_dropout": 0.0}}
STEADY = {"dropout": 0.0, "log_every": 1}
RARE = {"kind": "match-query", "share": 0.1}  # fewer rows a step than processes: absent in one of them, or in both
INTEREST = {"kind": "interest", "column": "stars", "threshold": 4, "weight": 0.5}
CASES: dict[str, dict] = {
    "lora": {"adapter": PLAIN, "train": STEADY},
    "uneven rows, rare task": {
        "adapter": {"method": "side", "options": {"rank": 4}},
        "item_features": {"title": "category"},
        "fusion": {"items": True, "features": True, "dim": 4, "least": 1},
        "tasks": {"query": RARE, "interest": INTEREST},
        "train": {**STEADY, "batch_size": 17, "max_steps": 12, "weight_decay": 0.1},
    },
    "parts, weights by losses": {
        "adapter": PLAIN,
        "weighting": {"method": "together:Smoothed"},
        "train": {**STEADY, "accumulate": 2, "optimizer": "sgd", "lr": 0.1, "head_lr": 0.1},
    },
    "adalora": {
        "adapter": {"method": "adalora", "options": {"init_r": 4, "target_r": 2, "lora_dropout": 0.0}},
        "train": {**STEADY, "optimizer": "sgd", "lr": 0.1, "early_stopping": {"patience": 1}},
    },
    "full": {"adapter": {"method": "full", "sharing": "shared"}, "train": {**STEADY, "optimizer": "sgd", "lr": 0.01}},
    "cool-down, refit": {
        "adapter": PLAIN,
        "train": {**STEADY, "schedule": "cooldown", "early_stopping": {}, "refit": True},
    },
    "dropout": {"train": {"checkpoint": {"every": "1 step"}}},
    "no number": {"train": {**STEADY, "checkpoint": {"every": "1 step"}}},
    "no number, skipped": {"train": {**STEADY, "non_finite": "skip"}},
    "folder exists": {},
    "mistake": {"adapter": {"method": "lora", "layers": "top-9"}},
}
FULL = {"method": "full", "sharing": "shared"}
SHARDED: dict[str, dict] = {  # for processes that share the weights out
    "adamw": {"adapter": FULL, "train": {**STEADY, "lr": 1e-4, "checkpoint": {"every": "2 steps"}}},
    "uneven buckets, no rows": {
        "adapter": FULL,
        "tasks": {"query": RARE, "interest": {**INTEREST, "share": 0.2}},
        "weighting": {"method": "together:Smoothed"},
        "train": {
            **{**STEADY, "optimizer": "sgd", "lr": 0.01, "head_lr": 0.01, "clip": 0.3},
            **{"batch_size": 7, "accumulate": 3, "gradient_checkpointing": True, "early_stopping": {"patience": 1}},
        },
    },
    "no number, sharded": {"adapter": FULL},
    "adafactor": {"adapter": FULL, "train": {"optimizer": "adafactor"}},
    "lora": {"adapter": PLAIN, "train": STEADY},
}
BROKEN_OFF = "adamw, broken off"
SHARDED[BROKEN_OFF] = SHARDED["adamw"]
BAD_ROW = 5
TOKENS = 64  # in one forward of the frozen part: another batch may be another in the last bits of a text's states


class Smoothed(Weighting):
    """A weighting with state: inverse running means of the losses."""

    needs = "losses"

    def __init__(self, lambdas: torch.Tensor) -> None:
        super().__init__(lambdas)
        self.register_buffer("mean", torch.ones(len(lambdas)))

    def forward(self, losses: torch.Tensor) -> torch.Tensor:
        """Weights (T,)."""
        self.mean.mul_(0.5).add_(0.5 * losses)
        return 1 / self.mean


def with_case(folder: Path, case: str) -> Recipe:
    """The tiny recipe of a case."""
    from tiny import tiny_recipe

    return tiny_recipe(folder, **{**CASES, **SHARDED}[case])


def spoil(recipe: Recipe) -> None:
    """Make the loss of one training row of `query` NaN, wherever it is."""
    from peftrec.tasks.dataset import load_data

    label = load_data(recipe).tasks["query"].train.take(np.array([BAD_ROW]))
    kept = model.CoLearner.losses

    def losses(self, batches):
        found = kept(self, batches)
        query = batches.get("query")
        if query is not None and self.training:
            same = (query.group == label.group[0]) & (query.item == label.item[0])
            if same.any():
                found = found * torch.tensor([float("nan") if task == "query" else 1.0 for task in batches])
        return found

    model.CoLearner.losses = losses


def break_off(recipe: Recipe, run: Path) -> None:
    """Train until something goes wrong between two checkpoints."""
    from tiny import at_step, fail

    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 7, fail)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, run)


def count_computed() -> list[int]:
    """Texts that this process computes the frozen part's states of, from now on in small batches."""
    states.TOKEN_BUDGET = TOKENS
    computed: list[int] = []
    kept = states.StateCache.compute

    def compute(self, rows):
        if len(self.texts) > 10:  # not the probe's
            computed.extend(rows.tolist())
        return kept(self, rows)

    states.StateCache.compute = compute
    return computed


def main(shop: Path, runs: Path, cases: list[str]) -> None:
    """Train every case; ended-*.json says how each ended in each process, left-*.json what was open at exit."""
    torch.set_num_threads(1)
    left = runs / f"left-{processes.number()}.json"
    atexit.register(lambda: left.write_text(json.dumps(torch.distributed.is_initialized())))
    if processes.sharded():
        encoder.TOKEN_BUDGET = 16  # so that one process has more buckets than the other
    quicken(pytest.MonkeyPatch())
    fit_once(pytest.MonkeyPatch())
    computed = count_computed()
    evaluate = peftrec.training.finish.evaluate
    peftrec.training.finish.evaluate = lambda *args, **options: evaluate(*args, **{"resamples": 2, **options})
    ended = {}
    for case in cases:
        recipe, original = with_case(shop, case), model.CoLearner.losses
        if case.startswith("no number"):
            spoil(recipe)
        try:
            if case == BROKEN_OFF:
                break_off(recipe, runs / case)
            train(recipe, runs / case, resume=case == BROKEN_OFF)
            ended[case] = "done"
        except UserError as error:
            ended[case] = f"{type(error).__name__}: {error}"
        model.CoLearner.losses = original
        ended[f"{case}, computed"] = len(computed)
        computed.clear()
    (runs / f"ended-{processes.number()}.json").write_text(json.dumps(ended))


if __name__ == "__main__":
    with processes.quick_end(), notes_shown():  # as the command does
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
