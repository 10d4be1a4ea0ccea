"""Features that a row brings along, for an item or a user that the run does not know, and of the event itself."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from peftrec.data.columns import plain
from peftrec.data.features import Encoding, FeatureTable, category
from peftrec.data.rows import MOST
from peftrec.errors import UserError, nearest, shown
from peftrec.tasks.rows import Row

# The key of a row, and whose features it holds.
KEYS = {"item_features": "item", "user_features": "user", "features": "event"}


def checked_features(given: Any, key: str, encoding: Encoding) -> Row:
    """The features under a row's `key` as they are, each a number or a text; null, or not there: missing.

    Raises UserError.
    """
    if not isinstance(given, dict):
        raise UserError(f"{key!r} is a dict of features and their values; found {shown(given)}")
    for name, value in given.items():
        if name not in encoding.names:
            raise UserError(f"{key!r}: {shown(name)} is no feature here; {nearest(str(name), encoding.names)}")
        if value is None:
            continue
        if name in encoding.numbers and not (is_number(value) and abs(value) <= MOST):
            raise UserError(f"{key!r}: {name!r} is a number of at most {MOST:g} in size, or null; found {shown(value)}")
        if name in encoding.categories and not (isinstance(value, bool) or is_number(value) or _is_text(value)):
            raise UserError(f"{key!r}: {name!r} is a category: a text, or null; found {shown(value)}")
    return given


def encoded(given: Sequence[Row], encoding: Encoding) -> np.ndarray:
    """Checked features of several rows as columns, float32 (N, F)."""
    numbers = {
        name: np.array([np.nan if of.get(name) is None else of[name] for of in given], np.float32)
        for name in encoding.numbers
    }
    categories = {
        name: category(pa.array([plain(of.get(name)) for of in given], pa.string())) for name in encoding.categories
    }
    return encoding.encode(FeatureTable(numbers, categories))


def is_number(value: Any) -> bool:
    """Whether it is a number that is finite as a float, which of a whole one not even NumPy may ask."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
