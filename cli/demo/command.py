"""`capstan demo`: start the parts, watch them trade, report."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.data_dir import DataDir
from domain import InputError

app = typer.Typer()


@app.command()
def demo(
    seconds: Annotated[int, typer.Option(min=5, max=86_400, help="How long to trade.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Of the order flow, on the exchange and on the chain.")] = 7,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where to keep the run; an interrupted one is resumed. Default: var/demo/<time>."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="No live view; end with one line of JSON.")] = False,
    keep_world: Annotated[
        bool, typer.Option(help="Leave chain and exchange running for a minute after the end.")
    ] = False,
    faults: Annotated[
        bool, typer.Option("--faults", hidden=True, help="Open the exchange's fault door; for fault runs.")
    ] = False,
) -> None:
    """Trade a sandbox exchange against Uniswap on a local chain, and end with a report.

    Everything is real but the money: anvil with the genuine Uniswap contracts, an exchange with a matching engine of
    its own, keys in a signer process, policy, a double-entry ledger. Loopback only.
    """
    from cli.demo.launcher import run_demo

    root = data_dir or Path("var/demo") / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    data = DataDir(root.resolve())
    if data.result.exists():
        raise InputError(
            f"{root} holds a finished run", hint="choose another --data-dir; its report is report.html there"
        )
    live = not as_json and sys.stdout.isatty()
    result = asyncio.run(
        run_demo(data, seconds=seconds, seed=seed, live=live, quiet=as_json, keep_world=keep_world, with_faults=faults)
    )
    if as_json:
        output.emit(result)
    else:
        from cli.demo.view import print_result

        print_result(result, data)
    healthy = (
        result["ledger"]["balanced"] and result["ledger"]["matches_venues"] and not result["open_orders_after_stop"]
    )
    raise typer.Exit(0 if healthy else 1)
