"""Collects what the exchange's events changed, and gives it as one group of records.

Nothing is written while a command runs: an order that rests, trades and ends between two groups is written once, in its
last state. Groups are taken between commands only, so each is the difference between two consistent states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from cex.sandbox.accounts import Account
from cex.sandbox.capital import Capital, Deposit, Withdrawal
from cex.sandbox.exchange import Exchange
from cex.sandbox.journal import records
from cex.sandbox.journal.records import pack
from cex.sandbox.market import TRADES_KEPT, Market
from cex.sandbox.orders import (
    AggregateTrade,
    BalancesChanged,
    BookTouched,
    ExchangeEvent,
    ListReported,
    Order,
    OrderList,
    OrderReported,
    OrderTouched,
    PreventedMatch,
    PublicTrade,
    Trade,
)

Entry = tuple[str, bytes]


class Recorder:
    """See the module. `changed` is called when the first change after a group comes in."""

    def __init__(self, exchange: Exchange, capital: Capital) -> None:
        self._exchange = exchange
        self._capital = capital
        self.changed: Callable[[], None] = _ignore
        self.is_dirty = False
        self._orders: dict[int, Order] = {}
        self._lists: dict[int, OrderList] = {}
        self._accounts: dict[int, Account] = {}
        self._trades: list[tuple[Account, Trade]] = []
        self._prevented: list[tuple[Account, PreventedMatch]] = []
        self._tape: list[PublicTrade] = []
        self._aggregates: list[AggregateTrade] = []
        self._touched: set[str] = set()
        self._transfers: dict[str, bytes] = {}
        self._printed = {name: market.last_trade_id for name, market in exchange.markets.items()}
        """By symbol, the last trade that the written candles hold."""

    # --- what happens

    def on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, OrderReported):
            order = event.order
            self._orders[order.id] = order
            if event.trade is not None:
                self._trades.append((order.account, event.trade))
            if event.prevented is not None:
                self._prevented.append((order.account, event.prevented))
                # It counted a number of the market's, whose book may be as it was.
                self._touched.add(order.symbol.name)
        elif isinstance(event, OrderTouched):
            self._orders[event.order.id] = event.order
        elif isinstance(event, ListReported):
            self._lists[event.order_list.id] = event.order_list
        elif isinstance(event, BalancesChanged):
            self._accounts[event.account.id] = event.account
        elif isinstance(event, BookTouched):
            self._touched.add(event.symbol.name)
        elif isinstance(event, PublicTrade):
            self._tape.append(event)
        elif isinstance(event, AggregateTrade):
            self._aggregates.append(event)
        self._mark()

    def on_transfer(self, account: Account, number: int, row: Withdrawal | Deposit) -> None:
        """Note a withdrawal or deposit, the account's `number`th of its kind."""
        key, value = _transfer(account, number, row)
        self._transfers[key] = value
        self._mark()

    def _mark(self) -> None:
        if not self.is_dirty:
            self.is_dirty = True
            self.changed()

    # --- what is written

    def take(self) -> list[Entry]:
        """Give everything that changed since the last call, in its present state."""
        markets = [self._exchange.markets[name] for name in self._touched | {trade.symbol.name for trade in self._tape}]
        entries = [_exchange(self._exchange)]
        entries += [_account(account) for account in self._accounts.values()]
        entries += [_order(order) for order in self._orders.values()]
        entries += [_order_list(order_list) for order_list in self._lists.values()]
        entries += [_own_trade(account, trade) for account, trade in self._trades]
        entries += [_prevented(account, match) for account, match in self._prevented]
        entries += [_market(market) for market in markets]
        if self._tape:
            # The other side of a trade may be anybody of the background, and fees are paid with every one.
            entries.append(_background(self._exchange))
            entries += [_tape(trade) for trade in self._tape]
            entries += [_aggregate(trade) for trade in self._aggregates]
            for market in markets:
                entries += _candles(market, self._printed[market.spec.name])
                self._printed[market.spec.name] = market.last_trade_id
        entries += self._transfers.items()
        for changes in (
            self._orders,
            self._lists,
            self._accounts,
            self._trades,
            self._prevented,
            self._tape,
            self._aggregates,
            self._touched,
        ):
            changes.clear()
        self._transfers.clear()
        self.is_dirty = False
        return entries

    def everything(self) -> Iterator[Entry]:
        """Give the whole present state."""
        exchange = self._exchange
        yield _exchange(exchange)
        yield _background(exchange)
        for account in exchange.clients().values():
            yield _account(account)
            yield from map(_order, account.orders.values())
            yield from map(_order_list, account.lists.values())
            yield from (_own_trade(account, trade) for trade in chain.from_iterable(account.trades.values()))
            yield from (_prevented(account, match) for match in chain.from_iterable(account.prevented.values()))
        for market in exchange.markets.values():
            yield _market(market)
            yield from map(_tape, market.trades)
            yield from map(_aggregate, market.aggregates)
            yield from _candles(market, -1)
        for account, number, row in self._capital.transfers():
            yield _transfer(account, number, row)


def _exchange(exchange: Exchange) -> Entry:
    return records.EXCHANGE_KEY, pack(exchange.counters())


def _background(exchange: Exchange) -> Entry:
    # Their orders are not kept, so nothing of theirs is locked any more when they come back.
    totals = {
        account.name: {asset: balance.free + balance.locked for asset, balance in account.balances.items()}
        for account in exchange.accounts
        if account.is_background
    }
    return records.BACKGROUND_KEY, pack(totals)


def _account(account: Account) -> Entry:
    balances = {asset: (balance.free, balance.locked) for asset, balance in account.balances.items()}
    row = {"balances": balances, "updated_ms": account.updated_ms, "volumes": account.volumes}
    return f"account/{account.name}", pack(row)


def _order(order: Order) -> Entry:
    return f"order/{order.id}", records.ORDER.write(order, account=order.account.name, symbol=order.symbol.name)


def _order_list(order_list: OrderList) -> Entry:
    names = {"account": order_list.account.name, "symbol": order_list.symbol.name}
    ids = [order.id for order in order_list.orders]
    return f"list/{order_list.id}", records.ORDER_LIST.write(order_list, orders=ids, **names)


def _own_trade(account: Account, trade: Trade) -> Entry:
    # Both sides of a trade may be one account's.
    key = f"trade/{trade.symbol.name}/{trade.id}/{trade.order_id}"
    return key, records.TRADE.write(trade, account=account.name, symbol=trade.symbol.name)


def _prevented(account: Account, match: PreventedMatch) -> Entry:
    key = f"prevented/{match.symbol.name}/{match.id}"
    return key, records.PREVENTED.write(match, account=account.name, symbol=match.symbol.name)


def _market(market: Market) -> Entry:
    spec = market.spec
    units = {"base": spec.base, "quote": spec.quote, "tick_raw": spec.tick_raw, "lot_raw": spec.lot_raw}
    return f"market/{spec.name}", pack(market.counters() | units)


# Tape and candles lie in rings of slots: what is too old to be shown is overwritten.


def _tape(trade: PublicTrade) -> Entry:
    name = trade.symbol.name
    return f"tape/{name}/{trade.id % TRADES_KEPT}", records.TAPE.write(trade, symbol=name)


def _aggregate(trade: AggregateTrade) -> Entry:
    name = trade.symbol.name
    return f"aggregate/{name}/{trade.id % TRADES_KEPT}", records.AGGREGATE.write(trade, symbol=name)


def _candles(market: Market, printed: int) -> Iterator[Entry]:
    for interval, slot, candle in market.candles.changed_since(printed):
        key = f"candle/{market.spec.name}/{interval}/{slot}"
        yield key, records.CANDLE.write(candle, symbol=market.spec.name, interval=interval)


def _transfer(account: Account, number: int, row: Withdrawal | Deposit) -> Entry:
    if isinstance(row, Withdrawal):
        return f"withdrawal/{account.name}/{number}", records.WITHDRAWAL.write(row, account=account.name)
    return f"deposit/{account.name}/{number}", records.DEPOSIT.write(row, account=account.name)


def _ignore() -> None:
    return
