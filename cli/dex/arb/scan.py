"""`capstan dex arb scan`: which cycles would earn something now. Reads only."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.dex.options import JsonOption, RpcUrlOption

if TYPE_CHECKING:
    from dex.arbitrage.searcher import Opportunity, Searcher

StartOption = Annotated[
    list[str], typer.Option("--start", help="Token a cycle may begin with; repeatable. The wrapped coin unless given.")
]
LegsOption = Annotated[int, typer.Option("--legs", min=2, max=4, help="The most pools a cycle goes through.")]


def scan(
    rpc_url: RpcUrlOption = "http://127.0.0.1:8545",
    start: StartOption = [],  # noqa: B006 - typer reads the default and never changes it
    legs: LegsOption = 3,
    top: Annotated[int, typer.Option(min=1, help="How many to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the cycles that earn anything at the newest block, before and after gas. Nothing is sent."""
    block, cycles, found = asyncio.run(_scan(rpc_url, start, legs))
    from cli.dex.arb.words import opportunity_row

    rows = [opportunity_row(opportunity, searcher) for opportunity, searcher in found[:top]]
    if as_json:
        output.emit({"block_number": block, "cycles": cycles, "profitable": len(found), "opportunities": rows})
        return
    _print(block, cycles, len(found), rows)


async def _scan(rpc_url: str, start: list[str], legs: int) -> tuple[int, int, list[tuple[Opportunity, Searcher]]]:
    from chain import ChainClient
    from chain.network import chain_id_at, identify
    from cli.dex.arb.place import open_place
    from dex.arbitrage.searcher import Costs
    from dex.pools import ZERO_ADDRESS
    from dex.replicas.follower import PoolFollower
    from runtime import SystemClock

    async with ChainClient([rpc_url], await chain_id_at(rpc_url)) as client:
        place = await open_place(client, await identify(client), ZERO_ADDRESS)
        tokens = place.start_tokens(start)
        follower = PoolFollower(client, place.pools, SystemClock().now_ns)
        await follower.start(lambda event: None)
        await follower.stop()
        searcher = place.searcher(follower.replicas, tokens, legs_max=legs)
        await place.refresh_lenders(client, searcher, place.default_executor, tokens)
        fees = await client.fees()
        found = [(one, searcher) for one in searcher.all(Costs(fees.base_fee + fees.priority))]
        block = max(replica.block_number for replica in follower.replicas.values())
        return block, len(searcher.index.cycles), found


def _print(block: int, cycles: int, profitable: int, rows: list[dict[str, object]]) -> None:
    from decimal import Decimal

    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"block {block}: {cycles} cycles, {profitable} earn something before gas")
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("cycle")
    for column in ("in", "profit", "net of gas"):
        table.add_column(column, justify="right")
    table.add_column("paid by")
    for row in rows:
        unit = Decimal(10) ** -int(str(row["decimals"]))
        amount, profit, net = (f"{Decimal(str(row[name])) * unit:.6f}" for name in ("amount_in", "profit", "net"))
        table.add_row(str(row["path"]), f"{amount} {row['token']}", profit, net, str(row["funding"]))
    console.print(table)
