"""What a tiny training need not do at length: the choice among starts and priors takes longer than it does."""

import importlib

import pytest

FEW: dict[str, dict[str, object]] = {  # what validation rows otherwise choose among, folds, and a second training
    "tasks.priors.boosted": {"TRIED": (0, 5)},
    "tasks.priors.matching": {"SORTS": (("words",),)},
    "tasks.priors.others": {"STRENGTHS": (0.1,), "PENALTIES": (100.0,)},
    "tasks.priors.texts": {"SORTS": (("words",),)},
    "tasks.priors.vectors": {"SCALES": ("standardised",), "STRENGTHS": (0.1,), "PENALTIES": (100.0,)},
    "tasks.starts.events": {"SHRINKS": (5.0,), "STRENGTHS": (1.0,)},
    "tasks.starts.expected": {"PENALTIES": (10.0,), "FOLDS": 2},
    "tasks.priors.pool": {"FOLDS": 2},
    "training.defaults": {"REFIT_ROWS": 0},
}


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Fit all starts and priors, but one of each sort; train once."""
    for name, of in FEW.items():
        module = importlib.import_module(f"peftrec.{name}")  # the package's own name may be a prior's
        for key, value in of.items():
            patch.setattr(module, key, value)
