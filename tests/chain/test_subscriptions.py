"""Announcements through lost connections and reorganisations: each log told once, and taken back once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from chain import Block, ChainClient, Log, NodeRefused
from chain.codec import function
from chain.devnet import DEPLOYER, TEST_ADDRESSES, Devnet
from chain.subscriptions import (
    GapSeen,
    HeadSeen,
    LogFilter,
    LogRemoved,
    LogSeen,
    PendingSeen,
    StreamEvent,
    StreamMemory,
    Subscriptions,
)
from domain import InputError
from domain.ids import Address, BlockNumber, Wei
from tests.chain.ws_node import CONTRACT, WsNode

MINT = function("mint(address account, uint256 value) returns (bool)")


class Listener:
    """Builds the list of logs from what it is told, and wakes whoever waits for a state of it."""

    def __init__(self) -> None:
        self.logs: list[tuple[str, int]] = []
        self.heads: list[int] = []
        self.pending: list[PendingSeen] = []
        self.gaps: list[GapSeen] = []
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def wake(self) -> None:
        self._changed.set()

    async def take(self, event: StreamEvent) -> None:
        if isinstance(event, LogSeen):
            key = (event.log.block_hash, event.log.index)
            assert key not in self.logs
            self.logs.append(key)
        elif isinstance(event, LogRemoved):
            self.logs.remove((event.log.block_hash, event.log.index))
        elif isinstance(event, HeadSeen):
            self.heads.append(int(event.block.number))
        elif isinstance(event, PendingSeen):
            self.pending.append(event)
        else:
            self.gaps.append(event)
        self._changed.set()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                self._changed.clear()
                if self.task is not None and self.task.done():
                    self.task.result()
                await self._changed.wait()


@asynccontextmanager
async def listening(
    node: WsNode, **options: object
) -> AsyncIterator[tuple[Listener, Subscriptions, asyncio.Task[None]]]:
    listener = Listener()
    async with ChainClient([node.url], 1337) as client:
        stream = Subscriptions(node.ws_url, client, logs=LogFilter([CONTRACT]), **options)  # type: ignore[arg-type]
        task = asyncio.create_task(stream.run(listener.take))
        task.add_done_callback(lambda _: listener.wake())
        listener.task = task
        try:
            yield listener, stream, task
        finally:
            task.cancel()
            await asyncio.wait({task})


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chain.subscriptions._PAUSES_S", (0.0,))


def _since(node: WsNode, start: int) -> list[tuple[str, int]]:
    return [key for block in node.chain[start:] for key in [(block["hash"], i) for i in range(len(block["logs"]))]]


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("seed", range(8))
async def test_the_logs_told_are_the_chain_s_through_drops_and_reorganisations(seed: int) -> None:
    async with WsNode(seed).serving() as node, listening(node) as (listener, stream, _):
        await node.connected.wait()
        start = len(node.chain)
        await node.mine()
        await listener.until(lambda: listener.heads)
        chance = random.Random(seed)
        for _ in range(12):
            if chance.random() < 0.4:
                # The connection is lost; the chain goes on and reorganises without a word.
                await node.cut()
                await node.reorganise(chance.randint(1, min(4, len(node.chain) - start)), chance.randint(1, 5))
                node.restore()
                await node.connected.wait()
            elif chance.random() < 0.5:
                await node.reorganise(chance.randint(1, min(4, len(node.chain) - start)), chance.randint(1, 5))
            await node.mine(chance.randint(1, 3))
            await listener.until(lambda: sorted(listener.logs) == sorted(_since(node, start)))
        assert stream.connections >= 1


@pytest.mark.usefixtures("_no_pauses")
async def test_a_gap_too_long_to_fill_is_told() -> None:
    async with WsNode(1).serving() as node, listening(node, gap_max=10) as (listener, _, _task):
        await node.connected.wait()
        await node.mine()
        await listener.until(lambda: listener.heads)
        last = listener.heads[-1]
        await node.cut()
        await node.mine(11)
        node.restore()
        await listener.until(lambda: listener.gaps)
        (gap,) = listener.gaps
        assert (gap.after, gap.head.number) == (last, last + 11)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("text", ["not json", "[]", '{"params": {"subscription": "0xb", "result": {"address": 7}}}'])
async def test_damaged_announcements_mean_a_new_connection(text: str) -> None:
    async with WsNode(2).serving() as node, listening(node) as (listener, stream, _):
        await node.connected.wait()
        start = len(node.chain)
        await node.mine()
        await listener.until(lambda: listener.heads)
        node.connected.clear()
        await node.say(text)
        await node.connected.wait()
        await node.mine(5)
        await listener.until(lambda: sorted(listener.logs) == sorted(_since(node, start)))
        assert stream.connections >= 2


async def test_transactions_that_wait_come_with_or_without_their_contents() -> None:
    async with WsNode(3).serving() as node, listening(node, full_pending=True) as (listener, _, _task):
        await node.connected.wait()
        await node.mine()
        await listener.until(lambda: listener.heads)
        await node.wait_pending("0x" + "ab" * 32)
        sender, to = TEST_ADDRESSES[:2]
        whole = {"hash": "0xcd", "from": sender, "to": to, "nonce": "0x5", "value": "0x7", "input": "0x0102"}
        await node.wait_pending(whole)
        await listener.until(lambda: len(listener.pending) == 2)
        assert listener.pending[0] == PendingSeen("0x" + "ab" * 32, None)
        assert listener.pending[1].transaction is not None
        assert (listener.pending[1].transaction.to, listener.pending[1].transaction.data) == (to, b"\x01\x02")


async def test_a_subscription_the_node_does_not_offer_is_told() -> None:
    async with WsNode(4).serving() as node, listening(node, pending=True) as (_, _stream, task):
        node.refuses = {"newPendingTransactions"}
        async with asyncio.timeout(60):
            with pytest.raises(NodeRefused, match="no such subscription"):
                await task


async def test_a_node_of_another_chain_is_told() -> None:
    async with WsNode(5).serving() as node, ChainClient([node.url], 1337) as client:
        node.chain_id = 5
        stream = Subscriptions(node.ws_url, client)
        async with asyncio.timeout(60):
            with pytest.raises(InputError, match="expected chain 1337"):
                await stream.run(Listener().take)
        with pytest.raises(InputError, match="ws://"):
            Subscriptions(node.url, client)


def test_the_memory_forgets_what_no_reorganisation_reaches() -> None:
    memory = StreamMemory(2)

    def entry(number: int, index: int = 0) -> Log:
        return Log(Address(CONTRACT), (), b"", BlockNumber(number), f"0x{number}", "0x", index)

    def block(number: int) -> Block:
        return Block(BlockNumber(number), f"0x{number}", "", number, Wei(1), 0, 0, ())

    for number in (1, 2, 3):
        assert memory.take(entry(number)) is not None
    assert memory.take(entry(3)) is None
    memory.see(block(4))
    assert memory.numbers() == {2, 3, 4}
    assert memory.take_back(entry(1)) is None
    assert memory.ancestor({2: "0x2", 3: "0xother"}) == 2
    assert memory.ancestor({}) is None
    assert [event.log.block_number for event in memory.lost({2: "0x2"})] == [3]
    assert memory.take_back(entry(3)) is None
    assert memory.lost({2: "0x2"}) == []
    with pytest.raises(InputError):
        StreamMemory(0)


@pytest.mark.anvil
async def test_anvil_announces_heads_logs_and_pending_transactions(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    listener = Listener()
    url = devnet.world.rpc_url.replace("http", "ws")
    stream = Subscriptions(url, chain_client, logs=LogFilter([usdc]), pending=True)
    task = asyncio.create_task(stream.run(listener.take))
    try:
        await asyncio.wait_for(stream.connected.wait(), 60)
        request = {"from": DEPLOYER, "to": usdc, "data": "0x" + MINT.encode(TEST_ADDRESSES[0], 5).hex()}
        tx_hash = await chain_client.rpc.request("eth_sendTransaction", {**request, "gas": hex(200_000)})
        await listener.until(lambda: listener.logs and listener.heads and listener.pending)
        assert listener.pending[0].tx_hash == tx_hash
        assert listener.heads == [(await chain_client.wait_receipt(tx_hash)).block_number]
    finally:
        task.cancel()
        await asyncio.wait({task})
