"""Values as text a person can trust: exact, unambiguous, and free of characters that pretend to be others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from domain import Refused

_SAFE: Final = frozenset(chr(code) for code in range(0x20, 0x7F))
_LATEST_S: Final = 253_402_300_799  # 9999-12-31T23:59:59Z, the last second a datetime can hold


def escape(text: str, *, length_max: int = 64) -> str:
    """Show text that others chose: everything but printable ASCII becomes `\\u{XXXX}`, and too much is cut visibly.

    Control and bidirectional characters could rearrange the lines around them; letters of other scripts look like
    ours (a Cyrillic `С` in `USDС`). The backslash is escaped too, so that nothing can imitate an escape.
    """
    shown = "".join(
        character if character in _SAFE and character != "\\" else f"\\u{{{ord(character):04X}}}"
        for character in text[:length_max]
    )
    return shown if len(text) <= length_max else f"{shown}...({len(text)} characters)"


def decimal_text(raw: int, decimals: int) -> str:
    """Write an integer of smallest units as an exact decimal: `1500000`, 6 -> `1.5`. Never rounds."""
    sign, digits = ("-" if raw < 0 else ""), str(abs(raw)).rjust(decimals + 1, "0")
    whole, fraction = (digits[:-decimals], digits[-decimals:].rstrip("0")) if decimals else (digits, "")
    grouped = f"{int(whole):,}"
    return f"{sign}{grouped}.{fraction}" if fraction else f"{sign}{grouped}"


def date_text(seconds: int) -> str:
    """Write a Unix time as a UTC date to the second.

    Raises:
        Refused: Rule `unreadable`: it lies outside the calendar's years.
    """
    if not 0 <= seconds <= _LATEST_S:
        raise Refused(f"{seconds} is not a date before the year 10000", rule="unreadable")
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration_text(seconds: int) -> str:
    """Write a length of time: `2 d 3 h 0 min 5 s`, without leading zeros."""
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts)
