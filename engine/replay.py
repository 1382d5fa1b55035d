"""Running the kernel over recorded events: exactly as journaled, or with simulated execution (a backtest)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgspec

from domain import InvariantError
from domain import events as e
from engine.native import NativeKernel
from engine.simulation import Simulator

_MARKET = (
    e.BookChanged,
    e.BookInvalidated,
    e.TradePrinted,
    e.BlockSeen,
    e.PoolSnapshotted,
    e.PoolSynced,
    e.PoolBalancesSynced,
    e.PoolSwapped,
    e.PoolLiquidityChanged,
    e.PoolInvalidated,
    e.BalanceReported,
    e.TimerFired,
    e.ParametersChanged,
    e.StrategyJoined,
    e.LimitsChanged,
)


class CommandDigest:
    """SHA-256 over the commands of a run: equal digests mean equal decisions."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._encoder = msgspec.msgpack.Encoder()
        self.count = 0
        self.stamps = 0
        """How many stamps of the run were compared and found equal."""

    def add(self, commands: Iterable[e.Command]) -> None:
        for command in commands:
            self._hash.update(self._encoder.encode(command))
            self.count += 1

    @property
    def hex(self) -> str:
        return self._hash.hexdigest()

    def stamp(self, time_ns: int) -> e.DecisionsStamped:
        """Say what was decided up to here."""
        return e.DecisionsStamped(time_ns=time_ns, commands=self.count, sha256=self.hex)

    def check(self, stamp: e.DecisionsStamped) -> None:
        """Compare with what the run had decided when it wrote this.

        Raises:
            InvariantError: It decided otherwise.
        """
        if (stamp.commands, stamp.sha256) != (self.count, self.hex):
            raise InvariantError(
                f"the replay decides otherwise than the run did: {self.count} commands, {self.hex[:16]}…, where the "
                f"journal says {stamp.commands}, {stamp.sha256[:16]}…",
                hint="replay and finish a run with the release that began it",
            )
        self.stamps += 1


def replay(kernel: NativeKernel, events: Iterable[e.Event]) -> CommandDigest:
    """Step a fresh kernel through a journal; its decisions come out as they went out.

    Raises:
        InvariantError: They do not; it was another release, or the journal was tampered with.
    """
    digest = CommandDigest()
    for event in events:
        if isinstance(event, e.DecisionsStamped):
            digest.check(event)
        else:
            digest.add(kernel.step(event))
    return digest


def backtest(kernel: NativeKernel, events: Iterable[e.Event]) -> Iterator[e.Event]:
    """Run a fresh kernel on the market events of a recording, execution simulated; yield every event it was given.

    What the recording says of orders, fills and swaps is left out: those are decided anew. Answers reach the kernel at
    the instant of the event that caused them, after it.
    """
    simulator = Simulator(kernel.markets)
    for recorded in events:
        if not isinstance(recorded, _MARKET):
            continue
        queue: list[e.Event] = [recorded]
        first = True
        while queue:
            event = queue.pop(0)
            yield event
            commands = kernel.step(event)
            if first:
                queue += simulator.on_market(event)
                first = False
            for command in commands:
                queue += simulator.on_command(command, event.time_ns)
