"""Swaps for people and for machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from cli.dex.routes import print_route, quote_json
from cli.dex.swap_log import Realised
from cli.dex.swapping import Prepared
from domain import Asset
from domain.amounts import format_units

_DECIMALS_SHOWN: Final = 8


def prepared_json(prepared: Prepared) -> dict[str, Any]:
    """Write a swap that could be sent, for machines. Amounts are integers in raw units."""
    bounds = prepared.bounds
    return {
        "is_ready": not prepared.obstacles,
        "quote": quote_json(prepared.quote),
        "amount_in_max": str(bounds.amount_in_max),
        "amount_out_min": str(bounds.amount_out_min),
        "path_bounds": [str(bound) for bound in bounds.paths],
        "deadline_s": bounds.deadline_s,
        "through": prepared.way.through,
        "contract": prepared.way.contract,
        "account": prepared.owner,
        "steps": prepared.steps(),
        "gas_limit": prepared.gas_limit,
        "gas_cost_wei_max": str(prepared.gas_cost_wei),
        "problems": [
            {
                "cause": problem.cause,
                "text": problem.text,
                "hint": problem.hint,
                "is_mended_by_a_step": problem.is_mendable,
            }
            for problem in prepared.problems
        ],
    }


def print_prepared(prepared: Prepared) -> None:
    """Show the route, the bounds, the steps and what stands in the way."""
    quote, bounds, console = prepared.quote, prepared.bounds, Console(highlight=False)
    print_route(quote)
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_row("account", prepared.owner)
    rows.add_row("give", _amount(bounds.amount_in_max, quote.token_in) + (" at most" if quote.is_exact_out else ""))
    rows.add_row(
        "get", _amount(quote.amount_out, quote.token_out) + (" exactly" if quote.is_exact_out else " expected")
    )
    if not quote.is_exact_out:
        rows.add_row("", _amount(bounds.amount_out_min, quote.token_out) + " at least, or nothing happens")
    rows.add_row("impact", f"{quote.impact_bps:.2f} bps against the mid price, fees included")
    rows.add_row("valid until", f"{_time(bounds.deadline_s)} UTC by the chain's clock")
    rows.add_row("gas", f"{prepared.gas_limit:,} units at most, up to {prepared.gas_cost_wei / 1e18:.6f} coins")
    for number, step in enumerate(prepared.steps(), 1):
        rows.add_row(f"step {number}", step)
    for problem in prepared.obstacles:
        rows.add_row("[red]cannot go[/]", f"[red]{problem.cause}[/]: {problem.text}. {problem.hint}")
    console.print(rows)


def print_realised(done: Realised) -> None:
    """Show what a swap gave."""
    print_swaps([done])


def print_swaps(found: list[Realised]) -> None:
    """Show swaps with what was expected and what came of each."""
    table = Table(box=None, pad_edge=False)
    for title in ("UTC", "gave", "expected", "got", "bps", "status"):
        table.add_column(title, justify="right" if title in ("gave", "expected", "got", "bps") else "left")
    for each in found:
        expected, is_mined = each.expected, each.status == "mined"
        given = each.amount_in if is_mined else expected.amount_in
        table.add_row(
            _time(expected.time_ns // 10**9),
            f"{_units(given, expected.decimals_in)} {expected.symbol_in}",
            f"{_units(expected.amount_out, expected.decimals_out)} {expected.symbol_out}",
            _units(each.amount_out, expected.decimals_out) if is_mined else "–",
            "" if each.difference_bps is None else f"{each.difference_bps:+.2f}",
            each.status if is_mined else f"[red]{each.status}[/] {each.reason}".strip(),
        )
    Console(highlight=False).print(table if found else "no swaps yet")


def _amount(raw: int, asset: Asset) -> str:
    return f"{format_units(raw, asset.decimals)} {asset.symbol}"


def _units(raw: str, decimals: int) -> str:
    """Write an amount as people read it: to 8 decimals, without the zeros at its end. JSON has all of it."""
    whole, dot, rest = format_units(int(raw), decimals).partition(".")
    return (whole + dot + rest[:_DECIMALS_SHOWN].rstrip("0")).rstrip(".")


def _time(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%m-%d %H:%M:%S")
