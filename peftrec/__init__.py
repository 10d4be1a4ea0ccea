"""peftrec: several recommendation signals co-learned on one frozen, quantised language model.

The public names load on first use, so that importing the package costs nothing.
"""

import importlib
from typing import Any

_NAMES = {
    "Predictor": "peftrec.serving.predictor",
    "Recipe": "peftrec.recipe",
    "UserError": "peftrec.errors",
    "check": "peftrec.training.preflight",
    "load_data": "peftrec.tasks.dataset",
    "load_recipe": "peftrec.recipe.shipped",
    "train": "peftrec.training.loop",
    "tune": "peftrec.training.tune",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'peftrec' has no attribute {name!r}")
    return getattr(importlib.import_module(_NAMES[name]), name)
