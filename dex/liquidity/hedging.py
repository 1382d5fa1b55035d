"""How much to sell at an exchange so that a position's worth does not depend on the price.

Between its ticks a position's worth, in token 1, changes with the price of token 0 by exactly the token 0 it holds:
what it gains in one it loses in the other at the margin. So the hedge is short just that, fees and what lies beside it
included, and it has to follow as the price moves: the position buys on the way down and the hedge sells too late by a
little each time, which is the loss that fees have to make up for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from dex.liquidity.positions import Position
from domain.assets import Asset
from domain.errors import InputError


@dataclass(frozen=True, slots=True)
class Hedge:
    """An order to place: positive buys the base, negative sells it; 0 for none. In lots of the instrument."""

    lots: int
    wanted_lots: int
    """Where the hedge's own position should be after it."""


def exposure_raw(positions: Iterable[Position], token: Asset, beside_raw: int = 0) -> int:
    """Give what positions hold of a token, fees due and `beside_raw` (in the account) included, in raw units.

    Tokens are compared by id: hedge the coin and its wrapped form together by adding the other as `beside_raw`.
    """
    total = beside_raw
    for position in positions:
        spec = position.pool.spec
        for index, asset in enumerate((spec.token0, spec.token1)):
            if asset.id == token.id:
                total += position.amounts[index] + position.fees[index]
    return total


def hedge(exposure: int, token: Asset, *, lot_size: Decimal, held_lots: int, slack_lots: int = 0) -> Hedge:
    """Say what to trade so that exposure and hedge cancel.

    Args:
        exposure: Raw units of the token that are held on chain.
        token: What they count.
        lot_size: How much of the token one lot of the instrument is.
        held_lots: The hedge's position now; short is negative.
        slack_lots: Leave it alone while it is off by no more than this: every trade costs a fee.

    Raises:
        InputError: A lot is not positive, or the slack negative.
    """
    if lot_size <= 0 or slack_lots < 0:
        raise InputError(f"a lot is positive and a slack not negative, found {lot_size} and {slack_lots}")
    with localcontext() as context:
        context.prec = 100
        exact = Decimal(exposure).scaleb(-token.decimals) / lot_size
        wanted = -int(exact.to_integral_value(ROUND_HALF_EVEN))
    change = wanted - held_lots
    return Hedge(0 if abs(change) <= slack_lots else change, wanted)
