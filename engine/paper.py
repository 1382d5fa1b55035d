"""Paper trading: live data, simulated execution, nothing sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain import Fill, Instrument, VenueId
from domain import events as e
from engine.ports import Emit, ExchangeVenue, Watched
from engine.simulation import Simulator
from runtime import Clock


class PaperTrading:
    """Stands between the runner and the world: market data passes, commands are simulated.

    Built in two steps, because the simulator looks at the kernel's books: `connect` it once the kernel exists.
    """

    def __init__(self, clock: Clock, balances: Mapping[str, int]) -> None:
        self.clock = clock
        self.balances = balances
        self._simulator: Simulator | None = None
        self._emit: Emit = lambda _event: None
        self._holdings: Mapping[str, int] = {}

    def connect(self, simulator: Simulator, emit: Emit, holdings: Mapping[str, int] | None = None) -> None:
        """Begin to simulate.

        Args:
            simulator: On the kernel's books.
            emit: The runner's.
            holdings: Where the kernel keeps the balances: what the account holds once the run has opened.
        """
        self._simulator, self._emit = simulator, emit
        if holdings is not None:
            self._holdings = holdings

    def holdings(self, place: str) -> Mapping[str, int]:
        """What the account holds in one place: the simulated trades included, or the start before there is a run."""
        return {asset: raw for asset, raw in (self._holdings or self.balances).items() if asset.startswith(place)}

    def on_step(self, event: e.Event, _commands: list[e.Command]) -> None:
        """After the kernel took an event: see whether it fills what rests."""
        if self._simulator is not None:
            for answer in self._simulator.on_market(event):
                self._emit(answer)

    def execute(self, command: e.Command) -> None:
        """Simulate one command and report its outcome."""
        if self._simulator is not None:
            for answer in self._simulator.on_command(command, self.clock.now_ns()):
                self._emit(answer)


class PaperVenue:
    """An exchange whose data is real and whose orders are not; satisfies `ExchangeVenue`."""

    def __init__(self, venue: ExchangeVenue, paper: PaperTrading) -> None:
        self._venue = venue
        self._paper = paper

    @property
    def id(self) -> VenueId:
        return self._venue.id

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._venue.instruments

    def health(self) -> Mapping[str, Any]:
        """As the venue's, but for orders: they go nowhere, and always may."""
        known = dict(self._venue.health()) if isinstance(self._venue, Watched) else {}
        return known | {"is_trading": True, "is_paper": True}

    async def start(self, emit: Emit) -> None:
        await self._venue.start(emit)

    async def stop(self) -> None:
        await self._venue.stop()

    async def place(self, order: e.PlaceOrder) -> int:
        sent_ns = self._paper.clock.monotonic_ns()
        self._paper.execute(order)
        return sent_ns

    async def cancel(self, cancel: e.CancelOrder) -> None:
        self._paper.execute(cancel)

    async def cancel_all(self) -> int:
        self._paper.execute(e.CancelAllOrders(venue=str(self.id), reason="paper"))
        return 0

    async def ask(self, ask: e.AskOrder) -> None:
        self._paper.execute(ask)

    async def open_orders(self) -> Sequence[str]:
        return ()

    async def fills(self) -> Sequence[Fill]:
        return ()

    async def balances(self) -> Mapping[str, int]:
        return self._paper.holdings(f"{self.id}/")


class PaperDesk:
    """Swaps that only the simulator sees; satisfies `SwapDesk`."""

    def __init__(self, paper: PaperTrading) -> None:
        self._paper = paper

    async def submit(self, swap: e.SubmitSwap) -> None:
        self._paper.execute(swap)

    async def balances(self) -> Mapping[str, int]:
        return self._paper.holdings("eip155:")
