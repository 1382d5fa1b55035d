"""What of an installation answers, besides the engine: a worker looks, so that somebody is told when it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from chain import ChainClient
from cli.data_dir import DataDir
from cli.settings import ChainSettings, Settings
from domain import PlatformError

PROBE_S: Final = 5.0


async def probe(settings: Settings, data: DataDir) -> dict[str, str]:
    """Give what is wrong with each component that is configured; empty text is nothing."""
    looks: dict[str, Awaitable[None]] = {}
    if settings.chain is not None:
        looks["chain"] = _chain(settings.chain)
    if settings.custody is not None and settings.mode == "live":
        looks["signer"] = _signer(data, settings.custody.signer_socket)
    problems = await asyncio.gather(*(_problem(look) for look in looks.values()))
    return dict(zip(looks, problems, strict=True))


async def _problem(look: Awaitable[None]) -> str:
    try:
        async with asyncio.timeout(PROBE_S):
            await look
    except TimeoutError:
        return f"no answer within {PROBE_S:g} s"
    except (PlatformError, OSError) as exc:
        return str(exc)[:200]
    return ""


async def _chain(settings: ChainSettings) -> None:
    async with ChainClient(list(settings.endpoints), settings.chain_id):
        return


async def _signer(data: DataDir, socket: str) -> None:
    _, writer = await asyncio.open_unix_connection(data.root / socket)
    writer.close()
