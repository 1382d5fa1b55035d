"""One story per order out of many tellers.

Answers, stream events, REST snapshots and trade lists arrive repeated, late and out of order. What leaves here is:
every trade once, states that only move forward, and an order's end after all of its trades. An end whose executed size
exceeds the trades seen is held back until they are seen; whoever owns this is told, and asks the venue for them.

That holds for orders which this process sent or was asked about. Others (a predecessor's, a person's) may have traded
before we listened: their ends are told at once, and their earlier trades only to whoever asks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from domain import Fill, OrderState
from domain.events import Event, FillReported, OrderReported

log = structlog.get_logger(__name__)

ENDED_MAX = 20_000
"""Ended orders that are remembered, so that a late word on them is recognised."""
TRADES_MAX = 200_000

_ENDS = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})


@dataclass(slots=True)
class Known:
    """What this process knows of one order."""

    instrument: str
    registered_ns: int
    """When it was sent, or first heard of (monotonic)."""
    is_placed: bool = False
    """This process sent it."""
    is_followed: bool = False
    """This process sent it, or was asked about it: its trades are told completely."""
    venue_order_id: str = ""
    filled_lots: int = 0
    state: OrderState | None = None
    """The last that was emitted."""
    reason: str = ""
    executed_lots: int = 0
    """What the venue said at its end."""
    held: tuple[OrderState, int, str] | None = None
    """An end, the executed lots it speaks of, and its reason: told when the trades are complete."""

    @property
    def has_ended(self) -> bool:
        return self.state in _ENDS


class Reports:
    """The orders of one account as told so far. One owner; not thread-safe."""

    def __init__(self, emit: Callable[[Event], None], on_held: Callable[[str], None]) -> None:
        self._emit = emit
        self._on_held = on_held
        self._orders: dict[str, Known] = {}
        self._ended: OrderedDict[str, Known] = OrderedDict()
        self._trades: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._names: OrderedDict[tuple[str, str], str] = OrderedDict()

    def register(self, client_order_id: str, instrument: str, now_ns: int) -> Known:
        """Give the order's record, made now where there is none."""
        known = self.find(client_order_id)
        if known is None:
            known = self._orders[client_order_id] = Known(instrument, now_ns)
        return known

    def find(self, client_order_id: str) -> Known | None:
        return self._orders.get(client_order_id) or self._ended.get(client_order_id)

    def discard(self, client_order_id: str) -> None:
        """Forget an order that certainly does not exist."""
        self._orders.pop(client_order_id, None)

    def name(self, instrument: str, venue_order_id: str) -> str | None:
        """Give the client order id of a venue's order id, if it was told."""
        return self._names.get((instrument, venue_order_id))

    def learn_name(self, instrument: str, venue_order_id: str, client_order_id: str) -> None:
        if venue_order_id:
            self._names[instrument, venue_order_id] = client_order_id
            if len(self._names) > TRADES_MAX:
                self._names.popitem(last=False)

    def open(self) -> list[tuple[str, Known]]:
        """Orders whose end has not been told."""
        return list(self._orders.items())

    def fill(self, instrument: str, fill: Fill, now_ns: int) -> bool:
        """Tell a trade unless it was told before."""
        key = (instrument, fill.trade_id)
        if key in self._trades:
            return False
        self._trades[key] = None
        if len(self._trades) > TRADES_MAX:
            self._trades.popitem(last=False)
        if not fill.client_order_id:
            self._emit(FillReported(time_ns=0, fill=fill))  # Ordered by someone who gives no ids.
            return True
        known = self.register(fill.client_order_id, instrument, now_ns)
        known.filled_lots += fill.qty_lots
        self._note_id(fill.client_order_id, known, fill.venue_order_id)
        self._emit(FillReported(time_ns=0, fill=fill))
        if known.held is not None:
            state, executed_lots, reason = known.held
            self.state(fill.client_order_id, instrument, state, executed_lots, now_ns, reason=reason)
        return True

    def state(
        self,
        client_order_id: str,
        instrument: str,
        state: OrderState,
        executed_lots: int,
        now_ns: int,
        *,
        venue_order_id: str = "",
        reason: str = "",
        repeat: bool = False,
    ) -> None:
        """Take a state; tell it when it is news, or also when not if `repeat` (someone asked).

        Args:
            executed_lots: How much of the order has traded, by whoever says the state. Only compared, never booked.
        """
        if not client_order_id:
            return
        known = self.register(client_order_id, instrument, now_ns)
        self._note_id(client_order_id, known, venue_order_id)
        if known.has_ended:
            if repeat:
                self._tell(client_order_id, known)
            return
        if state not in _ENDS:
            if known.state is None or repeat:
                known.state = OrderState.ACCEPTED
                self._tell(client_order_id, known)
            if executed_lots > known.filled_lots and known.is_followed:
                self._on_held(client_order_id)
            return
        if executed_lots > known.filled_lots and known.is_followed:
            is_new = known.held is None
            known.held = (state, executed_lots, reason)
            if is_new:
                self._on_held(client_order_id)
            return
        known.state, known.reason, known.held = state, reason, None
        known.executed_lots = max(executed_lots, known.filled_lots)
        self._tell(client_order_id, known)
        self._ended[client_order_id] = self._orders.pop(client_order_id)
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)

    def _note_id(self, client_order_id: str, known: Known, venue_order_id: str) -> None:
        if venue_order_id and not known.venue_order_id:
            known.venue_order_id = venue_order_id
            self.learn_name(known.instrument, venue_order_id, client_order_id)

    def _tell(self, client_order_id: str, known: Known) -> None:
        state = known.state or OrderState.ACCEPTED
        log.debug("order.reported", order_id=client_order_id, state=state.value)
        self._emit(
            OrderReported(
                time_ns=0,
                client_order_id=client_order_id,
                state=state,
                venue_order_id=known.venue_order_id,
                reason=known.reason,
                filled_lots=known.executed_lots if known.has_ended else None,
            )
        )
