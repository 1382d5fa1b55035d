"""What a position has brought: fees, against holding, against trading along. Exact in integers.

Four numbers, all in raw token 1 at one price:

- *fees*: what it has earned, taken or still due;
- *against holding*: what it is worth now with all that was ever taken out, less what was paid in, each token at today's
  price. Fees less the impermanent loss;
- *impermanent loss*: what holding would be worth more, fees apart;
- *against trading along* (loss versus rebalancing): somebody who held the position's tokens all the time, but bought
  and sold at the pool's prices instead of letting others trade against him, would have so much more. That is what fees
  have to make up for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from dex.liquidity.maths import Range, amounts_down, tick_at

_Q192: Final = 1 << 192


@dataclass(frozen=True, slots=True)
class Flow:
    """One transaction of a position's owner. Raw (token 0, token 1); positive came out, negative went in."""

    block_number: int
    tx_hash: str
    order: tuple[int, int]
    """Block and log index: what came before what."""
    liquidity_delta: int
    principal: tuple[int, int]
    fees: tuple[int, int]

    @property
    def gained(self) -> tuple[int, int]:
        return self.principal[0] + self.fees[0], self.principal[1] + self.fees[1]


@dataclass(frozen=True, slots=True)
class Move:
    """Where the pool's price went, and when."""

    order: tuple[int, int]
    sqrt_price_x96: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A position's account at one price. Values are raw token 1, rounded down."""

    paid_in: tuple[int, int]
    taken_out: tuple[int, int]
    """Without fees."""
    fees: tuple[int, int]
    holds: tuple[int, int]
    fees_value: int
    value: int
    """What it holds, without fees."""
    against_holding: int
    impermanent_loss: int
    against_trading_along: int
    """Below zero or zero: what trading along would have brought more, fees apart."""


def standing(
    span: Range,
    flows: Sequence[Flow],
    path: Sequence[Move],
    *,
    sqrt_price_x96: int,
    holds: tuple[int, int],
    fees_due: tuple[int, int],
) -> Standing:
    """Draw up a position's account.

    Args:
        span: The position's range.
        flows: Everything its owner did with it, in order.
        path: Every price the pool had from the first flow on, in order; one before the first flow says where it began.
        sqrt_price_x96: The price all is valued at: the pool's now.
        holds: What taking its liquidity out would give.
        fees_due: Earned and not yet taken.
    """
    paid_in = _total([flow.principal for flow in flows], sign=-1)
    taken_out = _total([flow.principal for flow in flows], sign=1)
    fees_taken = _sum([flow.fees for flow in flows])
    fees = fees_taken[0] + fees_due[0], fees_taken[1] + fees_due[1]
    net = tuple(taken_out[k] + holds[k] - paid_in[k] for k in (0, 1))
    loss = -_value(net[0], net[1], sqrt_price_x96)
    fees_value = _value(*fees, sqrt_price_x96)
    return Standing(
        paid_in=paid_in,
        taken_out=taken_out,
        fees=fees,
        holds=holds,
        fees_value=fees_value,
        value=_value(*holds, sqrt_price_x96),
        against_holding=fees_value - loss,
        impermanent_loss=loss,
        against_trading_along=-rebalancing_loss_up(span, flows, path),
    )


def rebalancing_loss_up(span: Range, flows: Sequence[Flow], path: Sequence[Move]) -> int:
    """Loss versus rebalancing along a path of prices, in raw token 1, rounded up.

    At each price the position holds x of token 0; whoever holds as much and lets the price go from p to q gains
    x(q - p). The position gains less: it sold on the way up what it would rather have kept, or bought on the way down.
    """
    changes = sorted((flow.order, flow.liquidity_delta) for flow in flows)
    liquidity, at, total = 0, 0, 0
    before: int | None = None
    for step in path:
        while at < len(changes) and changes[at][0] < step.order:
            liquidity += changes[at][1]
            at += 1
        if before is not None and liquidity and before != step.sqrt_price_x96:
            total += _loss_of_step(span, liquidity, before, step.sqrt_price_x96)
        before = step.sqrt_price_x96
    return -(-total // _Q192)


def _loss_of_step(span: Range, liquidity: int, before: int, after: int) -> int:
    """Times 2**192, never below zero but for a unit of rounding."""
    then = amounts_down(before, tick_at(before), span, liquidity)
    now = amounts_down(after, tick_at(after), span, liquidity)
    held = then[0] * (after**2 - before**2)
    own = (now[0] * after**2 + (now[1] << 192)) - (then[0] * before**2 + (then[1] << 192))
    return held - own


def _value(amount0: int, amount1: int, sqrt_price: int) -> int:
    return int(amount1 + Fraction(amount0 * sqrt_price**2, _Q192) // 1)


def _total(amounts: Sequence[tuple[int, int]], *, sign: int) -> tuple[int, int]:
    picked = [[max(0, sign * raw) for raw in pair] for pair in amounts]
    return sum(pair[0] for pair in picked), sum(pair[1] for pair in picked)


def _sum(amounts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(pair[0] for pair in amounts), sum(pair[1] for pair in amounts)
