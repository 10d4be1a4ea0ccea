"""Splits: every row gets TRAIN, VALID or TEST (or LEFT_OUT): by time, at random, by groups, or as the data say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from peftrec.errors import UserError
from peftrec.recipe import SplitConfig
from peftrec.recipe.split import SPLIT_KINDS

TRAIN, VALID, TEST, LEFT_OUT = 0, 1, 2, 3

PARTS = {"train": TRAIN, "valid": VALID, "validation": VALID, "test": TEST}  # what a given split may call them


@dataclass(frozen=True)
class Divisible:
    """What a table's rows offer a split; None, or not there, is what they lack.

    sort        which sort of table it is
    rows        how many
    time        float64 (N,): seconds since 1970
    groups      name ("user", "item", "query", "text") -> int64 (N,): rows with equal numbers belong together
    user_start  int64 (users + 1,): user u's rows are [user_start[u]:user_start[u + 1]], in order of time
    given       the part that each row comes with, as `PARTS` names it
    label       (N,): each row's class
    boundaries  the last moments of train and valid that another table sets; None: by these rows' own times
    """

    sort: Literal["events", "queries", "texts"]
    rows: int
    time: np.ndarray | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    user_start: np.ndarray | None = None
    given: list[str] | None = None
    label: np.ndarray | None = None
    boundaries: tuple[float, float] | None = None


def divide(
    rows: Divisible, split: SplitConfig, seed: int, table: str, own: bool = False
) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (N,) of every row, the split as it was done, and what the user should know of it.

    `table` is the table's key in the recipe. A split of its `own` is done or refused. The run's (`data.split`) is for
    tables that may lack what it needs: such a table is divided as its sort mostly is, with a note; rows that come with
    their parts keep them, unless the split asks for something else than time. Raises UserError.
    """
    split, notes = _fitting(rows, split, table, own)
    return _drawn(rows, split, seed), split, notes + _remarks(rows, split)


def _fitting(rows: Divisible, split: SplitConfig, table: str, own: bool) -> tuple[SplitConfig, list[str]]:
    """The split that these rows get, and a note when it is not the one that was asked for."""
    if not own and rows.given is not None and split.kind in ("global-time", "leave-last-out"):
        return split.model_copy(update={"kind": "given"}), []
    lack = _lack(rows, split)
    if lack is None:
        return split, []
    if split.kind == "given":
        raise UserError(f"{table if own else 'data'}.split.kind: 'given' needs a split column: {table}.split")
    if own:
        others = [kind for kind in SPLIT_KINDS if _lack(rows, SplitConfig(kind=kind)) is None]
        raise UserError(
            f"{table}.split.kind: {split.kind} needs {lack}, which these {rows.sort} lack; take one of "
            f"{', '.join(others)}"
        )
    if rows.sort == "queries":
        kind, note = "by-group", f"split by query, not {split.kind}: whole queries are held out"
    elif rows.time is not None:
        kind, note = "global-time", f"split by global time, not {split.kind}: {rows.sort} have no {lack}"
    else:
        kind, note = "random", f"split at random, not {split.kind}: {rows.sort} have no {lack}"
    return split.model_copy(update={"kind": kind, "by": None}), [note]


def _lack(rows: Divisible, split: SplitConfig) -> str | None:
    """What these rows lack to be divided so; None when they can be."""
    match split.kind:
        case "global-time" | "leave-last-out" if rows.time is None:
            return "time"
        case "leave-last-out" if rows.user_start is None:
            return "order within a user"
        case "stratified" if rows.label is None:
            return "classes"
        case "by-group" if (name := _kept_whole(rows, split)) is not None and name not in rows.groups:
            return name
        case "by-text" if "text" not in rows.groups:
            return "text"
        case "given" if rows.given is None:
            return "split column"
    return None


def _kept_whole(rows: Divisible, split: SplitConfig) -> str | None:
    """What by-group keeps whole; None: each row is a group, as a text is where nothing else is said."""
    return split.by or {"events": "user", "queries": "query", "texts": None}[rows.sort]


def _drawn(rows: Divisible, split: SplitConfig, seed: int) -> np.ndarray:
    """The part int8 (N,) of every row, of rows that lack nothing."""
    match split.kind:
        case "global-time":
            assert rows.time is not None
            return by_time(rows.time, rows.boundaries or time_boundaries(rows.time, split))
        case "leave-last-out":
            assert rows.user_start is not None
            return leave_last_out(rows.user_start, split.valid > 0)
        case "stratified":
            assert rows.label is not None
            return stratified(rows.label, split, seed)
        case "given":
            assert rows.given is not None
            parts = np.fromiter((PARTS[name] for name in rows.given), np.int8, rows.rows)
            return held_out(rows, parts, split, seed) if _holds_out(rows, split) else parts
        case "by-text":
            return by_group(rows.groups["text"], split, seed)
        case "by-group" if name := _kept_whole(rows, split):
            return by_group(rows.groups[name], split, seed)
        case _:
            return at_random(rows.rows, split, seed)


def _holds_out(rows: Divisible, split: SplitConfig) -> bool:
    """Whether a given split marks no row as valid, and should have some all the same."""
    assert rows.given is not None
    return split.valid > 0 and not {"valid", "validation"} & set(rows.given)


def held_out(rows: Divisible, parts: np.ndarray, split: SplitConfig, seed: int) -> np.ndarray:
    """The parts int8 (N,) with `split.valid` of the train rows valid: of events the latest, else drawn by `seed`, rows
    of one query or text together. One train row stays train."""
    own = np.flatnonzero(parts == TRAIN)
    if rows.sort == "events" and rows.time is not None and len(own):
        last = np.sort(rows.time[own])[max(0, round((1 - split.valid) * len(own)) - 1)]
        valid = rows.time[own] > last
    else:
        names = rows.groups.get("query" if rows.sort == "queries" else "text", np.arange(rows.rows))[own]
        drawn = by_group(names, split.model_copy(update={"test": 0.0}), seed)
        valid = (drawn == VALID) & (len(np.unique(names)) > 1)
    parts = parts.copy()
    parts[own[valid]] = VALID
    return parts


def _remarks(rows: Divisible, split: SplitConfig) -> list[str]:
    """What the user should know of a split as it is done."""
    notes = []
    if split.kind == "given" and _holds_out(rows, split):
        which = "the latest" if rows.sort == "events" and rows.time is not None else "drawn at random"
        share = f"{split.valid:.0%} of the train rows"
        notes.append(f"the split marks no row as valid: {share} are, {which}; valid: 0 trains on them")
    if rows.given is not None and split.kind != "given":
        how = "split at random: " if split.kind in ("random", "by-group") else ""
        notes.append(f"{how}{split.kind} leaves the split that the {rows.sort} come with unused")
    if rows.sort != "events" or rows.time is None or split.kind in ("global-time", "given"):
        return notes
    leaking = {
        "leave-last-out": "leave-last-out leaks: training sees other users' events from after a held-out event",
        "by-group": f"by-group holds out whole {_kept_whole(rows, split)}s; training sees events from after a "
        "held-out one",
    }
    drawn = f"{split.kind} leaks: training sees events from after a held-out one"
    notes.append(f"{leaking.get(split.kind, drawn)}; prefer global-time")
    if split.kind == "leave-last-out" and rows.user_start is not None:
        counts = np.diff(rows.user_start)
        alone, pairs = int((counts == 1).sum()), int((counts == 2).sum()) if split.valid else 0
        if alone:
            notes.append(f"leave-last-out: {alone:,} users have one event, which is train: none of theirs is held out")
        if pairs:
            notes.append(f"leave-last-out: {pairs:,} users have two events, one train and one test: none is valid")
    return notes


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
    """int8 (E,) for events ordered by (user, time): each user's last one is test, the one before it valid.

    As in RecBole (`Dataset.leave_one_out`) a user's first event is always train: a single event is held out nowhere,
    and of two the last one is test.
    """
    parts = np.full(user_start[-1], TRAIN, np.int8)
    ends, counts = user_start[1:], np.diff(user_start)
    if valid:
        parts[ends[counts > 2] - 2] = VALID
    parts[ends[counts > 1] - 1] = TEST
    return parts


def at_random(count: int, split: SplitConfig, seed: int) -> np.ndarray:
    """int8 (count,), drawn by `seed`: test and valid get their shares, rounded, and at least one; train the rest."""
    test, valid = (max(1, round(share * count)) if share else 0 for share in (split.test, split.valid))
    parts = np.full(count, TRAIN, np.int8)
    order = np.random.default_rng(seed).permutation(count)
    parts[order[:test]] = TEST
    parts[order[test : test + valid]] = VALID
    return parts


def by_group(groups: np.ndarray, split: SplitConfig, seed: int) -> np.ndarray:
    """int8 (N,): whole groups, drawn by `seed`; the shares are of the groups."""
    names, position = np.unique(groups, return_inverse=True)
    return at_random(len(names), split, seed)[position]


def stratified(label: np.ndarray, split: SplitConfig, seed: int) -> np.ndarray:
    """int8 (N,), drawn by `seed` within each class of `label` (N,), so that every part has each class in its share."""
    _, position, counts = np.unique(label, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(position))
    order = order[np.argsort(position[order], kind="stable")]  # class after class
    parts = np.empty(len(position), np.int8)
    parts[order] = np.repeat(np.tile([TRAIN, VALID, TEST], len(counts)), _seats(counts, split).ravel())
    return parts


def _seats(counts: np.ndarray, split: SplitConfig) -> np.ndarray:
    """int64 (C, 3): how many rows of each class every part gets; the rows of each class add up to `counts` (C,).

    A class gives a row to train, then test, then valid before it gives any a second. Beyond that each part gets its
    share, rounded down or up: up where the classes before have left a part most short, so that sums keep the shares.
    """
    shares = np.array([1 - split.test - split.valid, split.valid, split.test])
    first = [part for part in (TRAIN, TEST, VALID) if shares[part]]
    seats = np.zeros((len(counts), 3), np.int64)
    short = np.zeros(3)
    for own, count in zip(seats, counts.tolist(), strict=True):
        exact = np.round(count * shares, 9)
        own[:] = np.floor(exact)
        own[first[:count]] = own[first[:count]].clip(1)
        while own.sum() > count:
            own[np.argmax(own)] -= 1
        short += exact - own
        while own.sum() < count:
            part = np.argmax(np.where(own < exact, short, -np.inf))
            own[part] += 1
            short[part] -= 1
    return seats


def check_parts(parts: np.ndarray, split: SplitConfig, key: str = "data.split") -> None:
    """Raise UserError when a part that the split asks for got no rows. `key` is where the recipe has the split."""
    counts = np.bincount(parts, minlength=3)
    given = split.kind == "given"  # which may do without valid
    needed = {"train": TRAIN, "test": TEST, **({"valid": VALID} if split.valid and not given else {})}
    remedy = (
        "name rows of it in the split column" if given else "give more data, other shares, or another kind of split"
    )
    for name, part in needed.items():
        if not counts[part]:
            raise UserError(
                f"the {name} split is empty ({counts[TRAIN]} train, {counts[VALID]} valid, {counts[TEST]} test rows "
                f"with {key} {split.kind}); {remedy}"
            )
