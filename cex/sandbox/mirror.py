"""One symbol's market elsewhere as background liquidity here: its levels rest, its trades take.

Each level is held by orders of one account, as many lots in all as the message says: growth waits at the end of the
queue, and what goes away goes from the end, so that a client's place in the queue is never better than it would be
there. Each trade is an immediate order of a second account at the trade's price, so that a client's better price is
filled first. Messages are Binance's: a REST depth snapshot, `depthUpdate` and `trade`.
"""

from __future__ import annotations

from typing import Any, Final

import capstan_native as native

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT_DECIMALS, AccountSpec
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import SIDES, NewOrder, Order
from domain import InputError, parse_units

_BALANCE: Final = "1000000000"
_KEPT_MAX: Final = 10_000
"""Diffs that wait for a snapshot; of more than that the oldest are gone, and the snapshot will show the gap."""


class Mirror:
    """See the module. `role` names its accounts."""

    def __init__(self, exchange: Exchange, symbol: str, role: str) -> None:
        self._exchange = exchange
        self._spec = exchange.market(symbol).spec
        balances = {self._spec.base: _BALANCE, self._spec.quote: _BALANCE}
        self._maker, self._taker = (
            exchange.open_account(AccountSpec(f"{name}:{symbol}", "", balances=balances), is_background=True)
            for name in (role, f"{role}-taker")
        )
        self._levels: dict[tuple[int, int], list[Order]] = {}
        self._update_id = 0
        """Of the last change in the book; 0 before the first snapshot."""
        self._kept: list[dict[str, Any]] = []

    def apply(self, message: dict[str, Any]) -> bool:
        """Follow one message; say whether the book is whole: False means that changes before this one were missed.

        Raises:
            InputError: A price is off the symbol's tick.
        """
        if "lastUpdateId" in message:
            return self._snapshot(message)
        data = message.get("data", message)
        if data.get("s") != self._spec.name:
            return True
        if data.get("e") == "depthUpdate":
            return self._diff(data)
        if data.get("e") == "trade":
            self._trade(data)
        return True

    def withdraw(self) -> None:
        """Cancel everything and wait for a snapshot: the market elsewhere is out of sight."""
        for orders in self._levels.values():
            for order in orders:
                if order.status.is_open:
                    self._exchange.cancel(order)
        self._levels.clear()
        self._kept.clear()
        self._update_id = 0

    def _snapshot(self, message: dict[str, Any]) -> bool:
        levels = self._read(message["bids"], message["asks"])
        shown = {(side, price_raw) for side, price_raw, _ in levels}
        self._set_levels([(side, price_raw, 0) for side, price_raw in self._levels.keys() - shown] + levels)
        self._update_id = message["lastUpdateId"]
        kept, self._kept = self._kept, []
        # Every diff is applied, whatever is missing before it: its sizes are absolute.
        follow = [self._diff(diff) for diff in kept]
        return all(follow)

    def _diff(self, data: dict[str, Any]) -> bool:
        if not self._update_id:
            self._kept.append(data)
            del self._kept[:-_KEPT_MAX]
            return True
        if data["u"] <= self._update_id:
            return True
        follows = data["U"] <= self._update_id + 1
        self._set_levels(self._read(data["b"], data["a"]))
        self._update_id = data["u"]
        return bool(follows)

    def _read(self, bids: list[list[str]], asks: list[list[str]]) -> list[tuple[int, int, int]]:
        return [
            (side, parse_units(price, UNIT_DECIMALS), parse_units(qty, UNIT_DECIMALS))
            for side, rows in ((native.BUY, bids), (native.SELL, asks))
            for price, qty in rows
        ]

    def _set_levels(self, levels: list[tuple[int, int, int]]) -> None:
        # What goes away goes first: then a level that moved does not trade with its own shadow.
        for side, price_raw, qty_raw in sorted(levels, key=lambda level: level[2] > 0):
            self._set_level(side, price_raw, qty_raw // self._spec.lot_raw)

    def _set_level(self, side: int, price_raw: int, lots: int) -> None:
        queue = [order for order in self._levels.pop((side, price_raw), ()) if order.status.is_open]
        excess = sum(order.open_lots for order in queue) - lots
        while excess > 0 and queue:
            last = queue.pop()
            left = max(0, last.open_lots - excess)
            excess -= last.open_lots - left
            if left:
                queue += self._reduced(last, left)
            else:
                self._exchange.cancel(last)
        if excess < 0:
            queue += self._rest(side, price_raw, -excess)
        if queue:
            self._levels[side, price_raw] = queue

    def _reduced(self, order: Order, lots: int) -> list[Order]:
        """Take an order's open size down, at its place in the queue if the filters let it."""
        try:
            qty_raw = (order.filled_lots + lots) * self._spec.lot_raw
            return [self._exchange.amend(order, qty_raw, order.client_order_id)]
        except ApiError:
            self._exchange.cancel(order)
            return self._rest(order.side, order.price * self._spec.tick_raw, lots)

    def _rest(self, side: int, price_raw: int, lots: int) -> list[Order]:
        order = self._send(self._maker, side, price_raw, lots, "GTC")
        return [order] if order is not None and order.status.is_open else []

    def _trade(self, data: dict[str, Any]) -> None:
        side = native.SELL if data["m"] else native.BUY
        price_raw, qty_raw = parse_units(data["p"], UNIT_DECIMALS), parse_units(data["q"], UNIT_DECIMALS)
        self._send(self._taker, side, price_raw, qty_raw // self._spec.lot_raw, "IOC")

    def _send(self, account: Account, side: int, price_raw: int, lots: int, time_in_force: str) -> Order | None:
        if price_raw % self._spec.tick_raw:
            raise InputError(f"{SIDES[side]} price {price_raw} (1e-8) from elsewhere is off {self._spec.name}'s tick")
        if not lots:
            return None  # Old orders of the real venue may be finer than today's lot.
        request = NewOrder(side, "LIMIT", time_in_force, price_raw=price_raw, qty_raw=lots * self._spec.lot_raw)
        try:
            return self._exchange.place(account, self._spec.name, request)
        except ApiError:
            return None  # A participant that ran out of coins sits out.
