"""Splits: every row gets TRAIN, VALID or TEST (or LEFT_OUT), by time, by order inside a user, or by whole groups."""

import numpy as np

from peftrec.errors import UserError
from peftrec.recipe import SplitConfig

TRAIN, VALID, TEST, LEFT_OUT = 0, 1, 2, 3


def time_boundaries(times: np.ndarray, split: SplitConfig) -> tuple[float, float]:
    """The last moment of train and the last moment of valid, so that the shares hold over `times` (N,)."""
    ordered = np.sort(times)
    last = len(ordered) - 1

    def moment(share: float) -> float:
        return float(ordered[min(last, max(0, round(share * len(ordered)) - 1))])

    return moment(1 - split.test - split.valid), moment(1 - split.test)


def by_time(times: np.ndarray, boundaries: tuple[float, float]) -> np.ndarray:
    """int8 (N,): train up to the first boundary, valid up to the second, then test; equal times stay together."""
    return np.searchsorted(np.asarray(boundaries), times, side="left").astype(np.int8)


def leave_last_out(user_start: np.ndarray, valid: bool) -> np.ndarray:
    """int8 (E,) for events ordered by (user, time): each user's last one is test, the one before it valid."""
    parts = np.full(user_start[-1], TRAIN, np.int8)
    ends, counts = user_start[1:], np.diff(user_start)
    if valid:
        parts[ends[counts > 1] - 2] = VALID
    parts[ends[counts > 0] - 1] = TEST
    return parts


def by_group(groups: np.ndarray, split: SplitConfig, seed: int) -> np.ndarray:
    """int8 (N,): whole groups, drawn by `seed`; the shares are of the groups."""
    names, position = np.unique(groups, return_inverse=True)
    test, valid = (max(1, round(share * len(names))) if share else 0 for share in (split.test, split.valid))
    parts = np.full(len(names), TRAIN, np.int8)
    order = np.random.default_rng(seed).permutation(len(names))
    parts[order[:test]] = TEST
    parts[order[test : test + valid]] = VALID
    return parts[position]


def check_parts(parts: np.ndarray, split: SplitConfig) -> None:
    """Raise UserError when a split that the recipe asks for got no rows."""
    counts = np.bincount(parts, minlength=3)
    needed = {"train": TRAIN, "test": TEST, **({"valid": VALID} if split.valid and split.kind != "given" else {})}
    for name, part in needed.items():
        if not counts[part]:
            raise UserError(
                f"the {name} split is empty ({counts[TRAIN]} train, {counts[VALID]} valid, {counts[TEST]} test rows "
                f"with data.split {split.kind}); give more data, other shares, or another kind of split"
            )
