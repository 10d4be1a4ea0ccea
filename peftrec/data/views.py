"""Columns that are made when they are asked for: what tables, tasks and splits have in common is kept once."""

from typing import Any, cast

import numpy as np


class Column(np.lib.mixins.NDArrayOperatorsMixin):
    """Rows (N, ...) that are made when they are taken, `column[rows]`; to numpy it is an array."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, index: Any) -> Any:
        """Those at `index`, which is what an array takes for its first dimension."""
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, tuple):
            return np.asarray(self)[index]
        mask = isinstance(index, np.ndarray) and index.dtype.kind == "b"
        return self.rows(np.flatnonzero(index) if mask else index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.rows(slice(None)), dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*[np.asarray(of) if isinstance(of, Column) else of for of in inputs], **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in dir(np.ndarray):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


class Gathered(Column):
    """`values[index]`: `values` (V, ...) an array or another column, `index` int (N,)."""

    def __init__(self, values: np.ndarray, index: np.ndarray) -> None:
        super().__init__((len(index), *values.shape[1:]), values.dtype)
        self.values, self.index = values, index

    def rows(self, index: Any) -> Any:
        """Gathered."""
        return self.values[self.index[index]]


class WindowStart(Column):
    """Where the windows begin that end at `stop` int (N,): the last `most` places of each of the `users` int (N,)."""

    def __init__(self, user_start: np.ndarray, users: np.ndarray, stop: np.ndarray, most: int) -> None:
        super().__init__(stop.shape, np.int64)
        self.user_start, self.users, self.stop, self.most = user_start, users, stop, most

    def rows(self, index: Any) -> Any:
        """Computed."""
        return np.maximum(self.user_start[self.users[index]], self.stop[index] - self.most)


def as_array(column: Column) -> np.ndarray:
    """The same, typed as the array that it stands for wherever rows are taken."""
    return cast(np.ndarray, column)
