"""peftrec: several recommendation signals co-learned on one frozen, quantised language model.

The public names load on first use, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

_NAMES = {
    "Predictor": "peftrec.serving.predictor",
    "Recipe": "peftrec.recipe",
    "UserError": "peftrec.errors",
    "check": "peftrec.training.preflight",
    "load_data": "peftrec.tasks.dataset",
    "load_recipe": "peftrec.recipe.shipped",
    "metric": "peftrec.evaluation.metrics",
    "train": "peftrec.training.loop",
    "tune": "peftrec.training.tune",
}

__all__ = sorted(_NAMES)

if TYPE_CHECKING:  # the same names, for type checkers
    from peftrec.errors import UserError as UserError
    from peftrec.evaluation.metrics import metric as metric
    from peftrec.recipe import Recipe as Recipe
    from peftrec.recipe.shipped import load_recipe as load_recipe
    from peftrec.serving.predictor import Predictor as Predictor
    from peftrec.tasks.dataset import load_data as load_data
    from peftrec.training.loop import train as train
    from peftrec.training.preflight import check as check
    from peftrec.training.tune import tune as tune
else:

    def __getattr__(name: str) -> Any:
        if name not in _NAMES:
            raise AttributeError(f"module 'peftrec' has no attribute {name!r}")
        return getattr(importlib.import_module(_NAMES[name]), name)
