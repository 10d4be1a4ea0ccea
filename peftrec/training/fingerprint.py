"""What the numbers of a training depend on: recipe, data, weights, packages. Only the same is continued."""

from pathlib import Path
from typing import Any

from peftrec.data.dataset import Dataset
from peftrec.data.digest import digest_dataset
from peftrec.machine.environment import environment
from peftrec.model.co_learner import CoLearner
from peftrec.recipe import Recipe
from peftrec.recipe.dotted import dotted
from peftrec.runs.folder import digest_run

# Packages that take part in computing; the others change nothing that the digests do not see.
PACKAGES = ("peftrec", "torch", "transformers", "peft", "accelerate", "bitsandbytes", "numpy")
# Keys of `train` that decide what happens beside the numbers: free to change when continuing.
_FREE = {"checkpoint", "non_finite", "log_every", "track"}


def describe_origin(recipe: Recipe, dataset: Dataset, model: CoLearner, processes: int) -> dict[str, Any]:
    """What the training depends on, as plain values; `machine` only decides the last bits."""
    here = environment()
    return {
        "recipe": recipe.model_dump(mode="json", exclude={"train": _FREE}),
        "data": digest_dataset(dataset),
        "weights": model.encoder.backbone.digest,
        "init_from": None if recipe.init_from is None else digest_run(Path(recipe.init_from)),
        "versions": {name: here["packages"][name] for name in PACKAGES},
        "processes": processes,
        "machine": {"cpu": here["cpu"], "device": here["device"], "threads": here["threads"]},
    }


def differences(then: dict[str, Any], now: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What changed between two origins, a line each: what matters, and what of the machine may change the last bits."""
    old, new = dict(dotted(then)), dict(dotted(now))
    lines: tuple[list[str], list[str]] = ([], [])
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            what = (
                f"{key}: changed"
                if key.startswith(("data.", "weights", "init_from"))
                else f"{key}: {old.get(key)}, now {new.get(key)}"
            )
            lines[key.startswith("machine.")].append(what)
    return lines
