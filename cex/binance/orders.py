"""Orders out by forms of our own: over the WebSocket API while its connection stands, over REST otherwise.

What an order goes through is `cex.orders`; here is only how it is written, sent and read. Either door answers the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from cex.account import Account, OrderSnapshot
from cex.binance.connection import BinanceConnection, decoded
from cex.binance.errors import HALVES_FAILED, Refusal, place_error
from cex.binance.forms import Form, Forms, Values
from cex.binance.messages import Fault, OrderAnswer, ReplaceAnswer
from cex.binance.reading import snapshot
from cex.binance.request_socket import RequestSocket
from cex.errors import UnknownOrder
from cex.handover import Handover
from cex.limiter import Lane
from cex.markets import Market
from cex.numbers import price_text, qty_text
from cex.orders import Orders
from cex.reports import Reports
from domain import InputError, OrderRejected, OrderState, OrderType, PlatformError
from domain.events import PlaceOrder


class BinanceOrders(Orders):
    """The order side of one account. `socket` is to be run by whoever owns this, and may be down."""

    def __init__(
        self, connection: BinanceConnection, account: Account, markets: Mapping[str, Market], reports: Reports
    ) -> None:
        super().__init__(connection, account, markets, reports)
        self._venue = connection
        self.socket = RequestSocket(connection)
        self._made: Forms | None = None
        self._read = msgspec.json.Decoder(OrderAnswer).decode

    async def open(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        """Connect, so that the first order does not wait for a handshake; give what is to run from then on.

        Raises:
            VenueUnavailable: No connection in time.
        """
        if not self._venue.orders_by_websocket:
            return []
        await self._venue.query("order socket", self.socket.open, starting=True)
        return [self.socket.run]

    def _sending(
        self, market: Market, order: PlaceOrder, venue_name: str | int
    ) -> Callable[[], Awaitable[OrderSnapshot]]:
        form = self._forms.place(market.venue_symbol, order.side, order.type, order.time_in_force)
        values = _values(market, order, venue_name)
        return lambda: self._place(market, form, values)

    async def _place(self, market: Market, form: Form, values: Values) -> OrderSnapshot:
        return snapshot(market, self._read(await self._send(form, values)))

    async def replace(self, market: Market, client_order_id: str, order: PlaceOrder) -> int:
        """Cancel one order and place another in one step; nothing is placed where the first is not open any more.

        The new order has its own whole size, whatever the old one has filled by then. An `OutcomeUnknown` is about
        both: ask about both. Otherwise as `place`, and what became of the old order is told.
        """
        self._check(market, order)
        form = self._forms.replace(market.venue_symbol, order.side, order.type, order.time_in_force)
        old, new = await self._venue.theirs(client_order_id), await self._venue.theirs(order.client_order_id)
        values = (old, *_values(market, order, new))
        try:
            return await self._submit(
                market, order.client_order_id, lambda: self._replace(market, form, values, client_order_id)
            )
        except OrderRejected:
            known = self._reports.find(client_order_id)
            if known is None or not known.has_ended:
                await self.settle(market, client_order_id)
            raise

    async def _replace(self, market: Market, form: Form, values: Values, client_order_id: str) -> OrderSnapshot:
        try:
            answer = msgspec.json.decode(await self._send(form, values), type=ReplaceAnswer)
        except Refusal as exc:
            if exc.code not in HALVES_FAILED:
                raise
            answer = msgspec.convert(exc.data, ReplaceAnswer)
        cancelled, placed = answer.cancelled, answer.placed
        if isinstance(cancelled, OrderAnswer):
            self._tell(market, snapshot(market, cancelled), client_order_id=client_order_id)
        if isinstance(placed, OrderAnswer):
            return snapshot(market, placed)
        # The half that failed says why; where the new order was not tried, that is the cancel.
        fault = placed or cancelled
        if not isinstance(fault, Fault):
            raise InputError(f"a cancel-replace without the new order: {answer}")
        raise Refusal(400, fault.code, fault.msg)

    def _failure(self, exc: Exception, client_order_id: str, handover: Handover) -> PlatformError:
        return place_error(exc, client_order_id=client_order_id, touched=handover.touched)

    async def cancel(self, market: Market, client_order_id: str) -> None:
        """See `Orders.cancel`."""
        what = f"cancel {client_order_id}"
        form = self._forms.cancel(market.venue_symbol)
        name = await self._venue.theirs(client_order_id)
        try:
            body = await self._venue.query(what, lambda: self._send(form, (name,)), lane=Lane.CANCEL)
        except UnknownOrder:
            await self.settle(market, client_order_id)
            return
        order = snapshot(market, decoded(what, body, OrderAnswer))
        if order.state is OrderState.CANCELED:
            self._tell(market, order, client_order_id=client_order_id)
        else:
            await self.settle(market, client_order_id)

    async def _cancel_all_of(self, market: Market, orders: Sequence[OrderSnapshot]) -> None:
        await self._venue.ask(
            f"cancel all of {market.id}",
            "openOrders",
            {"symbol": market.venue_symbol},
            type=msgspec.Raw,
            verb="DELETE",
            signed=True,
            lane=Lane.CANCEL,
        )

    async def arm_dead_man(self, seconds: int) -> None:
        """See `Orders.arm_dead_man`: by market, as the futures API has it; the spot venue itself has none."""
        for market in self._markets.values():
            await self._venue.ask(
                f"dead man's switch of {market.id}",
                "countdownCancelAll",
                {"symbol": market.venue_symbol, "countdownTime": seconds * 1000},
                type=msgspec.Raw,
                verb="POST",
                signed=True,
                lane=Lane.CANCEL,
            )

    @property
    def _forms(self) -> Forms:
        if self._made is None:
            self._made = Forms(self._venue.signer, self._venue.settings.recv_window_ms)
        return self._made

    async def _send(self, form: Form, values: Values) -> bytes | msgspec.Raw:
        """Send one request, once, by the door that is open."""
        values = (*values, self._venue.timestamp_ms())
        if self.socket.is_up:
            request_id = self.socket.next_id()
            write = form.session_message if self.socket.is_logged_on else form.message
            return await self.socket.ask(request_id, write(request_id, values))
        return await self._venue.fetch(form.verb, form.path, form.query(values), keyed=True)


def _values(market: Market, order: PlaceOrder, venue_name: str | int) -> Values:
    size = qty_text(market.instrument, order.qty_lots)
    if order.type is OrderType.MARKET:
        return venue_name, size
    return venue_name, price_text(market.instrument, order.price_ticks), size
