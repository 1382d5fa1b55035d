"""The head follower: what is applied always equals the node's chain, through any reorganisation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chain import Block, ChainClient, Log, NodeRefused
from chain.abi import address_word, selector, topic, uint_word
from chain.devnet import DEPLOYER, TEST_ADDRESSES, Devnet
from chain.heads import Applied, HeadEvent, HeadFollower, Restarted, Reverted, Unreachable
from chain.records import BlockRef
from domain.errors import InvariantError, VenueUnavailable
from domain.ids import Address, BlockNumber, Wei

CONTRACT = Address("0x00000000000000000000000000000000000000C0")


@dataclass
class TreeChain:
    """A block tree with a movable head, and a node that forgets losing branches now and then."""

    seed: int
    blocks: dict[str, Block] = field(default_factory=dict)
    head: str = ""
    forgets: float = 0.0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.head = self._add("0x" + "00" * 32, 0)

    def _add(self, parent: str, number: int) -> str:
        block_hash = f"0x{self.random.getrandbits(256):064x}"
        self.blocks[block_hash] = Block(BlockNumber(number), block_hash, parent, number, Wei(1), 0, 0, ())
        return block_hash

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.head = self._add(self.head, self.blocks[self.head].number + 1)

    def roll_back(self, count: int) -> None:
        for _ in range(min(count, self.blocks[self.head].number)):
            self.head = self.blocks[self.head].parent_hash

    def canonical(self) -> list[str]:
        chain, at = [], self.head
        while at in self.blocks:
            chain.append(at)
            at = self.blocks[at].parent_hash
        return chain[::-1]

    async def find_block(self, ref: BlockRef) -> Block | None:
        if self.random.random() < self.forgets:
            self.grow_elsewhere()
        if ref == "latest":
            return self.blocks[self.head]
        block = self.blocks.get(str(ref))
        return block if block is not None and block.hash in self.canonical() else None

    def grow_elsewhere(self) -> None:
        """Reorganise while the follower is in the middle of asking."""
        self.roll_back(self.random.randint(1, 3))
        self.grow(self.random.randint(1, 4))

    async def logs(self, *, addresses: Sequence[str], block_hash: str) -> list[Log]:
        if block_hash not in self.canonical():
            raise NodeRefused("unknown block", code=-32000)
        number = self.blocks[block_hash].number
        return [Log(CONTRACT, (), block_hash.encode(), number, block_hash, "0x", i) for i in range(number % 3)]


class FlakyChain(TreeChain):
    failures_left = 0

    async def find_block(self, ref: BlockRef) -> Block | None:
        if self.failures_left:
            self.failures_left -= 1
            raise VenueUnavailable("down")
        return await super().find_block(ref)


class Mirror:
    """Applies what the follower emits and checks that it is coherent."""

    def __init__(self, start: Block) -> None:
        self.chain = [start.hash]
        self.logs: dict[str, tuple[Log, ...]] = {}
        self.restarts = 0

    def take(self, events: Sequence[HeadEvent]) -> int:
        for event in events:
            self._take(event)
        return len(events)

    def _take(self, event: HeadEvent) -> None:
        if isinstance(event, Applied):
            assert event.block.parent_hash == self.chain[-1]
            self.chain.append(event.block.hash)
            self.logs[event.block.hash] = event.logs
        elif isinstance(event, Reverted):
            assert self.chain.pop() == event.block.hash
            assert self.logs.pop(event.block.hash) == event.logs
        else:
            assert isinstance(event, Restarted)
            self.restarts += 1
            self.chain, self.logs = [event.block.hash], {}


@pytest.mark.parametrize("seed", range(25))
async def test_the_applied_chain_is_the_canonical_chain_after_any_reorganisation(seed: int) -> None:
    source = TreeChain(seed)
    source.grow(5)
    start = source.blocks[source.head]
    mirror = Mirror(start)
    follower = HeadFollower(source, [CONTRACT], depth=12, gap_max=40)
    follower.begin(start)
    chance = random.Random(seed)
    for _ in range(120):
        source.forgets = 0.2 if chance.random() < 0.5 else 0.0
        if chance.random() < 0.3:
            source.roll_back(chance.randint(0, 9))
        source.grow(chance.randint(0, 6))
        mirror.take(await follower.advance())
        assert follower.head is not None
        assert follower.head.hash == mirror.chain[-1]
        source.forgets = 0.0
        mirror.take(await follower.advance())
        canonical = source.canonical()
        assert mirror.chain == canonical[canonical.index(mirror.chain[0]) :]
        for block_hash, logs in mirror.logs.items():
            assert [log.data for log in logs] == [block_hash.encode()] * (source.blocks[block_hash].number % 3)


async def test_a_reorganisation_below_the_ring_restarts_from_the_new_head() -> None:
    source = TreeChain(1)
    source.grow(10)
    start = source.blocks[source.head]
    mirror = Mirror(start)
    follower = HeadFollower(source, [], depth=5)
    follower.begin(start)
    source.grow(3)
    mirror.take(await follower.advance())
    source.roll_back(7)
    source.grow(9)
    assert mirror.take(await follower.advance()) == 1
    assert mirror.restarts == 1
    assert mirror.chain == [source.head]


async def test_a_gap_too_long_to_fill_restarts() -> None:
    source = TreeChain(2)
    mirror = Mirror(source.blocks[source.head])
    follower = HeadFollower(source, [], gap_max=10)
    follower.begin(source.blocks[source.head])
    source.grow(10)
    assert mirror.take(await follower.advance()) == 10
    source.grow(11)
    assert mirror.take(await follower.advance()) == 1
    assert mirror.restarts == 1


async def test_following_without_a_starting_block_is_our_bug() -> None:
    with pytest.raises(InvariantError):
        await HeadFollower(TreeChain(3), []).advance()


async def test_an_unreachable_node_is_told_once_and_recovery_begins_anew() -> None:
    source = FlakyChain(4)
    mirror = Mirror(source.blocks[source.head])
    follower = HeadFollower(source, [], poll_s=0.001)
    follower.begin(source.blocks[source.head])
    told: list[HeadEvent] = []
    outage_over = asyncio.Event()

    async def handle(events: Sequence[HeadEvent]) -> None:
        told.extend(events)
        if isinstance(events[-1], Restarted):
            mirror.take(events)
            outage_over.set()

    source.failures_left = 3
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(follower.run(handle))
        await outage_over.wait()
        running.cancel()
    assert [type(event) for event in told] == [Unreachable, Restarted]
    assert mirror.chain == [source.head]


@pytest.mark.anvil
async def test_anvil_reorg_and_rollback_are_followed_with_their_logs(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    start = await chain_client.head()
    mirror = Mirror(start)
    follower = HeadFollower(chain_client, [usdc])
    follower.begin(start)

    async def mint(amount: int) -> None:
        data = selector("mint(address,uint256)") + address_word(TEST_ADDRESSES[0]) + uint_word(amount)
        request = {"from": DEPLOYER, "to": usdc, "data": "0x" + data.hex(), "gas": hex(200_000)}
        await chain_client.wait_receipt(await chain_client.rpc.request("eth_sendTransaction", request))

    for amount in (1, 2, 3):
        await mint(amount)
    assert mirror.take(await follower.advance()) == 3
    transfers = [log.data for logs in mirror.logs.values() for log in logs if log.topics[0] == _TRANSFER]
    assert transfers == [uint_word(1), uint_word(2), uint_word(3)]

    # The last two blocks are replaced by empty ones, and a block is added.
    await chain_client.rpc.request("anvil_reorg", 2, [])
    await mint(9)
    assert mirror.take(await follower.advance()) == 2 + 3
    assert [len(mirror.logs[h]) for h in mirror.chain[1:]][1:3] == [0, 0]
    assert mirror.chain[-1] == (await chain_client.head()).hash

    await chain_client.rpc.request("anvil_rollback", 2)
    assert mirror.take(await follower.advance()) == 2
    assert mirror.chain[-1] == (await chain_client.head()).hash


_TRANSFER = topic("Transfer(address,address,uint256)")
