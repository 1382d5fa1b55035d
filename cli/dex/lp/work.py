"""One verb's way: open what is needed, plan at the newest block, show, ask, carry out, say what came of it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import typer

from cli import output
from cli.dex.desk import open_desk
from cli.dex.lp import show
from cli.dex.lp.carry import carry_out, new_intent
from cli.dex.lp.command import Make
from cli.dex.lp.place import Places, devnet_allowances, open_reading, places_of
from cli.dex.options import DeskPlace
from dex.liquidity import Order, Planned
from domain import InputError

STRATEGY = "liquidity"


async def preview(
    verb: str, make: Make, place: DeskPlace, *, tolerance_bps: int, deadline_s: int, yes: bool, as_json: bool
) -> None:
    """Show what would be done. Nothing is signed, no books are opened."""
    async with open_reading(place) as places:
        planned = await make(places, await order_for(places, verb, tolerance_bps, deadline_s))
        if as_json:
            output.emit({"sent": False, **show.planned_json(planned)})
            return
        show.print_planned(verb, planned)
        output.say("not sent: say --send")


async def carry(
    verb: str, make: Make, place: DeskPlace, *, tolerance_bps: int, deadline_s: int, yes: bool, as_json: bool
) -> None:
    """Do it, through custody."""
    async with open_desk(place, devnet_allowances()) as desk:
        places = await places_of(desk.client, desk.network, desk.account)
        planned = await make(places, await order_for(places, verb, tolerance_bps, deadline_s))
        if not as_json:
            show.print_planned(verb, planned)
        ask(planned, yes=yes, as_json=as_json)
        with _progress(as_json) as status:
            done = await carry_out(desk, planned, say=lambda text: status.update(text) if status else None)
        differences = await desk.differences()
    if as_json:
        output.emit({"sent": True, **show.carried_json(done), "ledger_differences": len(differences)})
    else:
        show.print_carried(done)


def ask(planned: Planned, *, yes: bool, as_json: bool) -> None:
    """Let a person decide.

    Raises:
        InputError: Nobody can be asked, or the answer is no.
    """
    ask_to(f"Carry out {planned.plan.intent_id}?", yes=yes, as_json=as_json)


def ask_to(question: str, *, yes: bool, as_json: bool) -> None:
    """Ask a person; errors as `ask`."""
    if yes:
        return
    if as_json:
        raise InputError("--json asks nobody", hint="Say --yes.")
    typer.confirm(question, abort=True, err=True)


async def order_for(places: Places, verb: str, tolerance_bps: int, deadline_s: int) -> Order:
    """What a plan needs to know, as of the chain's own time."""
    head = await places.client.head()
    return Order(
        intent_id=new_intent(verb),
        strategy=STRATEGY,
        sender=places.owner,
        contracts=places.contracts,
        deadline_s=head.time_s + deadline_s,
        tolerance_bps=tolerance_bps,
    )


class _Status:
    """A line on standard error that says what is going on."""

    def __init__(self) -> None:
        from rich.console import Console

        self._status = Console(stderr=True).status("asking custody")

    def __enter__(self) -> _Status:
        self._status.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._status.stop()

    def update(self, text: str) -> None:
        self._status.update(text)


def _progress(as_json: bool) -> AbstractContextManager[_Status | None]:
    return nullcontext() if as_json else _Status()
