"""Orders out: place, cancel, cancel everything, and ask what became of one.

A place is sent once and never again. What the venue answers goes through `Reports`; what it does not answer is asked
about by the id we chose. That the venue does not know an order is believed only when the order can no longer arrive:
after `recv_window_ms` it refuses the request by its timestamp. Its clock may be behind the one we believe in by as much
as it lets timestamps be ahead, and it would take the request for so much longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from cex.account import Account, OrderSnapshot
from cex.client_ids import check_client_order_id
from cex.connection import Connection
from cex.errors import UnknownOrder, await_foreign, place_error
from cex.handover import CURRENT, Handover
from cex.limiter import Lane
from cex.markets import Market
from cex.reports import Reports
from domain import (
    InputError,
    InvariantError,
    OrderState,
    OrderType,
    OutcomeUnknown,
    PlatformError,
    TimeInForce,
    VenueUnavailable,
)
from domain.events import PlaceOrder

log = structlog.get_logger(__name__)

AHEAD_NS = 1_000_000_000
"""How far ahead of its own clock a venue lets a timestamp be: a second, on Binance."""
CANCEL_ALL_ROUNDS = 10
UNKNOWN_REASON = "unknown to the venue"


class Orders:
    """The order side of one account."""

    def __init__(
        self, connection: Connection, account: Account, markets: Mapping[str, Market], reports: Reports
    ) -> None:
        self._connection = connection
        self._account = account
        self._markets = markets
        self._reports = reports
        self._clock = connection.clock
        self._window_ns = max(connection.settings.recv_window_ms * 1_000_000, connection.late_ns) + AHEAD_NS
        self._started_ns = self._clock.monotonic_ns()
        self._placing: set[str] = set()

    async def place(self, order: PlaceOrder) -> int:
        """Send one order; see `engine.ports.ExchangeVenue.place`."""
        market = self.market(order.instrument)
        self._check(market, order)
        call = self._sending(market, order, await self._connection.theirs(order.client_order_id))
        return await self._submit(market, order.client_order_id, call)

    async def replace(self, _market: Market, client_order_id: str, order: PlaceOrder) -> int:
        """Cancel one order and place another in one step, where the venue can.

        Raises:
            InputError: It cannot.
        """
        raise InputError(
            f"order {order.client_order_id} cannot replace {client_order_id} in one step here",
            hint="cancel, wait for the order's end, then place what is left to do",
        )

    async def _submit(self, market: Market, client_order_id: str, call: Callable[[], Awaitable[OrderSnapshot]]) -> int:
        """Do what sends an order, once, and tell what came of it; return when it was sent."""
        # Refused at once where there is no room, before anything is known of the order.
        await self._connection.limiter.enter(Lane.ORDER, weight=1, orders=1)
        known = self._reports.register(client_order_id, market.id, self._clock.monotonic_ns())
        if known.is_placed or known.state is not None:
            raise InvariantError(f"order id {client_order_id} was used before: one id is one order, sent once")
        handover = Handover()
        self._placing.add(client_order_id)
        known.is_placed = known.is_followed = True
        known.registered_ns = self._clock.monotonic_ns()
        try:
            CURRENT.set(handover)
            async with asyncio.timeout(self._connection.timeout_s):
                answer = await call()
        except TimeoutError as exc:
            if not handover.touched:
                self._reports.discard(client_order_id)
                raise VenueUnavailable(f"order {client_order_id}: no connection in time, nothing was sent") from exc
            raise OutcomeUnknown(f"order {client_order_id}: no answer in time", request_id=client_order_id) from exc
        except Exception as exc:
            error = self._failure(exc, client_order_id, handover)
            if not isinstance(error, OutcomeUnknown):
                self._reports.discard(client_order_id)
            if self._connection.is_untimely(exc):
                log.warning("clock.refused", order_id=client_order_id)
                await self._connection.resynchronise_clock()
            raise error from exc
        finally:
            handover.withdrawn = True
            if handover.touched:
                # Some clients ask the venue something first, and stamp the order after that.
                known.registered_ns = handover.sent_ns or self._clock.monotonic_ns()
            CURRENT.set(None)
            self._placing.discard(client_order_id)
            self._connection.forget_request(handover.request_id)
        # A cancel's id, or whatever else the answer calls it: the one that was placed is meant.
        self._tell(market, replace(answer, client_order_id=client_order_id))
        return handover.sent_ns

    async def cancel(self, market: Market, client_order_id: str) -> None:
        """Cancel one order; one that has ended already is asked about, so that its end is told."""
        exchange, by_our_id = self._connection.exchange, self._connection.profile.client_order_id.cancel
        known = self._reports.find(client_order_id)
        venue_order_id = known.venue_order_id if known is not None else ""
        named: dict[str, str | int] = {}
        if by_our_id and (self._connection.speaks_binance or not venue_order_id):
            named = {by_our_id: await self._connection.theirs(client_order_id)}
        elif not venue_order_id:
            # Only the venue's own id cancels here, and it was never told: find the order first.
            await self.settle(market, client_order_id)
            known = self._reports.find(client_order_id)
            if known is None or known.has_ended or not (venue_order_id := known.venue_order_id):
                return
        try:
            answer = await self._connection.query(
                f"cancel {client_order_id}",
                lambda: exchange.cancel_order(None if named else venue_order_id, market.unified, named),
                lane=Lane.CANCEL,
            )
        except UnknownOrder:
            await self.settle(market, client_order_id)
            return
        filled = answer.get("filled")
        if answer.get("status") == "canceled" and filled is not None:
            # ccxt gives the cancel's own id as the order's: the one we asked for is meant.
            self._tell(
                market,
                OrderSnapshot(
                    client_order_id,
                    str(answer.get("id") or ""),
                    OrderState.CANCELED,
                    market.lots(filled),
                ),
            )
        else:
            await self.settle(market, client_order_id)

    async def cancel_all(self) -> int:
        """Cancel until REST shows nothing open, also what is being placed meanwhile; return how many there were."""
        ids: set[str] = set()
        delay_s = 0.02
        for _ in range(CANCEL_ALL_ROUNDS):
            open_now = await self._sweep()
            ids |= open_now
            if not open_now and not self._placing:
                break
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 1.0)
        else:
            raise VenueUnavailable(f"orders are still open after {CANCEL_ALL_ROUNDS} rounds: {sorted(ids)[:5]}")
        # Ours whose end was not told, and those with no answer yet: after the last question nothing can rest.
        for client_order_id, known in self._reports.open():
            if known.is_placed:
                await self.settle(self.market(known.instrument), client_order_id)
                if (again := self._reports.find(client_order_id)) is not None and again.state is OrderState.ACCEPTED:
                    await self.cancel(self.market(known.instrument), client_order_id)
        return len(ids)

    async def arm_dead_man(self, seconds: int) -> None:
        """Begin the venue's countdown to cancelling everything anew, or end it with 0.

        Raises:
            PlatformError: It was not heard, or is refused.
        """
        exchange = self._connection.exchange
        await self._connection.query(
            "dead man's switch", lambda: exchange.cancel_all_orders_after(seconds * 1000), lane=Lane.CANCEL
        )

    async def ask(self, market: Market, client_order_id: str) -> None:
        """Find out what became of an order, and tell it with all of its trades."""
        await self.settle(market, client_order_id, is_asked=True)

    async def settle(self, market: Market, client_order_id: str, *, is_asked: bool = False) -> None:
        """Bring what was told of an order up to what the venue says; the trades only of orders that are followed."""
        known = self._reports.find(client_order_id)
        order = await self._account.order(market, client_order_id)
        if order is None and (known is None or not known.has_ended):
            since_ns = known.registered_ns if known is not None and known.is_placed else self._started_ns
            left_ns = since_ns + self._window_ns - self._clock.monotonic_ns()
            if left_ns > 0:
                await asyncio.sleep(left_ns / 1e9)
                order = await self._account.order(market, client_order_id)
        now_ns = self._clock.monotonic_ns()
        if order is None:
            self._reports.state(
                client_order_id, market.id, OrderState.REJECTED, 0, now_ns, reason=UNKNOWN_REASON, repeat=True
            )
            return
        record = self._reports.register(client_order_id, market.id, now_ns)
        record.is_followed |= is_asked
        if record.is_followed and order.executed_lots > record.filled_lots:
            for fill in await self._account.trades_of(market, order):
                self._reports.fill(market.id, fill, now_ns)
        self._tell(market, order, client_order_id=client_order_id, repeat=True)

    def market(self, instrument: str) -> Market:
        market = self._markets.get(instrument)
        if market is None:
            raise InputError(f"{instrument} is not followed here", hint=f"followed are {', '.join(self._markets)}")
        return market

    def _check(self, market: Market, order: PlaceOrder) -> None:
        """Refuse what can be seen to be wrong before anything is sent."""
        check_client_order_id(order.client_order_id)
        if order.qty_lots <= 0 or (order.price_ticks <= 0 and order.type is not OrderType.MARKET):
            raise InputError(f"order {order.client_order_id}: size and price must be positive")
        if order.type is OrderType.LIMIT_MAKER and order.time_in_force is not TimeInForce.GTC:
            raise InputError(f"order {order.client_order_id}: a maker order is good till cancelled")
        if order.reduce_only and market.is_spot:
            raise InputError(
                f"order {order.client_order_id}: {market.id} is spot, which has no reduce-only orders",
                hint="sell what is held instead",
            )

    # --- the venue's own ways, here ccxt's

    def _sending(
        self, market: Market, order: PlaceOrder, venue_name: str | int
    ) -> Callable[[], Awaitable[OrderSnapshot]]:
        """Bind the call that sends the order once, under the name the venue takes, and gives its answer."""
        exchange = self._connection.exchange
        connection = self._connection
        params: dict[str, Any] = {connection.profile.client_order_id.place: venue_name} | connection.expiry()
        kind = "limit"
        price: str | None = market.price_text(order.price_ticks, order.side)
        match order.type:
            case OrderType.MARKET:
                kind, price = "market", None
            case OrderType.LIMIT_MAKER:
                params["postOnly"] = True
            case OrderType.LIMIT:
                params["timeInForce"] = order.time_in_force.value.upper()
        if order.reduce_only:
            params["reduceOnly"] = True
        create = exchange.create_order_ws if self._connection.orders_by_websocket else exchange.create_order
        size = market.amount_text(order.qty_lots)

        async def send() -> OrderSnapshot:
            answer = await await_foreign(create(market.unified, kind, order.side.value, size, price, params))
            if answer.get("status") is None:  # Some venues answer with an id only: then it is accepted.
                return OrderSnapshot(order.client_order_id, str(answer.get("id") or ""), OrderState.ACCEPTED, 0)
            return self._account.snapshot(market, answer)

        return send

    def _failure(self, exc: Exception, client_order_id: str, handover: Handover) -> PlatformError:
        """Sort what came of sending an order."""
        return place_error(exc, client_order_id=client_order_id, touched=handover.touched, status=handover.status)

    async def _cancel_all_of(self, market: Market, orders: Sequence[OrderSnapshot]) -> None:
        """Cancel what is open of one instrument."""
        exchange = self._connection.exchange
        if not exchange.has.get("cancelAllOrders"):
            for order in orders:
                await self._cancel_listed(market, order)
            return
        await self._connection.query(
            f"cancel all of {market.id}", partial(exchange.cancel_all_orders, market.unified), lane=Lane.CANCEL
        )

    # --- parts

    def _tell(self, market: Market, order: OrderSnapshot, *, client_order_id: str = "", repeat: bool = False) -> None:
        self._reports.state(
            client_order_id or order.client_order_id,
            market.id,
            order.state,
            order.executed_lots,
            self._clock.monotonic_ns(),
            venue_order_id=order.venue_order_id,
            reason=order.reason,
            repeat=repeat,
        )

    async def _sweep(self) -> set[str]:
        """Cancel what is open, per instrument; return the ids that were."""
        ids: set[str] = set()
        for market in self._markets.values():
            orders = await self._account.open_orders(market, lane=Lane.CANCEL)
            if not orders:
                continue
            ids |= {order.client_order_id or order.venue_order_id for order in orders}
            try:
                await self._cancel_all_of(market, orders)
            except UnknownOrder as exc:
                log.info("cancel_all.raced", instrument=market.id, answer=str(exc))
        return ids

    async def _cancel_listed(self, market: Market, order: OrderSnapshot) -> None:
        """Cancel an open order, also one that somebody else placed without an id of ours."""
        if order.client_order_id:
            await self.cancel(market, order.client_order_id)
            return
        await self._connection.query(
            f"cancel {order.venue_order_id}",
            partial(self._connection.exchange.cancel_order, order.venue_order_id, market.unified),
            lane=Lane.CANCEL,
        )
