"""Exact amounts: an integer of the smallest unit, with the asset it counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from domain.assets import Asset
from domain.errors import InputError, InvariantError

_PLAIN = re.compile(r"[0-9]{1,78}(\.[0-9]{1,36})?")


def parse_units(text: str, decimals: int) -> int:
    """Read plain decimal text as an integer of 10**-decimals; refuse signs, exponents and what would need rounding.

    Integers on purpose: Python's default Decimal context rounds to 28 digits without a word, a uint256 has 78.

    Raises:
        InputError: Not plain decimal text, or more fraction digits than `decimals`.
    """
    if not _PLAIN.fullmatch(text):
        raise InputError(f"not a plain decimal: {text!r}")
    whole, _, fraction = text.partition(".")
    kept, beyond = fraction[:decimals], fraction[decimals:]
    if beyond.strip("0"):
        raise InputError(f"{text} has more than {decimals} decimals")
    return int(whole + kept.ljust(decimals, "0"))


def format_units(raw: int, decimals: int) -> str:
    """Write an integer of 10**-decimals as exact decimal text; the inverse of `parse_units` up to trailing zeros."""
    sign, digits = ("-" if raw < 0 else ""), str(abs(raw)).rjust(decimals + 1, "0")
    if decimals == 0:
        return sign + digits
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


@dataclass(frozen=True, slots=True)
class Amount:
    """An exact, possibly negative amount of one asset, counted in its smallest unit."""

    asset: Asset
    raw: int

    @classmethod
    def parse(cls, text: str, asset: Asset) -> Self:
        """Read plain decimal text; refuse what would need rounding."""
        try:
            return cls(asset, parse_units(text, asset.decimals))
        except InputError as exc:
            raise InputError(f"{asset.symbol}: {exc}") from exc

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.asset, self.raw + self._same(other).raw)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.asset, self.raw - self._same(other).raw)

    def __neg__(self) -> Amount:
        return Amount(self.asset, -self.raw)

    def __str__(self) -> str:
        return f"{format_units(self.raw, self.asset.decimals)} {self.asset.symbol}"

    def to_decimal(self) -> Decimal:
        """Give the amount in whole units, exact whatever the context's precision."""
        return Decimal(format_units(self.raw, self.asset.decimals))

    def _same(self, other: Amount) -> Amount:
        if other.asset.id != self.asset.id:
            raise InvariantError(f"cannot add {other.asset.id} to {self.asset.id}")
        return other
