"""The text of a file as UTF-8 in blocks of whole lines, whatever its encoding and its separator."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from peftrec.data.advice import encoding_of
from peftrec.data.files.packed import check_is_text, opened
from peftrec.errors import UserError, first_line
from peftrec.recipe import FileConfig

BLOCK = 1 << 23  # bytes read at once
INNER = "\x1f"  # stands for a separator of several bytes: ASCII's own unit separator


@dataclass
class Text:
    """A text file by its separator, `skip`: without its first line; `comments` were left out of the last reading."""

    file: Path
    key: str
    config: FileConfig
    separator: str
    skip: bool = False
    comments: int = field(default=0, init=False)

    @property
    def inner(self) -> str:
        """The one character that stands for the separator in `blocks`."""
        return self.separator if len(self.separator.encode()) == 1 else INNER

    def blocks(self) -> Iterator[bytes]:
        """UTF-8 without a byte order mark, each block of whole lines; the last line may lack its end.

        Raises UserError for bytes of another encoding, naming the line and the encoding to try.
        """
        self.comments = 0
        rest, at_start = b"", True
        with opened(self.file, self.key) as stream:
            first = stream.read(BLOCK)
            check_is_text(first, self.file, self.key)
            for block in self._utf8(chain([first], iter(lambda: stream.read(BLOCK), b""))):
                lines = rest + block
                # A final '\r' may be the first half of a line's end.
                end = max(lines.rfind(b"\n"), lines.rfind(b"\r", 0, -1)) + 1
                rest = lines[end:]
                if end:
                    yield self._tidied(lines[:end], at_start)
                    at_start = False
        if rest:
            yield self._tidied(rest, at_start)

    def fail(self, problem: str) -> UserError:
        """The error that this file cannot be read, to be raised."""
        return UserError(f"{self.key}.path: {self.file}: {problem}")

    def _utf8(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        encoding = self.config.encoding or "utf-8"
        plain = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
        decoder = codecs.getincrementaldecoder("utf-8" if plain else encoding)()
        lines = 0
        for block in (of for part in (blocks, [b""]) for of in part):
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                raise self._other_encoding(block, lines, encoding, error) from None
            # Of UTF-8 the bytes go on as they are; what a block's end cut in two, the decoder has seen whole by then.
            out = block if plain else text.encode("utf-8", "surrogatepass")
            lines += block.count(b"\n")
            if out:
                yield out

    def _other_encoding(self, block: bytes, lines: int, encoding: str, error: UnicodeError) -> UserError:
        if self.config.encoding is not None:
            return self.fail(f"is not {encoding}, as encoding says: {first_line(error)}")
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        number = lines + block.count(b"\n", 0, at) + 1
        # Whole lines of it: at its ends a letter may be cut.
        sample = block[block.find(b"\n") + 1 if lines else 0 : block.rfind(b"\n") + 1 or None]
        return self.fail(f"line {number} is not UTF-8; write encoding: {encoding_of(sample)}, if that is what it is in")

    def _tidied(self, lines: bytes, at_start: bool) -> bytes:
        if at_start:
            lines = lines.removeprefix(codecs.BOM_UTF8)
        if self.skip and at_start:
            lines = lines.lstrip(b"\r\n").partition(b"\n")[2]
        if self.config.comment is not None:
            mark = self.config.comment.encode()
            if mark in lines:
                kept = [line for line in lines.splitlines(keepends=True) if not line.startswith(mark)]
                self.comments += len(lines.splitlines()) - len(kept)
                lines = b"".join(kept)
        if self.inner != self.separator:
            if INNER.encode() in lines:
                raise self.fail(f"holds the control character {INNER!r}, which only separators of one letter allow")
            lines = lines.replace(self.separator.encode(), INNER.encode())
        return lines
