import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peftrec.data.columns import (
    Compact,
    as_texts,
    blank,
    coded,
    decoded,
    from_values,
    is_number,
    is_text,
    joined,
    plain,
    plain_number,
    seen,
    shortest,
    text_numbers,
)


def texts(*chunks):
    return decoded(as_texts(pa.chunked_array(list(chunks)))).to_pylist()


def test_numbers_as_people_write_them():
    assert [plain_number(v) for v in (1995.0, 0.7, np.float32(0.7), np.float16(0.1))] == ["1995", "0.7", "0.7", "0.1"]
    assert [is_number(t) for t in ("1", " -2.5e3 ", ".5", "5.", "nan", "1,5", "")] == [True] * 4 + [False] * 3


def test_any_value_as_text():
    values = [None, float("nan"), True, 1984, 2.0, "Amélie 2", [1, "a", None], {"k": "é"}, dt.date(2024, 5, 31)]
    assert list(map(plain, values)) == ["", "", "true", "1984", "2", "Amélie 2", "1, a, ", '{"k": "é"}', "2024-05-31"]


def test_values_of_one_kind_keep_it_and_of_several_become_texts():
    assert from_values([1, None, 2]).type == pa.int64()
    assert from_values([1, 0.5]).to_pylist() == [1.0, 0.5]
    assert from_values(["a", None]).to_pylist() == ["a", None]
    assert from_values([None, 1984, "Heat"]).to_pylist() == [None, "1984", "Heat"]
    assert from_values([True, 1]).to_pylist() == ["true", "1"]
    assert from_values([2**53 + 1, 0.5]).to_pylist() == ["9007199254740993", "0.5"]
    assert from_values([2**64, 1]).to_pylist() == ["18446744073709551616", "1"]
    assert from_values([[1], ["a"]]).to_pylist() == [["1"], ["a"]]
    assert from_values(["1995-01-31"]).type == pa.string()


def test_parts_of_one_column_become_texts_where_their_kinds_differ():
    assert joined([pa.array([1]), pa.array(["a"])]).to_pylist() == ["1", "a"]
    assert joined([pa.nulls(1), pa.array([1])]).to_pylist() == [None, 1]
    assert joined([pa.array([1]), pa.array([0.5])]).to_pylist() == [1.0, 0.5]
    assert joined([pa.array([2**53 + 1]), pa.array([0.5])]).to_pylist() == ["9007199254740993", "0.5"]
    assert joined([pa.array([0.7], pa.float32()), pa.array([0.5])]).to_pylist() == [0.7, 0.5]
    assert joined([pa.array([["a"]]), pa.array([[1]])]).to_pylist() == [["a"], ["1"]]
    assert joined([pa.array(["a"]).dictionary_encode(), pa.array(["b"])]).to_pylist() == ["a", "b"]
    wide = pa.array(["c", "d"], pa.large_string())
    parts = [wide.dictionary_encode(), wide, pa.array(["c"]).dictionary_encode(), pa.array(["d", None])]
    assert joined(parts).to_pylist() == ["c", "d", "c", "d", "c", "d", None]
    assert joined([pa.nulls(2)]).to_pylist() == [None, None]


def test_columns_of_every_type_as_texts():
    assert texts(pa.array(["a", None])) == ["a", ""]
    assert texts(pa.array(["a"], pa.large_string())) == ["a"]
    assert texts(pa.array([b"a"])) == ["a"]
    assert texts(pa.array([True, None])) == ["true", ""]
    assert texts(pa.array([2**53 + 1, None])) == ["9007199254740993", ""]
    assert texts(pa.array([1995.0, 0.5, float("nan"), None])) == ["1995", "0.5", "", ""]
    assert texts(pa.array([0.7, 19.99, 1995.0], pa.float32())) == ["0.7", "19.99", "1995"]
    assert texts(pa.array(np.array([0.7, 3.0], np.float16))) == ["0.7", "3"]
    assert texts(pa.array([Decimal("0.70"), Decimal("1995.00"), Decimal("100.05")])) == ["0.7", "1995", "100.05"]
    assert texts(pa.array([Decimal("100")])) == ["100"]
    assert texts(pa.array([["a", "b"], None, []])) == ["a, b", "", ""]
    assert texts(pa.array([[0.5, 2.0]])) == ["0.5, 2"]
    assert texts(pa.array([dt.date(2024, 5, 31)])) == ["2024-05-31"]
    assert texts(pa.array([dt.datetime(2024, 5, 31), dt.datetime(2024, 5, 31, 18)])) == [
        "2024-05-31",
        "2024-05-31 18:00:00.000000",
    ]
    assert texts(pa.array([1.5, None, 1.5]).dictionary_encode()) == ["1.5", "", "1.5"]
    assert texts(pa.nulls(1)) == [""]
    with pytest.raises(TypeError, match="needs plain values; found struct"):
        texts(pa.array([{"a": 1}]))


def test_numbers_of_few_bits_are_what_their_shortest_writing_says():
    assert shortest(pa.chunked_array([pa.array([0.7, 19.99, None], pa.float32())])).to_pylist() == [0.7, 19.99, None]
    assert shortest(pa.chunked_array([np.array([0.7, 0.1], np.float16)])).to_pylist() == [0.7, 0.1]
    assert shortest(pa.chunked_array([pa.array([Decimal("0.70"), None])])).to_pylist() == [0.7, None]
    assert shortest(pa.chunked_array([pa.array([1, 2], pa.int8())])).to_pylist() == [1.0, 2.0]


@given(st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=1))
def test_32_bits_of_a_short_number_are_that_number(values):
    values = [float(f"{v:.6g}") for v in values]
    assert shortest(pa.chunked_array([pa.array(values, pa.float32())])).to_pylist() == values


def test_a_column_that_repeats_its_values_is_kept_as_a_dictionary():
    small = Compact()
    assert pa.types.is_dictionary(small(pa.array(["a", "a", "b", "b"])).type)
    assert pa.types.is_dictionary(small(pa.array(["c", "d"])).type)
    assert Compact()(pa.array(["a", "b"])).type == pa.string()
    assert Compact()(pa.array([1, 1])).type == pa.int64()
    assert is_text(pa.string()) and is_text(pa.array(["a"]).dictionary_encode().type) and not is_text(pa.int64())


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None, ""])), min_size=1, max_size=4))
def test_codes_count_in_the_order_of_first_appearance(chunks):
    values = [value or "" for chunk in chunks for value in chunk]
    arrays = [pa.array(chunk, pa.string()) for chunk in chunks]
    foreign = [pa.DictionaryArray.from_arrays(pa.array([0, None]), pa.array(["z", "a"]))] * 2
    for column in (arrays, [a.dictionary_encode() for a in arrays], [pa.array(values, pa.large_string())]):
        codes, names = coded(pa.chunked_array(column))
        assert [names[int(c)].as_py() for c in codes] == values
        assert names.to_pylist() == list(dict.fromkeys(values))
    codes, names = coded(pa.chunked_array(foreign))
    assert (codes.tolist(), names.to_pylist()) == ([0, 1, 0, 1], ["z", ""])


def test_texts_as_numbers():
    def numbers(values, decimal=".", encode=False):
        column = pa.chunked_array([pa.array(values)])
        return text_numbers(column.dictionary_encode() if encode else column, decimal)

    for encode in (False, True):
        assert numbers(["1", "2.5", "1"], encode=encode).tolist() == [1, 2.5, 1]
        assert numbers([" 1", "+2"], encode=encode).tolist() == [1, 2]
        assert numbers(["True", "false"], encode=encode).tolist() == [1, 0]
        assert np.isnan(numbers(["1", "x", "", "1_0", "NA"], encode=encode)).tolist() == [False] + [True] * 4
        assert np.isnan(numbers(["True", "1"], encode=encode)).tolist() == [True, False]
        assert numbers(["3,5", "-1"], ",", encode).tolist() == [3.5, -1]
        assert np.isnan(numbers(["3,5", "3.5", "1.234,5"], ",", encode)).tolist() == [False, True, True]


def test_texts_as_they_look():
    odd = ["a\u200b", "\ufeffcafe\u0301 ", "x\0", "New\xa0York", "\u200b", "👩\u200d👧", "pos\u200f"]
    assert seen(pa.array(odd)).to_pylist() == ["a", "café", "x", "New York", "", "👩\u200d👧", "pos"]
    assert seen(pa.array([" a ", "b\0"])).to_pylist() == ["a", "b"]
    texts = pa.array(["", " \t", "\u200b\xa0\ufeff", "a", " \u200ba"])
    assert blank(texts).tolist() == [True, True, True, False, False]
