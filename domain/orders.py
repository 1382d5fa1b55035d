"""An order's life at a venue: states, the table of transitions, and the order that follows it.

    PENDING ──> ACCEPTED ──> PARTIALLY_FILLED ──> FILLED
       │            │                │
       │            └───────┬────────┘──> CANCELED | EXPIRED
       ├──> REJECTED        │
       └──> UNKNOWN ────────┘   (asked about until the venue answers; never resent)

A fill is applied in every state but DENIED, because a venue may report one late, after a cancel was acknowledged.
What is not in `TRANSITIONS` is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from domain.errors import InvariantError


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 when the base asset comes in, -1 when it leaves."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    LIMIT = "limit"
    LIMIT_MAKER = "limit_maker"
    """Rests or is rejected; never takes."""
    MARKET = "market"


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class OrderState(StrEnum):
    DENIED = "denied"
    """Refused by our own risk gate; never sent."""
    PENDING = "pending"
    """Recorded and on its way; the venue has not answered."""
    UNKNOWN = "unknown"
    """The answer was lost: the venue is being asked."""
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_open(self) -> bool:
        """The venue may still hold it."""
        return self in _OPEN


_OPEN = frozenset({OrderState.PENDING, OrderState.UNKNOWN, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED})

_S = OrderState
TRANSITIONS: Final = MappingProxyType(
    {
        _S.PENDING: frozenset(
            {_S.UNKNOWN, _S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED}
        ),
        _S.UNKNOWN: frozenset({_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED}),
        _S.ACCEPTED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELED, _S.EXPIRED}),
        _S.PARTIALLY_FILLED: frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED}),
        # A late fill can complete an order whose end was reported first.
        _S.CANCELED: frozenset({_S.FILLED}),
        _S.EXPIRED: frozenset({_S.FILLED}),
        _S.FILLED: frozenset(),
        # A venue that did not know the order when asked, and told its trade afterwards: the trade counts.
        _S.REJECTED: frozenset({_S.FILLED}),
        _S.DENIED: frozenset(),
    }
)


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of ours, as the venue reported it. `(venue, symbol, trade_id)` is unique and is the ledger's key."""

    venue: str
    symbol: str
    trade_id: str
    client_order_id: str
    venue_order_id: str
    side: Side
    price_ticks: int
    qty_lots: int
    quote_raw: int
    """Quote asset exchanged, in its smallest unit, before fees."""
    fee_asset: str
    """The venue's code of the fee's asset, `USDC`."""
    fee_raw: int
    """In the fee asset's smallest unit; negative for a rebate."""
    is_maker: bool
    venue_time_ns: int


@dataclass(slots=True)
class Order:
    """One order and what became of it. Sizes in lots, prices in ticks of its instrument."""

    client_order_id: str
    strategy: str
    instrument: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    qty_lots: int
    state: OrderState = OrderState.PENDING
    filled_lots: int = 0
    venue_order_id: str = ""
    reason: str = ""
    sent_time_ns: int = 0
    cancel_time_ns: int = 0
    """When its cancel was last asked for; 0 while it is wanted."""
    trade_ids: set[str] = field(default_factory=set)

    @property
    def open_lots(self) -> int:
        """Lots that may still trade."""
        return self.qty_lots - self.filled_lots if self.state.is_open else 0

    def move_to(self, state: OrderState, *, reason: str = "") -> bool:
        """Take a reported state; return whether it changed anything.

        A report that repeats the present state, or that is older than it (an acknowledgement after a fill), is
        ignored: venues reorder. Anything else outside the table is an error.
        """
        if state is self.state:
            return False
        if state in TRANSITIONS[self.state]:
            self.state, self.reason = state, reason or self.reason
            return True
        if self._is_late(state):
            return False
        raise InvariantError(f"order {self.client_order_id}: {self.state} cannot become {state}")

    def apply_fill(self, fill: Fill) -> bool:
        """Add a trade once; return False for one already counted.

        Raises:
            InvariantError: The order would be filled beyond its size.
        """
        if fill.trade_id in self.trade_ids:
            return False
        if self.filled_lots + fill.qty_lots > self.qty_lots:
            raise InvariantError(
                f"order {self.client_order_id}: fill of {fill.qty_lots} lots exceeds {self.qty_lots - self.filled_lots}"
            )
        self.trade_ids.add(fill.trade_id)
        self.filled_lots += fill.qty_lots
        if self.filled_lots == self.qty_lots:
            self.move_to(OrderState.FILLED)
        elif self.state.is_open:
            self.move_to(OrderState.PARTIALLY_FILLED)
        return True

    def _is_late(self, state: OrderState) -> bool:
        """A report of an earlier stage, or any end reported after the order is already fully filled."""
        rank = {_S.PENDING: 0, _S.UNKNOWN: 1, _S.ACCEPTED: 2, _S.PARTIALLY_FILLED: 3}
        if self.state in rank:
            return state in rank and rank[state] < rank[self.state]
        return state in rank or self.state is _S.FILLED
