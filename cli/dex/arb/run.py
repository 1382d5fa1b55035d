"""`capstan dex arb run`: search and carry out, for a while."""

from __future__ import annotations

import asyncio
import signal
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.dex.arb.scan import LegsOption, StartOption
from cli.dex.options import (
    ACCOUNT,
    AccountOption,
    ConfigOption,
    DataOption,
    DeskPlace,
    JsonOption,
    RpcUrlOption,
    YesOption,
)

if TYPE_CHECKING:
    from cli.dex.arb.place import ArbPlace
    from cli.dex.arb.runner import ArbRun
    from cli.dex.desk import DexDesk
    from dex.arbitrage.journal import Ended, Found
    from domain import Address


class Broadcast(StrEnum):
    """How transactions reach the chain."""

    PUBLIC = "public"
    PRIVATE = "private"
    BUNDLE = "bundle"


def run(
    config: ConfigOption = None,
    rpc_url: RpcUrlOption = "",
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    seconds: Annotated[float, typer.Option(min=0, help="Stop after so long; 0 runs until it is interrupted.")] = 0,
    executor: Annotated[str, typer.Option(help="The executor's address; the account's own unless given.")] = "",
    start: StartOption = [],  # noqa: B006 - typer reads the default and never changes it
    legs: LegsOption = 3,
    tolerance_bps: Annotated[
        int, typer.Option(min=0, max=9999, help="Revert when the profit is so much less than predicted.")
    ] = 100,
    min_net_wei: Annotated[int, typer.Option(min=0, help="What must be left after gas, in wei.")] = 0,
    tip_bps: Annotated[int, typer.Option(min=0, max=10_000, help="Share of the profit for the block's builder.")] = 0,
    broadcast: Annotated[
        Broadcast, typer.Option(help="The way to the chain: the others keep a cycle from everybody's eyes.")
    ] = Broadcast.PUBLIC,
    follow_waiting: Annotated[
        bool, typer.Option("--follow-waiting", help="Follow waiting transactions within their block.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Find and write down; send nothing.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report there when it ends.")] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Search for cycles that pay, block by block, and carry them out through custody.

    Each transaction pays its predicted profit or reverts, and is simulated before it is signed. On a devnet the
    executor is deployed first if it is not there.
    """
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    if not yes and not dry_run and config is not None:
        typer.confirm("This sends transactions of your installation. Go on?", abort=True, err=True)

    asked = _Asked(
        seconds,
        executor,
        tuple(start),
        legs,
        tolerance_bps,
        min_net_wei,
        tip_bps,
        broadcast,
        dry_run,
        follow_waiting,
        report,
    )
    output.table(asyncio.run(_run(place, asked)), as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Asked:
    seconds: float
    executor: str
    start: tuple[str, ...]
    legs: int
    tolerance_bps: int
    min_net_wei: int
    tip_bps: int
    broadcast: Broadcast
    dry_run: bool
    follow_waiting: bool
    report: Path | None


async def _run(place: DeskPlace, asked: _Asked) -> dict[str, object]:
    from chain import parse_address
    from cli.dex.arb.place import execution_of, open_place
    from cli.dex.desk import open_desk
    from cli.dex.devnet_policy import NO_MORE

    executor = parse_address(asked.executor) if asked.executor else None
    allowed = NO_MORE
    if place.config is None:
        executor = executor or await _default_executor(place)
        allowed = execution_of(executor)
    async with open_desk(place, allowed) as desk:
        where = await open_place(desk.client, desk.network, desk.account)
        return await _search(desk, where, executor or where.default_executor, place, asked)


async def _default_executor(place: DeskPlace) -> Address:
    """Where a devnet account's own executor stands, or will: its policy names it before the desk is opened."""
    from chain import ChainClient
    from chain.devnet import TEST_ADDRESSES
    from chain.network import chain_id_at, identify
    from cli.dex.arb.place import open_place

    async with ChainClient([place.rpc_url], await chain_id_at(place.rpc_url)) as client:
        network = await identify(client)
        return (await open_place(client, network, TEST_ADDRESSES[place.account])).default_executor


async def _search(
    desk: DexDesk, where: ArbPlace, executor: Address, place: DeskPlace, asked: _Asked
) -> dict[str, object]:
    from cli.dex.arb.deploy import ensure_deployed
    from cli.dex.arb.log import FILE, totals
    from cli.dex.arb.place import roles_of
    from cli.dex.arb.runner import ArbRun, RunOptions
    from dex.arbitrage.deployment import check_executor
    from dex.arbitrage.journal import OpportunityLog
    from runtime import SystemClock

    if not asked.dry_run:
        if desk.is_devnet and executor == where.default_executor:
            await ensure_deployed(desk, roles_of(desk.account), where.deployment)
        await check_executor(desk.client, executor, desk.account, where.deployment)
    options = RunOptions(
        executor=executor,
        start=where.start_tokens(asked.start),
        legs_max=asked.legs,
        tolerance_bps=asked.tolerance_bps,
        margin_wei=asked.min_net_wei,
        tip_bps=asked.tip_bps,
        broadcast=asked.broadcast.value,
        dry_run=asked.dry_run,
        follows_waiting=asked.follow_waiting,
    )
    clock, journal = SystemClock(), OpportunityLog(desk.root / FILE)
    name = f"{clock.now_ns() // 10**6:x}"
    with _progress(asked.seconds) as show:
        run = ArbRun(desk, where, options, clock.now_ns, journal, name, ws_url=_ws_url(place), told=show)
        await _until(run, asked.seconds)
    mine = set(run.ids)
    rows = [row for row in journal.rows() if row.found.id in mine]
    result = totals(rows)
    result["blocks"] = run.blocks
    result["cycles"] = len(run.searcher.index.cycles)
    if run.reactions_ns:
        result["reaction_ms_median"] = round(statistics.median(run.reactions_ns) / 1e6, 2)
    result["ledger_differences"] = {
        asset: [str(ours), str(theirs)] for asset, (ours, theirs) in (await desk.differences()).items()
    }
    result["log"] = str(journal.path)
    if asked.report is not None:
        from cli.dex.arb.report import write_report

        write_report(asked.report, rows)
        result["report"] = str(asked.report)
    return result


async def _until(run: ArbRun, seconds: float) -> None:
    """Run for so long, or until SIGINT or SIGTERM; what is under way is waited for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    timer = loop.call_later(seconds, stop.set) if seconds else None
    try:
        await run.run(stop)
    finally:
        if timer is not None:
            timer.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _ws_url(place: DeskPlace) -> str:
    """The node's WebSocket: an installation's settings say where, a devnet has it at the same port."""
    if place.config is None:
        return "ws" + place.rpc_url.removeprefix("http")
    from cli.settings import load_settings

    chain = load_settings(place.config).chain
    return chain.ws_url if chain is not None else ""


@contextmanager
def _progress(seconds: float) -> Iterator[Callable[[Found | Ended], None]]:
    """Show on standard error how the run goes, where a person looks at it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from dex.arbitrage.journal import Found

    counts = {"found": 0, "mined": 0, "failed": 0, "refused": 0, "unknown": 0}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("searching", total=seconds or None)

        def show(entry: Found | Ended) -> None:
            counts["found" if isinstance(entry, Found) else entry.status] += 1
            words = "found {found}, mined {mined}, reverted {failed}, refused {refused}".format(**counts)
            progress.update(bar, description=words, completed=progress.tasks[0].elapsed or 0)

        yield show
