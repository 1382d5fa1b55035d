"""The exchange's core without sockets: money is conserved, reports tell what was booked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import capstan_native as native
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cex.sandbox import AccountSpec, FeeTier, LimitsConfig, SymbolSpec
from cex.sandbox.config import UNIT
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import STOP_TYPES, ListKind, NewOrder, NewOrderList, Order, OrderReported, PublicTrade
from domain import InputError
from tests.cex.sandbox.desk import (
    ETHUSDC,
    NOW_MS,
    Clock,
    belongs,
    check_lists,
    check_locks,
    check_reports,
    limit,
    make_exchange,
    market,
    raw,
    state,
    stop,
    totals,
)

_qty = st.integers(1, 40_000).map(lambda lots: str(Decimal(lots) / 10_000))
_price = st.integers(299_995, 300_005).map(lambda ticks: str(Decimal(ticks) / 100))
_sides = st.sampled_from((native.BUY, native.SELL))
_modes = st.sampled_from(("NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT"))
_limits = st.builds(
    limit,
    _sides,
    _price,
    _qty,
    type=st.just("LIMIT"),
    time_in_force=st.sampled_from(("GTC", "GTC", "GTC", "IOC", "FOK")),
    self_trade_prevention=_modes,
)
_orders = st.one_of(
    _limits,
    _limits,
    _limits,
    st.builds(limit, _sides, _price, _qty, type=st.just("LIMIT_MAKER"), self_trade_prevention=_modes),
    st.builds(market, _sides, qty=_qty, self_trade_prevention=_modes),
    st.builds(market, _sides, quote=st.integers(5, 20_000).map(str), self_trade_prevention=_modes),
)
_stops = st.builds(
    stop,
    st.sampled_from(sorted(STOP_TYPES)),
    _sides,
    _price,
    _qty,
    self_trade_prevention=_modes,
    trailing_bips=st.sampled_from((0, 0, 0, 10)),
).flatmap(
    lambda order: (
        st.just(order) if not order.type.endswith("LIMIT") else _price.map(lambda p: replace(order, price_raw=raw(p)))
    )
)
_dated = st.builds(
    limit,
    _sides,
    _price,
    _qty,
    time_in_force=st.just("GTD"),
    good_till_ms=st.integers(NOW_MS + 1, NOW_MS + 40),
    self_trade_prevention=_modes,
)
_icebergs = st.builds(
    lambda side, price, parts, part, odd, type_, mode: limit(
        side,
        price,
        str(Decimal(parts * part + odd) / 10_000),
        type=type_,
        iceberg_raw=part * ETHUSDC.lot_raw,
        self_trade_prevention=mode,
    ),
    _sides,
    _price,
    st.integers(1, 6),
    st.integers(1, 6_000),
    st.integers(0, 17),
    st.sampled_from(("LIMIT", "LIMIT", "LIMIT_MAKER")),
    _modes,
)
_makers = st.builds(limit, _sides, _price, _qty, type=st.just("LIMIT_MAKER"), self_trade_prevention=_modes)


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[NewOrder, NewOrder]:
    """Two orders that mostly make a pair: one takes a profit and one stops a loss, on either side of the price."""
    side, qty, other_qty = draw(_sides), draw(_qty), draw(_qty)
    up, down = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    above, below = (str(Decimal(300_000 + away) / 100) for away in (up, -down))
    profit_price, loss_price = (above, below) if side == native.SELL else (below, above)
    profit = draw(
        st.sampled_from(
            (
                limit(side, profit_price, qty, type="LIMIT_MAKER"),
                stop("TAKE_PROFIT", side, profit_price, qty),
                stop("TAKE_PROFIT_LIMIT", side, profit_price, qty, profit_price),
            )
        )
    )
    loss = draw(
        st.sampled_from(
            (
                stop("STOP_LOSS", side, loss_price, other_qty),
                stop("STOP_LOSS_LIMIT", side, loss_price, other_qty, loss_price),
            )
        )
    )
    return (profit, loss) if side == native.SELL else (loss, profit)


_lists = st.one_of(
    _pairs().map(lambda pair: NewOrderList(ListKind.OCO, pair)),
    st.builds(
        lambda first, pair: NewOrderList(ListKind.OTOCO, (first, *pair)), st.one_of(_limits, _dated, _makers), _pairs()
    ),
    st.builds(
        lambda first, then: NewOrderList(ListKind.OTO, (first, then)),
        st.one_of(_limits, _makers),
        st.one_of(_limits, _stops, _makers, st.builds(market, _sides, qty=_qty, self_trade_prevention=_modes)),
    ),
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(0, 2), _orders),
        st.tuples(st.just("place"), st.integers(0, 2), _orders),
        st.tuples(st.just("place"), st.integers(0, 2), st.one_of(_stops, _dated, _icebergs, _icebergs)),
        st.tuples(st.just("list"), st.integers(0, 2), _lists),
        st.tuples(st.just("wait"), st.integers(1, 10), st.none()),
        st.tuples(st.just("cancel"), st.integers(0, 60), st.none()),
        st.tuples(st.just("amend"), st.integers(0, 60), _qty),
    ),
    min_size=12,
    max_size=60,
)


def _flat(bps: str) -> tuple[FeeTier, ...]:
    return (FeeTier("0", Decimal(bps), Decimal(bps)),)


_TIERS = (
    FeeTier("0", Decimal("-3.33"), Decimal("7.77")),
    FeeTier("3000", Decimal("-5"), Decimal("5")),
    FeeTier("9000", Decimal("0.01"), Decimal("5.01")),
)


@settings(max_examples=150, deadline=None)
@given(_steps, st.sampled_from((*(_flat(fee) for fee in ("0", "0.07", "33.33")), _TIERS)))
def test_no_history_creates_or_destroys_a_unit(steps: list[tuple[str, int, Any]], tiers: tuple[FeeTier, ...]) -> None:
    clock = Clock()
    exchange, accounts, events = make_exchange(clock=clock, tiers=tiers)
    start = totals(exchange)
    placed: list[Order] = []
    for step, number, detail in steps:
        before = state(exchange)
        try:
            if step == "wait":
                clock.now_ms += number
                exchange.expire_due()
            elif step == "list":
                placed += exchange.place_list(accounts[number], "ETHUSDC", detail).orders
            elif step == "place":
                placed.append(exchange.place(accounts[number], "ETHUSDC", detail))
            elif placed and step == "cancel":
                exchange.cancel(placed[number % len(placed)])
            elif placed:
                exchange.amend(placed[number % len(placed)], int(Decimal(detail) * UNIT), f"amended-{len(events)}")
        except ApiError:
            assert state(exchange) == before, "a refusal changed something"
        assert totals(exchange) == start
        for account in accounts:
            check_locks(account)
            check_lists(account)
    for account in accounts:
        check_reports(account, [e for e in events if belongs(e, account)])
    fees = Counter[str]()
    for event in events:
        if isinstance(event, OrderReported) and event.trade:
            fees[event.trade.fee_asset] += event.trade.fee_raw
    assert {asset: balance.free for asset, balance in exchange.fees.balances.items() if balance.free} == +fees
    public = [event for event in events if isinstance(event, PublicTrade)]
    assert [trade.id for trade in public] == list(range(1, len(public) + 1))


def test_the_commission_is_charged_in_the_asset_received_and_rounded_down() -> None:
    exchange, (ann, ben, _), events = make_exchange(maker_fee_bps=Decimal(2), taker_fee_bps=Decimal("7.5"))
    exchange.place(ann, "ETHUSDC", limit(native.SELL, "3000.07", "0.0021"))
    exchange.place(ben, "ETHUSDC", limit(native.BUY, "3001", "0.0021"))
    trades = {e.order.account.name: e.trade for e in events if isinstance(e, OrderReported) and e.trade}
    assert trades["ben"] is not None
    assert trades["ann"] is not None
    # 0.0021 ETH x 7.5 bps = 0.000001575; 6.300147 USDC x 2 bps = 0.0012600294.
    assert (trades["ben"].fee_asset, trades["ben"].fee_raw) == ("ETH", 157)
    assert (trades["ann"].fee_asset, trades["ann"].fee_raw) == ("USDC", 126_002)
    assert ben.balance("USDC").free == 30_000 * UNIT - 630_014_700, "the better price was given back"
    assert ben.balance("USDC").locked == 0


def test_a_takers_reports_come_in_binances_order() -> None:
    exchange, (ann, ben, _), events = make_exchange()
    exchange.place(ann, "ETHUSDC", limit(native.SELL, "3000", "1"))
    events.clear()
    exchange.place(ben, "ETHUSDC", limit(native.BUY, "3000", "1.5"))
    told = [(e.execution, e.status) for e in events if isinstance(e, OrderReported) and e.order.account is ben]
    assert told == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED")]
    kinds = [type(e).__name__ for e in events if belongs(e, ben)]
    assert kinds == ["OrderReported", "BalancesChanged"] * 2


def test_what_an_order_trades_at_once_it_trades_at_one_time() -> None:
    class Running(Clock):
        def __call__(self) -> int:
            self.now_ms += 1
            return self.now_ms

    exchange, (ann, ben, _), events = make_exchange(clock=Running())
    for price in ("3000", "3000", "3001"):
        exchange.place(ann, "ETHUSDC", limit(native.SELL, price, "1"))
    exchange.place(ben, "ETHUSDC", market(native.BUY, qty="3"))
    trades = [event for event in events if isinstance(event, PublicTrade)]
    assert len(trades) == 3
    assert len({trade.time_ms for trade in trades}) == 1


def test_a_budget_order_ends_filled_with_what_it_bought() -> None:
    exchange, (ann, ben, _), events = make_exchange()
    exchange.place(ann, "ETHUSDC", limit(native.SELL, "3000", "1"))
    order = exchange.place(ben, "ETHUSDC", market(native.BUY, quote="100"))
    assert (order.status, order.filled_lots, order.quote_filled_raw) == ("FILLED", 333, 9_990_000_000)
    assert [e.status for e in events if isinstance(e, OrderReported) and e.order is order] == ["NEW", "FILLED"]
    rest = exchange.place(ben, "ETHUSDC", market(native.BUY, quote="20000"))
    assert (rest.status, rest.filled_lots) == ("EXPIRED", 9_667)


def test_amending_keeps_the_place_in_the_queue() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    first = exchange.place(ann, "ETHUSDC", limit(native.BUY, "2990", "1", client_order_id="a"))
    exchange.place(ben, "ETHUSDC", limit(native.BUY, "2990", "1"))
    exchange.amend(first, UNIT // 2, "b")
    exchange.place(cat, "ETHUSDC", limit(native.SELL, "2990", "0.5"))
    assert first.status == "FILLED"
    assert ann.by_client_id["b"] is first
    assert "a" not in ann.by_client_id


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (limit(0, "3000.001", "1"), -1013, "PRICE_FILTER"),
        (limit(0, "0", "1"), -1013, "PRICE_FILTER"),
        (limit(0, "3000", "0.00001"), -1013, "LOT_SIZE"),
        (limit(0, "3000", "9001"), -1013, "LOT_SIZE"),
        (limit(0, "3000", "0.0001"), -1013, "NOTIONAL"),
        (limit(0, "100", "1"), -1013, "PERCENT_PRICE_BY_SIDE"),
        (limit(1, "15000.01", "1"), -1013, "PERCENT_PRICE_BY_SIDE"),
        (market(0, qty="501"), -1013, "MARKET_LOT_SIZE"),
        (market(0, qty="0.0001"), -1013, "NOTIONAL"),
        (market(0, quote="4.99"), -1013, "NOTIONAL"),
        (limit(0, "3000", "10.0001"), -2010, "insufficient balance"),
        (limit(1, "3000", "10.0001"), -2010, "insufficient balance"),
        (market(1, qty="10.0001"), -2010, "insufficient balance"),
        (market(0, quote="30000.01"), -2010, "insufficient balance"),
        (limit(0, "3001", "1", type="LIMIT_MAKER"), -2010, "immediately match"),
        (limit(0, "2990", "1", client_order_id="taken"), -2010, "Duplicate"),
    ],
)
def test_refused_orders_name_the_rule_and_change_nothing(request_: NewOrder, code: int, text: str) -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    exchange.place(ben, "ETHUSDC", limit(native.SELL, "3001", "1"))
    exchange.place(ann, "ETHUSDC", limit(native.SELL, "3100", "0.01", client_order_id="taken"))
    before = state(exchange)
    with pytest.raises(ApiError) as refused:
        exchange.place(ann, "ETHUSDC", request_)
    assert refused.value.code == code
    assert text in refused.value.message
    assert state(exchange) == before


def test_open_orders_are_bounded() -> None:
    specs = [AccountSpec("ann", "k", "s", None, {"USDC": "30000"})]
    limits = LimitsConfig(open_orders_per_symbol=2)
    exchange = Exchange([ETHUSDC], specs, lambda: NOW_MS, reference_prices={"ETHUSDC": 300_000}, limits=limits)
    for _ in range(2):
        exchange.place(exchange.accounts[1], "ETHUSDC", limit(native.BUY, "2990", "0.01"))
    with pytest.raises(ApiError, match="MAX_NUM_ORDERS"):
        exchange.place(exchange.accounts[1], "ETHUSDC", limit(native.BUY, "2990", "0.01"))


def test_a_symbol_whose_trades_would_round_is_refused() -> None:
    with pytest.raises(InputError, match="finer than 1e-8"):
        SymbolSpec("ETH", "BTC", "0.00001", "0.0001", "0.0001")
