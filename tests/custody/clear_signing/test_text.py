"""Values are written exactly, and text that others chose cannot pretend to be anything else."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.clear_signing import date_text, decimal_text, escape
from custody.clear_signing.text import duration_text
from domain import Refused


@given(st.integers(-(2**256), 2**256), st.integers(0, 77))
def test_amounts_are_exact(raw, decimals):
    with localcontext() as context:
        context.prec = 200
        assert Decimal(decimal_text(raw, decimals).replace(",", "")).scaleb(decimals) == raw


@pytest.mark.parametrize(
    ("raw", "decimals", "text"),
    [
        (0, 18, "0"),
        (1, 18, "0.000000000000000001"),
        (1_500_000, 6, "1.5"),
        (-25, 1, "-2.5"),
        (12_345_678_900, 2, "123,456,789"),
        (7, 0, "7"),
    ],
)
def test_amounts_as_people_write_them(raw, decimals, text):
    assert decimal_text(raw, decimals) == text


@given(st.text(max_size=200))
def test_escaped_text_is_plain_and_one_to_one(text):
    shown = escape(text, length_max=200)
    assert all(" " <= character <= "~" for character in shown)
    back, at = "", 0
    while at < len(shown):
        if shown.startswith("\\u{", at):
            end = shown.index("}", at)
            back, at = back + chr(int(shown[at + 3 : end], 16)), end + 1
        else:
            back, at = back + shown[at], at + 1
    assert back == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("USD\u0421", "USD\\u{0421}"),  # a Cyrillic letter that looks like C
        ("abc\u202edcba", "abc\\u{202E}dcba"),  # right to left from here
        ("U\u200bSDC", "U\\u{200B}SDC"),  # a space of no width
        ("USDC\nRecipient: me", "USDC\\u{000A}Recipient: me"),
        ("\\u{0421}", "\\u{005C}u{0421}"),
        ("\U0001f4b0", "\\u{1F4B0}"),
        ("x" * 70, "x" * 64 + "...(70 characters)"),
    ],
)
def test_characters_that_pretend_are_written_out(text, shown):
    assert escape(text) == shown


def test_dates_and_durations():
    assert date_text(1_795_622_400) == "2026-11-25 16:00:00 UTC"
    assert duration_text(0) == "0 s"
    assert duration_text(3_600) == "1 h 0 min 0 s"
    for never in (-1, 2**48, 2**256 - 1):
        with pytest.raises(Refused, match="not a date"):
            date_text(never)
