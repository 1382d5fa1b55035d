"""Stop orders beside the book: what triggers them, in which order, and what they then do."""

from __future__ import annotations

import capstan_native as native
import pytest

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import ExchangeEvent, NewOrder, Order, OrderReported
from tests.cex.sandbox.desk import Clock, check_locks, limit, make_exchange, market, raw, state, stop

BUY, SELL = native.BUY, native.SELL


def trade_at(exchange: Exchange, price: str, buyer: Account, seller: Account, qty: str = "0.01") -> None:
    """Let two accounts trade at a price; the book is as before then."""
    exchange.place(seller, "ETHUSDC", limit(SELL, price, qty))
    exchange.place(buyer, "ETHUSDC", limit(BUY, price, qty))


def told(events: list[ExchangeEvent], order: Order) -> list[tuple[str, str]]:
    return [(e.execution, str(e.status)) for e in events if isinstance(e, OrderReported) and e.order is order]


@pytest.mark.parametrize(
    ("type_", "side", "stop_price", "passes_by", "reaches"),
    [
        ("STOP_LOSS", SELL, "2990", "2990.01", "2990"),
        ("STOP_LOSS", BUY, "3010", "3009.99", "3010"),
        ("TAKE_PROFIT", SELL, "3010", "3009.99", "3010"),
        ("TAKE_PROFIT", BUY, "2990", "2990.01", "2990"),
    ],
)
def test_a_trade_at_the_stop_price_triggers_and_one_before_it_does_not(
    type_: str, side: int, stop_price: str, passes_by: str, reaches: str
) -> None:
    exchange, (ann, ben, cat), events = make_exchange()
    exchange.place(cat, "ETHUSDC", limit(SELL, "3020", "1"))
    exchange.place(cat, "ETHUSDC", limit(BUY, "2980", "1"))
    order = exchange.place(ann, "ETHUSDC", stop(type_, side, stop_price, "0.5"))
    assert order.is_waiting
    trade_at(exchange, passes_by, cat, ben)
    assert order.is_waiting
    trade_at(exchange, reaches, cat, ben)
    assert (order.status, order.filled_lots) == ("FILLED", 5_000)
    assert told(events, order) == [("NEW", "NEW"), ("NEW", "NEW"), ("TRADE", "FILLED")]
    assert order.trades[0].price == (302_000 if side == BUY else 298_000)
    assert not order.locked_raw


def test_a_stop_limit_rests_at_its_price_once_triggered() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    order = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS_LIMIT", BUY, "3010", "1", "3012"))
    assert ann.balance("USDC").locked == raw("3012")
    assert exchange.markets["ETHUSDC"].engine.best(BUY) is None
    trade_at(exchange, "3010", cat, ben)
    assert exchange.markets["ETHUSDC"].engine.best(BUY) == (301_200, 10_000)
    assert not order.is_waiting
    check_locks(ann)


def test_a_stop_that_is_reached_already_is_refused() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    trade_at(exchange, "3000", cat, ben)
    for request in (
        stop("STOP_LOSS", SELL, "3000", "1"),
        stop("STOP_LOSS", BUY, "2999", "1"),
        stop("TAKE_PROFIT_LIMIT", SELL, "2999", "1", "2999"),
        stop("TAKE_PROFIT_LIMIT", BUY, "3001", "1", "3001"),
    ):
        before = state(exchange)
        with pytest.raises(ApiError, match="trigger immediately"):
            exchange.place(ann, "ETHUSDC", request)
        assert state(exchange) == before


def test_stops_fire_nearest_first_and_older_first_at_one_price() -> None:
    exchange, (ann, ben, cat), events = make_exchange()
    exchange.place(cat, "ETHUSDC", limit(BUY, "2000", "5"))
    far = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2980", "0.1"))
    older = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2990", "0.1"))
    younger = exchange.place(ben, "ETHUSDC", stop("STOP_LOSS", SELL, "2990", "0.1"))
    trade_at(exchange, "2970", cat, ben)
    filled = [e.order for e in events if isinstance(e, OrderReported) and e.trade and e.order.is_stop]
    assert filled == [older, younger, far]


def test_a_triggered_order_triggers_the_next() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    for price in ("2990", "2980", "2970"):
        exchange.place(cat, "ETHUSDC", limit(BUY, price, "0.1"))
    first = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2990", "0.1"))
    second = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2980", "0.1"))
    exchange.place(ben, "ETHUSDC", market(SELL, qty="0.1"))
    assert (first.trades[0].price, second.trades[0].price) == (298_000, 297_000)


def test_a_stop_buy_that_cannot_pay_any_more_expires_whole_and_gives_back_its_lock() -> None:
    exchange, (ann, ben, cat), events = make_exchange()
    exchange.place(cat, "ETHUSDC", limit(SELL, "3100", "10"))
    order = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", BUY, "3010", "9.9"))
    assert ann.balance("USDC").locked == raw("29799")
    trade_at(exchange, "3010", cat, ben)
    assert (order.status, order.filled_lots) == ("EXPIRED", 0)
    assert told(events, order)[-1] == ("EXPIRED", "EXPIRED")
    assert (ann.balance("USDC").free, ann.balance("USDC").locked) == (30_000 * UNIT, 0)


def test_a_waiting_stop_can_be_cancelled_and_amended() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    order = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2990", "2"))
    exchange.amend(order, raw("0.5"), "smaller")
    assert ann.balance("ETH").locked == raw("0.5")
    exchange.cancel(order)
    assert ann.balance("ETH").locked == 0
    trade_at(exchange, "2980", cat, ben)
    assert (order.status, order.filled_lots) == ("CANCELED", 0)


def test_a_trailing_stop_without_a_price_can_be_made_smaller() -> None:
    exchange, (ann, _, _), _ = make_exchange()
    order = exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", BUY, "0", "1", trailing_bips=100))
    exchange.amend(order, raw("0.5"), "smaller")
    assert (order.open_lots, ann.balance("USDC").locked) == (5_000, 1_500 * UNIT)
    with pytest.raises(ApiError, match="NOTIONAL"):
        exchange.amend(order, raw("0.001"), "smaller")


@pytest.mark.parametrize(
    ("type_", "side", "stop_price", "passes_by", "turns"),
    [
        # The published scenarios B and A of the trailing stop FAQ, at a tenth and in ETH.
        ("STOP_LOSS_LIMIT", SELL, "2990", ("3040", "2990", "2870", "3050", "2900"), "2745"),
        ("STOP_LOSS_LIMIT", BUY, "3010", ("2700", "3010", "2650", "2910"), "2915"),
        ("TAKE_PROFIT_LIMIT", SELL, "3010", ("2800", "3010", "3200", "2881"), "2880"),
        ("TAKE_PROFIT_LIMIT", BUY, "2990", ("3300", "2990", "2900", "3189"), "3190"),
        # Without a stop price it follows from the start.
        ("STOP_LOSS_LIMIT", SELL, "0", ("3100", "2790.01"), "2790"),
        ("STOP_LOSS_LIMIT", BUY, "0", ("2900", "3189.99"), "3190"),
    ],
)
def test_a_trailing_stop_turns_with_the_market(
    type_: str, side: int, stop_price: str, passes_by: tuple[str, ...], turns: str
) -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    order = exchange.place(ann, "ETHUSDC", stop(type_, side, stop_price, "0.1", "3000", trailing_bips=1000))
    for price in passes_by:
        trade_at(exchange, price, cat, ben)
        assert order.is_waiting, price
    trade_at(exchange, turns, cat, ben)
    assert not order.is_waiting


def test_an_order_good_till_a_date_expires_at_it_before_anything_else() -> None:
    clock = Clock()
    exchange, (ann, ben, _), events = make_exchange(clock=clock)
    request = NewOrder(BUY, "LIMIT", "GTD", raw("2990"), raw("1"), good_till_ms=clock.now_ms + 1_000)
    order = exchange.place(ann, "ETHUSDC", request)
    clock.now_ms += 999
    exchange.expire_due()
    assert order.status == "NEW"
    clock.now_ms += 1
    exchange.place(ben, "ETHUSDC", limit(SELL, "2990", "1"))
    assert (order.status, order.filled_lots) == ("EXPIRED", 0)
    assert told(events, order) == [("NEW", "NEW"), ("EXPIRED", "EXPIRED")]
    assert ann.balance("USDC").locked == 0


def test_stop_orders_are_bounded_by_a_filter_of_their_own() -> None:
    exchange, (ann, _, _), _ = make_exchange()
    for _ in range(exchange.limits.stop_orders_per_symbol):
        exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2990", "0.01"))
    with pytest.raises(ApiError, match="MAX_NUM_ALGO_ORDERS"):
        exchange.place(ann, "ETHUSDC", stop("STOP_LOSS", SELL, "2990", "0.01"))
    exchange.place(ann, "ETHUSDC", limit(SELL, "3100", "0.01"))


@pytest.mark.parametrize(
    ("request_", "filter_"),
    [
        (stop("STOP_LOSS", SELL, "2990.001", "1"), "PRICE_FILTER"),
        (stop("STOP_LOSS", SELL, "0", "1"), "PRICE_FILTER"),
        (stop("STOP_LOSS", SELL, "2990", "0.00001"), "LOT_SIZE"),
        (stop("STOP_LOSS", SELL, "2990", "501"), "MARKET_LOT_SIZE"),
        (stop("STOP_LOSS", SELL, "2990", "0.0001"), "NOTIONAL"),
        (stop("STOP_LOSS_LIMIT", SELL, "2990", "1", "100"), "PERCENT_PRICE_BY_SIDE"),
        (stop("STOP_LOSS", SELL, "0", "1", trailing_bips=9), "TRAILING_DELTA"),
        (stop("STOP_LOSS", SELL, "0", "1", trailing_bips=2001), "TRAILING_DELTA"),
    ],
)
def test_filters_hold_for_stop_orders(request_: NewOrder, filter_: str) -> None:
    exchange, (ann, _, _), _ = make_exchange()
    with pytest.raises(ApiError, match=filter_):
        exchange.place(ann, "ETHUSDC", request_)
