"""`capstan dex serve`: the process that quotes on an installation's chain, for the API."""

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
    """Quote swaps on the installation's chain until SIGTERM. `capstan up` starts it where there is a [chain].

    The API asks it over a socket that only the installation's user may open. It connects with the first question, and
    says so while no node answers: nobody has to be there before it.
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
    market = LiveMarket(settings.chain.endpoints, settings.chain.chain_id, SystemClock().now_ns)
    try:
        async with serve_control(data.dex_control, DexService(market).handle):
            if as_json:
                output.emit({"ready": True, "chain_id": settings.chain.chain_id})
            else:
                output.say(f"quoting on chain {settings.chain.chain_id}")
            await stop.wait()
    finally:
        await market.close()
