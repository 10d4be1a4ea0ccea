"""Times as seconds since 1970: what a number or a text may mean, and which numbers cannot be seconds."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import numpy as np

from peftrec.errors import UserError, shown

DAY = 86_400
# Excel counts days from here, by a leap year that 1900 was not.
_EXCEL = datetime(1899, 12, 30, tzinfo=UTC).timestamp()
_SECONDS = 3e8  # a number above is no clock that begins at zero: in seconds it would have run for nine years
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "days": float(DAY), "excel": float(DAY)}
WANTED = "must be seconds since 1970 or an ISO date such as 2024-05-31T18:00:00"
# How people write dates that are no ISO ones: days or months first, with names of months, in Chinese, as feeds do.
_DAYS = [
    sep.join(order) for sep, order in product("-/. ", (("%d", "%m", "%Y"), ("%m", "%d", "%Y"), ("%Y", "%m", "%d")))
]
_DAYS += [day.replace("%Y", "%y") for day in _DAYS if day.endswith("%Y")]
_DAYS += [sep.join(("%d", "%b", "%Y")) for sep in "- "] + ["%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y年%m月%d日"]
_CLOCKS = ["", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S"]
_CLOCKS += [" %H:%M:%S %z", " %H:%M:%S UTC", " %H:%M:%S.%f UTC"]
_TRIED = 100  # texts
_FORMATS = [day + clock for day, clock in product(_DAYS, _CLOCKS)]
_FORMATS += ["%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y"]


@dataclass(frozen=True)
class Doubt:
    """Why a column's numbers are no times.

    row    the first such value's position
    rule   what is wrong with it
    key    the key that reads them, where the whole column seems to be of another form
    wrong  bool (N,): which values break the rule, where each does so by itself
    """

    row: int
    rule: str
    key: str | None = None
    wrong: np.ndarray | None = None

    def __str__(self) -> str:
        return self.rule + (f"; write {self.key}" if self.key else "")


def from_unit(numbers: np.ndarray, unit: str | None) -> np.ndarray:
    """Seconds since 1970 float64 of numbers in a unit of UNITS; None is seconds."""
    return numbers * UNITS[unit or "s"] + (_EXCEL if unit == "excel" else 0.0)


def from_iso(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 date or time, without a zone in UTC. Raises ValueError for another text."""
    return _seconds(datetime.fromisoformat(text))


def from_format(text: str, pattern: str) -> float:
    """Seconds since 1970 of a text in a pattern of `strptime`, without a zone in UTC. Raises ValueError for others."""
    return _seconds(datetime.strptime(text, pattern))


def parsed(texts: Sequence[str], parse: Callable[[str], float]) -> np.ndarray:
    """Seconds since 1970 float64 (N,) of texts, NaN where `parse` raises ValueError."""
    seconds = np.full(len(texts), np.nan)
    for number, text in enumerate(texts):
        with suppress(ValueError):
            seconds[number] = parse(text.strip())
    return seconds


def wanted_of(unread: Sequence[str], read: Sequence[str] = ()) -> str:
    """What times written as texts must be, and the key that reads most of those that are not: `unread`.

    None is named where it would not read those that are, `read`; two where no day is above 12, so that nothing tells
    days from months.
    """
    some = [text.strip() for text in unread[:_TRIED]]
    counts = [sum(_reads(pattern, text) for text in some) for pattern in _FORMATS]
    if 2 * max(counts) <= len(some):
        return WANTED
    known = [pattern for pattern, count in zip(_FORMATS, counts, strict=True) if count == max(counts)]
    if 2 * len(read) > len(unread) and not any(_reads(known[0], text.strip()) for text in read[:_TRIED]):
        return f"{WANTED}; the column has times of several forms: write all of them in one"
    return f"{WANTED}; write time_format: {' or '.join(map(repr, known))}"


def _reads(pattern: str, text: str) -> bool:
    try:
        datetime.strptime(text, pattern)
    except ValueError:
        return False
    return True


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def doubt_numbers(numbers: np.ndarray, latest: float | None = None) -> Doubt | None:
    """Whether numbers float64 (N,), which nobody named a unit of, can be seconds since 1970.

    A form that people write dates in is seen where more than half of the numbers have it, so that a clock that begins
    at zero stays one. None where they can. `latest` as in `doubt_future`.
    """
    negative = np.flatnonzero(numbers < 0)
    if len(negative):
        rule = "a number of seconds since 1970 is not negative; write dates before 1970 in ISO"
        return Doubt(int(negative[0]), rule, wrong=numbers < 0)
    if not len(numbers) or numbers.min() > 21_001_231:  # the common case, for millions of them
        return doubt_future(numbers, latest)
    for found, name, key in (
        (_dated(numbers), "a date written YYYYMMDD", "time_format: '%Y%m%d'"),
        (_dated(numbers * 100 + 1), "a month written YYYYMM", "time_format: '%Y%m'"),
        (_whole(numbers, 1900, 2100), "a year", "time_format: '%Y'"),
        # These bounds lie so that no clock 0, 1, 2, ... has more than half of its numbers between them.
        ((numbers >= 25_569) & (numbers <= 50_000), "a day as Excel counts them", "time_unit: excel"),
        (_whole(numbers, 14_610, 25_568), "days since 1970", "time_unit: days"),
    ):
        # Beside times of today a single date is one too: as seconds it would lie in 1970.
        if found.sum() * 2 > len(numbers) or (name.endswith("YYYYMMDD") and found.any() and np.median(numbers) > 1e8):
            return Doubt(int(np.argmax(found)), f"must be seconds since 1970, and this looks like {name}", key)
    return doubt_future(numbers, latest)


def doubt_unit(numbers: np.ndarray, unit: str) -> Doubt | None:
    """Whether numbers float64 (N,) that the recipe names the unit of can be in it. None where they can."""
    seconds = from_unit(numbers, unit)
    early = (numbers > _SECONDS) & (seconds < 365 * DAY)
    rule = f"in {unit} this would lie in 1970, so it has another time_unit, or is in seconds without one"
    if len(numbers) and early.all():
        return Doubt(0, rule)
    mixed = early.any() and np.median(seconds) > _SECONDS
    return Doubt(int(np.argmax(early)), rule, wrong=early) if mixed else None


def doubt_future(seconds: np.ndarray, latest: float | None = None, units: bool = True) -> Doubt | None:
    """Whether times float64 (N,) lie later than `latest`, by default a day from now (it allows for time zones).

    `units`: whether they may be numbers in another unit than seconds.
    """
    too_late = seconds > (time.time() + DAY if latest is None else latest)
    late = np.flatnonzero(too_late)
    if not len(late):
        return None
    row = int(late[0])
    value = float(seconds[row])
    rule = "a time must not lie in the future"
    if 19e12 <= value <= 21e12 and _dated(seconds[late[:1]] // 1e6).all():
        return Doubt(row, f"{rule} (a date written YYYYMMDDHHMMSS?)", "time_format: '%Y%m%d%H%M%S'")
    if 19e10 <= value <= 21e10 and _dated(seconds[late[:1]] // 1e4).all():
        return Doubt(row, f"{rule} (a date written YYYYMMDDHHMM?)", "time_format: '%Y%m%d%H%M'")
    for least, name, unit in ((1e17, "nanoseconds", "ns"), (1e14, "microseconds", "us"), (1e11, "milliseconds", "ms")):
        if units and least < value < least * 1e3:
            mixed = (seconds > _SECONDS) & ~too_late  # which the unit would put into 1970
            key = None if mixed.any() else f"time_unit: {unit}"
            said = f"; {int(mixed.sum()):,} others are in seconds" if mixed.any() else ""
            return Doubt(row, f"{rule} (in {name}? give seconds{said})", key, too_late if mixed.any() else None)
    rule = rule if latest is None else f"a time must lie before {datetime.fromtimestamp(latest, UTC):%Y}"
    return Doubt(row, rule, wrong=too_late)


def moment(value: object) -> float:
    """Seconds since 1970 of one time given by itself, a number or an ISO date, by the rules for a column's.

    It may lie in the future, which one may ask about, before `_LATEST`. Raises UserError.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float):
            seconds = from_iso(value)  # type: ignore[arg-type]  # others than texts raise TypeError
            doubt = doubt_future(np.array([seconds]), _LATEST)
        else:
            seconds = float(value)
            doubt = doubt_numbers(np.array([seconds]), _LATEST) if np.isfinite(seconds) else Doubt(0, WANTED)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"'time' must be seconds since 1970 or an ISO date; found {shown(value)}") from None
    if doubt is not None:
        raise UserError(f"'time': {doubt.rule}; found {shown(value)}")
    return seconds


def _whole(numbers: np.ndarray, least: float, most: float) -> np.ndarray:
    return (numbers >= least) & (numbers <= most) & (numbers == np.floor(numbers))


def _dated(numbers: np.ndarray) -> np.ndarray:
    """Which numbers are dates written YYYYMMDD."""
    whole = _whole(numbers, 19_000_101, 21_001_231)
    month, day = numbers // 100 % 100, numbers % 100
    return whole & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
