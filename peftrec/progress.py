"""Progress of long work on stderr: a bar with rate and time left, or a line now and then where there is no terminal."""

import sys
from collections.abc import Iterable, Iterator

import numpy as np
from tqdm import tqdm


def bar(total: int, what: str, unit: str, done: int = 0) -> tqdm:
    """A progress bar on stderr to be updated by hand; without a terminal it prints every ten seconds at the most.

    `done` of `total` were done in an earlier session.
    """
    return tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=f" {unit}",
        unit_scale=total >= 10_000,
        mininterval=0.2 if sys.stderr.isatty() else 10,
        dynamic_ncols=True,
    )


def track_rows(groups: Iterable[np.ndarray], total: int, what: str) -> Iterator[np.ndarray]:
    """Pass groups of text rows through, counting texts."""
    with bar(total, what, "texts") as shown:
        for group in groups:
            yield group
            shown.update(len(group))


def note(line: str) -> None:
    """One line for the user on stderr, above any bar."""
    tqdm.write(line, file=sys.stderr)
