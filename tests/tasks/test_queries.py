"""Queries by number; how they are divided is tested with the kinds that read them."""

import numpy as np
import pytest

from peftrec.data.tables import Items, Queries, Tables
from peftrec.recipe import DataConfig
from peftrec.tasks.queries import numbered, split_queries


def test_equal_texts_are_one_query_in_order_of_appearance():
    names, group = numbered(["b", "a", "b", "c", "a"])
    assert names == ["b", "a", "c"] and group.tolist() == [0, 1, 0, 2, 1]


@pytest.mark.parametrize(("graded", "note"), [(True, None), (False, "split by query, not stratified: whole queries")])
def test_without_grades_there_are_no_classes_to_divide_by(graded, note):
    group, label = np.arange(40) // 2, np.arange(40) % 2
    queries = Queries([f"q{n}" for n in group], np.zeros(40, np.int32))
    tables = Tables({"items": Items(["i"], ["t"]), "queries": queries})
    data = DataConfig(source="x", split={"kind": "stratified", "test": 0.25, "valid": 0})
    parts, _, notes = split_queries(tables, "queries", queries, group, label if graded else None, data, 0)
    assert np.bincount(parts, minlength=3).tolist() == [30, 0, 10]
    assert (notes == []) if note is None else notes[0].startswith(note)
    if not graded:
        assert not set(group[parts == 0]) & set(group[parts == 2])
