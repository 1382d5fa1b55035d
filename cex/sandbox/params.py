"""Request parameters as text, read strictly: each reader answers with the code Binance gives."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from cex.sandbox import errors
from cex.sandbox.config import UNIT_DECIMALS
from domain import InputError, parse_units

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER = re.compile(r"[0-9]{1,18}")
_CLIENT_ORDER_ID = re.compile(r"[a-zA-Z0-9\-_.:/]{1,36}")
_RAW_MAX = 1 << 62


class Params:
    """One request's parameters. What is absent reads as None or the default; an empty text is an error."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def peek(self, name: str) -> str:
        """A parameter as it came, unchecked; empty if it is absent."""
        return self._values.get(name, "")

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value == "":
            raise errors.empty_parameter(name)
        return value

    def required(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise errors.missing_parameter(name)
        return value

    def integer(self, name: str, *, least: int = 0, most: int = 10**18) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise errors.illegal_characters(name, "^[0-9]{1,20}$")
        if not least <= int(value) <= most:
            raise errors.invalid_parameter(name)
        return int(value)

    def amount(self, name: str) -> int | None:
        """A decimal in units of 1e-8."""
        value = self.text(name)
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value):
            raise errors.illegal_characters(name, r"^([0-9]{1,20})(\.[0-9]{1,20})?$")
        try:
            raw = parse_units(value, UNIT_DECIMALS)
        except InputError as exc:
            raise errors.too_precise(name) from exc
        if raw >= _RAW_MAX:
            raise errors.invalid_parameter(name)
        return raw

    def client_order_id(self, name: str) -> str | None:
        value = self.text(name)
        if value is not None and not _CLIENT_ORDER_ID.fullmatch(value):
            raise errors.illegal_characters(name, r"^[a-zA-Z0-9-_.:/]{1,36}$")
        return value

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        value = self.text(name)
        if value is None:
            return default
        if value not in allowed:
            raise errors.invalid_parameter(name)
        return value

    def refuse(self, *names: str) -> None:
        """Refuse parameters that would change the meaning if they were ignored."""
        for name in names:
            if name in self._values:
                raise errors.parameter_not_required(name)
