"""`capstan kill`: cancel every open order and stop all strategies, engine alive or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.data_dir import DataDir
from domain import InvariantError, OutcomeUnknown, PlatformError, VenueUnavailable

if TYPE_CHECKING:
    from cex import VenueSettings

app = typer.Typer()


@app.command()
def kill(
    data_dir: Annotated[Path, typer.Option(help="The installation.")] = Path(),
    reason: Annotated[str, typer.Option(help="Why; it is journaled.")] = "operator",
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Cancel every open order and stop all strategies.

    A running engine is told and stays up, halted, to settle what is in flight. When no engine answers, or it does not
    confirm, the orders are cancelled at the venues directly. Exits with 0 only when the venues confirm that nothing is
    open and no engine is left that might place again.
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
    except (OutcomeUnknown, InvariantError) as exc:
        left = await _cancel_at_venues(data)
        raise OutcomeUnknown(
            f"the engine did not confirm ({exc}); {left} orders are open at the venues after cancelling there",
            request_id="kill",
            hint="end the engine's process, then kill again",
        ) from exc


async def _cancel_at_venues(data: DataDir) -> int:
    """Cancel at every venue, the others too when one cannot be reached; paper orders ended with their engine.

    Raises:
        PlatformError: What the first venue that could not be reached said, after the others were dealt with.
    """
    from cli.settings import load_settings

    settings = load_settings(data.settings)
    if settings.mode == "paper":
        return 0
    left, failures = 0, []
    for part in settings.venues:
        try:
            left += await _cancel_at(part, data)
        except PlatformError as exc:
            output.fail(str(exc), hint=exc.hint)
            failures.append(exc)
    if failures:
        raise failures[0]
    return left


async def _cancel_at(settings: VenueSettings, data: DataDir) -> int:
    from cex import CcxtVenue
    from runtime import SystemClock

    venue = CcxtVenue(settings, clock=SystemClock(), base_dir=data.root)
    await venue.connect(lambda _event: None)  # Without books: a kill must not wait for market data.
    try:
        await venue.cancel_all()
        return len(await venue.open_orders())
    finally:
        await venue.stop()
