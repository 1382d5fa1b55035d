"""What the engine needs from the world. The consumer owns the port: cex, dex and custody satisfy these unknowingly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from domain import Fill, Instrument, VenueId
from domain.events import AskOrder, CancelOrder, Event, PlaceOrder, SubmitSwap

Emit = Callable[[Event], None]
"""Hands an event to the runner. Cheap, never blocks, called on the event loop's thread only."""


class ExchangeVenue(Protocol):
    """An order-driven exchange. Reports everything it learns through `emit`, in the order it learns it."""

    @property
    def id(self) -> VenueId: ...

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """By instrument id (`sandbox:ETHUSDC`); filled by `start`."""
        ...

    async def start(self, emit: Emit) -> None:
        """Load instruments and balances, connect, and return once every followed book is valid."""
        ...

    async def stop(self) -> None: ...

    async def place(self, order: PlaceOrder) -> int:
        """Send one order under its client order id; the answer and fills arrive through `emit`.

        Returns:
            Monotonic nanoseconds (the clock's) at which the encoded order was handed to the socket.

        Raises:
            OrderRejected: The venue said no; nothing rests.
            VenueUnavailable: It was never sent.
            OutcomeUnknown: Ask by client order id.
        """
        ...

    async def cancel(self, cancel: CancelOrder) -> None:
        """Cancel one order; an order already done is no error (its end is emitted)."""
        ...

    async def cancel_all(self) -> int:
        """Cancel every open order of the account on the followed instruments; return how many there were."""
        ...

    async def ask(self, ask: AskOrder) -> None:
        """Find out what became of an order and emit it with its fills. Not found is emitted as REJECTED."""
        ...

    async def open_orders(self) -> Sequence[str]:
        """Client order ids the venue holds open on the followed instruments, from REST."""
        ...

    async def fills(self) -> Sequence[Fill]:
        """Every trade of the account on the followed instruments that the venue still tells, oldest first."""
        ...

    async def balances(self) -> Mapping[str, int]:
        """Free plus locked by asset id, raw units, from REST."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A venue that tells how it is; those that do not are judged by their books alone."""

    def health(self) -> Mapping[str, Any]:
        """`exchange`, `is_trading`, `is_paper`, `failure` (text or None), `clock_ahead_ms` (or None). For people."""
        ...


class SwapDesk(Protocol):
    """Where swaps are executed: plans them and hands them to custody, the one door to the keys; or simulates."""

    async def submit(self, swap: SubmitSwap) -> None:
        """Record and execute a swap. Returns when it is durably recorded; the outcome arrives as `SwapSettled`.

        The same intent id again is a no-op, whatever became of the first.

        Raises:
            InputError: It cannot be planned; nothing was recorded.
            Refused: Policy or screening said no before anything was recorded.
            VenueError: It may not have been recorded: submit the same intent again.
        """
        ...

    async def balances(self) -> Mapping[str, int]:
        """What the account holds on chain now by asset id, raw units: its tokens and the chain's own coin."""
        ...


class Bookkeeper(Protocol):
    """Where trades become ledger entries. Idempotent: a trade posted before is a no-op."""

    async def post_fills(self, fills: Sequence[tuple[str, Fill, Instrument]]) -> None:
        """Post trades as (strategy, fill, instrument), all or none."""
        ...

    async def open_balances(self, location: str, balances: Mapping[str, int]) -> None:
        """Post what a place held before the run, once; `location` is a venue id, or `chain` for the desk's account."""
        ...
