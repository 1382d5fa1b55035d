"""`capstan venues`: which exchange has what, and what the adapter does there."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.books import JsonOption
from domain import InputError

if TYPE_CHECKING:
    from cex.venues import Profile
    from cex.venues.matrix import Capability

_WIDTH = 150
"""Columns of the list, which a pipe would fold at 80."""

app = typer.Typer(no_args_is_help=True, help="Exchanges: what each has, and how what it lacks is filled.")


@app.command("list")
def list_venues(
    trading: Annotated[bool, typer.Option("--trading", help="Only those the adapter trades on.")] = False,
    kind: Annotated[str | None, typer.Option(help="Only those with `spot` or `swap` markets.")] = None,
    having: Annotated[
        list[str] | None,
        typer.Option(help="Only those that have a feature themselves, `cancel_all_after`; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every venue with the way of each feature: native, ccxt.pro, polled, emulated or none.

    What the ways mean, and why trading is refused at some, is in docs/venues/matrix.md and in `show`.
    """
    from cex.venues.matrix import FEATURES, capabilities

    if kind not in (None, "spot", "swap"):
        raise InputError(f"no kind of market {kind!r}", hint="spot or swap")
    for feature in having or ():
        if feature not in FEATURES:
            raise InputError(f"no feature {feature!r}", hint=f"features are {', '.join(FEATURES)}")
    found = [
        venue
        for venue in capabilities().values()
        if (venue.trades or not trading)
        and (kind is None or kind in venue.kinds)
        and all(venue.features[feature] in ("native", "ccxt.pro") for feature in having or ())
    ]
    if as_json:
        output.emit([_summary(venue) for venue in found])
        return
    from rich.console import Console
    from rich.table import Table

    rows = Table(box=None, pad_edge=False)
    for column in ("venue", "kinds", "trades here", *FEATURES):
        rows.add_column(column.replace("_", " "), no_wrap=True)
    for venue in found:
        ways = (venue.features[feature] for feature in FEATURES)
        rows.add_row(venue.id, " ".join(venue.kinds), "yes" if venue.trades else "no", *ways)
    Console(width=max(Console().width, _WIDTH)).print(rows)


@app.command()
def show(
    venue: Annotated[str, typer.Argument(help="ccxt's id, `kraken`.")],
    as_json: JsonOption = False,
) -> None:
    """Show one venue: features and how they are filled, order ids, limits, and the requests as they leave."""
    from cex.venues import profile_of
    from cex.venues.matrix import capabilities

    known = capabilities()
    if venue not in known:
        near = get_close_matches(venue, known, n=3)
        raise InputError(
            f"no venue {venue!r}", hint=f"did you mean {', '.join(near)}?" if near else "`capstan venues list`"
        )
    capability, profile = known[venue], profile_of(venue)
    if as_json:
        output.emit(_summary(capability) | _details(capability, profile))
    else:
        _print(capability, profile)


def _summary(venue: Capability) -> dict[str, Any]:
    from cex.venues.matrix import FILLED

    return {
        "id": venue.id,
        "title": venue.title,
        "kinds": venue.kinds,
        "has_testnet": venue.has_testnet,
        "has_profile": venue.has_profile,
        "trades": venue.trades,
        "why_not": venue.why_not,
        "features": {
            feature: {"way": way, "filled_by": FILLED[feature, way]} for feature, way in venue.features.items()
        },
    }


def _details(venue: Capability, profile: Profile) -> dict[str, Any]:
    return {
        "markets": venue.markets,
        "book": venue.book,
        "order": venue.order,
        "cancel": venue.cancel,
        "client_order_id": profile.client_order_id,
        "checksum": profile.checksum,
        "rates": profile.rates,
        "dead_man": profile.dead_man,
        "notes": profile.notes,
        "sources": profile.sources,
    }


def _print(venue: Capability, profile: Profile) -> None:
    from rich.console import Console
    from rich.table import Table

    from cex.venues.matrix import FILLED

    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_row("venue", "", f"{venue.title} (exchange = {venue.id!r}), {' and '.join(venue.kinds)}")
    rows.add_row("trading", "yes" if venue.trades else "no", venue.why_not)
    rows.add_row("testnet", "yes" if venue.has_testnet else "no", "")
    for feature, way in venue.features.items():
        rows.add_row(feature.replace("_", " "), way, FILLED[feature, way])
    rule = profile.client_order_id
    rows.add_row("order ids", rule.kind, f"bits {rule.bits}" if rule.bits else rule.prefix + rule.pattern)
    for rate in profile.rates:
        rows.add_row("limit", rate.kind, f"{rate.limit:,} in {rate.window_s} s {rate.note}".rstrip())
    if profile.checksum is not None:
        rows.add_row("book checked", profile.checksum.kind, profile.checksum.note)
    if profile.dead_man is not None:
        rows.add_row("dead man", profile.dead_man.kind, profile.dead_man.note)
    for name, form in (("book asked", venue.book), ("order sent", venue.order), ("cancel sent", venue.cancel)):
        rows.add_row(name, "", form.call or "not seen")
    for note in profile.notes:
        rows.add_row("note", "", note)
    # Texts of venues may hold brackets, which rich would take for styles.
    Console(markup=False, width=max(Console().width, 110)).print(rows)
