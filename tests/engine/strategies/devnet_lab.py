"""Runs strategies with pools between a sandbox exchange and a devnet: the real runner, follower, custody and ledger.

Wired as `cli/engine_process.py` does it: swaps are planned, judged by policy, signed behind the signer's guard, sent,
followed to finality and booked; only the signer is in this process. The exchange's price wanders away from the pools,
whose price nobody else moves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cex import CcxtVenue
from chain.devnet import Devnet
from cli.wiring import CustodyDesk, differences, load_chain_book
from custody import Books, DeskOptions
from custody.ledger import vault_account, venue_account
from dex import PoolFollower
from domain import ChainId
from engine.journal import Journal, read_journal
from engine.native import NativeKernel
from engine.ports import ExchangeVenue
from engine.replay import replay
from engine.runner import LiveRunner
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel
from engine.wiring import Wiring
from runtime import SystemClock
from tests.custody.desk import VAULT, build_desk
from tests.engine.strategies.cases import ROOM
from tests.engine.strategies.flow import Flow
from tests.engine.strategies.lab import SECONDS_MAX, Relay, exchange, venue_settings

POOLS = ("v3:USDC/WETH:500", "v2:USDC/WETH:3000")
ASSETS: Mapping[str, Any] = {
    "USD": {"members": ["USDC"]},
    "ETH": {"members": ["ETH", "WETH"], "mark": "sandbox:ETHUSDC"},
}
HELD = {"WETH": 100 * 10**18, "USDC": 300_000 * 10**6}


@dataclass
class Settled:
    """What a run between exchange and chain left behind."""

    kernel: NativeKernel
    differences: list[dict[str, Any]]
    """Where the ledger and what exchange and chain say disagree."""
    decided: str
    replayed: str

    @property
    def swaps(self) -> int:
        return sum(settled.status == "mined" for settled in self.kernel.settled.values())


async def trade_on_devnet(
    devnet: Devnet, strategy: Mapping[str, Any], folder: Path, *, fills: int, swaps: int, flow: Flow
) -> Settled:
    """Run until there are so many fills and swaps, then wind down: legs finished, everything settled and booked.

    Raises:
        TimeoutError: It does not come so far.
    """
    clock, relay = SystemClock(), Relay()
    chain = ChainId(devnet.world.chain_id)
    (folder / "devnet.json").write_bytes(devnet.world.to_json())
    await devnet.fund(VAULT, eth_wei=10 * 10**18, tokens=HELD)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(devnet.client())
        book = load_chain_book(folder / "devnet.json", chain, POOLS)
        url = await stack.enter_async_context(exchange(flow, ["ETHUSDC"], flow.seed))
        venue = CcxtVenue(venue_settings("sandbox", url, ["ETHUSDC"]), clock=clock)
        await venue.start(relay.emit)
        stack.push_async_callback(venue.stop)
        venues: dict[str, ExchangeVenue] = {"sandbox": venue}
        settings = EngineSettings.model_validate({"risk": ROOM, "assets": ASSETS, "strategies": [dict(strategy)]})
        config = RunConfig(
            "lab", "live", settings, tuple(venue.instruments.values()), tuple(book.pools.values()), book.native
        )
        kernel = build_kernel(config)
        journal = Journal.open(folder / "journal.bin", config.to_header())
        stack.callback(journal.close)
        made = build_desk(devnet.world, client, folder, options=DeskOptions(poll_s=0.01, confirmations=1))
        stack.callback(made.database.dispose)
        await made.custody.start(relay.emit)
        stack.push_async_callback(made.custody.stop)
        desk, vault = CustodyDesk(made.custody, client, book, VAULT), vault_account(chain, VAULT)
        stepped = asyncio.Event()
        wiring = Wiring(
            venues=venues,
            desk=desk,
            bookkeeper=Books(made.ledger, vault),
            clock=clock,
            timer_ms=25,
            on_step=lambda _event, _commands: stepped.set(),
        )
        runner = LiveRunner(kernel, journal, wiring)
        relay.connect(runner.emit)

        async def prepare() -> None:
            await desk.approve_routers({asset.id: 10**26 for asset, _ in book.tokens.values()})
            follower = PoolFollower(client, list(book.pools.values()), clock.now_ns, poll_s=0.02)
            stack.push_async_callback(follower.stop)
            await follower.start(runner.emit)

        wiring.prepare = prepare
        stop = asyncio.Event()
        task = asyncio.create_task(runner.run(stop))

        def is_done() -> bool:
            mined = sum(settled.status == "mined" for settled in kernel.settled.values())
            return task.done() or (kernel.trades_booked >= fills and mined >= swaps)

        try:
            async with asyncio.timeout(SECONDS_MAX):
                while not is_done():
                    stepped.clear()
                    await stepped.wait()
        finally:
            stop.set()
            await task
        await made.custody.drain(30.0)
        found = {
            venue_account("sandbox"): _something(await venue.balances()),
            vault: _something(await desk.balances()),
        }
        _header, events = read_journal(journal.path)
        again = replay(build_kernel(config), events).hex
        return Settled(kernel, differences(made.ledger, found), runner.decisions.hex, again)


def _something(balances: Mapping[str, int]) -> dict[str, int]:
    return {asset: raw for asset, raw in balances.items() if raw}
