"""The head follower: what is applied always equals the node's chain, through any reorganisation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from chain import Block, ChainClient, Log, NodeRefused
from chain.abi import address_word, selector, topic, uint_word
from chain.backfill import Topics
from chain.devnet import DEPLOYER, TEST_ADDRESSES, Devnet
from chain.finality import Finality, FinalityRule
from chain.heads import Applied, HeadEvent, HeadFollower, Restarted, Reverted, Unreachable
from chain.records import BlockRef
from chain.undo import UndoRing
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
    range_max: int = 1_000
    asked: int = 0

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
        if ref in ("safe", "finalized"):
            return None
        if isinstance(ref, int):
            chain = self.canonical()
            return self.blocks[chain[ref]] if ref < len(chain) else None
        block = self.blocks.get(str(ref))
        return block if block is not None and block.hash in self.canonical() else None

    def grow_elsewhere(self) -> None:
        """Reorganise while the follower is in the middle of asking."""
        self.roll_back(self.random.randint(1, 3))
        self.grow(self.random.randint(1, 4))

    async def find_blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        if self.random.random() < self.forgets:
            self.grow_elsewhere()
        chain = self.canonical()
        return [self.blocks[chain[number]] if number < len(chain) else None for number in numbers]

    async def logs(
        self,
        *,
        addresses: Sequence[str] = (),
        topics: Topics = (),
        from_block: BlockRef | None = None,
        to_block: BlockRef | None = None,
        block_hash: str | None = None,
    ) -> list[Log]:
        if self.random.random() < self.forgets:
            self.grow_elsewhere()
        chain = self.canonical()
        self.asked += 1
        if block_hash is None:
            assert isinstance(from_block, int)
            assert isinstance(to_block, int)
            if to_block - from_block >= self.range_max:
                raise NodeRefused("range too long", code=-32005)
            return [
                entry for number in range(from_block, to_block + 1) for entry in self._logs(chain[number : number + 1])
            ]
        if block_hash not in chain:
            raise NodeRefused("unknown block", code=-32000)
        return self._logs([block_hash])

    def _logs(self, hashes: Sequence[str]) -> list[Log]:
        return [
            Log(CONTRACT, (), h.encode(), self.blocks[h].number, h, "0x", i)
            for h in hashes
            for i in range(self.blocks[h].number % 3)
        ]


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
        source.grow(chance.randint(0, 14))
        source.range_max = chance.choice([1, 5, 1_000])
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


async def test_a_long_gap_is_filled_with_few_questions_and_halved_ranges() -> None:
    source = TreeChain(5)
    start = source.blocks[source.head]
    mirror = Mirror(start)
    follower = HeadFollower(source, [CONTRACT], depth=250, gap_max=400)
    follower.begin(start)
    source.grow(200)
    assert mirror.take(await follower.advance()) == 200
    assert source.asked == 1
    source.range_max = 60
    source.grow(200)
    assert mirror.take(await follower.advance()) == 200
    assert source.asked == 1 + 2 + 4  # 200 and 100 were too long; four times 50.
    source.range_max = 1
    source.grow(20)
    assert mirror.take(await follower.advance()) == 20
    assert all(len(mirror.logs[block]) == source.blocks[block].number % 3 for block in source.canonical()[1:])


class Swapping(TreeChain):
    """Reorganises while a range of logs is being read."""

    async def logs(self, **criteria: Any) -> list[Log]:
        found = await super().logs(**criteria)
        if criteria.get("block_hash") is None:
            self.grow_elsewhere()
        return found


@pytest.mark.parametrize("seed", range(5))
async def test_a_range_of_logs_is_not_believed_when_the_chain_moved_under_it(seed: int) -> None:
    source = Swapping(seed)
    start = source.blocks[source.head]
    mirror = Mirror(start)
    follower = HeadFollower(source, [CONTRACT])
    follower.begin(start)
    source.grow(9)
    mirror.take(await follower.advance())
    assert set(mirror.logs) <= set(source.blocks)
    for block_hash, logs in mirror.logs.items():
        assert len(logs) == source.blocks[block_hash].number % 3


async def test_blocks_are_labelled_by_depth_and_labels_never_go_back() -> None:
    source = TreeChain(6)
    follower = HeadFollower(source, [], finality=FinalityRule("tags", safe_depth=3, final_depth=6))
    follower.begin(source.blocks[source.head])
    source.grow(10)
    await follower.advance()
    labels = [follower.label(source.blocks[block]) for block in source.canonical()]
    assert labels == [Finality.FINAL] * 5 + [Finality.SAFE] * 3 + [Finality.LATEST] * 3
    lost = source.blocks[source.head]
    source.roll_back(2)
    source.grow(1)
    await follower.advance()
    assert follower.label(lost) is None
    assert (follower.marks.safe, follower.marks.final) == (7, 4)


@pytest.mark.anvil
async def test_the_node_s_own_tags_label_blocks(devnet: Devnet, chain_client: ChainClient) -> None:
    start = await chain_client.head()
    follower = HeadFollower(chain_client, [], finality=FinalityRule())
    follower.begin(start)
    await chain_client.rpc.request("anvil_mine", hex(3))
    await follower.advance()
    tagged = [await chain_client.find_block(tag) for tag in ("safe", "finalized")]
    assert [follower.marks.safe, follower.marks.final] == [block.number for block in tagged if block is not None]
    assert follower.label(await chain_client.head()) is Finality.LATEST


@pytest.mark.parametrize("seed", range(10))
async def test_what_the_undo_ring_gives_back_restores_the_state_log_by_log(seed: int) -> None:
    source = TreeChain(seed)
    follower = HeadFollower(source, [CONTRACT], depth=8)
    follower.begin(source.blocks[source.head])
    ring: UndoRing[tuple[str, ...]] = UndoRing(8)
    state: tuple[str, ...] = ()
    chance = random.Random(seed)
    for _ in range(60):
        source.roll_back(chance.randint(0, 6))
        source.grow(chance.randint(0, 6))
        for event in await follower.advance():
            if isinstance(event, Applied):
                ring.begin(event.block)
                for entry in event.logs:
                    ring.keep(state)
                    state = (*state[-3:], f"{entry.block_hash}:{entry.index}")
            elif isinstance(event, Reverted):
                undos = ring.take(event.block)
                assert undos is not None
                assert len(undos) == len(event.undone)
                for entry, undo in zip(event.undone, undos, strict=True):
                    assert state[-1] == f"{entry.block_hash}:{entry.index}"
                    state = undo
            else:
                assert isinstance(event, Restarted)
                ring.clear()
                state = ()
    assert len(ring) <= 8


def test_the_undo_ring_takes_blocks_back_newest_first_and_says_when_it_ends() -> None:
    blocks = [Block(BlockNumber(n), f"0x{n}", "", n, Wei(1), 0, 0, ()) for n in range(4)]
    ring: UndoRing[int] = UndoRing(2)
    with pytest.raises(InvariantError):
        ring.keep(1)
    for block in blocks[:3]:
        ring.begin(block)
        ring.keep(int(block.number))
        ring.keep(int(block.number) + 10)
    with pytest.raises(InvariantError):
        ring.take(blocks[1])
    assert ring.take(blocks[2]) == [12, 2]
    assert ring.take(blocks[1]) == [11, 1]
    assert ring.take(blocks[0]) is None


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
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
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
