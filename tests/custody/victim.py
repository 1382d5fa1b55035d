"""A desk in a process of its own that ends itself, with SIGKILL, at a given edge of a transaction's life."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chain import ChainClient
from chain.devnet import DevnetWorld
from chain.paths import Ways
from custody import DeskOptions, State
from runtime.processes import die_with_parent
from tests.custody.desk import TestDesk, build_desk, swap

# Imported once in the fork server: a victim then starts in milliseconds instead of seconds.
forkserver = multiprocessing.get_context("forkserver")
forkserver.set_forkserver_preload(
    ["tests.custody.victim", "bip_utils", "alembic.command", "sqlalchemy.dialects.sqlite"]
)


@dataclass(frozen=True)
class Orders:
    """What a victim does: submit `intents`, and die the `count`-th time it comes to `edge`.

    `edge` may be `none` (never) or `random:SEED` (any edge, one time in twelve). Intents that begin with `bad` would
    revert. The same intents give the same plans at every start, as an engine's that recovers from its journal.
    """

    world: bytes
    folder: Path
    edge: str
    count: int
    intents: tuple[str, ...]
    options: DeskOptions = field(default_factory=lambda: DeskOptions(poll_s=0.005))
    public_url: str = ""
    """The node it is given; the devnet's own when empty."""
    private_url: str = ""
    """A private endpoint; with one, its swaps are private."""
    first_alone: bool = False
    """Whether the first intent is done before the others come: what is written for many at once is so written twice."""
    mines: bool = False
    """Whether it mines blocks, once everything is out, until all is done."""


async def run_victim(orders: Orders) -> tuple[int, list[str]]:
    """Run a victim to its end; gives its exit code (-9: killed) and what it was told (`a mined`), `done` last."""
    told = orders.folder / "told.txt"
    told.write_text("")
    process = forkserver.Process(target=_victim, args=(orders, told))
    process.start()
    await asyncio.to_thread(process.join, 60)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        raise AssertionError("the victim hangs")
    return code, told.read_text().splitlines()


class _Killer:
    def __init__(self, edge: str, count: int) -> None:
        self._edge = edge
        self._left = count
        self._random = random.Random(edge)

    def __call__(self, edge: str) -> None:
        is_there = edge == self._edge or (self._edge.startswith("random:") and self._random.random() < 1 / 12)
        self._left -= is_there
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _victim(orders: Orders, told: Path) -> None:
    die_with_parent()
    asyncio.run(_trade(orders, told))


async def _until_out(desk: TestDesk) -> None:
    """Wait until everything is out, as its operators wished."""
    while True:
        working = desk.custody._outbox.working()
        if all(intent.state is State.BROADCAST and not intent.wish for intent in working):
            return
        await asyncio.sleep(0.01)


async def _trade(orders: Orders, told: Path) -> None:
    world = DevnetWorld.from_json(orders.world)
    with told.open("a", buffering=1) as out:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(ChainClient([orders.public_url or world.rpc_url], world.chain_id))
            killer = _Killer(orders.edge, orders.count)
            more: dict[str, Any] = {}
            if orders.private_url:
                more["private"] = await stack.enter_async_context(Ways(client, endpoints=[orders.private_url]))
            desk = build_desk(world, client, orders.folder, options=orders.options, checkpoint=killer, **more)
            await desk.custody.start(lambda settled: print(settled.intent_id, settled.status, file=out))
            for number, intent_id in enumerate(orders.intents):
                if orders.first_alone and number == 1:
                    assert await desk.custody.drain(60)
                plan = swap(world, intent_id, min_out=10**30 if intent_id[:3] == "bad" else 1)
                await desk.custody.submit(replace(plan, broadcast="private") if orders.private_url else plan)
            if orders.mines:
                await _until_out(desk)
                while not await desk.custody.drain(0.2):
                    await client.rpc.request("evm_mine")
            assert await desk.custody.drain(60)
            assert await desk.custody.wait_steady(20)
            assert await desk.custody.drain(60)
            await desk.custody.stop()
            print("done", file=out)
