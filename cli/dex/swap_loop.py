"""Keeps a swap desk open for as long as the process runs, and has it look whenever there may be something to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from api.swaps.settings import SwapSettings
from api.tables import open_tables
from cli.dex.desk import DexDesk, open_desk
from cli.dex.options import DeskPlace
from cli.dex.service import DexService
from cli.dex.swap_desk import SwapDesk
from domain import InvariantError, PlatformError

log = structlog.get_logger(__name__)

LOOK_S: Final = 2.0
"""How long it waits for a word that there is a swap, before it looks by itself."""
AGAIN_S: Final = 5.0


async def carry_out_swaps(path: Path, settings: SwapSettings, service: DexService, now_ns: Callable[[], int]) -> None:
    """Swap from the account of the settings until cancelled.

    Node, signer and database may come later, or go away: it opens the account again. A fault of ours ends it, loudly,
    and quotes go on.
    """
    place = DeskPlace(config=path, address=settings.account, signer_socket=settings.signer_socket)
    while True:
        try:
            async with open_desk(place) as desk:
                log.info("swaps.open", account=desk.account)
                await asyncio.to_thread(open_tables, desk.database)
                await _serve(desk, service, now_ns)
        except Exception as exc:
            if isinstance(exc, InvariantError) or not isinstance(exc, PlatformError):
                log.critical("swaps.stopped", error=str(exc), exc_info=True)
                return
            log.warning("swaps.closed", error=str(exc), hint=exc.hint)
        await asyncio.sleep(AGAIN_S)


async def _serve(desk: DexDesk, service: DexService, now_ns: Callable[[], int]) -> None:
    swaps = SwapDesk(desk, service, now_ns)
    while True:
        service.woken.clear()
        await swaps.step()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await service.woken.wait()
