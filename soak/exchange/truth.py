"""What must hold after a fault run: the exchange's own word against our journal, to the last unit.

The exchange is asked over plain HTTP with a signature of a dozen lines, not through the adapter. What we believe is
what the kernel makes of the journal, replayed here from its first event.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from domain import OrderState
from domain import events as e
from engine.journal import read_journal
from engine.native import NativeKernel
from engine.setup import RunConfig, build_kernel
from soak.exchange.trader import API_KEY, SECRET, SYMBOLS, VENUE

UNIT = 10**8
_PAGE = 1000
_ENDS = {
    "FILLED": {OrderState.FILLED},
    "CANCELED": {OrderState.CANCELED},
    "EXPIRED": {OrderState.EXPIRED},
    "EXPIRED_IN_MATCH": {OrderState.EXPIRED},
    # Accepted, then thrown out. Whoever heard of the first knows it as one that was taken away.
    "REJECTED": {OrderState.REJECTED, OrderState.CANCELED},
}


@dataclass(frozen=True)
class Exchange:
    """The exchange's word."""

    orders: dict[str, dict[str, Any]]
    """By our id."""
    trades: dict[str, dict[str, Any]]
    """By `symbol/id`."""
    open: list[str]
    held: dict[str, int]
    locked: dict[str, int]


def ask_exchange(url: str) -> Exchange:
    orders, trades = {}, {}
    for symbol in SYMBOLS:
        for row in _pages(url, "allOrders", "orderId", "orderId", symbol):
            orders[str(row["clientOrderId"])] = row
        for row in _pages(url, "myTrades", "fromId", "id", symbol):
            trades[f"{symbol}/{row['id']}"] = row
    balances = _ask(url, "account")["balances"]
    return Exchange(
        orders,
        trades,
        [str(row["clientOrderId"]) for row in _ask(url, "openOrders")],
        {row["asset"]: int((Decimal(row["free"]) + Decimal(row["locked"])) * UNIT) for row in balances},
        {row["asset"]: int(Decimal(row["locked"]) * UNIT) for row in balances},
    )


@dataclass(frozen=True)
class Ours:
    """What the journal holds, and what the kernel makes of it."""

    kernel: NativeKernel
    booked: Counter[str]
    """How often the kernel booked each trade."""


def replay(journal: Path) -> Ours:
    header, events = read_journal(journal)
    kernel = build_kernel(RunConfig.from_header(header))
    booked: Counter[str] = Counter()
    for event in events:
        before = kernel.trades_booked
        kernel.step(event)
        if isinstance(event, e.FillReported) and kernel.trades_booked > before:
            booked[f"{event.fill.symbol}/{event.fill.trade_id}"] += 1
    return Ours(kernel, booked)


def problems_of(exchange: Exchange, ours: Ours, result: dict[str, Any]) -> list[str]:
    """Everything that is not as it must be; empty when all is well."""
    found = [*_orders(exchange, ours), *_trades(exchange, ours, result), *_balances(exchange, ours)]
    if exchange.open or result["open"]:
        found.append(f"still open: at the exchange {exchange.open[:5]}, with us {result['open'][:5]}")
    if result["contradictions"]:
        found.append(f"trades posted with two contents: {result['contradictions'][:5]}")
    return found


def _orders(exchange: Exchange, ours: Ours) -> Iterator[str]:
    known = ours.kernel.orders.orders
    if foreign := sorted(set(exchange.orders) - set(known)):
        yield f"{len(foreign)} orders at the exchange that we know nothing of: {foreign[:5]}"
    for name, order in known.items():
        row = exchange.orders.get(name)
        if row is None:
            if order.state is not OrderState.REJECTED or order.filled_lots:
                yield f"order {name} is {order.state} with {order.filled_lots} lots; the exchange never had it"
            continue
        lot = ours.kernel.markets.instruments[order.instrument].lot_size
        executed = int(Decimal(row["executedQty"]) / lot)
        if order.state not in _ENDS.get(row["status"], ()) or order.filled_lots != executed:
            theirs = f"{row['status']} with {executed}"
            yield f"order {name} is {order.state} with {order.filled_lots} lots, at the exchange {theirs}"


def _trades(exchange: Exchange, ours: Ours, result: dict[str, Any]) -> Iterator[str]:
    told = set(exchange.trades)
    if lost := sorted(told - set(ours.booked)):
        yield f"{len(lost)} fills lost: {lost[:5]}"
    if invented := sorted(set(ours.booked) - told):
        yield f"{len(invented)} fills that never were: {invented[:5]}"
    if twice := sorted(key for key, count in ours.booked.items() if count > 1):
        yield f"{len(twice)} fills counted twice: {twice[:5]}"
    if set(result["posted"]) != told:
        yield f"posted {len(result['posted'])} trades, the exchange has {len(told)}"


def _balances(exchange: Exchange, ours: Ours) -> Iterator[str]:
    for asset, raw in exchange.held.items():
        believed = ours.kernel.portfolio.balances.get(f"{VENUE}/{asset}", 0)
        counted = ours.kernel.native.balance(ours.kernel.numbers.asset_at[f"{VENUE}/{asset}"])
        if not raw == believed == counted:
            yield f"the exchange holds {raw} {asset}, our books {believed}, the kernel {counted}"
        if exchange.locked[asset]:
            yield f"the exchange still locks {exchange.locked[asset]} {asset}"


def _pages(url: str, path: str, start_name: str, id_name: str, symbol: str) -> Iterator[dict[str, Any]]:
    start = 0
    while page := _ask(url, path, symbol=symbol, limit=_PAGE, **{start_name: start}):
        yield from page
        start = int(page[-1][id_name]) + 1


def _ask(url: str, path: str, **parameters: object) -> Any:
    query = urllib.parse.urlencode({**parameters, "timestamp": time.time_ns() // 1_000_000, "recvWindow": 10_000})
    signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
    request = urllib.request.Request(
        f"{url}/api/v3/{path}?{query}&signature={signature}", headers={"X-MBX-APIKEY": API_KEY}
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read())
