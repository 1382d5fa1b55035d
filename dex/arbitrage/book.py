"""The best size of an arbitrage between an exchange's book and one pool, in closed form.

Both sides are piecewise: a book is a staircase of prices, a pool a row of constant-product pieces. The walk takes
them together, best first, while the next unit still pays. Inside one level and one piece the optimum is where the
pool's marginal price meets the level's, `u* = (sqrt(gamma * R_in * R_out * p) - R_in) / gamma`. That finds the size in
floats; the answer is then settled in integers, by exact quotes of the neighbouring lots.

Units. On the chain everything is raw units of the pool's tokens. The book counts ticks and lots, which `BookTerms`
translates exactly: `lot_base_raw` chain units of the base token per lot, `tick_quote_raw` chain units of the quote
token per tick of price and lot of size (a fraction: 0.01 USDC * 0.00001 WBTC is 0.1 raw USDC).

Fees. The exchange takes its fee from what is received (Binance spot): quote when selling on the book, base when
buying. Both legs leave the base position unchanged: what is bought net of fees is what is sold.

Risks are prices (`LegCosts`). Gas is paid whether the swap executes or reverts. A leg that does not happen costs the
reversal of the other: with probability `f` the profit is `-unwind * size` instead, so that the expectation is
`(1 - f) * (profit - inventory * size) - f * unwind * size - gas`. Per unit of base that is a shift of the book's price
by `inventory + f / (1 - f) * unwind`: what pays only without it is not traded, and the rest is traded smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

from dex.replicas.base import Piece, PoolReplica
from domain.assets import Asset
from domain.errors import InputError, Refused
from domain.instruments import Instrument

Levels = Sequence[tuple[int, int]]
"""(price in ticks, size in lots), best first."""


@dataclass(frozen=True, slots=True)
class BookTerms:
    """How an exchange's book translates to the pool's raw units, and what taking from it costs."""

    base_token: str
    quote_token: str
    lot_base_raw: int
    tick_quote_raw: Fraction
    taker_fee: Fraction
    """Share of the received asset, 0.001 for 10 bps."""

    def __post_init__(self) -> None:
        if self.lot_base_raw <= 0 or self.tick_quote_raw <= 0 or not 0 <= self.taker_fee < 1:
            raise InputError(f"impossible book terms: {self}")

    @classmethod
    def of(cls, instrument: Instrument, base_token: Asset, quote_token: Asset) -> Self:
        """Translate an instrument to two tokens on a chain.

        Raises:
            InputError: A lot is not a whole number of the base token's units.
        """
        lot = Fraction(instrument.lot_size) * base_token.unit
        if lot.denominator != 1:
            raise InputError(f"{instrument.id}: a lot of {instrument.lot_size} is no whole {base_token.id} units")
        return cls(
            base_token=base_token.id,
            quote_token=quote_token.id,
            lot_base_raw=int(lot),
            tick_quote_raw=Fraction(instrument.tick_size) * Fraction(instrument.lot_size) * quote_token.unit,
            taker_fee=Fraction(instrument.taker_fee_bps) / 10_000,
        )


@dataclass(frozen=True, slots=True)
class LegCosts:
    """What an arbitrage costs beyond its prices and fees. Rates are quote per base, both raw."""

    gas_quote_raw: int = 0
    failure: Fraction = Fraction(0)
    """Probability that one leg does not happen and the other has to be reversed."""
    unwind: Fraction = Fraction(0)
    """What reversing the exchange leg costs: its fees and the spread."""
    inventory: Fraction = Fraction(0)
    """What it costs later to move back what this trade moves from one place to the other."""

    def __post_init__(self) -> None:
        if self.gas_quote_raw < 0 or not 0 <= self.failure < 1 or self.unwind < 0 or self.inventory < 0:
            raise InputError(f"impossible costs of two legs: {self}")

    @property
    def shift(self) -> Fraction:
        """By how much they move the price of the book against us."""
        return self.inventory + self.failure / (1 - self.failure) * self.unwind

    def expect(self, profit_quote_raw: int, base_raw: int) -> int:
        """Expected profit of a trade of this size, rounded down."""
        done = (1 - self.failure) * (profit_quote_raw - self.inventory * base_raw)
        return math.floor(done - self.failure * self.unwind * base_raw) - self.gas_quote_raw


NO_COSTS = LegCosts()


@dataclass(frozen=True, slots=True)
class ArbitrageSize:
    """What to do, in exact integers. Amounts are the pool's raw units."""

    lots: int
    """To trade on the book."""
    limit_ticks: int
    """The worst book price it takes: the limit of an immediate-or-cancel order."""
    pool_in_raw: int
    """Into the pool: quote when buying there, base when selling there."""
    pool_out_raw: int
    """Out of the pool at least: base when buying there, quote when selling there."""
    book_quote_raw: int
    """Quote received for the lots net of fee, rounded down, or paid for them, rounded up."""
    profit_quote_raw: int
    """Expected, after all fees and costs; positive. When both legs execute it is more by what failure was priced at."""


def optimal_buy_on_pool_sell_on_book(
    pool: PoolReplica, bids: Levels, terms: BookTerms, *, costs: LegCosts = NO_COSTS, lots_max: int | None = None
) -> ArbitrageSize | None:
    """Size buying base on the pool and selling it into the bids; None when nothing pays.

    Raises:
        Refused: The replica is stale.
    """
    keep = 1 - terms.taker_fee

    def settle(lots: int) -> ArbitrageSize | None:
        gross, limit = _sweep(bids, lots)
        base = lots * terms.lot_base_raw
        try:
            paid = pool.quote_exact_out_up(terms.base_token, base)
        except Refused as exc:
            if exc.rule != "pool_depth":
                raise
            return None
        received = math.floor(gross * terms.tick_quote_raw * keep)
        return ArbitrageSize(lots, limit, paid, base, received, costs.expect(received - paid, base))

    price, lot = float(terms.tick_quote_raw * keep / terms.lot_base_raw), float(terms.lot_base_raw)
    shift = float(costs.shift)
    levels = [(ticks * price - shift, lots * lot) for ticks, lots in bids if ticks * price > shift]
    base = _base_bought(pool.pieces(terms.quote_token), pool.gamma, levels)
    return _settle_near(base / lot, _lots_within(bids, lots_max), settle)


def optimal_buy_on_book_sell_on_pool(
    pool: PoolReplica, asks: Levels, terms: BookTerms, *, costs: LegCosts = NO_COSTS, lots_max: int | None = None
) -> ArbitrageSize | None:
    """Size buying base from the asks and selling what arrives net of fee on the pool; None when nothing pays.

    Raises:
        Refused: The replica is stale.
    """
    keep = 1 - terms.taker_fee

    def settle(lots: int) -> ArbitrageSize | None:
        gross, limit = _sweep(asks, lots)
        base = math.floor(lots * terms.lot_base_raw * keep)
        if base == 0:
            return None
        try:
            received = pool.quote_exact_in_down(terms.base_token, base)
        except Refused as exc:
            if exc.rule != "pool_depth":
                raise
            return None
        paid = math.ceil(gross * terms.tick_quote_raw)
        return ArbitrageSize(lots, limit, base, received, paid, costs.expect(received - paid, base))

    price, lot = float(terms.tick_quote_raw / (keep * terms.lot_base_raw)), float(terms.lot_base_raw * keep)
    shift = float(costs.shift)
    levels = [(ticks * price + shift, lots * lot) for ticks, lots in asks]
    base = _base_sold(pool.pieces(terms.base_token), pool.gamma, levels)
    return _settle_near(base / lot, _lots_within(asks, lots_max), settle)


def _base_bought(pieces: Iterator[Piece], gamma: float, levels: Sequence[tuple[float, float]]) -> float:
    """Walk until the pool's price meets the bids: base to buy. Levels are (quote received per base, base)."""
    bought, index, left = 0.0, 0, levels[0][1] if levels else 0.0
    for piece in pieces:
        reserve_in, reserve_out = piece.reserve_in, piece.reserve_out
        end, at = gamma * piece.in_size, 0.0  # Input counted after the fee, from the piece's beginning.
        while index < len(levels):
            price = levels[index][0]
            # d(out)/d(in) = gamma * R_in * R_out / (R_in + at)**2, worth `price` each, must repay one unit of input.
            best = math.sqrt(gamma * reserve_in * reserve_out * price) - reserve_in
            if best <= at:
                return bought
            out_before = reserve_out * at / (reserve_in + at)
            wanted = out_before + left
            level_end = reserve_in * wanted / (reserve_out - wanted) if wanted < reserve_out else math.inf
            stop = min(best, level_end, end)
            step = reserve_out * stop / (reserve_in + stop) - out_before
            bought, left, at = bought + step, left - step, stop
            if stop == level_end:
                index += 1
                left = levels[index][1] if index < len(levels) else 0.0
            elif stop == best:
                return bought
            else:
                break
        else:
            return bought
    return bought


def _base_sold(pieces: Iterator[Piece], gamma: float, levels: Sequence[tuple[float, float]]) -> float:
    """Walk until the pool's price meets the asks: base to sell. Levels are (quote paid per base, base)."""
    sold, index, left = 0.0, 0, levels[0][1] if levels else 0.0
    for piece in pieces:
        at = 0.0
        while index < len(levels):
            best = (
                math.sqrt(gamma * piece.reserve_in * piece.reserve_out / levels[index][0]) - piece.reserve_in
            ) / gamma
            if best <= at:
                return sold
            level_end = at + left
            stop = min(best, level_end, piece.in_size)
            sold, left, at = sold + stop - at, left - (stop - at), stop
            # Compared, not counted down to zero: floats leave crumbs of a level.
            if stop == level_end:
                index += 1
                left = levels[index][1] if index < len(levels) else 0.0
            elif stop == best:
                return sold
            else:
                break
        else:
            return sold
    return sold


def _settle_near(lots: float, lots_max: int, settle: Callable[[int], ArbitrageSize | None]) -> ArbitrageSize | None:
    """Try the whole lots around the float optimum with exact quotes; the smallest of equals, if it pays."""
    if lots <= 0:  # Not even the first unit pays: the usual case, and it costs no exact quote.
        return None
    middle = min(int(lots), lots_max)
    best: ArbitrageSize | None = None
    for candidate in range(max(1, middle - 1), min(middle + 2, lots_max) + 1):
        found = settle(candidate)
        if found is not None and (best is None or found.profit_quote_raw > best.profit_quote_raw):
            best = found
    return best if best is not None and best.profit_quote_raw > 0 else None


def _lots_within(levels: Levels, lots_max: int | None) -> int:
    held = sum(lots for _, lots in levels)
    return held if lots_max is None else max(0, min(held, lots_max))


def _sweep(levels: Levels, lots: int) -> tuple[int, int]:
    """Sum ticks * lots over the best levels; give the sum and the last level's price."""
    total, limit = 0, 0
    for ticks, size in levels:
        taken = min(size, lots)
        if taken <= 0:
            break
        total, limit, lots = total + ticks * taken, ticks, lots - taken
    return total, limit
