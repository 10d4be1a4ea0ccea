"""Delimited text: csv, tsv, RecBole's atomic files. Every field stays the text it is in the file."""

import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pac
import pyarrow.csv as pc

from peftrec.data.advice import SEPARATORS, no_header, other_separator
from peftrec.data.columns import Compact, is_number
from peftrec.data.files.quotes import Reading, scan, told_by_numbers
from peftrec.data.files.text import Text
from peftrec.data.rows import Rows
from peftrec.errors import first_line, shown
from peftrec.recipe import FileConfig

ATOMIC = ("inter", "item", "user", "kg", "link", "net")
SUFFIXES = {"csv": ",", "tsv": "\t", "tab": "\t", **dict.fromkeys(ATOMIC, "\t")}
_TYPED = re.compile(r"(.+):(token|float)(_seq)?")
_LINES = 20_000
_BLOCK = 1 << 24  # bytes that are parsed at once, at least a row


def read_delimited(file: Path, key: str, config: FileConfig, suffix: str, wanted: Sequence[str] | None) -> Rows:
    """The rows of a file with the wanted columns (None: all), all texts. Raises UserError.

    `suffix` is the ending of its name without a compression's.
    """
    text = _with_separator(file, key, config, suffix)
    reading, quote, notes = _judged(text)
    names = _names(text, reading, quote, suffix)
    kept = [number for number, name in enumerate(names) if name and (wanted is None or name in wanted)]
    kept = kept or [
        names.index(min(filter(None, names)))
    ]  # rows are counted by it; what is missing is said where it is asked for
    try:
        table = _table(text, quote, reading.fields, kept)
    except pa.ArrowInvalid as error:
        reason = first_line(error)
        if "straddl" in reason:
            reason = f"a row is longer than {_BLOCK >> 20} MiB"
        raise text.fail(f"cannot be read as {suffix}: {reason}") from None
    if table.num_rows != reading.rows - config.header:
        raise text.fail(
            f"{reading.rows - config.header:,} rows were counted and {table.num_rows:,} read: its quotes are odd; "
            "write quote: none if they are letters"
        )
    if not table.num_rows:
        raise text.fail(f"cannot be read as {suffix}: it holds no rows")
    if config.header and len(kept) > 1:
        _check_no_names(text, table, [names[number] for number in kept])
    if text.comments:
        notes.append(f"{file}: {text.comments:,} lines that begin with {shown(config.comment)} are left out")
    table = table.rename_columns([names[number] for number in kept])
    return Rows(str(file), table, names=[name for name in names if name], notes=notes)


def _check_no_names(text: Text, table: pa.Table, names: list[str]) -> None:
    """Raise UserError where a row is the line of names again, as in files that were joined."""
    again = np.logical_and.reduce(
        [
            pac.equal(pac.utf8_trim_whitespace(column.cast(pa.string())), name).to_numpy()
            for column, name in zip(table.columns, names, strict=True)
        ]
    )
    if count := int(again.sum()):
        raise text.fail(
            f"row {int(np.argmax(again)) + 1} is the line of names again{f', and {count - 1:,} more' * (count > 1)} "
            "(files that were joined?); delete it, or name the files by a pattern such as 'part-*.csv'"
        )


def _with_separator(file: Path, key: str, config: FileConfig, suffix: str) -> Text:
    """The text of a file whose separator is known: by the recipe, by Excel's first line `sep=;`, by its name."""
    peeked = next(Text(file, key, config, "\n").blocks(), b"").lstrip(b"\r\n").splitlines()
    line = peeked[0].decode(errors="replace") if peeked else ""
    excel = re.fullmatch(r"sep=(.)", line)
    separator = config.separator or (excel[1] if excel else SUFFIXES.get(suffix))
    text = Text(file, key, config, separator or "\n", skip=excel is not None)
    if separator is None:
        found = other_separator(line, "\n") or f'write separator: "{SEPARATORS[0]}" or what it is'
        raise text.fail(f"what stands between the fields of a .{suffix} file is not known; {found}")
    return text


def _judged(text: Text) -> tuple[Reading, str | None, list[str]]:
    """How the file is read, by which quote, and what the user should know of that. Raises UserError."""
    config = text.config
    quote = '"' if config.quote in (None, "none") else config.quote
    plain, quoted, head = scan(text.blocks(), text.inner, quote)
    if config.names is not None and not plain.wrong and plain.rows and plain.fields != len(config.names):
        plain.wrong = f"names has {len(config.names)} columns, the first row {plain.fields}"
    if config.names is not None and not quoted.wrong and quoted.rows and quoted.fields != len(config.names):
        quoted.wrong = f"names has {len(config.names)} columns, the first row {quoted.fields}"
    if config.quote is None and plain.wrong is None and quoted.wrong is None and not head.startswith(b'"'):
        if quoted.letters or (plain.rows != quoted.rows and text.separator not in ",;"):
            quoted.wrong = "its quotes are letters"
        elif plain.rows != quoted.rows and not told_by_numbers(_first_lines(text), text.inner, quoted):
            raise text.fail(
                f"may be {plain.rows - config.header:,} rows, or {quoted.rows - config.header:,} if fields in quotes, "
                f"the first in line {quoted.within[0]}, hold line breaks; write quote: none or quote: '\"'"
            )
    if config.quote != "none" and quoted.wrong is None:
        notes = [f"{text.file}: {_many(quoted, 'field')} line breaks and separators, {_where(quoted, config)}"]
        return quoted, quote, notes if quoted.marks else []
    if config.quote in (None, "none") and plain.wrong is None and (config.quote or not head.startswith(b'"')):
        notes = [
            f"{text.file}: read without quotes: {plain.marks:,} stand at an end of a field, {_where(plain, config)}, "
            "and are letters of it (quote: none says so)"
        ]
        return plain, None, notes if plain.marks and config.quote is None else []
    problems = {"none": [plain.wrong], None: [quoted.wrong, plain.wrong]}.get(config.quote, [quoted.wrong])
    raise text.fail(_refusal(text, [of for of in dict.fromkeys(problems) if of], head, plain.marks > 0))


def _first_lines(text: Text) -> Iterator[bytes]:
    """Some thousand lines of a file; the line of names is empty."""
    lines = (line for block in text.blocks() for line in block.splitlines())
    if text.config.header:
        next(lines, b"")
        yield b""
    yield from islice(lines, _LINES)


def _many(reading: Reading, of: str) -> str:
    return f"{reading.marks:,} {of}s hold" if reading.marks > 1 else f"a {of} holds"


def _where(reading: Reading, config: FileConfig) -> str:
    row = reading.first + 1 - config.header
    return f"the first in row {row}" if row else "the first in the line of names"


def _refusal(text: Text, problems: list[str], head: bytes, has_quotes: bool) -> str:
    comment = re.match(r"[#%]+|//", head.decode(errors="replace"))
    advice = f"write comment: '{comment[0]}'" if comment else other_separator(head.decode(errors="replace"), text.inner)
    if advice is None and text.inner.encode() not in head:
        advice = "if the first line is a title above the names, delete it"
    if advice is None and has_quotes and text.config.quote is None:
        advice = "double the quotes within quoted fields, or write quote: none where they are letters"
    reason = ", and read without quotes ".join(problems)
    return f"cannot be read with the separator {shown(text.separator)}: {reason}{f'; {advice}' if advice else ''}"


def _names(text: Text, reading: Reading, quote: str | None, suffix: str) -> list[str]:
    """The columns' names, '' for those without one, which cannot be read."""
    if text.config.names is not None:
        return text.config.names
    first = next(_batches(text, quote, reading.fields, list(range(reading.fields))), None) if reading.rows else None
    names = [] if first is None else [column[0].as_py() for column in first.columns]
    if text.config.strip:
        names = [name.strip() for name in names]
    typed = [_TYPED.fullmatch(name) for name in names]
    if suffix in ATOMIC and all(typed):
        names = [match[1] for match in typed if match]
    given = [name for name in names if name]
    if not reading.rows:
        raise text.fail("it is empty")
    if not given or len(set(given)) < len(given):
        advice = f"; {no_header(names)}" if any(map(is_number, names)) else ""
        raise text.fail(f"the first line must name the columns, each once; found {shown(names)}{advice}")
    return names


def _table(text: Text, quote: str | None, fields: int, kept: list[int]) -> pa.Table:
    compact = [Compact() for _ in kept]
    schema = pa.schema([(str(number), pa.string()) for number in kept])
    chunks: list[list[pa.Array]] = [[] for _ in kept]
    for number, batch in enumerate(_batches(text, quote, fields, kept)):
        batch = batch.slice(1) if text.config.header and not number else batch
        for column, small, array in zip(chunks, compact, batch.columns, strict=True):
            column.append(small(array))
    columns = [pa.chunked_array(column, None if column else pa.string()) for column in chunks]
    return pa.table([column.unify_dictionaries() for column in columns], names=schema.names)


def _batches(text: Text, quote: str | None, fields: int, kept: list[int]) -> Iterator[pa.RecordBatch]:
    """The rows, the line of names among them; the columns `kept` of all `fields`, as texts."""
    kind = dict.fromkeys(map(str, kept), pa.string())
    with pc.open_csv(
        _Stream(text.blocks()),
        read_options=pc.ReadOptions(column_names=[str(number) for number in range(fields)], block_size=_BLOCK),
        parse_options=pc.ParseOptions(
            delimiter=text.inner, quote_char=quote or False, double_quote=quote is not None, newlines_in_values=True
        ),
        convert_options=pc.ConvertOptions(
            column_types=kind, include_columns=list(kind), strings_can_be_null=False, check_utf8=False
        ),
    ) as reader:
        yield from reader


class _Stream(io.RawIOBase):
    """Blocks of bytes as a file that is read."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        super().__init__()
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)
