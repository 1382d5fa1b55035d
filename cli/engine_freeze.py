"""The last stage of the kill outside the engine: custody frozen in its books, the signer frozen in its own journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from custody.audit import AuditLog
from custody.freeze import ALL, Freezes
from domain import Address, InputError, PlatformError
from wallets import SignerClient

if TYPE_CHECKING:
    from cli.settings import Settings
    from runtime.database import Database

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0


class Switch(Protocol):
    """What stops a signer inside this process (`capstan_native.FreezeSwitch`)."""

    def freeze(self) -> None: ...


class Freezer:
    """Freezes custody (everything, until two people lift it) and the signer (until an operator lifts it beside it).

    The two are independent: each is tried again and again until it holds, whatever becomes of the other. Both are told
    who and why; told twice, the freeze that stands is kept.

    Args:
        freezes: Custody's.
        signer: Asks the signer process.
        switches: Stop what signs in this process, at once: session keys and trading keys of the hot path.
        pause: Waits so many seconds before another try.
    """

    def __init__(
        self,
        freezes: Freezes,
        signer: SignerClient,
        *,
        switches: Sequence[Switch] = (),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._freezes = freezes
        self._signer = signer
        self._switches = switches
        self._pause = pause

    @classmethod
    def of(cls, settings: Settings, root: Path, database: Database, now_ns: Callable[[], int]) -> Freezer | None:
        """Make the freezer of an installation; None where there is neither custody nor a signer to stop (paper)."""
        custody = settings.custody
        if custody is None or settings.mode == "paper":
            return None
        freezes = Freezes(database, AuditLog(database, now_ns), now_ns, operators=custody.operators)
        return cls(freezes, SignerClient(root / custody.signer_socket, Address("")))

    async def freeze(self, source: str, reason: str) -> None:
        """Freeze both. Returns when both hold; cancel it to give up.

        Raises:
            InputError: Not a name, or no reason: neither would ever take it.
        """
        for switch in self._switches:
            switch.freeze()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._until_done("signer", lambda: self._freeze_signer(source, reason)))
            tasks.create_task(self._until_done("custody", lambda: self._freeze_custody(source, reason)))

    async def by_engine(self, rule: str) -> None:
        """Freeze both because the engine's kill reached its last stage by a rule."""
        await self.freeze("engine", f"the engine's kill reached FREEZE: {rule}")

    async def _freeze_signer(self, source: str, reason: str) -> None:
        await self._signer.freeze(source, reason)

    async def _freeze_custody(self, source: str, reason: str) -> None:
        await asyncio.to_thread(self._freezes.impose, ALL, source=source, reason=reason)

    async def _until_done(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await work()
            except InputError:
                raise
            except PlatformError as exc:
                log.critical("freeze.failed", what=name, error=str(exc), retry_s=pause_s)
            else:
                log.warning("freeze.done", what=name)
                return
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)


async def freeze_custody(database: Database, now_ns: Callable[[], int], source: str, reason: str) -> None:
    """Freeze everything that custody would let out, once."""
    freezes = Freezes(database, AuditLog(database, now_ns), now_ns)
    await asyncio.to_thread(freezes.impose, ALL, source=source, reason=reason)
