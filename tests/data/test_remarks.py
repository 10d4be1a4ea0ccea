import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.remarks import empty_fields, first_alike, repeated_rows
from peftrec.data.rows import Rows


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 0.5])), max_size=40))
def test_the_first_row_alike_is_the_first_with_all_its_values(rows):
    columns = [np.asarray([row[n] for row in rows], kind) for n, kind in enumerate((np.int32, np.int32, float))]
    first = first_alike(*columns)
    assert first.tolist() == [rows.index(row) for row in rows]
    again = len(rows) - len(set(rows))
    line = f"data.x: {again} rows repeat an earlier one (same a, b); each counts"
    assert repeated_rows("data.x", first, ["a", "b"]) == ([line] if again else [])


@given(st.lists(st.tuples(*[st.sampled_from(["", " ", "x", None])] * 2), max_size=20))
def test_empty_fields_are_counted_by_column(rows):
    table = pa.table({name: pa.array([row[n] for row in rows], pa.string()) for n, name in enumerate("ab")})
    lines = empty_fields(Rows("f.csv", table), "{a} ({b}), {a}", "data.items.text")
    counts = {name: sum(not (row[n] or "").strip() for row in rows) for n, name in enumerate("ab")}
    said = [f"data.items.text: {count} of {len(rows)} rows have no {name}" for name, count in counts.items() if count]
    assert lines == said
