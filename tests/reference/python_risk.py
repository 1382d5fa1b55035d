"""The gate before every order and swap. Refuses; never changes what was asked.

Orders are judged on integers of their instrument where the rule is about the order, and on marked values where it is
about the whole. What the gate does not know (no book, no mark) it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain import Instrument, Side
from engine.market import Book
from engine.portfolio import Portfolio
from engine.settings import RiskLimits


@dataclass(frozen=True, slots=True)
class Rejection:
    """Which rule said no, and with what figures."""

    rule: str
    detail: str


class RiskGate:
    """Holds the limits and the few states rules need: message buckets and the peak of the result."""

    def __init__(self, limits: RiskLimits) -> None:
        self._limits = limits
        self._order_notional_max = float(limits.order_notional_max)
        self._swap_notional_max = float(limits.swap_notional_max)
        self._collar = float(limits.price_collar_bps) / 1e4
        self._blacklist = frozenset(limits.blacklist)
        self._tokens: dict[str, float] = {}
        self._filled_ns: dict[str, int] = {}
        self.peak = 0.0

    def check_order(  # noqa: PLR0911 - one return a rule reads better than a chain
        self,
        *,
        instrument: Instrument,
        book: Book,
        strategy: str,
        side: Side,
        price_ticks: int,
        qty_lots: int,
        open_orders: int,
        crossed: str,
        pending: float,
        pending_total: float,
        portfolio: Portfolio,
        marks: dict[str, float],
        now_ns: int,
    ) -> Rejection | None:
        """Judge one order.

        Args:
            open_orders: Of all strategies.
            crossed: A resting order of ours that it would trade with, or empty.
            pending: Base units that orders and swaps of this strategy may still move in this direction, signed.
            pending_total: The same of all strategies.
        """
        limits = self._limits
        if listed := self._blacklist & {instrument.id, instrument.base.id, instrument.quote.id}:
            return Rejection("blacklist", f"{sorted(listed)[0]} is blacklisted")
        if qty_lots <= 0 or price_ticks <= 0:
            return Rejection("order_size", f"{qty_lots} lots at {price_ticks} ticks is not an order")
        if not book.valid:
            return Rejection("stale_book", f"{instrument.id}: no valid book")
        age_ms = (now_ns - book.changed_ns) // 1_000_000
        if age_ms > limits.book_age_ms_max:
            return Rejection("stale_book", f"{instrument.id}: book is {age_ms} ms old")
        qty_max = limits.order_qty_max.get(portfolio.economic_symbol(instrument.base.id))
        if qty_max is not None and instrument.qty(qty_lots) > qty_max:
            return Rejection("order_size", f"{instrument.qty(qty_lots)} {instrument.base.symbol} > {qty_max}")
        notional = float(instrument.notional(price_ticks, qty_lots))
        if notional > self._order_notional_max:
            return Rejection("order_notional", f"{notional:.2f} > {limits.order_notional_max}")
        if notional < float(instrument.min_notional):
            return Rejection("order_size", f"{notional:.2f} is below the venue's minimum {instrument.min_notional}")
        mid = book.mid_ticks
        beyond = (price_ticks - mid) / mid * side.sign
        if beyond > self._collar:
            return Rejection("price_collar", f"{beyond * 1e4:.1f} bps beyond the mid > {limits.price_collar_bps}")
        if open_orders >= limits.open_orders_max:
            return Rejection("open_orders", f"{open_orders} open orders")
        if crossed:
            return Rejection("self_trade", f"{strategy} would trade with our own {crossed}")
        delta = side.sign * float(instrument.qty(qty_lots))
        symbol = portfolio.economic_symbol(instrument.base.id)
        if rejection := self._check_position(portfolio, marks, strategy, symbol, delta, pending, pending_total):
            return rejection
        if not self._take_token(str(instrument.venue), now_ns):
            return Rejection("throttle", f"more than {limits.messages_per_second_max} messages/s to {instrument.venue}")
        return None

    def check_swap(
        self,
        *,
        pool: str,
        assets: tuple[str, str],
        strategy: str,
        symbol: str,
        delta: float,
        pending: float,
        pending_total: float,
        portfolio: Portfolio,
        marks: dict[str, float],
    ) -> Rejection | None:
        """Judge a swap that changes the position in `symbol` by `delta` units.

        A swap that reduces the strategy's position passes the position and exposure rules: hedging is never blocked by
        the limit it serves.
        """
        if listed := self._blacklist & {pool, *assets}:
            return Rejection("blacklist", f"{sorted(listed)[0]} is blacklisted")
        mark = marks.get(symbol, 0.0)
        if mark <= 0:
            return Rejection("no_mark", f"no price for {symbol}")
        notional = abs(delta) * mark
        if notional > self._swap_notional_max:
            return Rejection("swap_notional", f"{notional:.2f} > {self._limits.swap_notional_max}")
        return self._check_position(portfolio, marks, strategy, symbol, delta, pending, pending_total)

    def count_message(self, venue: str, now_ns: int) -> None:
        """Charge a cancel to the venue's bucket; cancels always pass."""
        self._take_token(venue, now_ns)

    def drawdown(self, result: float) -> Rejection | None:
        """Follow the peak of the total result; answer a rejection once the fall from it passes the limit."""
        self.peak = max(self.peak, result)
        fall = self.peak - result
        if fall > float(self._limits.drawdown_max):
            return Rejection("drawdown", f"{fall:.2f} below the peak > {self._limits.drawdown_max}")
        return None

    def _check_position(
        self,
        portfolio: Portfolio,
        marks: dict[str, float],
        strategy: str,
        symbol: str,
        delta: float,
        pending: float,
        pending_total: float,
    ) -> Rejection | None:
        """Judge the worst that can come of it: everything under way in its direction executes, nothing against it."""
        mark = marks.get(symbol, 0.0)
        if mark <= 0:
            return Rejection("no_mark", f"no price for {symbol}")
        held = portfolio.position(symbol, strategy)
        after = held + pending + delta
        if abs(after) <= abs(held):
            return None
        if abs(after) * mark > self._limits.position_notional_max:
            return Rejection("position", f"{strategy} {symbol}: {after:+.6f} is beyond the limit")
        total = portfolio.position(symbol)
        exposure = portfolio.exposure(marks) + (abs(total + pending_total + delta) - abs(total)) * mark
        if exposure > self._limits.exposure_notional_max:
            return Rejection("exposure", f"{exposure:.2f} > {self._limits.exposure_notional_max}")
        return None

    def _take_token(self, venue: str, now_ns: int) -> bool:
        rate = self._limits.messages_per_second_max
        level = self._tokens.get(venue, float(rate))
        elapsed = now_ns - self._filled_ns.get(venue, now_ns)
        level = min(float(rate), level + elapsed * rate / 1e9)
        self._filled_ns[venue] = now_ns
        allowed = level >= 1
        self._tokens[venue] = level - 1 if allowed else level
        return allowed
