"""`capstan dex serve`: the process that quotes and swaps on an installation's chain, for the API."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.dex.options import JsonOption
from domain import InputError


def serve(
    data_dir: Annotated[Path, typer.Option(help="The installation; its settings have [chain].")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Quote on the installation's chain, and carry out the API's swaps, until SIGTERM. `capstan up` starts it.

    The API asks it over a socket that only the installation's user may open. It connects with the first question, and
    says so while no node answers: nobody has to be there before it. Swaps leave the account of [swaps], through
    custody and its signer; without one it quotes and nothing else.
    """
    # The solver's systems are small: more threads would cost more than they bring. Before numpy is loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    asyncio.run(run(data_dir.resolve(), as_json=as_json))


async def run(root: Path, *, as_json: bool) -> None:
    """Serve an installation until a signal.

    Raises:
        InputError: Its settings cannot be used, or have no chain.
    """
    from chain import parse_address
    from cli.data_dir import DataDir
    from cli.dex.live_market import LiveMarket
    from cli.dex.service import DexService
    from cli.settings import load_settings
    from runtime import SystemClock, configure_logging
    from runtime.control import serve_control
    from runtime.processes import stop_on_signals

    data = DataDir(root)
    settings = load_settings(data.settings)
    if settings.chain is None:
        raise InputError(f"{data.settings} has no [chain]: there is nothing to quote on", hint="capstan settings")
    configure_logging(level=settings.log.level)
    stop = asyncio.Event()
    stop_on_signals(stop)
    clock = SystemClock()
    market = LiveMarket(settings.chain.endpoints, settings.chain.chain_id, clock.now_ns)
    account = parse_address(settings.swaps.account) if settings.swaps.account else None
    service = DexService(market, account)
    parts: list[asyncio.Task[None]] = []
    if account is not None:
        from cli.dex.swap_loop import carry_out_swaps  # Custody, which quotes do without.

        swaps = carry_out_swaps(data.settings, settings.swaps, service, clock.now_ns)
        parts.append(asyncio.create_task(swaps, name="dex.swaps"))
    try:
        async with serve_control(data.dex_control, service.handle):
            if as_json:
                output.emit({"ready": True, "chain_id": settings.chain.chain_id})
            else:
                output.say(f"quoting on chain {settings.chain.chain_id}")
            await stop.wait()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
        await market.close()
