"""An exchange put back from its journal is the one that wrote it: same state, same answers from there on."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import capstan_native as native
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cex.sandbox import AccountSpec, FeeTier, SymbolSpec, listviews, marketviews, wire
from cex.sandbox.accounts import Account
from cex.sandbox.candles import INTERVALS_MS
from cex.sandbox.capital import Capital
from cex.sandbox.config import FlowConfig
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.faults import Faults
from cex.sandbox.fees import FeeSchedule
from cex.sandbox.flow import FlowSimulator
from cex.sandbox.journal import Recorder, resume
from cex.sandbox.journal.records import pack, unpack
from cex.sandbox.market import RESUME_GAP
from cex.sandbox.orders import (
    AggregateTrade,
    BalancesChanged,
    ExchangeEvent,
    ListKind,
    ListReported,
    NewOrder,
    NewOrderList,
    OrderReported,
    PublicTrade,
)
from cex.sandbox.params import Params
from domain import InputError
from tests.cex.sandbox.desk import limit, market, raw, stop, totals

SYMBOLS = (SymbolSpec("ETH", "USDC", "0.01", "0.0001", "5"), SymbolSpec("BTC", "USDC", "0.01", "0.00001", "5"))
ACCOUNTS = tuple(
    AccountSpec(name, f"key-{name}", "s", None, {"ETH": "10", "BTC": "2", "USDC": "90000"})
    for name in ("ann", "ben", "cat")
)
KINDS = st.sampled_from(
    [
        "LIMIT",
        "LIMIT",
        "LIMIT_MAKER",
        "IOC",
        "FOK",
        "MARKET",
        "BUDGET",
        "STOP_LOSS",
        "TAKE_PROFIT_LIMIT",
        "TRAILING",
        "GTD",
        "ICEBERG",
        "ICEBERG",
        "OCO",
        "OTOCO",
        "cancel",
        "amend",
        "withdraw",
    ]
)
STEP = st.tuples(
    KINDS,
    st.integers(0, 2),
    st.sampled_from((native.BUY, native.SELL)),
    st.integers(-3, 3),
    st.integers(1, 40),
    st.sampled_from(("NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT")),
)


class Venue:
    """An exchange with its journal in memory."""

    def __init__(self, entries: dict[str, bytes] | None = None, symbols: tuple[SymbolSpec, ...] = SYMBOLS) -> None:
        self.now_ms = 1_700_000_000_000
        prices = {"ETHUSDC": 300_000, "BTCUSDC": 6_000_000}
        fees = FeeSchedule((FeeTier("0", Decimal(-1), Decimal(2)), FeeTier("500", Decimal(1), Decimal(1))))
        self.exchange = Exchange(symbols, ACCOUNTS, lambda: self.now_ms, reference_prices=prices, fees=fees)
        self.capital = Capital(self.exchange, Faults())
        resume(self.exchange, self.capital, entries or {})
        self.recorder = Recorder(self.exchange, self.capital)
        self.capital.changed = self.recorder.on_transfer
        self.entries = dict(self.recorder.everything())
        self.told: list[Any] = []
        self.exchange.emit = self._on_event

    def _on_event(self, event: ExchangeEvent) -> None:
        self.recorder.on_event(event)
        match event:
            case OrderReported():
                self.told.append(wire.execution_report(event))
            case ListReported():
                self.told.append(listviews.list_status(event))
            case BalancesChanged():
                self.told.append((event.account.name, wire.account_position(event)))
            case PublicTrade():
                self.told.append(marketviews.trade_event(event))
            case AggregateTrade():
                self.told.append(marketviews.aggregate_event(event))

    def account(self, name: str) -> Account:
        return next(account for account in self.exchange.accounts if account.name == name)

    def step(self, step: tuple[str, int, int, int, int, str], symbol: str = "ETHUSDC") -> str:
        """Run one command; say what it was refused with, if it was."""
        kind, who, side, away, size, prevention = step
        account = self.exchange.accounts[1 + who]
        self.now_ms += 700
        qty, price = f"0.{size:03d}", str(3000 + away if symbol == "ETHUSDC" else 60000 + away)
        own = list(account.open_orders.values())
        more: dict[str, Any] = {"self_trade_prevention": prevention}
        try:
            match kind:
                case "cancel":
                    if own:
                        self.exchange.cancel(own[size % len(own)])
                case "amend":
                    if own:
                        order = own[size % len(own)]
                        less = (order.lots - 1) * order.symbol.lot_raw
                        self.exchange.amend(order, less, f"amended-{self.now_ms}")
                case "withdraw":
                    request = {"coin": "ETH", "address": "0xabc", "amount": qty}
                    self.capital.apply(account, Params(request))
                case "OCO" | "OTOCO":
                    self.exchange.place_list(account, symbol, _order_list(kind, side, int(price), qty))
                case _:
                    self.exchange.place(account, symbol, _order(kind, side, price, qty, self.now_ms + 5_000, **more))
        except ApiError as exc:
            return str(exc.code)
        return ""

    def commit(self) -> None:
        if self.recorder.is_dirty:
            self.entries.update(self.recorder.take())

    def restarted(self) -> Venue:
        other = Venue(self.entries)
        other.now_ms = self.now_ms
        return other

    def state(self) -> dict[str, bytes]:
        """Everything that is recorded, but for the books' counters, which jump at a restart."""
        return {key: value for key, value in self.recorder.everything() if not key.startswith("market/")}


def _order(kind: str, side: int, price: str, qty: str, date_ms: int, **more: Any) -> NewOrder:
    match kind:
        case "BUDGET":
            order = market(side, quote=str(Decimal(qty) * 10_000), **more)
        case "MARKET":
            order = market(side, qty=qty, **more)
        case "IOC" | "FOK":
            order = limit(side, price, qty, time_in_force=kind, **more)
        case "STOP_LOSS":
            order = stop(kind, side, price, qty, **more)
        case "TAKE_PROFIT_LIMIT":
            order = stop(kind, side, price, qty, price, **more)
        case "TRAILING":
            order = stop("STOP_LOSS_LIMIT", side, "0", qty, price, trailing_bips=10, **more)
        case "ICEBERG":
            order = limit(side, price, str(Decimal(qty) * 5), iceberg_raw=raw(qty), **more)
        case "GTD":
            order = limit(side, price, qty, time_in_force="GTD", good_till_ms=date_ms, **more)
        case _:
            order = limit(side, price, qty, type=kind, **more)
    return order


def _order_list(kind: str, side: int, price: int, qty: str) -> NewOrderList:
    """Exits around a price, and for OTOCO an entry at it."""
    sign = 1 if side == native.SELL else -1
    profit = limit(side, str(price + 2 * sign), qty, type="LIMIT_MAKER")
    loss = stop("STOP_LOSS_LIMIT", side, str(price - 2 * sign), qty, str(price - 3 * sign))
    pair = (profit, loss) if side == native.SELL else (loss, profit)
    if kind == "OCO":
        return NewOrderList(ListKind.OCO, pair)
    return NewOrderList(ListKind.OTOCO, (limit(1 - side, str(price), qty), *pair))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=60), st.lists(STEP, max_size=15), st.integers(0, 2**16))
def test_a_restart_changes_nothing_and_the_exchange_goes_on_alike(
    before: list[Any], after: list[Any], seed: int
) -> None:
    chance = random.Random(seed)
    venue = Venue()
    for step in before:
        venue.step(step, chance.choice(("ETHUSDC", "BTCUSDC")))
        if chance.random() < 0.4:
            venue.commit()
    venue.commit()
    other = venue.restarted()
    assert other.state() == venue.state()
    for market_, again in zip(venue.exchange.markets.values(), other.exchange.markets.values(), strict=True):
        for side in (native.BUY, native.SELL):
            assert again.engine.orders(side) == market_.engine.orders(side)
        assert again.update_id >= market_.update_id + RESUME_GAP
        for interval in INTERVALS_MS:
            assert again.candles.last(interval) == market_.candles.last(interval)
    venue.told.clear()
    for step in after:
        symbol = chance.choice(("ETHUSDC", "BTCUSDC"))
        assert venue.step(step, symbol) == other.step(step, symbol)
    assert other.told == venue.told
    assert other.state() == venue.state()


def test_what_was_not_committed_is_as_if_it_had_not_been() -> None:
    venue = Venue()
    venue.step(("LIMIT", 0, native.SELL, 1, 10, "NONE"))
    venue.commit()
    state = venue.state()
    venue.step(("LIMIT", 1, native.BUY, 1, 5, "NONE"))
    assert venue.state() != state
    assert venue.restarted().state() == state


def test_the_flow_leaves_its_trades_and_coins_but_no_orders() -> None:
    venue = Venue()
    flow = FlowSimulator(venue.exchange, FlowConfig(), 5)
    venue.entries = dict(venue.recorder.everything())
    ann = venue.account("ann")
    for price in ("3000.5", "2999.5"):
        venue.exchange.place(ann, "ETHUSDC", limit(native.BUY if price < "3000" else native.SELL, price, "0.5"))
    for number in range(200):
        venue.now_ms += 50
        flow.step()
        if number % 7 == 0:
            venue.commit()
    venue.commit()
    assert ann.trades, "the flow must have traded with the client, or this test shows nothing"
    other = venue.restarted()
    assert totals(other.exchange) == totals(venue.exchange)
    background = [account for account in other.exchange.accounts if account.is_background]
    assert [account.name for account in background] == [a.name for a in venue.exchange.accounts if a.is_background]
    assert not any(account.open_orders for account in background)
    assert not any(balance.locked for account in background for balance in account.balances.values())
    state, again = venue.state(), other.state()
    assert {key for key in state.keys() ^ again.keys() if not key.startswith("background")} == set()
    assert all(again[key] == value for key, value in state.items())
    FlowSimulator(other.exchange, FlowConfig(), 6)
    assert totals(other.exchange) == totals(venue.exchange), "the participants come back, they are not paid again"


def test_an_account_that_is_no_longer_configured_keeps_its_coins_and_orders() -> None:
    venue = Venue()
    venue.step(("LIMIT", 2, native.SELL, 1, 10, "NONE"))
    venue.commit()
    accounts, entries = ACCOUNTS[:2], venue.entries
    exchange = Exchange(SYMBOLS, accounts, lambda: 0, reference_prices={"ETHUSDC": 300_000, "BTCUSDC": 6_000_000})
    resume(exchange, Capital(exchange, Faults()), entries)
    cat = next(account for account in exchange.accounts if account.name == "cat")
    assert (cat.spec.api_key, len(cat.open_orders)) == ("", 1)
    assert totals(exchange) == totals(venue.exchange)


@pytest.mark.parametrize(
    "symbols",
    [SYMBOLS[1:], (SymbolSpec("ETH", "USDC", "0.01", "0.001", "5"), SYMBOLS[1])],
    ids=["gone", "another lot"],
)
def test_a_journal_of_other_symbols_is_refused(symbols: tuple[SymbolSpec, ...]) -> None:
    venue = Venue()
    venue.step(("LIMIT", 2, native.SELL, 1, 10, "NONE"))
    venue.commit()
    with pytest.raises(InputError, match="ETHUSDC"):
        Venue(venue.entries, symbols)


def test_a_record_of_a_newer_version_is_refused() -> None:
    venue = Venue()
    venue.step(("LIMIT", 2, native.SELL, 1, 10, "NONE"))
    venue.commit()
    key = next(key for key in venue.entries if key.startswith("order/"))
    venue.entries[key] = pack(unpack(venue.entries[key]) | {"colour": "red"})
    with pytest.raises(InputError, match="colour"):
        venue.restarted()


def test_the_number_of_a_prevented_match_is_not_given_twice() -> None:
    venue = Venue()
    venue.step(("LIMIT", 0, native.SELL, 0, 10, "NONE"))
    venue.commit()
    # The taker ends and the book is as it was: of the market, only this number changed.
    venue.step(("LIMIT", 0, native.BUY, 0, 10, "EXPIRE_TAKER"))
    venue.commit()
    other = venue.restarted()
    for each in (venue, other):
        each.step(("LIMIT", 0, native.BUY, 0, 10, "EXPIRE_TAKER"))
        assert [match.id for match in each.account("ann").prevented["ETHUSDC"]] == [0, 1]
