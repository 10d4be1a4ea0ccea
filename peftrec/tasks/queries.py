"""What graded queries and matches alone share: queries by number, and how they are divided."""

import numpy as np

from peftrec.data.split import Divisible, time_boundaries
from peftrec.data.tables import Events, Queries, Tables
from peftrec.recipe import DataConfig, SplitConfig
from peftrec.tasks.building import divided


def split_queries(
    tables: Tables,
    name: str,
    queries: Queries,
    group: np.ndarray,
    label: np.ndarray | None,
    data: DataConfig,
    seed: int,
) -> tuple[np.ndarray, SplitConfig, list[str]]:
    """The part int8 (Q,) of every row, how they were divided, and what the user should know of it.

    `group` (Q,): query numbers; `label` (Q,): grades, where there are any.
    """
    beside = [e.time for e in tables.of(Events).values() if e.catalogue == queries.catalogue and e.time is not None]
    rows = Divisible(
        sort="queries",
        rows=len(queries),
        time=queries.time,
        groups={
            "query": group,
            "text": group,
            "item": queries.item,
            **({} if queries.user is None else {"user": queries.user}),
        },
        given=queries.given,
        label=label,
        boundaries=time_boundaries(beside[0], data.split_of(name)) if beside else None,
    )
    return divided(rows, name, data, seed)


def numbered(texts: list[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts in order of appearance, and each row's position among them, int64 (N,)."""
    numbers: dict[str, int] = {}
    positions = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), np.int64, len(texts))
    return list(numbers), positions
