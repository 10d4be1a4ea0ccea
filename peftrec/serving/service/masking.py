"""Personal data in free text, replaced by what it is: `call 138 0013 8000` is logged as `call [phone]`.

Found by form, and by check digit where there is one: e-mail addresses, payment cards, identity numbers (the Chinese
resident identity, the US social security number), IP addresses, phone numbers. Digits of any script count, also full
width. Names and postal addresses have no form: for those an operator names a function of their own.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache
from typing import Any

from stdnum import luhn
from stdnum.cn import ric
from stdnum.us import ssn

from peftrec.errors import UserError, shown
from peftrec.recipe.names import import_own

Masker = Callable[[str], str]
KNOWN = 1024  # texts that are kept with what they became: most of a line's, such as a task, come again

_LATIN = r"0-9A-Za-z\u00c0-\u04ff"  # Latin, Greek, Cyrillic; other scripts write no space before and after an address
_TOP = r"(?:(?i:xn--[0-9a-z-]{1,59})|[A-Za-z\u00c0-\u04ff]{2,63})"
_EMAIL = rf"(?:[{_LATIN}._%+'-]{{1,64}}|[^\W{_LATIN}]{{1,64}})@(?:[\w-]{{1,63}}\.)+{_TOP}"
_START, _END = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_RESIDENT = rf"{_START}\d{{6}}[ -]?\d{{8}}[ -]?\d{{3}}[\dXx]{_END}"
_SOCIAL = rf"{_START}(?<!\d[-.])\d{{3}}([- ])\d{{2}}\1\d{{4}}{_END}(?![-. ]\d)"
_V6 = r"(?<![0-9A-Za-z_:.])[0-9A-Fa-f:.]{1,44}[0-9A-Fa-f](?![0-9A-Za-z_]|[.:]+[0-9A-Fa-f])"
_V4 = r"(?<!\d)(?<!\d\.)(?:\d{1,3}\.){3}\d{1,3}(?!\d|\.\d)"
_CARDS = [  # as they are written, the longest first: for what follows a card may look like a part of it
    rf"{_START}(?<!\d[.,])(?:{digits}){_END}"
    for digits in (
        r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}\1\d{3}|\d{6}[ -]\d{13}",
        r"\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5}|\d{12,19}",
    )
]
_PHONE = r"""
    (?<![0-9A-Za-z+])(?<!\d[-./:,])  # no later part of a longer number, a date or a time
    (?: \+\d(?:[ ./()-]{0,2}\d){7,14}                    # with the country's code
    | (?:(?:00)?86[ -]?)?1[3-9]\d([ -]?)\d{4}\1\d{4}     # Chinese mobile
    | (?:1[ .-])?(?:\([2-9]\d{2}\)[ ]?|[2-9]\d{2}[-. ])[2-9]\d{2}[-.]\d{4}  # North American
    | (?<!\d[ ])(?:                                      # from abroad, and a land's own: Chinese, French, others
        00[1-9]\d{0,2}[ .-]\(?\d(?:[ ./()-]{0,2}\d){6,11}
      | (?:\(0[1-9]\d{1,2}\)[ -]?|0[1-9]\d{1,2}[ -])[2-9]\d{6,7}
      | 0[1-9]([ .-])\d{2}(?:\2\d{2}){3} | 0\d{1,4}([ -])\d{3,4}\3\d{3,4} )
    )(?![0-9A-Za-z])
"""
_CUES = ("tel", "phone", "mobile", "cell", "fax", "whatsapp", "电话", "電話", "手机", "手機", "致电")
_CUED = rf"(?i:(?<![a-z])(?:{'|'.join(_CUES)}))[^\w+(]{{0,3}}(?P<it>\d(?:[.()-]?\d){{5,14}})(?!\d)"

# Who issues cards, by how their numbers begin, and how long these are (ISO/IEC 7812-1; issuers' own pages). Visa's old
# numbers of 13 digits are left out: as long as the numbers on goods, of which one in ten passes for them.
_ISSUERS = re.compile(
    r"4\d{15}(?:\d{3})?"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"  # American Express, Diners Club
    r"|62\d{14,17}|35(?:2[89]|[3-8]\d)\d{12,15}"  # UnionPay, JCB
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|220[0-4]\d{12,15}|(?:60|8[12])\d{14}"  # Discover, Mir, RuPay
    r"|(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}"  # Maestro
)


def mask(text: str) -> str:
    """The text, in which [email], [id], [card], [ip] and [phone] stand for what was found; all else stays as it is."""
    plain = text if text.isascii() else "".join(map(_plain, text))
    found: list[tuple[int, int, str]] = []
    for name, form, is_one in _RULES:
        new = list(_spans(plain, form, is_one))
        plain = _replaced(
            plain, [(start, end, "\0" * (end - start)) for start, end in new]
        )  # the next see nothing of it
        found += [(*span, f"[{name}]") for span in new]
    return _replaced(text, sorted(found))


def masker(own: str | None = None) -> Masker:
    """`mask`; before it the function text -> text that `own` names as `package.module:name`, such as presidio's.

    Raises UserError where there is no such function, and, of what is made, where the function gives no text.
    """
    if own is None:
        return lru_cache(KNOWN)(mask)
    function = import_own(own, "--mask")
    if not callable(function):
        raise UserError(f"--mask: {own} must be a function of a text that gives a text; found {shown(function)}")

    @lru_cache(KNOWN)
    def both(text: str) -> str:
        found = function(text)
        if not isinstance(found, str):
            raise UserError(f"--mask: {own} must give a text; found a {type(found).__name__}")
        return mask(found)

    return both


def masked(value: Any, by: Masker) -> Any:
    """A JSON value with every text in it masked; keys and what is no text stay."""
    if isinstance(value, str):
        return by(value)
    if isinstance(value, dict):
        return {key: masked(of, by) for key, of in value.items()}
    return [masked(of, by) for of in value] if isinstance(value, list) else value


def _plain(character: str) -> str:
    """A digit of any script as 0 to 9, and what is of full width as it is otherwise: one character each."""
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    return str(unicodedata.decimal(character, character))


def _spans(plain: str, form: re.Pattern[str], is_one: Callable[[str], bool]) -> Iterator[tuple[int, int]]:
    """Where something of the form stands that is one, from left to right; of what is none, a later part may be."""
    part, at = "it" if "it" in form.groupindex else 0, 0
    while there := form.search(plain, at):
        start, at = there.span(part)
        if is_one(there[part]):
            yield start, at
        else:
            at = start + 1


def _replaced(text: str, spans: list[tuple[int, int, str]]) -> str:
    """The text with something else where each span is; those are in order."""
    pieces, at = [], 0
    for start, end, other in spans:
        pieces += [text[at:start], other]
        at = end
    return "".join([*pieces, text[at:]])


def _compact(number: str) -> str:
    return number.replace(" ", "").replace("-", "")


def _is_resident(number: str) -> bool:
    """Whether date and check digit are right (GB 11643); the place is not looked up, since lists of counties age."""
    number = _compact(number).upper()
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return number[-1] == ric.calc_check_digit(number)


def _is_card(number: str) -> bool:
    number = _compact(number)
    return _ISSUERS.fullmatch(number) is not None and luhn.is_valid(number)


def _is_address(text: str) -> bool:
    """Whether it is an address that somebody may have: not the machine's own, nor that of all."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _always(text: str) -> bool:
    return True


_RULES: list[tuple[str, re.Pattern[str], Callable[[str], bool]]] = [
    ("email", re.compile(_EMAIL), _always),
    ("id", re.compile(_RESIDENT), _is_resident),
    *(("card", re.compile(written), _is_card) for written in _CARDS),
    ("id", re.compile(_SOCIAL), ssn.is_valid),
    ("ip", re.compile(_V6), _is_address),
    ("ip", re.compile(_V4), _is_address),
    ("phone", re.compile(_CUED), _always),
    ("phone", re.compile(_PHONE, re.VERBOSE), _always),
]
