"""The bugs of other relayers, as tests: nonce gaps, duplicates after a restart, eternal "nonce too low", races.

- boltz #1201: 24 nonces were handed out and never sent; everything later was stuck.
- gear-bridges #842: a cached nonce was used again after a failure, and transactions were sent twice.
- rrelayer #36: after a restart a used nonce was sent for ever, each time answered "nonce too low".
- across #3651: senders that start at once all read `latest`, and all took the same nonce.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from custody import DeskOptions, State, Step
from custody.transactions.outbox import GAP
from custody.transactions.records import Kind
from domain import InputError, Refused, VenueUnavailable
from runtime import ManualClock
from tests.custody.desk import VAULT, TestDesk, build_desk, nonce_and_transactions, swap
from tests.custody.reindex import check_against_chain
from tests.custody.test_desk import running_desk
from tests.custody.test_faults import check_books, until
from wallets import Network, TransactionToSign

pytestmark = pytest.mark.anvil
QUICK = DeskOptions(poll_s=0.005, rebroadcast_s=0.05, gap_s=0.05)


@pytest.fixture
async def slow() -> AsyncIterator[Devnet]:
    """A devnet of its own."""
    try:
        devnet = await Devnet.start(DevnetConfig())
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    async with devnet:
        await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
        yield devnet


async def foreign(client: ChainClient, nonce: int) -> None:
    """The vault's key is used from elsewhere: anvil knows it."""
    transaction = {"from": VAULT, "to": VAULT, "value": "0x0", "nonce": hex(nonce), "gas": "0x5208"}
    await client.rpc.request("eth_sendTransaction", transaction)


async def gaps_of(desk: TestDesk) -> list[int]:
    """The nonces that custody used up itself."""
    found = [desk.custody._outbox.find(f"{GAP}/1337/{VAULT}/{nonce}") for nonce in range(80)]
    return [intent.nonce for intent in found if intent is not None and intent.nonce is not None]


class Fussy:
    """A signer that refuses some transactions, told by the nonce it is asked for."""

    def __init__(self, inner: Any, refused: set[int]) -> None:
        self._inner, self.refused = inner, refused
        self.waits_for = 0
        """Answers nobody before so many ask at once; then refuses, once, whom it refuses."""
        self.busy = 0
        self.busy_max = 0

    @property
    def address(self) -> Any:
        return self._inner.address

    async def sign_transaction(self, tx: TransactionToSign, *, network: Any, evidence: Any = None) -> Any:
        self.busy += 1
        self.busy_max = max(self.busy, self.busy_max)
        try:
            await asyncio.sleep(0)
            if self.waits_for:
                await until(lambda: self.busy_max >= self.waits_for)
            if tx.nonce in self.refused and tx.data:
                self.refused.discard(tx.nonce if self.waits_for else -1)
                raise Refused("not this one", rule="test")
            return await self._inner.sign_transaction(tx, network=network, evidence=evidence)
        finally:
            self.busy -= 1


async def test_nonces_handed_out_and_never_signed_do_not_hold_up_the_later_ones(slow: Devnet, tmp_path: Path) -> None:
    """boltz #1201: 24 in a row come back while later ones are out already."""
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path)
        await desk.custody.stop()
        signer = Fussy(desk.signer, set(range(4, 28)))
        options = replace(QUICK, lanes=40)
        desk = build_desk(slow.world, client, tmp_path, options=options, signer=signer)
        await desk.start()
        signer.waits_for = 26
        for n in range(26):
            await desk.custody.submit(swap(slow.world, f"i{n}"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        statuses = [desk.outcome(f"i{n}").status for n in range(26)]
        assert statuses.count("refused") == 24
        assert statuses.count("mined") == 2
        index = await check_against_chain(client, desk.database, VAULT)
        assert sorted(index.nonces) == list(range(4 + len(await gaps_of(desk)) + 2))
        assert await desk.differences() == {}


async def test_a_nonce_that_comes_back_is_given_to_the_next_one_first(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path)
        await desk.custody.stop()
        signer = Fussy(desk.signer, {4})
        desk = build_desk(slow.world, client, tmp_path, options=replace(QUICK, gap_s=60), signer=signer)
        await desk.start()
        signer.waits_for = 2  # The first is refused when the second has the next nonce already.
        for name in ("first", "second"):
            await desk.custody.submit(swap(slow.world, name))
        await until(lambda: len([s for s in desk.settled if s.status == "refused"]) == 1)
        await desk.custody.submit(swap(slow.world, "third"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert await client.nonce(VAULT) == 6
        assert await gaps_of(desk) == []
        third = desk.custody._outbox.find("third")
        assert third is not None
        assert third.nonce == 4


async def test_several_are_signed_at_a_time_under_nonces_without_gaps(slow: Devnet, tmp_path: Path) -> None:
    """across #3651: all start at once, and none takes another's nonce."""
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path)
        await desk.custody.stop()
        signer = Fussy(desk.signer, set())
        signer.waits_for = 3
        desk = build_desk(slow.world, client, tmp_path, options=QUICK, signer=signer)
        await desk.start()
        await asyncio.gather(*(desk.custody.submit(swap(slow.world, f"i{n}")) for n in range(20)))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert signer.busy_max > 2, "they were signed side by side"
        await check_books(build_desk(slow.world, client, tmp_path), client, 4 + 20)


async def test_a_failed_send_uses_neither_another_nonce_nor_other_bytes(slow: Devnet, tmp_path: Path) -> None:
    """gear-bridges #842: the node is gone exactly when something is sent, several times, with restarts between."""
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path)
        await desk.custody.stop()
        for _ in range(3):
            desk = build_desk(slow.world, client, tmp_path, options=QUICK)
            tools = desk.custody._dispatch._tools
            object.__setattr__(tools, "chain", Deaf(client))
            await desk.start()
            for n in range(3):
                await desk.custody.submit(swap(slow.world, f"i{n}"))
            await until(lambda: all(desk.custody.state(f"i{n}") is State.SIGNED for n in range(3)))  # noqa: B023
            await desk.custody.stop()
        desk = build_desk(slow.world, client, tmp_path, options=QUICK)
        await desk.start()
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        for n in range(3):
            assert [step for step, _ in desk.custody.history(f"i{n}")].count(Step.SIGNED) == 1
        await check_books(build_desk(slow.world, client, tmp_path), client, 4 + 3)


class Deaf:
    """A chain that tells everything and takes nothing."""

    def __init__(self, inner: ChainClient) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def broadcast(self, raws: list[bytes]) -> list[Any]:
        return [VenueUnavailable("nobody hears") for _ in raws]


async def test_a_used_nonce_ends_the_intent_and_is_not_sent_for_ever(slow: Devnet, tmp_path: Path) -> None:
    """rrelayer #36: signed, and before it could be sent somebody else used the nonce; then a restart."""
    async with slow.client() as client:
        clock = ManualClock(10**18)
        desk = await running_desk(slow, client, tmp_path, now_ns=clock.now_ns)
        await desk.custody.stop()
        desk = build_desk(slow.world, client, tmp_path, options=QUICK, now_ns=clock.now_ns)
        object.__setattr__(desk.custody._dispatch._tools, "chain", Deaf(client))
        await desk.start()
        await desk.custody.submit(swap(slow.world, "robbed"))
        await until(lambda: desk.custody.state("robbed") is State.SIGNED)
        await desk.custody.stop()
        await foreign(client, 4)
        await client.rpc.request("anvil_mine", "0x4")
        desk = build_desk(slow.world, client, tmp_path, options=QUICK, now_ns=clock.now_ns)
        await desk.start()
        await until(lambda: desk.custody.state("robbed") is State.BROADCAST)
        clock.advance(seconds=1)
        assert await desk.custody.drain(60)
        assert "not ours" in desk.outcome("robbed").reason
        await desk.custody.submit(swap(slow.world, "after"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert desk.outcome("after").status == "mined"


async def test_a_strangers_nonces_are_noticed_and_stepped_over(
    slow: Devnet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path, options=QUICK)
        for nonce in (4, 5):
            await foreign(client, nonce)
        await desk.custody.submit(swap(slow.world, "next"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert "custody.foreign_nonces" in capsys.readouterr().out
        intent = desk.custody._outbox.find("next")
        assert intent is not None
        assert intent.nonce == 6


async def test_a_strangers_waiting_transaction_is_not_replaced_and_its_gap_is_closed_when_it_vanishes(
    slow: Devnet, tmp_path: Path
) -> None:
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path, options=QUICK)
        await client.rpc.request("evm_setAutomine", False)
        await foreign(client, 4)
        await desk.custody.submit(swap(slow.world, "behind"))
        await until(lambda: desk.custody.state("behind") is State.BROADCAST)
        intent = desk.custody._outbox.find("behind")
        assert intent is not None
        assert intent.nonce == 5
        # The stranger's transaction is forgotten: nothing of ours is under its nonce, and ours cannot be mined.
        await client.rpc.request("anvil_dropAllTransactions")
        await until(lambda: bool(desk.custody._outbox.under([4])))
        await client.rpc.request("evm_setAutomine", True)
        await client.rpc.request("evm_mine")
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        assert await gaps_of(desk) == [4]
        assert desk.outcome("behind").status == "mined"
        assert not [s for s in desk.settled if s.intent_id.startswith(GAP)], "nobody is told of our own"
        await check_against_chain(client, desk.database, VAULT)
        assert await desk.differences() == {}


async def test_transactions_that_the_pool_forgot_are_sent_again_with_the_same_bytes(
    slow: Devnet, tmp_path: Path
) -> None:
    async with slow.client() as client:
        clock = ManualClock(10**18)
        desk = await running_desk(slow, client, tmp_path, options=QUICK, now_ns=clock.now_ns)
        await client.rpc.request("evm_setAutomine", False)
        for n in range(3):
            await desk.custody.submit(swap(slow.world, f"i{n}"))
        await until(lambda: all(desk.custody.state(f"i{n}") is State.BROADCAST for n in range(3)))
        await client.rpc.request("anvil_dropAllTransactions")
        assert await client.nonce(VAULT, "pending") == 4
        # Nothing is due before this.
        clock.advance(seconds=1)

        async def is_back() -> bool:
            return await client.nonce(VAULT, "pending") == 7

        await until(is_back)
        await client.rpc.request("evm_mine")
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        for n in range(3):
            assert [step for step, _ in desk.custody.history(f"i{n}")].count(Step.SIGNED) == 1
        await check_books(build_desk(slow.world, client, tmp_path), client, 4 + 3)


async def test_a_nonce_signed_by_a_forgotten_desk_is_used_up_and_not_sent_for_ever(
    slow: Devnet, tmp_path: Path
) -> None:
    """Custody's database is older than the signer's journal, which will not sign the nonce for anything else."""
    async with slow.client() as client:
        desk = await running_desk(slow, client, tmp_path, options=QUICK)
        await desk.custody.stop()
        # What the lost desk had signed, and never sent.
        lost = TransactionToSign(
            chain_id=client.chain_id,
            nonce=4,
            to=swap(slow.world, "lost").to,
            data=swap(slow.world, "lost").data,
            gas_limit=300_000,
            max_fee_per_gas_wei=3 * 10**9,
            max_priority_fee_per_gas_wei=10**9,
        )
        await desk.signer.sign_transaction(lost, network=Network.DEVNET)
        desk = build_desk(slow.world, client, tmp_path, options=QUICK)
        await desk.start()
        await desk.custody.submit(swap(slow.world, "victim"))
        await desk.custody.submit(swap(slow.world, "later"))
        assert await desk.custody.drain(60)
        await desk.custody.stop()
        victims = [name for name in ("victim", "later") if desk.outcome(name).status != "mined"]
        assert len(victims) == 1
        assert desk.outcome(victims[0]).reason.startswith("cancelled: ")
        intent = desk.custody._outbox.find(victims[0])
        assert intent is not None
        assert intent.nonce == 4
        assert intent.attempts[-1].kind is Kind.CANCEL
        nonce, by_nonce = await nonce_and_transactions(client, VAULT)
        assert sorted(by_nonce) == list(range(nonce))
        assert await desk.differences() == {}
