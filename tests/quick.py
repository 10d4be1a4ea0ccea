"""What a tiny training need not do at length: the choice among starts and priors takes longer than it does."""

import importlib

import pytest

FEW: dict[str, dict[str, object]] = {  # what validation rows otherwise choose among, and folds
    "priors.boosted": {"TRIED": (0, 5)},
    "priors.matching": {"SORTS": (("words",),)},
    "priors.others": {"STRENGTHS": (0.1,), "PENALTIES": (100.0,)},
    "priors.texts": {"SORTS": (("words",),)},
    "priors.vectors": {"SCALES": ("standardised",), "STRENGTHS": (0.1,), "PENALTIES": (100.0,)},
    "starts.events": {"SHRINKS": (5.0,), "STRENGTHS": (1.0,)},
    "starts.expected": {"PENALTIES": (10.0,), "FOLDS": 2},
    "priors.pool": {"FOLDS": 2},
}


def quicken(patch: pytest.MonkeyPatch) -> None:
    """Fit all starts and priors, but one of each sort."""
    for name, of in FEW.items():
        module = importlib.import_module(f"peftrec.tasks.{name}")  # the package's own name may be a prior's
        for key, value in of.items():
            patch.setattr(module, key, value)
