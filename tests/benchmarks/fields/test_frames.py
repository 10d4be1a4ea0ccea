"""The baselines' rows are those of the recipe, whatever form the files have, though other code reads them."""

import numpy as np
import pytest

from benchmarks.fields.files import FIELDS
from benchmarks.fields.frames import frame_of
from peftrec.data.load import load_tables
from peftrec.data.tables import Events, Items, Queries
from peftrec.recipe.shipped import load_recipe


@pytest.mark.parametrize("name", FIELDS)
def test_a_frame_has_the_rows_that_are_trained_on(data, tmp_path, name):
    paths = FIELDS[name].files(data, tmp_path)
    recipe = load_recipe(FIELDS[name].recipe, [f"{key}={path}" for key, path in paths.items()])
    tables = load_tables(recipe.data).named
    assert {str(path) for path in paths.values()} == {of.path for of in recipe.data.named.values()}
    for table, of in recipe.data.named.items():
        frame, read = frame_of(of), tables[table]
        if isinstance(read, Events):
            rows, ids = frame.iloc[read.row], tables[read.catalogue].ids
            assert rows["user"].astype(str).tolist() == [read.user_ids[user] for user in read.user]
            assert rows["item"].astype(str).tolist() == [ids[item] for item in read.item]
            assert len(rows) == len(frame) > 100 and ("time" in frame) == (read.time is not None)
            for column, values in {"time": read.time, **read.columns}.items():
                assert values is None or np.array_equal(rows[column], values)
        elif isinstance(read, Queries):
            assert frame["query"].tolist() == read.text
            assert frame["item"].astype(str).tolist() == [tables[read.catalogue].ids[item] for item in read.item]
        elif isinstance(read, Items):
            assert frame["item"].astype(str).tolist() == read.ids
            assert frame["text"].tolist() == (read.texts or [""] * len(read.ids))  # none: users whom nobody recommends
        else:
            assert frame["text"].tolist() == read.text
