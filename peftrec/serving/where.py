"""Filters on the features of items, such as `price < 20 and brand in ("acme", "zeta")`: which items fulfil one."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.columns import plain
from peftrec.data.features import FeatureTable
from peftrec.data.rows import MOST
from peftrec.data.where import Refused, parse
from peftrec.errors import UserError, cut, shown


def matching(where: Any, features: FeatureTable) -> np.ndarray:
    """Which of the items (I,) fulfil a filter, bool (I,). Raises UserError naming the part that is wrong."""
    condition = parse(where, "where", "feature")
    if not features:
        raise UserError(
            f"where: {shown(where)}: the items of this run have no features; a recipe names them under `features` of "
            "the items' table"
        )
    return condition.of(_Features(features))[0]


class _Features:
    """Features as the columns of a condition: no value of theirs is wrong."""

    most = MOST

    def __init__(self, features: FeatureTable) -> None:
        self.features = features
        self.names = [*features.numbers, *features.categories]

    def nearest(self, name: str) -> str:
        return f"; there are {cut(', '.join(self.names))}"

    def numbers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """float32 (I,)."""
        if name not in self.features.numbers:
            raise Refused(f"asks for an order, or for another feature, of {name!r}, a category: give ==, != or in")
        return self.features.numbers[name], self._none

    def among(self, name: str, values: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if name in self.features.categories:
            of, texts = self.features.categories[name], ["" if v is None else plain(v).strip() for v in values]
            levels = pc.is_in(of.dictionary, value_set=pa.array(texts, pa.string())).to_numpy(zero_copy_only=False)
            missing, codes = pc.equal(of.dictionary, "").to_numpy(zero_copy_only=False), of.indices.to_numpy()
            return levels[codes], missing[codes], self._none
        if wrong := [value for value in values if isinstance(value, str)]:
            raise Refused(f"compares {name!r}, a number, with a text; found {shown(wrong[0])}")
        numbers = np.array([value for value in values if value is not None], np.float32)
        missing = np.isnan(self.features.numbers[name])
        found = np.isin(self.features.numbers[name], numbers)
        return found | missing if None in values else found, missing, self._none

    @property
    def _none(self) -> np.ndarray:
        return np.zeros(len(self.features), bool)
