"""What of a text is masked, and what is not: forms and check digits, in running text of several scripts."""

# ruff: noqa: RUF001  (signs of full width are what is tested)

import ipaddress
import json
from datetime import date

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.cn import ric

from peftrec.errors import UserError
from peftrec.serving.service import log
from peftrec.serving.service.masking import mask, masked, masker

SAID = {
    "mail bob.o'neil+x@mail.example.co.uk now": "mail [email] now",
    "联系我zhang@qq.com谢谢": "联系我[email]谢谢",
    "张三＠例子.com": "[email]",
    "card 4111 1111 1111 1111 123.": "card [card] 123.",
    "378282246310005, 5555-5555-5555-4444": "[card], [card]",
    "page 1234 3782 822463 10005": "page 1234 [card]",
    "卡号6222021234567890128。": "卡号[card]。",
    "身份证36042619910101007 1": "身份证36042619910101007 1",  # no way to write it
    "身份证360426 19910101 0071。": "身份证[id]。",
    "11010519491231002X 11010519491231002x 11010519491231002Ｘ": "[id] [id] [id]",
    "SSN 536-90-4399": "SSN [id]",
    "from 10.0.0.1. And 2001:db8::1: denied, [::ffff:1.2.3.4]:80": "from [ip]. And [ip]: denied, [[ip]]:80",
    "地址2001:db8::1是": "地址[ip]是",
    "13800138000, +86 138-0013-8000, 电话：62345678": "[phone], [phone], 电话：[phone]",
    "010-62345678, (021) 62345678 １３８００１３８０００": "[phone], [phone] [phone]",
    "415-555-2671, (415) 555-2671, +1 415 555 2671": "[phone], [phone], [phone]",
    "(021)62345678, 020 7946 0958, 06 12 34 56 78": "[phone], [phone], [phone]",
    "0044 20 7946 0958, +49 (0)30 123456": "[phone], [phone]",
    "since 2019 call 0161 496 0000": "since 2019 call [phone]",
    "Tel.: 0612345678": "Tel.: [phone]",
}
KEPT = [
    "2024-01-02 10:30:45, 01.02.2024 12:30, 12/05/24, 2024-01-02T10:30:45.123Z",
    "1700000000 1700000000000 1700000000000000000",
    "$1,299.99, 12.50 EUR, 1 299 000 RUB, 1.299.000,00, ￥１２９９",
    "ISBN 0306406152, 0-306-40615-2, 978-0-306-40615-7, EAN 4006381333931",
    "items i12, B00X4WHP5E, 0012345678, SKU13800138000, 42, 123456789",
    "history 4 5 4 4 3 5 5 2 4 1 5 3 4 4 5 5 4 3",
    "iPhone 128 256, Mobile 2024 128 GB, C++ 2011 2014 2017, 1.2.3.4.5, std::vector, a = b :: c",
    "4111111111111112, 360426199101010072, 360426199113010071, 000-12-3456, 256.1.1.1, 00:1a:2b:3c:4d:5e",
    "550e8400-e29b-41d4-a716-446655440000 0.4111111111111111 a3f4111111111111111e",
    "on 127.0.0.1:8000, [::1]:8000 and 0.0.0.0",
    "user@host, @name, a@b.c, 漂亮的衣服，尺码合适",
]
WORDS = ["", "call ", "请打", "(", "is: ", "“"], ["", " now", "。", ")", ", ok", "谢谢"]


@pytest.mark.parametrize("text", SAID)
def test_what_is_personal_is_masked_and_what_stands_around_it_stays(text):
    assert mask(text) == SAID[text]


@pytest.mark.parametrize("text", KEPT)
def test_other_numbers_and_signs_stay(text):
    assert mask(text) == text


def among(name, given):
    """A text with something among words is masked, and only that."""
    for before in WORDS[0]:
        for after in WORDS[1]:
            assert mask(before + given + after) == f"{before}[{name}]{after}"


@given(st.from_regex(r"[1-6][0-9]{13,14}", fullmatch=True), st.sampled_from(["", " ", "-"]))
@example("41111111111111", "")
def test_cards_by_their_check_digit(digits, parted):
    issued = "4" + digits[:14]
    card = issued + luhn.calc_check_digit(issued)
    wrong = card[:-1] + str((int(card[-1]) + 5) % 10)
    written = [parted.join(of[n : n + 4] for n in range(0, 16, 4)) for of in (card, wrong)]
    among("card", written[0])
    assert mask(written[1]) == written[1]


@given(st.integers(110000, 659999), st.dates(date(1900, 1, 1), date(2029, 12, 31)), st.integers(0, 999))
def test_chinese_identities_by_their_check_digit(place, born, order):
    start = f"{place}{born:%Y%m%d}{order:03}"
    identity = start + ric.calc_check_digit(start + "0")
    among("id", identity)
    among("id", identity.lower())
    wrong = start + next(c for c in "0123456789X" if c != identity[-1])
    assert "[id]" not in mask(wrong)


@given(st.ip_addresses())
@example(ipaddress.ip_address("::ffff:9.8.7.6"))
def test_addresses_of_both_versions(address):
    assume(not (address.is_loopback or address.is_unspecified or str(address).endswith("::")))
    for before in ("", "from ", "来自", "["):
        for after in ("", ".", " ok", "。", "]:443", ", "):
            assert mask(f"{before}{address}{after}") == f"{before}[ip]{after}"


@given(st.emails())
def test_mail_addresses(address):
    assume(all(c.isalnum() or c in "._%+'-@" for c in address))
    assert mask(f"to {address}, please") == "to [email], please"


@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True))
def test_chinese_mobile_numbers(number):
    among("phone", number)
    among("phone", f"{number[:3]}-{number[3:7]}-{number[7:]}")
    among("phone", f"+86 {number}")
    wide = "".join(chr(ord(c) + 0xFEE0) for c in number)
    among("phone", wide)


@given(st.datetimes(), st.decimals(0, 10**9, places=2), st.integers(0, 10**10))
def test_dates_prices_and_seconds_stay(time, price, seconds):
    for written in (
        f"{time:%Y-%m-%d}",
        time.isoformat(),
        f"{time:%d.%m.%Y %H:%M}",
        f"{time:%d/%m/%y}",
        f"{price}",
        f"${price:,}",
        f"{price} €",
        f"{seconds}",
    ):
        assert mask(f"on {written}, or {written}") == f"on {written}, or {written}"


NEAR = st.text(alphabet="0123456789 -.+()@:abX/", max_size=200)


@given(st.text() | NEAR)
def test_any_text_is_masked_and_what_is_masked_has_nothing_left_to_mask(text):
    assert mask(mask(text)) == mask(text)


@given(NEAR)
def test_what_stays_of_a_text_is_what_was_there_in_order(text):
    rest = mask(text)
    at = 0
    for name in ("email", "id", "card", "ip", "phone"):
        rest = rest.replace(f"[{name}]", "\0")
    for piece in rest.split("\0"):
        at = text.index(piece, at) + len(piece)


def shouting(text):
    """One's own function, which knows a name."""
    return text.replace("Ann", "[NAME]")


def numbering(text):
    """One that gives no text."""
    return len(text)


def test_ones_own_function_sees_the_text_before_it_is_masked(monkeypatch):
    own = masker(f"{__name__}:shouting")
    assert own("Ann, ann@x.org") == "[NAME], [email]"
    assert masker()("Ann, ann@x.org") == "Ann, [email]"


def test_ones_own_function_is_asked_once_about_a_text_that_comes_again(monkeypatch):
    asked = []
    monkeypatch.setitem(globals(), "shouting", lambda text: (asked.append(text), text)[1])
    own = masker(f"{__name__}:shouting")
    assert [own(text) for text in ("Ann", "Bob, b@x.org", "Ann")] == ["Ann", "Bob, [email]", "Ann"]
    assert asked == ["Ann", "Bob, b@x.org"]


def test_ones_own_function_that_is_none_is_refused():
    with pytest.raises(UserError, match="--mask: cannot import 'masks:none': No module named 'masks'"):
        masker("masks:none")
    with pytest.raises(UserError, match=r"--mask: cannot import 'presidio': write package.module:name"):
        masker("presidio")
    with pytest.raises(UserError, match=r"--mask: .*:KEPT must be a function of a text"):
        masker(f"{__name__}:KEPT")
    with pytest.raises(UserError, match=r"--mask: .*:numbering must give a text; found a int"):
        masker(f"{__name__}:numbering")("x")


def test_texts_are_masked_wherever_they_stand_in_a_value():
    value = {"query": "mail a@b.org", "rows": [["10.0.0.1", 5, None, True], {"item": "i1"}]}
    assert masked(value, mask) == {"query": "mail [email]", "rows": [["[ip]", 5, None, True], {"item": "i1"}]}


def test_lines_of_the_log_are_masked_and_a_function_that_fails_hides_the_line(capsys):
    with log.lines_on_stderr():
        log.write("loaded", run="ann@x.org", seconds=1.5, at=["10.1.2.3"])
    with log.lines_on_stderr(numbering):
        log.write("loaded", run="ann@x.org")
    with log.lines_on_stderr(masker(f"{__name__}:numbering")):
        log.write("loaded", run="ann@x.org")
    one, other, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert {key: one[key] for key in one if key != "time"} == {
        **{"level": "info", "event": "loaded"},
        **{"run": "[email]", "seconds": 1.5, "at": ["[ip]"]},
    }
    assert other["run"] == len("ann@x.org")
    assert (third["event"], third["error"]) == ("not logged: masking failed", "UserError") and "run" not in third
