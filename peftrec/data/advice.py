"""Which key of the recipe would read a file that was refused: its separator, its header, its encoding."""

import codecs
import re

import pyarrow as pa
import pyarrow.compute as pc

from peftrec.data.columns import is_number
from peftrec.errors import cut, shown

_GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
SEPARATORS = ("::", "\t", ";", "|", ",")


def missing_column(name: str, names: list[str]) -> str:
    """What to say where a file has no column `name`: its columns, and the key that would give it."""
    return f"no column {shown(name)}; its columns are {cut(', '.join(names), 1000)}{how_it_would_be(name, names)}"


def how_it_would_be(name: str, names: list[str]) -> str:
    """'; write ...' where a key of the recipe would give a file that has the columns `names` one called `name`."""
    for separator in SEPARATORS:
        if any(
            name in (part.strip(' "') for part in column.split(separator)) for column in names if separator in column
        ):
            return f"; write separator: {_written(separator)}"
    if any(map(is_number, names)) or name in {of.partition(":")[0] for of in names}:
        return f"; {no_header(names)}"
    return ""


def no_header(names: list[str]) -> str:
    """What to write where the first line, read as `names`, does not name the columns."""
    typed = [name for name in names if re.fullmatch(r"\w+:(token|float)(_seq)?", name)]
    if typed:
        return f"name the column {shown(typed[0])}, or the file .inter, .item or .user as RecBole does"
    return f"if the first line is a row, write header: false and names: [...] ({len(names)} columns)"


def alike(name: str, known: pa.Array) -> str:
    """What to say of an id that differs from a known one in capitals, zeros before it, '.0' or quotes alone."""
    plain = _bare(name)
    near = known.filter(pc.match_substring(known, plain, ignore_case=True))
    found = next((of for of in near.to_pylist() if _bare(of) == plain), None)
    return "" if found is None else f" (it has {shown(found)}: write both alike)"


def _bare(name: str) -> str:
    number = re.fullmatch(r"0*(\d+)(\.0+)?", name.strip("\"' "))
    return number[1] if number else name.strip("\"' ").casefold()


def commas(text: str) -> str:
    """What to do about the commas of a text that would be a number without them, or with points for them."""
    if _GROUPED.fullmatch(text.strip()):
        return f" (commas between thousands? write {text.strip().replace(',', '')}; decimal ones: write decimal: ',')"
    return " (with a decimal comma? write decimal: ',')" if is_number(text.replace(",", ".")) else ""


def other_separator(line: str, current: str) -> str | None:
    """The key for a separator that divides a line which the current one does not; None where there is none."""
    others = [(line.count(of), of) for of in SEPARATORS if of != current]
    most = max(others, key=lambda counted: counted[0])
    if current in line or not most[0]:
        return None
    return f"write separator: {_written(most[1])}"


def _written(separator: str) -> str:
    return '"\\t"' if separator == "\t" else f'"{separator}"'


def encoding_of(sample: bytes) -> str:
    """The encoding to try for bytes that are no UTF-8: of Western, Chinese or Cyrillic texts, or UTF-16."""
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if sample.count(0) * 4 > len(sample):
        return "utf-16-le" if sample[1:2] == b"\0" else "utf-16-be"
    # Rows from several places: the accents of some are UTF-8, whose two bytes would pass for a Chinese character.
    sample = re.sub(rb"\xc3[\x80-\xbf]", b"", sample)
    high = len(re.findall(rb"[\x80-\xff]", sample))
    # The 3,755 most common characters of Chinese are two bytes of this form, which Western texts hardly hold.
    common = 2 * len(re.findall(rb"[\xb0-\xd7][\xa1-\xfe]", sample))
    try:
        sample.decode("gb18030")
        if common * 2 > high:
            return "gb18030"
    except UnicodeDecodeError:
        pass
    # Cyrillic words are runs of such bytes, most of them small letters; in Western words they stand alone.
    runs = sum(map(len, re.findall(rb"[\xc0-\xff][\xe0-\xff]{2,}", sample)))
    if runs * 2 > high:
        return "cp1251"
    return "cp1252" if re.search(rb"[\x80-\x9f]", sample) else "latin-1"
