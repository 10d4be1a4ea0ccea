"""Columns of any type as texts and as numbers, each value what it is in the file."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NUMERIC = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
# What is not seen of a text, joiners aside, which make one letter of several; and spaces that are not ASCII's.
_UNSEEN = r"\x{0000}\x{00AD}\x{200B}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2069}\x{FEFF}"
_SPACES = r"\x{00A0}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}"
_ENCODED = 2  # a column is kept as a dictionary where its first rows hold each value so often or more, on average


def plain_number(value: float | np.floating) -> str:
    """A number as people write it: 1995.0 is '1995', the 32-bit number next to 0.7 is '0.7'."""
    text = str(value) if isinstance(value, np.floating) else repr(float(value))
    return text.removesuffix(".0")


def is_number(text: str) -> bool:
    """Whether a text is a number, spaces around it aside."""
    return re.fullmatch(NUMERIC, text, re.ASCII) is not None


def plain(value: Any) -> str:
    """Any value of a file as text: None and NaN are '', the members of a list are joined by ', '."""
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def from_values(values: list[Any]) -> pa.Array:
    """Python values as a column: of their kind where they have one, and otherwise of texts, each as it is."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) <= 1 or kinds == {int, float}:
        try:
            return pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # numbers too large, lists of several kinds
            pass
    if kinds == {list}:
        return pa.array([None if v is None else list(map(plain, v)) for v in values], pa.list_(pa.string()))
    return pa.array([None if value is None else plain(value) for value in values], pa.string())


def joined(chunks: Sequence[pa.Array]) -> pa.ChunkedArray:
    """Parts of one column as one, of texts where the parts differ in kind."""
    kinds = list(dict.fromkeys(chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)))
    if len(kinds) > 1:
        if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
            try:
                wide = pa.float64() if any(map(pa.types.is_floating, kinds)) else pa.int64()
                return pa.chunked_array([_widened(chunk, wide) for chunk in chunks], wide)
            except pa.ArrowInvalid:  # whole numbers that a float does not hold
                pass
        if all(map(is_text, kinds)):
            kinds = [_DICTIONARY]
            chunks = [_encoded(chunk) for chunk in chunks]
        elif all(pa.types.is_list(kind) for kind in kinds):
            kinds = [pa.list_(pa.string())]
            chunks = [pa.array([v and list(map(plain, v)) for v in chunk.to_pylist()], kinds[0]) for chunk in chunks]
        else:
            kinds, chunks = [pa.string()], [decoded(as_texts(pa.chunked_array([chunk]))) for chunk in chunks]
    kind = kinds[0] if kinds else pa.null()
    return pa.chunked_array([chunk.cast(kind) if chunk.type != kind else chunk for chunk in chunks], kind)


def _encoded(chunk: pa.Array) -> pa.DictionaryArray:
    of = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
    return pa.DictionaryArray.from_arrays(of.indices.cast(pa.int32()), of.dictionary.cast(pa.string()))


def _widened(chunk: pa.Array, wide: pa.DataType) -> pa.Array:
    if pa.types.is_integer(chunk.type):
        return chunk.cast(wide)  # which raises where it would lose digits
    return shortest(pa.chunked_array([chunk])).combine_chunks()


def seen(texts: pa.Array) -> pa.Array:
    """Texts as they look: no spaces around them, all spaces alike, nothing invisible, accents as one letter (NFC)."""
    if not pc.all(pc.string_is_ascii(texts)).as_py():  # the common case, ten times as fast
        texts = pc.replace_substring_regex(texts, f"[{_SPACES}]", " ")
        texts = pc.utf8_normalize(pc.replace_substring_regex(texts, f"[{_UNSEEN}]+", ""), form="NFC")
    return pc.utf8_trim_whitespace(pc.replace_substring(texts, "\0", ""))


def tidied(texts: pa.Array) -> pa.Array:
    """Ids as they look (`seen`), and without '.0' where all are whole numbers; the same object where all are so."""
    found = seen(texts)
    if pc.all(pc.match_substring_regex(found, r"^-?\d+(\.0)?$")).as_py():
        found = pc.replace_substring_regex(found, r"\.0$", "")
    return texts if found.equals(texts) else found


def blank(texts: pa.Array) -> np.ndarray:
    """bool (N,): which texts show nothing: they are empty, or of spaces and invisible characters alone."""
    return pc.match_substring_regex(texts, rf"^[\s{_SPACES}{_UNSEEN}]*$").to_numpy(zero_copy_only=False)


class Compact:
    """Keeps the chunks of one text column small: as a dictionary if its first chunk repeats its values enough."""

    def __init__(self) -> None:
        self._encode: bool | None = None

    def __call__(self, chunk: pa.Array) -> pa.Array:
        """The chunk, encoded where the first one was worth it."""
        if not (pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type)):
            return chunk
        if self._encode is None and len(chunk):
            self._encode = pc.count_distinct(chunk).as_py() * _ENCODED <= len(chunk)
        return chunk.dictionary_encode() if self._encode else chunk


def is_text(kind: pa.DataType) -> bool:
    """Whether a column's type is one of texts, encoded or not."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def shortest(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers as float64: of 16- and 32-bit ones and decimals what their shortest decimal writing says (0.7)."""
    kind = column.type
    if pa.types.is_float16(kind):
        encoded = column.dictionary_encode()
        chunks = []
        for chunk in encoded.chunks:
            values = pa.array([None if v is None else float(str(np.float16(v))) for v in chunk.dictionary.to_pylist()])
            chunks.append(values.cast(pa.float64()).take(chunk.indices))
        return pa.chunked_array(chunks, pa.float64())
    if pa.types.is_float32(kind) or pa.types.is_decimal(kind):
        column = column.cast(pa.string())
    return column.cast(pa.float64(), safe=not pa.types.is_integer(kind))


def as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of texts, encoded or not, none of them null: null is '', 1995.0 is '1995', of lists the members.

    Raises TypeError for objects.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        indices, texts = _dictionary(column)
        encoded = pa.dictionary(pa.int32(), texts.type)
        return pa.chunked_array([pa.DictionaryArray.from_arrays(of, texts) for of in indices], encoded)
    if pa.types.is_floating(kind):
        name = np.float16 if pa.types.is_float16(kind) else np.float32 if pa.types.is_float32(kind) else np.float64
        chunks = []
        for chunk in column.dictionary_encode().chunks:
            values = [None if v is None or v != v else plain_number(name(v)) for v in chunk.dictionary.to_pylist()]
            chunks.append(pa.array(values, pa.string()).take(chunk.indices))
        column = pa.chunked_array(chunks, pa.string())
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        column = pa.chunked_array(
            [pa.array(map(plain, c.to_pylist()), pa.string()) for c in column.chunks], pa.string()
        )
    elif pa.types.is_nested(kind):
        raise TypeError(f"needs plain values; found {kind}")
    elif not pa.types.is_large_string(kind):
        column = column.cast(pa.string())
    if pa.types.is_decimal(kind):
        column = pc.replace_substring_regex(column, r"(\.\d*?)0+$", r"\1")
        column = pc.replace_substring_regex(column, r"\.$", "")
    if pa.types.is_timestamp(kind):
        column = pc.replace_substring_regex(column, r" 00:00:00(\.0+)?$", "")
    return pc.fill_null(column, "")


_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def _dictionary(column: pa.ChunkedArray) -> tuple[list[pa.Array], pa.Array]:
    """The indices of an encoded column, chunk by chunk, and the one dictionary of texts that they count in."""
    chunks = column.unify_dictionaries().chunks
    if not chunks:
        return [], pa.array([], pa.string())
    texts = decoded(as_texts(pa.chunked_array([chunks[0].dictionary])))
    indices = [chunk.indices.cast(pa.int32()) for chunk in chunks]
    if any(of.null_count for of in indices):  # a null of the indices becomes a text of its own
        indices = [pc.fill_null(of, pa.scalar(len(texts), pa.int32())) for of in indices]
        texts = pa.concat_arrays([texts, pa.array([""], texts.type)])
    return indices, texts


def decoded(texts: pa.ChunkedArray) -> pa.Array:
    """Texts, encoded or not, as one plain array."""
    if pa.types.is_dictionary(texts.type):
        texts = texts.cast(texts.type.value_type)
    if texts.nbytes > 2**31 - 1 and pa.types.is_string(texts.type):
        texts = texts.cast(pa.large_string())  # the offsets of others end at 2 GiB
    array = texts.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def coded(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Codes int32 (N,) of a column's values and the distinct values as texts, in the order of first appearance.

    Null and '' are one value. Raises TypeError for objects.
    """
    kind = column.type
    if not (pa.types.is_dictionary(kind) or pa.types.is_integer(kind)):
        column = as_texts(column)
    indices, texts = _dictionary(column if pa.types.is_dictionary(column.type) else column.dictionary_encode())
    codes = np.concatenate([of.to_numpy() for of in indices]) if indices else np.zeros(0, np.int32)
    seen = np.maximum.accumulate(codes) if len(codes) else codes
    ordered = not len(codes) or not (codes[0] or (codes[1:] > seen[:-1] + 1).any() or seen[-1] + 1 < len(texts))
    if not ordered or pc.count_distinct(texts).as_py() < len(texts):
        # A dictionary that others made: in another order, with values that no row has, with null beside ''.
        fresh = texts.take(pa.array(codes)).dictionary_encode()
        return fresh.indices.to_numpy(), fresh.dictionary
    return codes, texts


def text_numbers(texts: pa.ChunkedArray, decimal: str) -> np.ndarray:
    """float64 (N,) of numbers written as texts; NaN where one is none. A column of True and False is of 1 and 0."""
    if pa.types.is_dictionary(texts.type):
        indices, values = _dictionary(texts)
        numbers = text_numbers(pa.chunked_array([values]), decimal)
        return np.concatenate([numbers[of.to_numpy()] for of in indices]) if indices else np.zeros(0)
    if decimal == ",":
        texts = pc.replace_substring(pc.replace_substring(texts, ".", "?"), ",", ".")
    try:
        return texts.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        pass
    texts = pc.utf8_trim_whitespace(texts)
    lower = pc.utf8_lower(texts)
    if pc.all(pc.is_in(lower, value_set=pa.array(["true", "false"], lower.type))).as_py():
        return pc.equal(lower, "true").cast(pa.float64()).to_numpy()
    numeric = pc.match_substring_regex(texts, NUMERIC)
    return pc.if_else(numeric, texts, "nan").cast(pa.float64()).to_numpy()
