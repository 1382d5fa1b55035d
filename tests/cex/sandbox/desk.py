"""An exchange without sockets, three accounts on it, and what must hold of it at any moment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from cex.sandbox import AccountSpec, FeeTier, SymbolSpec
from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT
from cex.sandbox.exchange import Exchange
from cex.sandbox.fees import FeeSchedule
from cex.sandbox.orders import BalancesChanged, ExchangeEvent, NewOrder, OrderReported, Status

ETHUSDC = SymbolSpec("ETH", "USDC", "0.01", "0.0001", "5")
NOW_MS = 1_700_000_000_000


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now_ms: int = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def make_exchange(
    maker_fee_bps: Decimal = Decimal(10),
    taker_fee_bps: Decimal = Decimal(10),
    clock: Clock | None = None,
    tiers: tuple[FeeTier, ...] = (),
) -> tuple[Exchange, list[Account], list[ExchangeEvent]]:
    balances = {"ETH": "10", "USDC": "30000"}
    specs = [AccountSpec(name, f"key-{name}", "s", None, balances) for name in ("ann", "ben", "cat")]
    exchange = Exchange(
        [ETHUSDC],
        specs,
        clock or Clock(),
        reference_prices={"ETHUSDC": 300_000},
        maker_fee_bps=maker_fee_bps,
        taker_fee_bps=taker_fee_bps,
        fees=FeeSchedule(tiers) if tiers else None,
    )
    events: list[ExchangeEvent] = []
    exchange.emit = events.append
    return exchange, exchange.accounts[1:], events


def raw(text: str) -> int:
    return int(Decimal(text) * UNIT)


def limit(side: int, price: str, qty: str, *, type: str = "LIMIT", time_in_force: str = "GTC", **more: Any) -> NewOrder:
    return NewOrder(side, type, time_in_force, raw(price), raw(qty), **more)


def market(side: int, *, qty: str = "0", quote: str = "0", **more: Any) -> NewOrder:
    return NewOrder(side, "MARKET", "GTC", 0, raw(qty), raw(quote), **more)


def stop(type_: str, side: int, stop_price: str, qty: str, price: str = "0", **more: Any) -> NewOrder:
    return NewOrder(side, type_, "GTC", raw(price), raw(qty), stop_raw=raw(stop_price), **more)


def totals(exchange: Exchange) -> Counter[str]:
    sums: Counter[str] = Counter()
    for account in exchange.accounts:
        for asset, balance in account.balances.items():
            assert balance.free >= 0
            assert balance.locked >= 0
            sums[asset] += balance.free + balance.locked
    return sums


def state(exchange: Exchange) -> object:
    balances = [
        {asset: (b.free, b.locked) for asset, b in account.balances.items() if b.free or b.locked}
        for account in exchange.accounts
    ]
    engine = exchange.markets["ETHUSDC"].engine
    return (
        balances,
        engine.orders(0),
        engine.orders(1),
        [
            sorted((o.id, o.status, o.open_lots, o.locked_raw) for o in a.open_orders.values())
            for a in exchange.accounts
        ],
    )


def belongs(event: ExchangeEvent, account: Account) -> bool:
    if isinstance(event, OrderReported):
        return event.order.account is account
    return isinstance(event, BalancesChanged) and event.account is account


def check_locks(account: Account) -> None:
    """What is locked is what the open orders say they lock, and that is what they need."""
    locked: Counter[str] = Counter()
    assert all(order.open_lots > 0 for order in account.open_orders.values())
    for order in account.open_orders.values():
        locked[order.reserved_asset] += order.locked_raw
        sibling = order.order_list.sibling(order) if order.order_list is not None else None
        if order.status is Status.PENDING_NEW:
            assert order.locked_raw == 0
        elif sibling is not None and sibling.status.is_open:
            needs = max(each.reserve_raw(each.open_lots) for each in (order, sibling))
            assert order.locked_raw + sibling.locked_raw == needs
        elif not order.trailing_bips:
            assert order.locked_raw == order.reserve_raw(order.open_lots)
    assert {asset: b.locked for asset, b in account.balances.items() if b.locked} == +locked


def check_reports(account: Account, events: list[ExchangeEvent]) -> None:
    """The reported trades explain the balances, and the last reported balances are the balances."""
    expected = {"ETH": 10 * UNIT, "USDC": 30_000 * UNIT}
    last: dict[str, int] = dict(expected)
    for event in events:
        if isinstance(event, OrderReported) and event.trade:
            trade = event.trade
            sign = 1 if trade.is_buyer else -1
            expected["ETH"] += sign * trade.lots * trade.symbol.lot_raw
            expected["USDC"] -= sign * trade.quote_raw
            expected[trade.fee_asset] -= trade.fee_raw
        elif isinstance(event, BalancesChanged):
            last |= {asset: free + locked for asset, free, locked in event.balances}
    assert {asset: b.free + b.locked for asset, b in account.balances.items()} == expected == last


def check_lists(account: Account) -> None:
    """A list is open as long as one of its orders is; of a pair at most one has happened."""
    for order_list in account.lists.values():
        orders = order_list.orders
        assert order_list.is_done == (not any(order.status.is_open for order in orders))
        assert (order_list.id in account.open_lists) != order_list.is_done
        assert sum(order.filled_lots > 0 for order in order_list.pair) <= 1
        first = order_list.first
        if first is not None and first.status is not Status.FILLED:
            assert all(order.working_ms < 0 and not order.filled_lots for order in orders[1:])
