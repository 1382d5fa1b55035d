"""Puts what a journal holds into an exchange that has just been made.

The exchange comes with the accounts and symbols of its configuration. An account that the journal knows by name has the
journal's balances instead of its starting ones; one that only the journal knows is opened without a key, so that its
orders and coins are still there. A symbol with history must still exist, with the same tick and lot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from cex.sandbox.accounts import Account, Balance
from cex.sandbox.capital import Capital
from cex.sandbox.config import AccountSpec
from cex.sandbox.exchange import Exchange
from cex.sandbox.journal import records
from cex.sandbox.journal.records import unpack
from cex.sandbox.orders import Order, OrderList, Trade
from domain import InputError

_Rows = list[dict[str, Any]]


def resume(exchange: Exchange, capital: Capital, entries: Mapping[str, bytes]) -> None:
    """Give a new exchange the state that was recorded.

    Raises:
        InputError: The journal belongs to other symbols, or was written by another version.
    """
    if not entries:
        return
    found: dict[str, _Rows] = defaultdict(list)
    for key, value in entries.items():
        kind, _, rest = key.partition("/")
        row = unpack(value)
        if kind in ("account", "market"):
            row["name"] = rest
        elif kind in ("withdrawal", "deposit"):
            row["number"] = int(rest.rpartition("/")[2])
        found[kind].append(row)
    _check_markets(exchange, found["market"])
    _Resumption(exchange).run(found, capital)


def _check_markets(exchange: Exchange, rows: _Rows) -> None:
    for row in rows:
        market = exchange.markets.get(row["name"])
        if market is None:
            raise InputError(
                f"the journal has trades or orders of {row['name']}, which is not among the symbols",
                hint="add the symbol, or begin a new journal",
            )
        spec = market.spec
        if (row.pop("base"), row.pop("quote")) != (spec.base, spec.quote):
            raise InputError(f"the journal's {row['name']} is another pair than {spec.base} {spec.quote}")
        if (row.pop("tick_raw"), row.pop("lot_raw")) != (spec.tick_raw, spec.lot_raw):
            raise InputError(
                f"the journal's {row['name']} has another tick or lot than {spec.tick_size} and {spec.lot_size}"
            )


class _Resumption:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._accounts = exchange.clients()

    def run(self, found: dict[str, _Rows], capital: Capital) -> None:
        exchange = self._exchange
        for name, totals in _one(found["background"]).items():
            account = exchange.open_account(AccountSpec(name, ""), is_background=True)
            account.balances = {asset: Balance(raw) for asset, raw in totals.items()}
        for row in found["account"]:
            account = self._account(row["name"])
            account.balances = {asset: Balance(free, locked) for asset, (free, locked) in row["balances"].items()}
            account.updated_ms, account.volumes = row["updated_ms"], row.get("volumes", {})
        orders = self._orders(found["order"], self._own_trades(found["trade"]))
        self._prevented(found["prevented"], {order.id: order for order in orders})
        self._markets(found)
        exchange.resume(_one(found[records.EXCHANGE_KEY]), orders, self._lists(found["list"], orders))
        for kind, record in (("withdrawal", records.WITHDRAWAL), ("deposit", records.DEPOSIT)):
            for row in sorted(found[kind], key=lambda row: row.pop("number")):
                capital.resume(self._account(row.pop("account")), record.read(row))

    def _account(self, name: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = self._exchange.open_account(AccountSpec(name, ""))
        return account

    def _own_trades(self, rows: _Rows) -> dict[int, list[Trade]]:
        """Give accounts their trades; return them by order."""
        by_order: dict[int, list[Trade]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: (row["id"], row["is_maker"])):
            account = self._account(row.pop("account"))
            trade = records.TRADE.read(row, symbol=self._exchange.markets[row.pop("symbol")].spec)
            account.traded(trade)
            by_order[trade.order_id].append(trade)
        return by_order

    def _orders(self, rows: _Rows, trades: dict[int, list[Trade]]) -> list[Order]:
        orders = []
        for row in sorted(rows, key=lambda row: row["id"]):
            account, spec = self._account(row.pop("account")), self._exchange.markets[row.pop("symbol")].spec
            orders.append(records.ORDER.read(row, account=account, symbol=spec, trades=trades[row["id"]]))
        return orders

    def _prevented(self, rows: _Rows, orders: Mapping[int, Order]) -> None:
        for row in sorted(rows, key=lambda row: row["id"]):
            account = self._account(row.pop("account"))
            match = records.PREVENTED.read(row, symbol=self._exchange.markets[row.pop("symbol")].spec)
            account.prevented_match(match)
            if match.taker_order_id in orders:
                orders[match.taker_order_id].prevented.append(match)

    def _lists(self, rows: _Rows, orders: list[Order]) -> list[OrderList]:
        """Read order lists and tell their orders. Of an order that is no longer remembered, its list does not know."""
        by_id = {order.id: order for order in orders}
        lists = []
        for row in sorted(rows, key=lambda row: row["id"]):
            account, spec = self._account(row.pop("account")), self._exchange.markets[row.pop("symbol")].spec
            own = [by_id[order_id] for order_id in row.pop("orders") if order_id in by_id]
            order_list = records.ORDER_LIST.read(row, account=account, symbol=spec, orders=own)
            for order in own:
                order.order_list = order_list
            lists.append(order_list)
        return lists

    def _markets(self, found: dict[str, _Rows]) -> None:
        markets = self._exchange.markets
        for row in found["market"]:
            markets[row.pop("name")].resume(row)
        for row in sorted(found["tape"], key=lambda row: row["id"]):
            market = markets[row.pop("symbol")]
            market.trades.append(records.TAPE.read(row, symbol=market.spec))
        for row in sorted(found["aggregate"], key=lambda row: row["id"]):
            market = markets[row.pop("symbol")]
            market.aggregates.append(records.AGGREGATE.read(row, symbol=market.spec))
        for row in sorted(found["candle"], key=lambda row: row["open_ms"]):
            candles, interval = markets[row.pop("symbol")].candles, row.pop("interval")
            candles.resume(interval, records.CANDLE.read(row))


def _one(rows: _Rows) -> dict[str, Any]:
    return rows[0] if rows else {}
