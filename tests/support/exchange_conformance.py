"""What every `engine.ports.ExchangeVenue` must do, as tests: subclass `ExchangeConformance` and give it a `lab`.

A lab is an exchange whose market nobody else moves, the venue under test on one account, and a second account with
which the tests trade against it without going through the code under test.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Protocol

import pytest
from msgspec.structs import replace

from domain import (
    Fill,
    InputError,
    Instrument,
    InvariantError,
    OrderRejected,
    OrderState,
    OrderType,
    OutcomeUnknown,
    Side,
    TimeInForce,
)
from domain.events import AskOrder, BookChanged, CancelOrder, PlaceOrder
from engine.ports import ExchangeVenue
from tests.support.recorder import Recorder

BID, ASK = 299_000, 301_000
"""Prices in ticks far enough apart that makers rest between them."""
LOTS = 400


class Lab(Protocol):
    recorder: Recorder
    instrument: Instrument

    @property
    def venue(self) -> ExchangeVenue: ...

    async def counter(self, side: Side, price_ticks: int, qty_lots: int, tif: str = "GTC") -> None:
        """Let the other account place a limit order."""
        ...

    async def strike(self, fault: str, count: int = 1, delay_ms: int | None = None) -> None:
        """Let the exchange misbehave; see `cex.sandbox.faults`."""
        ...

    async def free_base_and_quote(self) -> tuple[int, int]:
        """The account's holdings, free and locked together, as the exchange answers someone else who asks."""
        ...


_ids = itertools.count(1)


def an_order(
    lab: Lab,
    side: Side,
    price_ticks: int,
    qty_lots: int = LOTS,
    *,
    type: OrderType = OrderType.LIMIT,
    tif: TimeInForce = TimeInForce.GTC,
    client_order_id: str | None = None,
) -> PlaceOrder:
    return PlaceOrder(
        client_order_id=f"run-0-test-{next(_ids)}" if client_order_id is None else client_order_id,
        strategy="test",
        instrument=lab.instrument.id,
        side=side,
        type=type,
        time_in_force=tif,
        price_ticks=price_ticks,
        qty_lots=qty_lots,
    )


def cancel_of(order: PlaceOrder) -> CancelOrder:
    return CancelOrder(client_order_id=order.client_order_id, instrument=order.instrument)


def ask_of(order: PlaceOrder) -> AskOrder:
    return AskOrder(client_order_id=order.client_order_id, instrument=order.instrument)


def moved(lab: Lab, fills: list[Fill]) -> tuple[int, int]:
    """What fills did to the base and the quote asset, raw units, fees included."""
    base = quote = 0
    for fill in fills:
        size = int(lab.instrument.qty(fill.qty_lots) * lab.instrument.base.unit)
        base += fill.side.sign * size - (fill.fee_raw if fill.fee_asset == lab.instrument.base.symbol else 0)
        quote -= fill.side.sign * fill.quote_raw + (
            fill.fee_raw if fill.fee_asset == lab.instrument.quote.symbol else 0
        )
    return base, quote


class ExchangeConformance:
    """Claims about an exchange venue that is allowed to trade."""

    # --- orders

    async def test_resting_order_is_accepted_and_open(self, lab: Lab) -> None:
        order = an_order(lab, Side.BUY, BID, type=OrderType.LIMIT_MAKER)
        assert await lab.venue.place(order) > 0
        await lab.recorder.until_state(order.client_order_id, OrderState.ACCEPTED)
        assert await lab.venue.open_orders() == [order.client_order_id]

    async def test_cancelled_order_ends_once_and_without_fills(self, lab: Lab) -> None:
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        await lab.venue.cancel(cancel_of(order))
        await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
        assert lab.recorder.states(order.client_order_id) == [OrderState.ACCEPTED, OrderState.CANCELED]
        assert lab.recorder.fills() == []
        assert await lab.venue.open_orders() == []

    async def test_cancel_of_an_ended_order_tells_its_end_again(self, lab: Lab) -> None:
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        await lab.venue.cancel(cancel_of(order))
        before = lab.recorder.states(order.client_order_id).count(OrderState.CANCELED)
        await lab.venue.cancel(cancel_of(order))
        assert lab.recorder.states(order.client_order_id).count(OrderState.CANCELED) == before + 1

    async def test_taker_is_filled_before_it_is_ended(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, LOTS)
        order = an_order(lab, Side.BUY, ASK, tif=TimeInForce.IOC)
        await lab.venue.place(order)
        await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        [fill] = lab.recorder.fills()
        assert (fill.price_ticks, fill.qty_lots, fill.side, fill.is_maker) == (ASK, LOTS, Side.BUY, False)
        assert fill.client_order_id == order.client_order_id
        assert fill.quote_raw == 3_010_00 * LOTS * 10**8 // 100 // 10**4
        assert fill.fee_asset == lab.instrument.base.symbol

    async def test_unfilled_rest_of_ioc_expires_after_its_fill(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, LOTS // 2)
        order = an_order(lab, Side.BUY, ASK, tif=TimeInForce.IOC)
        await lab.venue.place(order)
        await lab.recorder.until_state(order.client_order_id, OrderState.EXPIRED)
        kinds = [type(event).__name__ for event in lab.recorder.events if not isinstance(event, BookChanged)]
        assert kinds.index("FillReported") < len(kinds) - 1
        assert sum(fill.qty_lots for fill in lab.recorder.fills(order.client_order_id)) == LOTS // 2

    async def test_market_order_walks_the_book(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, LOTS)
        await lab.counter(Side.SELL, ASK + 100, LOTS)
        order = an_order(lab, Side.BUY, 0, LOTS + LOTS // 2, type=OrderType.MARKET)
        await lab.venue.place(order)
        await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        assert [(f.price_ticks, f.qty_lots) for f in lab.recorder.fills()] == [(ASK, LOTS), (ASK + 100, LOTS // 2)]

    async def test_maker_order_is_filled_in_parts(self, lab: Lab) -> None:
        order = an_order(lab, Side.SELL, ASK, type=OrderType.LIMIT_MAKER)
        await lab.venue.place(order)
        await lab.counter(Side.BUY, ASK, LOTS // 4, "IOC")
        await lab.counter(Side.BUY, ASK, LOTS, "IOC")
        await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        fills = lab.recorder.fills(order.client_order_id)
        assert [fill.qty_lots for fill in fills] == [LOTS // 4, LOTS - LOTS // 4]
        assert all(fill.is_maker for fill in fills)

    async def test_maker_order_that_would_take_is_rejected(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, LOTS)
        with pytest.raises(OrderRejected) as refusal:
            await lab.venue.place(an_order(lab, Side.BUY, ASK, type=OrderType.LIMIT_MAKER))
        assert refusal.value.reason
        assert await lab.venue.open_orders() == []

    async def test_order_beyond_the_balance_is_rejected(self, lab: Lab) -> None:
        with pytest.raises(OrderRejected):
            await lab.venue.place(an_order(lab, Side.SELL, ASK, 80_000_000))

    async def test_bad_client_order_id_is_never_sent(self, lab: Lab) -> None:
        for bad in ("", "x" * 33, "with space", "ünicode"):
            with pytest.raises(InputError):
                await lab.venue.place(an_order(lab, Side.BUY, BID, client_order_id=bad))
        assert await lab.venue.open_orders() == []

    async def test_one_id_is_one_order(self, lab: Lab) -> None:
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        with pytest.raises(InvariantError):
            await lab.venue.place(order)
        assert await lab.venue.open_orders() == [order.client_order_id]

    async def test_cancel_all_leaves_nothing(self, lab: Lab) -> None:
        orders = [an_order(lab, Side.BUY, BID - i) for i in range(5)]
        await asyncio.gather(*(lab.venue.place(order) for order in orders))
        assert await lab.venue.cancel_all() == 5
        assert await lab.venue.open_orders() == []
        for order in orders:
            await lab.recorder.until_state(order.client_order_id, OrderState.CANCELED)
        assert await lab.venue.cancel_all() == 0

    # --- asking

    async def test_ask_of_an_unknown_order_answers_rejected(self, lab: Lab) -> None:
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.ask(ask_of(order))
        assert lab.recorder.states(order.client_order_id) == [OrderState.REJECTED]

    async def test_ask_repeats_what_is_known(self, lab: Lab) -> None:
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        await lab.venue.ask(ask_of(order))
        assert lab.recorder.states(order.client_order_id) == [OrderState.ACCEPTED] * 2

    # --- books, fills, balances

    async def test_book_shows_both_sides_best_first(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, LOTS)
        await lab.counter(Side.SELL, ASK + 5, LOTS)
        await lab.counter(Side.BUY, BID, LOTS * 2)
        expected = (((BID, LOTS * 2),), ((ASK, LOTS), (ASK + 5, LOTS)))
        books = lab.recorder.of
        await lab.recorder.until(lambda: (b := books(BookChanged)[-1]) is not None and (b.bids, b.asks) == expected)
        assert books(BookChanged)[-1].received_ns > 0

    async def test_balances_move_by_exactly_the_fills(self, lab: Lab) -> None:
        before = await lab.free_base_and_quote()
        await lab.counter(Side.SELL, ASK, 17)
        await lab.counter(Side.SELL, ASK + 7, 777)
        taker = an_order(lab, Side.BUY, ASK + 7, 500, tif=TimeInForce.IOC)
        await lab.venue.place(taker)
        maker = an_order(lab, Side.SELL, ASK - 13, 321)
        await lab.venue.place(maker)
        await lab.counter(Side.BUY, ASK - 13, 321, "IOC")
        for order in (taker, maker):
            await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        base, quote = moved(lab, lab.recorder.fills())
        assert await lab.free_base_and_quote() == (before[0] + base, before[1] + quote)
        balances = await lab.venue.balances()
        assert balances[lab.instrument.base.id] == before[0] + base
        assert balances[lab.instrument.quote.id] == before[1] + quote

    async def test_fills_from_rest_equal_those_that_were_told(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, 5 * LOTS)
        orders = [an_order(lab, Side.BUY, ASK, tif=TimeInForce.IOC) for _ in range(5)]
        for order in orders:
            await lab.venue.place(order)
            await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        told, asked = lab.recorder.fills(), list(await lab.venue.fills())
        assert [replace(fill, venue_time_ns=0) for fill in asked] == [replace(fill, venue_time_ns=0) for fill in told]
        # A venue may stamp the report with its own instant.
        assert all(abs(a.venue_time_ns - b.venue_time_ns) < 10**9 for a, b in zip(asked, told, strict=True))

    # --- failures

    async def test_lost_acknowledgement_is_unknown_and_then_found(self, lab: Lab) -> None:
        await lab.strike("drop_ack")
        order = an_order(lab, Side.BUY, BID)
        with pytest.raises(OutcomeUnknown) as unknown:
            await lab.venue.place(order)
        assert unknown.value.request_id == order.client_order_id
        await lab.venue.ask(ask_of(order))
        assert OrderState.ACCEPTED in lab.recorder.states(order.client_order_id)
        assert await lab.venue.open_orders() == [order.client_order_id]

    async def test_lost_acknowledgement_of_a_filled_order_loses_no_fill(self, lab: Lab) -> None:
        await lab.counter(Side.SELL, ASK, LOTS)
        await lab.strike("drop_ack")
        order = an_order(lab, Side.BUY, ASK, tif=TimeInForce.IOC)
        with pytest.raises(OutcomeUnknown):
            await lab.venue.place(order)
        await lab.venue.ask(ask_of(order))
        await lab.recorder.until_state(order.client_order_id, OrderState.FILLED)
        assert [fill.qty_lots for fill in lab.recorder.fills()] == [LOTS]

    async def test_server_error_after_acceptance_is_unknown(self, lab: Lab) -> None:
        await lab.strike("error_after_accept")
        order = an_order(lab, Side.BUY, BID)
        with pytest.raises(OutcomeUnknown):
            await lab.venue.place(order)
        await lab.venue.ask(ask_of(order))
        assert await lab.venue.open_orders() == [order.client_order_id]

    async def test_late_answer_is_unknown_and_then_found(self, lab: Lab) -> None:
        await lab.strike("delay_ack", delay_ms=4_000)
        order = an_order(lab, Side.BUY, BID)
        with pytest.raises(OutcomeUnknown):
            await lab.venue.place(order)
        await lab.venue.ask(ask_of(order))
        assert OrderState.ACCEPTED in lab.recorder.states(order.client_order_id)
