"""What may change of a running engine: parameters, strategies, limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.engine_join import Joiner
from cli.engine_limits import Limiter
from cli.engine_reload import Reloader
from engine.runner import LiveRunner
from engine.wiring import Wiring
from runtime.database import Database

Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Changing:
    """Of one engine."""

    reloader: Reloader
    joiner: Joiner
    limiter: Limiter

    @classmethod
    def of(cls, runner: LiveRunner, database: Database, folder: Path, now_ns: Callable[[], int]) -> Changing:
        limiter = Limiter(runner, database, now_ns)
        joiner = Joiner(runner, database, folder, now_ns, limiter.joined)
        return cls(Reloader(runner, database, now_ns), joiner, limiter)

    def commands(self) -> Mapping[str, Command]:
        """What the operator's door has of them, besides `reload`."""
        return {
            "create_strategy": self.joiner.create,
            "retire": self.joiner.retire,
            "risk_limits": self.limiter.told,
            "set_limits": self.limiter.change,
        }

    async def keep_limits(self, wiring: Wiring) -> None:
        """Have the kernel told, before any market data, that what was tightened in a former run holds in this one.

        Raises:
            VenueUnavailable: It cannot be read what was.
        """
        await self.limiter.look_back()
        wiring.first = self.limiter.first

    async def settled(self) -> None:
        """Wait until what `begin` began is done."""
        await self.reloader.settled()
        await self.joiner.settled()

    def begin(self, of_file: Sequence[object], wanted: Sequence[object]) -> None:
        """After a start: take over what the settings say now; `wanted` has those made over the API, too."""
        self.reloader.begin(of_file)
        self.joiner.begin(wanted)
