"""Positions as the chain has them at one block: what they hold, what they have earned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dex.liquidity.maths import Range, amounts_down
from dex.pools import PoolSpec
from domain.errors import InputError
from domain.ids import Address


@dataclass(frozen=True, slots=True)
class PositionId:
    """`v3:17`: a position by its contract's version and the number of its token."""

    kind: str
    number: int

    @classmethod
    def parse(cls, text: str) -> PositionId:
        """Read `v3:17` or `v4:3`.

        Raises:
            InputError: Another form.
        """
        kind, _, number = text.partition(":")
        if kind not in ("v3", "v4") or not (number.isascii() and number.isdigit()):
            raise InputError(
                f"a position is named like v3:17 or v4:3, found {text!r}", hint="See `capstan dex lp list`."
            )
        return cls(kind, int(number))

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolNow:
    """Where a pool stands at a block."""

    spec: PoolSpec
    sqrt_price_x96: int
    tick: int
    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A position at one block. Amounts are raw units of (token 0, token 1)."""

    id: PositionId
    owner: Address
    pool: PoolNow
    span: Range
    liquidity: int
    fees: tuple[int, int]
    """What a collection would pay: earned and not yet taken, rounded down.

    Of V3 the position manager's own count. Where several of its positions share a range the pool may have lost a unit
    of each to rounding, and pays that much less.
    """

    @property
    def amounts(self) -> tuple[int, int]:
        """What taking all liquidity out would give, fees apart; rounded down."""
        return amounts_down(self.pool.sqrt_price_x96, self.pool.tick, self.span, self.liquidity)

    @property
    def is_earning(self) -> bool:
        """Whether the price is within its range."""
        return self.liquidity > 0 and self.span.holds(self.pool.tick)


def find(positions: Iterable[Position], wanted: PositionId) -> Position:
    """Pick a position.

    Raises:
        InputError: It is not among them.
    """
    found: Sequence[Position] = list(positions)
    for position in found:
        if position.id == wanted:
            return position
    known = ", ".join(str(position.id) for position in found) or "none"
    raise InputError(f"there is no position {wanted} here", hint=f"Known are: {known}.")
