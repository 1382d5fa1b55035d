"""How a run learns, before anything else, what happened while nobody was running.

    cancel all ──> ask how ours ended ──> trades ──> balances ──> told to the kernel as one answer a venue

Before the very first trading, what the places hold is booked as the opening instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
import structlog

from domain import VenueError, VenueUnavailable
from domain import events as e
from engine.native import NativeKernel
from engine.ports import ExchangeVenue
from engine.wiring import Wiring

log = structlog.get_logger(__name__)
T = TypeVar("T")

CATCH_UP_S = 20.0
"""How long a venue may fail to answer at the start."""


class Opening:
    """Of one start."""

    def __init__(self, kernel: NativeKernel, wiring: Wiring) -> None:
        self._kernel = kernel
        self._wiring = wiring
        self._answers: dict[str, list[e.OrderReported]] = {}
        """While a venue is asked how orders ended: what it tells about them."""

    def takes(self, event: e.Event) -> bool:
        """Keep an event that is part of an answer: the kernel is told of it with the rest."""
        if not self._answers or not isinstance(event, e.OrderReported) or event.client_order_id not in self._answers:
            return False
        self._answers[event.client_order_id].append(event)
        return True

    async def learn(self, epoch: int) -> list[e.Event]:
        """Cancel what rests, then take every trade the venues tell; give what the kernel must be told first of all.

        Raises:
            VenueUnavailable: A venue does not answer for `CATCH_UP_S`.
        """
        first, wiring = epoch == 0, self._wiring
        restarted = e.EngineRestarted(time_ns=0, epoch=epoch)
        told: list[e.Event] = [] if first else [restarted]
        for venue in wiring.venues.values():
            name, asked_ns = str(venue.id), wiring.clock.now_ns()
            count = await _patiently(venue.cancel_all)
            ends = await self._ends(venue)
            fills = await _patiently(venue.fills)
            balances = await _patiently(venue.balances)
            log.info("engine.caught_up", venue=name, cancelled=count, fills=len(fills), first=first)
            told.append(e.AccountAnswered(time_ns=0, venue=name, asked_ns=asked_ns))
            unknown = (fill for fill in fills if not self._kernel.knows_trade(fill))
            told += [e.FillReported(time_ns=0, fill=fill, asked=True) for fill in unknown]
            told += ends
            told += await self._open(name, balances) if first else _held(balances)
            told.append(e.AccountAnswered(time_ns=0, venue=name, is_end=True))
        if first and wiring.desk is not None:
            told += await self._open("chain", await wiring.desk.balances())
        if wiring.prepare is not None:
            await wiring.prepare()
        return [*told, restarted] if first else told

    async def _ends(self, venue: ExchangeVenue) -> list[e.Event]:
        """Ask how the orders ended that our books hold open, everything being cancelled; what is not answered is left.

        Without an answer the kernel takes them for cancelled, which is true of their money, and not always their end.
        """
        kernel = self._kernel
        orders = [
            order
            for order in kernel.orders.open_orders()
            if str(kernel.markets.instruments[order.instrument].venue) == str(venue.id)
        ]
        self._answers = answers = {order.client_order_id: list[e.OrderReported]() for order in orders}
        try:
            for order in orders:
                ask = e.AskOrder(client_order_id=order.client_order_id, instrument=order.instrument)
                try:
                    await venue.ask(ask)
                except VenueError as exc:
                    log.warning("ask.failed", order_id=order.client_order_id, error=str(exc))
        finally:
            self._answers = {}
        return [msgspec.structs.replace(told[-1], asked=True) for told in answers.values() if told]

    async def _open(self, location: str, balances: Mapping[str, int]) -> list[e.Event]:
        await self._wiring.bookkeeper.open_balances(location, balances)
        return _held(balances)


def _held(balances: Mapping[str, int]) -> list[e.Event]:
    return [e.BalanceReported(time_ns=0, asset=asset_id, raw=str(raw)) for asset_id, raw in sorted(balances.items())]


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask a venue again while it does not answer: one that stumbles is no reason not to start.

    Raises:
        VenueUnavailable: It does not answer for `CATCH_UP_S`.
    """
    delay_s = 0.1
    deadline = asyncio.get_running_loop().time() + CATCH_UP_S
    while True:
        try:
            return await ask()
        except VenueUnavailable as exc:
            if asyncio.get_running_loop().time() + delay_s > deadline:
                raise
            log.warning("engine.catching_up", error=str(exc), retry_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 2.0)
