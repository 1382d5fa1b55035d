"""`capstan dex arb log`: what was found, what was predicted, and what came of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import output
from cli.dex.options import ACCOUNT, AccountOption, ConfigOption, DataOption, DeskPlace, JsonOption, RpcUrlOption

if TYPE_CHECKING:
    from dex.arbitrage.journal import Row

FILE: Final = "arbitrage.jsonl"
"""In the desk's folder."""


def show(
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    last: Annotated[int, typer.Option(min=1, help="How many of the newest to show.")] = 50,
    csv: Annotated[bool, typer.Option("--csv", help="Write all of it as CSV.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the opportunity log of a desk: predicted and realised profit of each cycle, and what they add up to."""
    from dex.arbitrage.journal import OpportunityLog

    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    rows = OpportunityLog(asyncio.run(_folder(place)) / FILE).rows()
    if report is not None:
        from cli.dex.arb.report import write_report

        write_report(report, rows)
        output.say(f"wrote {report}")
    if csv:
        _csv(rows)
    elif as_json:
        output.emit({"totals": totals(rows), "opportunities": [row_json(row) for row in rows[-last:]]})
    else:
        _print(rows[-last:])
        output.table(totals(rows), as_json=False)


async def _folder(place: DeskPlace) -> Path:
    if place.data is not None:
        return place.data
    if place.config is not None:
        return place.config.resolve().parent
    from cli.dex.desk import devnet_folder

    return await devnet_folder(place)


def totals(rows: Sequence[Row]) -> dict[str, object]:
    """Add rows up, for machines and people. Profits are in wei, tokens counted at what they were worth."""
    from dex.arbitrage.journal import summarise

    found = summarise(rows)
    return {
        "found": found.found,
        "mined": found.mined,
        "reverted": found.reverted,
        "refused": found.refused,
        "open": found.open,
        "predicted_wei": str(found.predicted_wei),
        "realised_wei": str(found.realised_wei),
        "gas_wei": str(found.gas_wei),
        "net_wei": str(found.net_wei),
        "realised_share": round(found.realised_share, 6),
        "reverted_share": round(found.reverted_share, 6),
    }


def row_json(row: Row) -> dict[str, object]:
    """Write one opportunity for machines."""
    found, ended = row.found, row.ended
    return {
        "id": found.id,
        "block_number": found.block_number,
        "path": found.path,
        "funding": found.funding,
        "token": found.symbol,
        "amount_in": found.amount_in,
        "predicted": found.profit,
        "realised": str(row.realised),
        "error_bps": round(row.error_bps, 3),
        "gas_units_predicted": found.gas_units,
        "gas_cost_wei": str(row.gas_wei),
        "status": row.status,
        "behind": found.behind,
        "tx_hash": ended.tx_hash if ended else "",
        "mined_in": ended.block_number if ended else None,
        "reason": ended.reason if ended else "",
    }


def _csv(rows: Sequence[Row]) -> None:
    import csv

    lines = [row_json(row) for row in rows]
    columns = list(lines[0]) if lines else ["id"]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)


def _print(rows: Sequence[Row]) -> None:
    from decimal import Decimal

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("block", "cycle", "paid by", "predicted", "realised", "gas (ETH)", "status"):
        table.add_column(
            column, justify="right" if column in ("block", "predicted", "realised", "gas (ETH)") else "left"
        )
    for row in rows:
        unit = Decimal(10) ** -row.found.decimals
        predicted = f"{row.predicted * unit:.6f} {row.found.symbol}"
        realised = f"{row.realised * unit:.6f}" if row.status == "mined" else ""
        gas = f"{Decimal(row.gas_wei) / 10**18:.6f}" if row.gas_wei else ""
        status = row.status if row.ended is None or not row.ended.reason else f"{row.status}: {row.ended.reason[:60]}"
        table.add_row(str(row.found.block_number), row.found.path, row.found.funding, predicted, realised, gas, status)
    Console().print(table)
