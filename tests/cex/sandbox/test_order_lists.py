"""Order lists: one cancels the other, one triggers the other, and both."""

from __future__ import annotations

import capstan_native as native
import pytest

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import ExchangeEvent, ListKind, ListReported, NewOrder, NewOrderList, OrderList, OrderReported
from tests.cex.sandbox.desk import Clock, check_locks, limit, make_exchange, market, raw, state, stop
from tests.cex.sandbox.test_stop_orders import trade_at

BUY, SELL = native.BUY, native.SELL


def maker(side: int, price: str, qty: str) -> NewOrder:
    return limit(side, price, qty, type="LIMIT_MAKER")


def oco(*orders: NewOrder) -> NewOrderList:
    return NewOrderList(ListKind.OCO, orders)


def bracket(side: int = BUY, price: str = "2995", qty: str = "1") -> NewOrderList:
    """Enter at a price, then take a profit or stop a loss."""
    exits = (maker(SELL, "3100", qty), stop("STOP_LOSS", SELL, "2900", qty))
    return NewOrderList(ListKind.OTOCO, (limit(side, price, qty), *exits))


def told(events: list[ExchangeEvent], order_list: OrderList) -> list[tuple[int | str, str]]:
    """What was reported of a list: (position of the order or "list", its step)."""
    steps: list[tuple[int | str, str]] = []
    for event in events:
        if isinstance(event, ListReported) and event.order_list is order_list:
            steps.append(("list", event.status_type))
        elif isinstance(event, OrderReported) and event.order in order_list.orders:
            steps.append((order_list.orders.index(event.order), event.execution))
    return steps


def statuses(order_list: OrderList) -> list[str]:
    return [str(order.status) for order in order_list.orders]


def test_a_pair_locks_once_what_the_greater_of_the_two_needs() -> None:
    exchange, (ann, _, _), _ = make_exchange()
    exchange.place_list(ann, "ETHUSDC", oco(maker(SELL, "3100", "10"), stop("STOP_LOSS", SELL, "2900", "10")))
    assert (ann.balance("ETH").free, ann.balance("ETH").locked) == (0, 10 * UNIT)
    buys = oco(stop("STOP_LOSS_LIMIT", BUY, "3100", "2", "3110"), maker(BUY, "2900", "2"))
    exchange.place_list(ann, "ETHUSDC", buys)
    assert ann.balance("USDC").locked == raw("6220")
    check_locks(ann)


def test_a_fill_of_the_limit_order_ends_the_stop() -> None:
    exchange, (ann, ben, _), events = make_exchange()
    placed = exchange.place_list(ann, "ETHUSDC", oco(maker(SELL, "3100", "1"), stop("STOP_LOSS", SELL, "2900", "1")))
    exchange.place(ben, "ETHUSDC", limit(BUY, "3100", "0.4"))
    assert statuses(placed) == ["PARTIALLY_FILLED", "EXPIRED"]
    assert not placed.is_done
    check_locks(ann)
    exchange.place(ben, "ETHUSDC", limit(BUY, "3100", "0.6"))
    assert statuses(placed) == ["FILLED", "EXPIRED"]
    steps = [(0, "NEW"), (1, "NEW"), ("list", "EXEC_STARTED"), (0, "TRADE"), (1, "EXPIRED"), (0, "TRADE")]
    assert told(events, placed) == [*steps, ("list", "ALL_DONE")]
    assert (ann.open_lists, ann.lists[placed.id]) == ({}, placed)


def test_the_triggered_stop_ends_the_limit_order_before_it_works() -> None:
    exchange, (ann, ben, cat), events = make_exchange()
    exchange.place(cat, "ETHUSDC", limit(BUY, "2890", "5"))
    pair = oco(maker(SELL, "3100", "10"), stop("STOP_LOSS_LIMIT", SELL, "2900", "10", "2880"))
    placed = exchange.place_list(ann, "ETHUSDC", pair)
    trade_at(exchange, "2900", cat, ben)
    assert statuses(placed) == ["EXPIRED", "PARTIALLY_FILLED"]
    assert told(events, placed)[3:] == [(0, "EXPIRED"), (1, "NEW"), (1, "TRADE")]
    check_locks(ann)
    exchange.place(cat, "ETHUSDC", limit(BUY, "2880", "5"))
    assert statuses(placed) == ["EXPIRED", "FILLED"]
    assert told(events, placed)[-1] == ("list", "ALL_DONE")


def test_cancelling_one_order_cancels_the_list() -> None:
    exchange, (ann, _, _), events = make_exchange()
    for number in (0, 1):
        pair = oco(maker(SELL, "3100", "1"), stop("STOP_LOSS", SELL, "2900", "1"))
        placed = exchange.place_list(ann, "ETHUSDC", pair)
        exchange.cancel(placed.orders[number], "why")
        assert statuses(placed) == ["CANCELED", "CANCELED"]
        assert told(events, placed)[3:] == [(number, "CANCELED"), (1 - number, "CANCELED"), ("list", "ALL_DONE")]
        assert ann.balance("ETH").locked == 0


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (oco(maker(SELL, "2990", "1"), stop("STOP_LOSS", SELL, "2900", "1")), -2010, "relationship"),
        (oco(stop("TAKE_PROFIT", SELL, "2950", "1"), stop("STOP_LOSS", SELL, "2960", "1")), -2010, "relationship"),
        (oco(maker(BUY, "3100", "1"), stop("STOP_LOSS", BUY, "2900", "1")), -2010, "relationship"),
        (oco(maker(SELL, "3100", "1"), maker(SELL, "3200", "1")), -1014, "combination"),
        (oco(maker(SELL, "3100", "1"), stop("STOP_LOSS", BUY, "2900", "1")), -1014, "combination"),
        (oco(limit(SELL, "3100", "1"), stop("STOP_LOSS", SELL, "2900", "1")), -1014, "combination"),
        (oco(maker(SELL, "3100", "10.1"), stop("STOP_LOSS", SELL, "2900", "10.1")), -2010, "insufficient"),
        (oco(maker(SELL, "3100", "1"), stop("STOP_LOSS", SELL, "2900.001", "1")), -1013, "PRICE_FILTER"),
        (bracket(price="3000", qty="10.1"), -2010, "insufficient"),
        (bracket(price="1"), -1013, "PERCENT_PRICE_BY_SIDE"),
    ],
)
def test_a_list_that_cannot_be_placed_changes_nothing(request_: NewOrderList, code: int, text: str) -> None:
    exchange, (ann, _, _), _ = make_exchange()
    before = state(exchange)
    with pytest.raises(ApiError) as refused:
        exchange.place_list(ann, "ETHUSDC", request_)
    assert refused.value.code == code
    assert text in refused.value.message
    assert state(exchange) == before
    assert not ann.lists


def test_a_bracket_waits_for_its_entry_to_fill_whole() -> None:
    exchange, (ann, ben, _), events = make_exchange()
    placed = exchange.place_list(ann, "ETHUSDC", bracket())
    assert statuses(placed) == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    exchange.place(ben, "ETHUSDC", limit(SELL, "2995", "0.5"))
    assert statuses(placed) == ["PARTIALLY_FILLED", "PENDING_NEW", "PENDING_NEW"]
    check_locks(ann)
    exchange.place(ben, "ETHUSDC", limit(SELL, "2995", "0.5"))
    assert statuses(placed) == ["FILLED", "NEW", "NEW"]
    check_locks(ann)
    exchange.place(ben, "ETHUSDC", limit(BUY, "3100", "1"))
    assert statuses(placed) == ["FILLED", "FILLED", "EXPIRED"]
    assert told(events, placed)[3:] == [
        ("list", "EXEC_STARTED"),
        (0, "TRADE"),
        (0, "TRADE"),
        (1, "NEW"),
        (2, "NEW"),
        (1, "TRADE"),
        (2, "EXPIRED"),
        ("list", "ALL_DONE"),
    ]


def test_an_entry_that_fills_at_once_places_the_rest_within_the_same_command() -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    exchange.place(ben, "ETHUSDC", limit(SELL, "2995", "1"))
    placed = exchange.place_list(ann, "ETHUSDC", bracket())
    assert statuses(placed) == ["FILLED", "NEW", "NEW"]


def test_an_entry_that_expires_takes_the_rest_with_it() -> None:
    exchange, (ann, _, _), _ = make_exchange()
    entry = limit(BUY, "2995", "1", time_in_force="IOC")
    placed = exchange.place_list(ann, "ETHUSDC", NewOrderList(ListKind.OTO, (entry, maker(SELL, "3100", "1"))))
    assert statuses(placed) == ["EXPIRED", "EXPIRED"]
    assert placed.is_done


def test_what_follows_an_entry_and_cannot_be_paid_for_expires() -> None:
    exchange, (ann, ben, _), _ = make_exchange()
    # The entry buys one; the exit wants to sell twelve.
    request = NewOrderList(ListKind.OTO, (limit(BUY, "2995", "1"), market(SELL, qty="12")))
    placed = exchange.place_list(ann, "ETHUSDC", request)
    exchange.place(ben, "ETHUSDC", limit(SELL, "2995", "1"))
    assert statuses(placed) == ["FILLED", "EXPIRED"]
    assert placed.is_done
    assert ann.balance("ETH").locked == 0


def test_a_stop_loss_that_was_passed_before_its_entry_filled_works_at_once() -> None:
    exchange, (ann, ben, cat), _ = make_exchange()
    exits = (maker(SELL, "3100", "1"), stop("STOP_LOSS", SELL, "2900", "1"))
    placed = exchange.place_list(ann, "ETHUSDC", NewOrderList(ListKind.OTOCO, (limit(BUY, "2850", "1"), *exits)))
    exchange.place(cat, "ETHUSDC", limit(BUY, "2840", "5"))
    exchange.place(ben, "ETHUSDC", market(SELL, qty="1"))
    assert statuses(placed) == ["FILLED", "EXPIRED", "FILLED"]
    assert placed.orders[2].trades[0].price == 284_000


def test_a_date_ends_the_whole_list() -> None:
    clock = Clock()
    exchange, (ann, _, _), _ = make_exchange(clock=clock)
    until = clock.now_ms + 5_000
    dated = NewOrder(SELL, "STOP_LOSS_LIMIT", "GTD", raw("2890"), raw("1"), stop_raw=raw("2900"), good_till_ms=until)
    placed = exchange.place_list(ann, "ETHUSDC", oco(maker(SELL, "3100", "1"), dated))
    clock.now_ms = until
    exchange.expire_due()
    assert statuses(placed) == ["EXPIRED", "EXPIRED"]
    assert placed.is_done


def test_amending_an_order_of_a_pair_keeps_both_covered() -> None:
    exchange, (ann, _, _), events = make_exchange()
    pair = oco(stop("STOP_LOSS_LIMIT", BUY, "3100", "2", "3110"), maker(BUY, "2900", "2"))
    placed = exchange.place_list(ann, "ETHUSDC", pair)
    exchange.amend(placed.orders[1], raw("1"), "less")
    check_locks(ann)
    assert told(events, placed)[-1] == ("list", "UPDATED")


def test_lists_and_their_orders_count_against_the_filters() -> None:
    exchange, (ann, _, _), _ = make_exchange()
    pair = oco(maker(SELL, "3100", "0.01"), stop("STOP_LOSS", SELL, "2900", "0.01"))
    for _ in range(exchange.limits.order_lists_per_symbol):
        exchange.place_list(ann, "ETHUSDC", pair)
    assert _refusal(exchange, ann, pair) == "Filter failure: MAX_NUM_ALGO_ORDERS"
    oto = NewOrderList(ListKind.OTO, (limit(BUY, "2995", "0.01"), maker(SELL, "3100", "0.01")))
    assert _refusal(exchange, ann, oto) == "Filter failure: MAX_NUM_ORDER_LISTS"


def _refusal(exchange: Exchange, account: Account, request: NewOrderList) -> str:
    with pytest.raises(ApiError) as refused:
        exchange.place_list(account, "ETHUSDC", request)
    return refused.value.message
