"""`capstan kill`: cancel every open order, stop all strategies, freeze custody and the signer; engine alive or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import output
from cli.data_dir import DataDir
from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, VenueUnavailable

if TYPE_CHECKING:
    from cex import VenueSettings

app = typer.Typer()

FROZEN: Final = "frozen"
SOURCE: Final = "operator:kill"


@app.command()
def kill(
    data_dir: Annotated[Path, typer.Option(help="The installation.")] = Path(),
    reason: Annotated[str, typer.Option(help="Why; it is journaled.")] = "operator",
    freeze: Annotated[
        bool,
        typer.Option("--freeze", help="Also freeze custody and the signer, until people lift it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Cancel every open order and stop all strategies.

    A running engine is told, goes to CANCEL (docs/risk.md) and stays up, halted, to settle what is in flight. When no
    engine answers, or it does not confirm, the orders are cancelled at the venues directly. Exits with 0 only when the
    venues confirm that nothing is open and no engine is left that might place again, and, with --freeze, custody and
    the signer are frozen. They are frozen first, whatever becomes of the orders.
    """
    data = DataDir(data_dir.resolve())
    frozen = asyncio.run(_freeze(data, reason)) if freeze else {}
    for name, told in frozen.items():
        if told != FROZEN:
            output.fail(f"{name} is not frozen: {told}")
    result = asyncio.run(_kill(data, reason)) | ({"frozen": frozen} if freeze else {})
    if as_json:
        output.emit(result)
    else:
        held = [name for name, told in frozen.items() if told == FROZEN]
        also = f"; {' and '.join(held)} frozen" if held else ""
        output.say(f"killed by {result['by']}: {result['open_orders']} orders are open{also}")
    raise typer.Exit(0 if result["open_orders"] == 0 and set(frozen.values()) <= {FROZEN} else 1)


async def _freeze(data: DataDir, reason: str) -> dict[str, str]:
    """Freeze custody and the signer, each once and whatever becomes of the other; say what became of each."""
    from cli.books import custody_url, open_existing
    from cli.engine_freeze import freeze_custody
    from cli.settings import load_settings
    from cli.signer_freezes import freeze_signer
    from runtime import SystemClock

    custody = load_settings(data.settings).custody
    if custody is None:
        raise InputError(f"{data.root} has no [custody] section: there is nothing to freeze")

    url = custody_url(data.root, custody)

    async def freeze_books() -> None:
        await freeze_custody(open_existing(None, url), SystemClock().now_ns, SOURCE, reason)

    told = {}
    for name, work in (("signer", freeze_signer(data.root, SOURCE, reason)), ("custody", freeze_books())):
        try:
            await work
            told[name] = FROZEN
        except PlatformError as exc:
            told[name] = str(exc)
    return told


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

    venue = CcxtVenue(settings, clock=SystemClock(), base_dir=data.root, state_dir=data.venues)
    await venue.connect(lambda _event: None)  # Without books: a kill must not wait for market data.
    try:
        await venue.cancel_all()
        return len(await venue.open_orders())
    finally:
        await venue.stop()
