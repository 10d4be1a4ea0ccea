import numpy as np
import pyarrow as pa

from peftrec.data import features
from peftrec.data.features import Encoding, FeatureTable, category, fit_encoding

NAN = float("nan")


def table() -> FeatureTable:
    price = np.array([10, 20, NAN, 30, 1e9], np.float32)
    return FeatureTable({"price": price}, {"brand": category(pa.array(["acme", " acme", None, "zeta", "rare"]))})


def test_numbers_are_standardised_on_the_training_rows_and_missing_ones_are_marked():
    encoding = fit_encoding(table(), np.array([0, 0, 3, 3, 2]))  # prices 10, 10, 30, 30 and a missing one
    assert encoding.numbers == {"price": (20.0, 10.0)}
    encoded = encoding.encode(table())
    assert encoded.dtype == np.float32
    assert encoded[:, 0].tolist() == [-1, 0, 0, 1, features.FURTHEST]  # the last is 1e8 spreads out
    assert encoded[:, 1].tolist() == [0, 0, 1, 0, 0]


def test_a_number_that_training_never_has_or_that_never_changes_encodes_as_0():
    none = FeatureTable({"price": np.array([NAN, NAN], np.float32), "year": np.array([7, 7], np.float32)})
    encoding = fit_encoding(none, np.array([0, 1]))
    assert encoding.numbers == {"price": (0.0, 1.0), "year": (7.0, 1.0)}
    assert encoding.encode(none).tolist() == [[0, 1, 0, 0]] * 2


def test_levels_with_enough_training_rows_have_a_number_and_all_others_are_unknown():
    encoding = fit_encoding(table(), np.array([0, 1, 0, 3, 3, 3, 3, 2, 2, 2, 4, 4]))
    assert encoding.categories == {"brand": ["zeta", "", "acme"]}  # a missing one is a level; of rare there are two
    assert encoding.columns == (0, 0, 4)
    assert encoding.encode(table())[:, 2].tolist() == [3, 3, 2, 1, 0]
    other = FeatureTable({"price": np.zeros(2, np.float32)}, {"brand": category(pa.array(["never seen", "zeta "]))})
    assert encoding.encode(other)[:, 2].tolist() == [0, 1]


def test_a_category_has_at_most_so_many_levels(monkeypatch):
    monkeypatch.setattr(features, "MOST", 2)
    names = [f"b{n}" for n in range(5) for _ in range(3 + n)]
    encoding = fit_encoding(FeatureTable({}, {"brand": category(pa.array(names))}), np.arange(len(names)))
    assert encoding.categories == {"brand": ["b4", "b3"]}


def test_of_row_minus_1_nothing_is_known():
    taken = table().take(np.array([3, -1, 0]))
    assert np.array_equal(taken.numbers["price"], np.array([30, NAN, 10], np.float32), equal_nan=True)
    assert taken.categories["brand"].to_pylist() == ["zeta", "", "acme"]


def test_a_table_without_features_has_no_columns_and_is_false():
    assert not FeatureTable() and len(FeatureTable()) == 0
    assert Encoding({}, {}).encode(FeatureTable()).shape == (0, 0)
