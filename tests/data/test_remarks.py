import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.remarks import empty_fields, first_alike, repeated_rows, repeated_texts, unseen
from peftrec.data.rows import Rows
from peftrec.data.split import LEFT_OUT, TEST, TRAIN, VALID, Divisible, divide
from peftrec.recipe import SplitConfig


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


def test_texts_in_train_and_test_and_texts_of_several_labels_are_counted():
    parts = np.array([TRAIN, TEST, TEST, TRAIN, TEST, VALID, LEFT_OUT, TRAIN])
    text = np.array([0, 0, 1, 2, 2, 3, 1, 3])
    label = np.array(["a", "b", "a", "c", "c", "a", "b", "a"])
    assert repeated_texts(text, label, parts) == [
        "2 of 3 test rows have a text that train rows have too; split: by-text keeps equal texts together",
        "1 texts stand with different labels (2 rows): no answer is right for all",
    ]
    assert repeated_texts(np.arange(8), label, parts) == []
    several = np.stack([label == "a", label == "b", label == "c"], 1).astype(np.float32)
    assert repeated_texts(text, several, parts) == repeated_texts(text, label, parts)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=3, max_size=60), st.integers(0, 9))
def test_equal_texts_kept_together_are_not_told_but_their_labels_are(rows, seed):
    text, label = np.array(rows).T
    split = SplitConfig(kind="by-text", test=0.3, valid=0)
    parts, _, _ = divide(Divisible("texts", len(rows), groups={"text": text}), split, seed, "data.texts", own=True)
    several = sum(len({own for name, own in rows if name == of}) > 1 for of in set(text.tolist()))
    told = repeated_texts(text, label, parts)
    assert len(told) == bool(several) and all(line.startswith(f"{several} texts stand") for line in told)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([TRAIN, VALID, TEST])), max_size=40),
    st.sampled_from([None, "item", "user"]),
)
def test_test_rows_of_items_and_users_that_train_lacks_are_told_with_their_share(rows, asked):
    item, user, parts = (np.array([row[n] for row in rows], int) for n in range(3))
    told = unseen(item, user, parts, asked)
    tested = [row for row in rows if row[2] == TEST]
    wanted = []
    for name, place, most, said in (
        ("item", 0, 0.25, "have an item that no train row has"),
        ("user", 1, 0.5, "are of users without a train row"),
    ):
        known = {row[place] for row in rows if row[2] == TRAIN}
        share = sum(row[place] not in known for row in tested) / max(1, len(tested))
        if share > most and asked != name:
            wanted.append(f"{share:.0%} of the test rows {said}")
    assert len(told) == len(wanted) and all(map(str.startswith, told, wanted))
