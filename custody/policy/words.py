"""The small words of a policy document: amounts, durations, addresses, hours. Parsed once, when it is loaded."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field

from chain import parse_address
from custody.policy.facts import MICRO
from domain import Address, InputError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION: Final = re.compile(r"(0|[1-9][0-9]{0,8})([smhdw])")
_MONEY: Final = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?")
_HOUR: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+\-]{0,63}")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _raw(value: Any) -> Any:
    # TOML integers end at 64 bits and YAML readers differ, so wide amounts are text; underscores group digits.
    if isinstance(value, str):
        digits = value.replace("_", "")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 78:
            raise ValueError("expected a raw amount: decimal digits")
        return int(digits)
    return value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError("expected digits")
    return value


def duration_s(value: Any) -> int:
    """Read a duration, in seconds.

    Raises:
        ValueError: Another form.
    """
    if isinstance(value, str) and (found := _DURATION.fullmatch(value)):
        return int(found[1]) * _UNITS[found[2]]
    raise ValueError("expected a duration such as 90s, 15m, 24h, 7d or 2w")


def _usd(value: Any) -> int:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not (found := _MONEY.fullmatch(text.replace("_", ""))):
        raise ValueError('expected dollars such as 10000 or "2500.50"')
    return int(found[1]) * MICRO + int((found[2] or "").ljust(6, "0"))


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except InputError as exc:
        raise ValueError(str(exc)) from exc


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("a name is 1 to 64 letters, digits or ._:@/+-, and begins with a letter or digit")
    return text


def _minute(text: Any) -> int:
    if not isinstance(text, str) or not _HOUR.fullmatch(text):
        raise ValueError("expected a time of day such as 08:30, in quotes")
    return int(text[:2]) * 60 + int(text[3:])


def _zone(text: str) -> str:
    if text not in available_timezones():
        raise ValueError(f"no such time zone: {text}")
    return ZoneInfo(text).key


RawAmount = Annotated[int, BeforeValidator(_raw), BeforeValidator(_no_bool), Field(ge=0, lt=1 << 256)]
Duration = Annotated[int, BeforeValidator(duration_s)]
Usd = Annotated[int, BeforeValidator(_usd)]
"""Millionths of a dollar."""
Label = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]
PolicyAddress = Annotated[Address, AfterValidator(_address)]
Name = Annotated[str, AfterValidator(_name)]
Minute = Annotated[int, BeforeValidator(_minute)]
"""Of the day, 0 to 1440."""
Zone = Annotated[str, AfterValidator(_zone)]
