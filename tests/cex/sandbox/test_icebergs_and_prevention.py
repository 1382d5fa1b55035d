"""Icebergs show a part of themselves; orders of one account are kept from trading with one another."""

from __future__ import annotations

from typing import Any

import capstan_native as native
import pytest

from cex.sandbox import AccountSpec, LimitsConfig, SymbolSpec
from cex.sandbox.config import UNIT
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import ListKind, NewOrder, NewOrderList, Order, OrderReported, PreventedMatch
from tests.cex.sandbox.conftest import BOB, Sandbox
from tests.cex.sandbox.desk import NOW_MS, check_locks, limit, make_exchange, market, raw, stop

BUY, SELL = native.BUY, native.SELL


def iceberg(side: int, price: str, qty: str, shown: str, **more: Any) -> NewOrder:
    return limit(side, price, qty, iceberg_raw=raw(shown), **more)


def test_an_iceberg_loses_its_place_with_each_part_and_never_shows_more() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    engine = exchange.markets["ETHUSDC"].engine
    hidden = exchange.place(ann, "ETHUSDC", iceberg(SELL, "3000", "5", "1"))
    plain = exchange.place(ben, "ETHUSDC", limit(SELL, "3000", "1"))
    assert ann.balance("ETH").locked == 5 * UNIT
    assert engine.best(SELL) == (300_000, 20_000)
    taker = exchange.place(cat, "ETHUSDC", limit(BUY, "3000", "2.5"))
    assert [trade.lots for trade in taker.trades] == [10_000, 10_000, 5_000]
    assert [order.filled_lots for order in (hidden, plain)] == [15_000, 10_000]
    assert engine.best(SELL) == (300_000, 5_000)
    check_locks(ann)
    exchange.cancel(hidden)
    assert ann.balance("ETH").locked == 0


def test_an_iceberg_takes_with_all_it_has_and_shows_a_part_of_the_rest() -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    exchange.place(ben, "ETHUSDC", limit(SELL, "3000", "2"))
    order = exchange.place(ann, "ETHUSDC", iceberg(BUY, "3000", "5", "1"))
    assert order.filled_lots == 20_000
    assert exchange.markets["ETHUSDC"].engine.best(BUY) == (300_000, 10_000)


def test_fill_or_kill_counts_what_is_hidden() -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    exchange.place(ann, "ETHUSDC", iceberg(SELL, "3000", "5", "1"))
    order = exchange.place(ben, "ETHUSDC", limit(BUY, "3000", "5", time_in_force="FOK"))
    assert order.status == "FILLED"


def test_a_triggered_stop_limit_may_be_an_iceberg() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    request = stop("STOP_LOSS_LIMIT", SELL, "2990", "4", "2985", iceberg_raw=raw("1.5"))
    exchange.place(ann, "ETHUSDC", request)
    exchange.place(cat, "ETHUSDC", limit(BUY, "2990", "0.1"))
    exchange.place(ben, "ETHUSDC", market(SELL, qty="0.1"))
    assert exchange.markets["ETHUSDC"].engine.best(SELL) == (298_500, 15_000)


def _prevented(events: list[Any], order: Order) -> list[tuple[str, int, int]]:
    return [
        (str(e.status), e.last_prevented_lots, e.prevented_lots)
        for e in events
        if isinstance(e, OrderReported) and e.order is order and e.execution == "TRADE_PREVENTION"
    ]


def test_decrement_lessens_both_as_published() -> None:
    """Scenario G of the venue's page on self-trade prevention, in ETH at 3,000."""
    exchange, (ann, _, _), events = make_exchange()
    resting = exchange.place(ann, "ETHUSDC", limit(BUY, "3000", "6"))
    taking = exchange.place(ann, "ETHUSDC", limit(SELL, "3000", "2", self_trade_prevention="DECREMENT"))
    assert (resting.status, resting.open_lots, resting.prevented_lots) == ("NEW", 40_000, 20_000)
    assert (taking.status, taking.open_lots, taking.prevented_lots) == ("EXPIRED_IN_MATCH", 0, 20_000)
    assert _prevented(events, resting) == [("NEW", 20_000, 20_000)]
    assert _prevented(events, taking) == [("EXPIRED_IN_MATCH", 20_000, 20_000)]
    match = PreventedMatch(
        0, resting.symbol, taking.id, resting.id, "DECREMENT", 300_000, NOW_MS, taker_lots=20_000, maker_lots=20_000
    )
    assert list(ann.prevented["ETHUSDC"]) == taking.prevented == [match]
    assert (ann.balance("USDC").locked, ann.balance("ETH").locked) == (raw("12000"), 0)
    exchange.amend(resting, raw("5"), "less")
    assert resting.open_lots == 30_000
    check_locks(ann)


def test_decrement_of_equal_orders_ends_both_and_a_greater_taker_goes_on() -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    mine = exchange.place(ann, "ETHUSDC", limit(SELL, "3000", "1"))
    exchange.place(ben, "ETHUSDC", limit(SELL, "3001", "1"))
    taking = exchange.place(ann, "ETHUSDC", limit(BUY, "3001", "3", self_trade_prevention="DECREMENT"))
    assert mine.status == "EXPIRED_IN_MATCH"
    assert (taking.status, taking.filled_lots, taking.prevented_lots, taking.open_lots) == (
        "PARTIALLY_FILLED",
        10_000,
        10_000,
        10_000,
    )
    check_locks(ann)
    equal = exchange.place(ann, "ETHUSDC", limit(SELL, "3001", "1", self_trade_prevention="DECREMENT"))
    assert (equal.status, taking.status) == ("EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH")
    assert not any(balance.locked for balance in ann.balances.values())


def test_a_budget_that_ends_against_its_own_orders_is_over() -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    exchange.place(ben, "ETHUSDC", limit(SELL, "3000", "0.1"))
    exchange.place(ann, "ETHUSDC", limit(SELL, "3001", "0.1"))
    order = exchange.place(ann, "ETHUSDC", market(BUY, quote="700", self_trade_prevention="DECREMENT"))
    assert (order.status, order.filled_lots, order.prevented_lots) == ("EXPIRED", 1_000, 1_000)
    exact = exchange.place(ann, "ETHUSDC", limit(SELL, "3001", "0.1"))
    gone = exchange.place(ann, "ETHUSDC", market(BUY, quote="300.1", self_trade_prevention="DECREMENT"))
    assert (gone.status, exact.status) == ("EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH")
    assert not ann.open_orders


def test_decrement_keeps_the_stop_of_a_pair_covered() -> None:
    exchange, (ann, _, _), _ = make_exchange()
    legs = (limit(SELL, "3100", "5", type="LIMIT_MAKER"), stop("STOP_LOSS", SELL, "2900", "5"))
    placed = exchange.place_list(ann, "ETHUSDC", NewOrderList(ListKind.OCO, legs))
    exchange.place(ann, "ETHUSDC", limit(BUY, "3100", "2", self_trade_prevention="DECREMENT"))
    assert [order.open_lots for order in placed.orders] == [30_000, 50_000]
    check_locks(ann)


def test_positions_are_bounded_where_the_symbol_says_so() -> None:
    spec = SymbolSpec("ETH", "USDC", "0.01", "0.0001", "5", position_max="12")
    accounts = [AccountSpec("ann", "k", "s", None, {"ETH": "10", "USDC": "30000"})]
    exchange = Exchange([spec], accounts, lambda: NOW_MS, reference_prices={"ETHUSDC": 300_000})
    ann = exchange.accounts[1]
    exchange.place(ann, "ETHUSDC", limit(BUY, "2900", "1.5"))
    with pytest.raises(ApiError, match="MAX_POSITION"):
        exchange.place(ann, "ETHUSDC", limit(BUY, "2900", "0.5001"))
    exchange.place(ann, "ETHUSDC", limit(BUY, "2900", "0.5"))
    exchange.place(ann, "ETHUSDC", limit(SELL, "3100", "1"))


def test_icebergs_are_bounded_in_parts_and_number() -> None:
    accounts = [AccountSpec("ann", "k", "s", None, {"ETH": "10"})]
    limits = LimitsConfig(iceberg_parts=5, iceberg_orders_per_symbol=1)
    spec = SymbolSpec("ETH", "USDC", "0.01", "0.0001", "5")
    exchange = Exchange([spec], accounts, lambda: NOW_MS, reference_prices={"ETHUSDC": 300_000}, limits=limits)
    ann = exchange.accounts[1]
    with pytest.raises(ApiError, match="ICEBERG_PARTS"):
        exchange.place(ann, "ETHUSDC", iceberg(SELL, "3000", "1.0001", "0.2"))
    exchange.place(ann, "ETHUSDC", iceberg(SELL, "3000", "1", "0.2"))
    with pytest.raises(ApiError, match="MAX_NUM_ICEBERG_ORDERS"):
        exchange.place(ann, "ETHUSDC", iceberg(SELL, "3000", "1", "0.2"))


async def test_the_doors_tell_icebergs_and_prevented_matches(quiet: Sandbox) -> None:
    placed = await quiet.order(BOB, side="SELL", quantity="5", price="3000", icebergQty="1")
    assert placed["icebergQty"] == "1.00000000"
    depth = (await quiet.call("GET", "/api/v3/depth", symbol="ETHUSDC"))[1]
    assert depth["asks"] == [["3000.00000000", "1.00000000"]]
    taken = await quiet.order(BOB, side="BUY", quantity="2", price="3000", selfTradePreventionMode="DECREMENT")
    assert (taken["status"], taken["preventedQuantity"]) == ("EXPIRED_IN_MATCH", "2.00000000")
    assert [match["makerPreventedQuantity"] for match in taken["preventedMatches"]] == ["1.00000000"] * 2
    params = {"symbol": "ETHUSDC", "orderId": placed["orderId"]}
    matches = (await quiet.call("GET", "/api/v3/myPreventedMatches", BOB, **params))[1]
    assert [(match["preventedMatchId"], match["takerOrderId"]) for match in matches] == [
        (0, taken["orderId"]),
        (1, taken["orderId"]),
    ]
    resting = (await quiet.call("GET", "/api/v3/order", BOB, **params))[1]
    assert (resting["icebergQty"], resting["preventedQuantity"], resting["status"]) == (
        "1.00000000",
        "2.00000000",
        "NEW",
    )
    assert (await quiet.call("GET", "/api/v3/myPreventedMatches", BOB, symbol="ETHUSDC"))[1]["code"] == -1102
