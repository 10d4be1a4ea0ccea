"""Features: numbers and categories that stand beside the texts of items, of users and of events.

A table of them is kept as it was read. What a head reads is float32 columns of it, made by an `Encoding` that was
fitted on a task's training rows: a number is standardised and has a mark beside it where it is missing; a category is
the number of its level, 0 where training did not know the level.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LEAST = 3  # training rows that a level must have had; one of fewer counts as not known
MOST = 50_000  # levels of a category, the most frequent ones; the others count as not known
FURTHEST = 10.0  # spreads from the mean: what is further out is taken to be there


@dataclass(frozen=True)
class FeatureTable:
    """The features of the rows of one table.

    numbers     name -> float32 (R,), NaN where missing
    categories  name -> dictionary-encoded texts (R,); an empty one, which is a level like any other, where missing
    """

    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    categories: dict[str, pa.DictionaryArray] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.numbers or self.categories)

    def __len__(self) -> int:
        """How many rows it has; 0 without features."""
        return max(map(len, (*self.numbers.values(), *self.categories.values())), default=0)

    def take(self, rows: np.ndarray) -> "FeatureTable":
        """The rows at `rows` (N,); of row -1 nothing is known."""
        return FeatureTable(
            {name: np.append(column, np.float32(np.nan))[rows] for name, column in self.numbers.items()},
            {name: _filled(column.take(pa.array(rows, mask=rows < 0))) for name, column in self.categories.items()},
        )

    def beside(self, other: "FeatureTable") -> "FeatureTable":
        """The features of both tables, which are of the same rows."""
        return FeatureTable(self.numbers | other.numbers, self.categories | other.categories)


NO_FEATURES = FeatureTable()


def category(texts: pa.Array) -> pa.DictionaryArray:
    """Texts (R,) as a category: spaces around them do not count, and null is an empty text."""
    return pc.utf8_trim_whitespace(pc.fill_null(texts, "")).dictionary_encode()


def _filled(column: pa.DictionaryArray) -> pa.DictionaryArray:
    return category(column.cast(pa.string())) if column.null_count else column


@dataclass(frozen=True)
class Encoding:
    """How a table's features become columns, as fitted on a task's training rows.

    numbers     name -> (mean, spread); 0 and 1 where training had no value of it
    categories  name -> the levels that are known, the most frequent first
    """

    numbers: Mapping[str, tuple[float, float]]
    categories: Mapping[str, list[str]]

    @property
    def names(self) -> list[str]:
        """The features, numbers first."""
        return [*self.numbers, *self.categories]

    @property
    def columns(self) -> tuple[int, ...]:
        """What each column of `encode` holds: 0: a number; else a category of so many levels, the unknown one too."""
        return (*[0, 0] * len(self.numbers), *(len(levels) + 1 for levels in self.categories.values()))

    def encode(self, table: FeatureTable) -> np.ndarray:
        """The columns float32 (R, F) of a table that has these features."""
        columns = []
        for name, (centre, spread) in self.numbers.items():
            values = (table.numbers[name].astype(np.float64) - centre) / spread
            missing = np.isnan(values)
            columns += [np.where(missing, 0, values.clip(-FURTHEST, FURTHEST)), missing]
        for name, levels in self.categories.items():
            of = table.categories[name]
            codes = pc.fill_null(pc.index_in(of.dictionary, value_set=pa.array(levels, pa.string())), -1).to_numpy()
            columns.append(1 + codes[of.indices.to_numpy()])
        return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((len(table), 0), np.float32)

    def by_number(self, table: FeatureTable) -> np.ndarray:
        """The same for looking rows up by number, float32 (R + 1, F): of the last, which -1 is, nothing is known."""
        return np.concatenate([self.encode(table), self.encode(table.take(np.array([-1])))])


def columns(encodings: Mapping[str, Encoding]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the columns of a task's features hold: those of its items, and those of its users and then of its events."""
    item, user, event = (encodings[of].columns if of in encodings else () for of in ("item", "user", "event"))
    return item, user + event


def same_columns(one: Mapping[str, Encoding], other: Mapping[str, Encoding]) -> bool:
    """Whether the columns of both stand for the same, however numbers are standardised."""
    mine, theirs = ({of: (list(e.numbers), dict(e.categories)) for of, e in some.items()} for some in (one, other))
    return mine == theirs


def in_words(encodings: Mapping[str, Encoding]) -> str:
    """What a task reads beside texts, such as "item: price, brand (4 levels); user: age"; empty where nothing."""
    said = []
    for of, encoding in encodings.items():
        levels = [f"{name} ({len(known):,} levels)" for name, known in encoding.categories.items()]
        said.append(f"{of}: {', '.join([*encoding.numbers, *levels])}")
    return "; ".join(said)


def fit_encoding(table: FeatureTable, rows: np.ndarray) -> Encoding:
    """The encoding for training rows that have the table's features `rows` (N,), -1 where they are of none of it."""
    table = table.take(rows)
    return Encoding(
        {name: _scale(values) for name, values in table.numbers.items()},
        {name: _levels(column) for name, column in table.categories.items()},
    )


def _scale(values: np.ndarray) -> tuple[float, float]:
    known = values[~np.isnan(values)].astype(np.float64)
    return (float(known.mean()), float(known.std()) or 1.0) if len(known) else (0.0, 1.0)


def _levels(column: pa.DictionaryArray) -> list[str]:
    """The levels with enough rows, the most frequent first, equally frequent ones by name."""
    counts = np.bincount(column.indices.to_numpy(), minlength=len(column.dictionary)).tolist()
    found = [
        (-count, name) for name, count in zip(column.dictionary.to_pylist(), counts, strict=True) if count >= LEAST
    ]
    return [name for _, name in sorted(found)[:MOST]]
