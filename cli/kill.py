"""`capstan kill`: cancel every open order and stop all strategies, engine alive or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.data_dir import DataDir
from domain import VenueUnavailable

app = typer.Typer()


@app.command()
def kill(
    data_dir: Annotated[Path, typer.Option(help="The installation.")] = Path(),
    reason: Annotated[str, typer.Option(help="Why; it is journaled.")] = "operator",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Cancel every open order and stop all strategies.

    A running engine is told and stays up, halted, to settle what is in flight. When no engine answers, the orders are
    cancelled at the venues directly. Exits with 0 only when the venues confirm that nothing is open.
    """
    result = asyncio.run(_kill(DataDir(data_dir.resolve()), reason))
    if as_json:
        output.emit(result)
    else:
        output.say(f"killed by {result['by']}: {result['open_orders']} orders are open")
    raise typer.Exit(0 if result["open_orders"] == 0 else 1)


async def _kill(data: DataDir, reason: str) -> dict[str, Any]:
    from runtime.control import ask_control

    try:
        return {"by": "engine", **await ask_control(data.control, {"command": "kill", "reason": reason}, timeout_s=30)}
    except VenueUnavailable:
        return {"by": "command", "open_orders": await _cancel_at_venues(data)}


async def _cancel_at_venues(data: DataDir) -> int:
    from cex import CcxtVenue
    from cli.settings import load_settings
    from runtime import SystemClock

    left = 0
    for settings in load_settings(data.settings).venues:
        venue = CcxtVenue(settings, clock=SystemClock(), base_dir=data.root)
        await venue.start(lambda _event: None)
        try:
            await venue.cancel_all()
            left += len(await venue.open_orders())
        finally:
            await venue.stop()
    return left
