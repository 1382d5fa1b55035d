"""Bundles go into their block together, in order and on top, or leave no trace; private transactions stay private."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise
from typing import Any

import pytest

from chain import ChainClient
from chain.devnet import DEPLOYER, Devnet, DevnetConfig, NoiseTrader
from chain.devnet.relay import BUNDLE_BYTES_MAX, BUNDLE_TRANSACTIONS_MAX, Status
from chain.devnet.relay.mining import Mining, NotMined
from chain.errors import BroadcastRejected, NodeRefused
from chain.paths import BundleClient, BundleOutcome, PrivateRelay
from chain.paths.bundle import outcome, transaction_hash
from domain import InputError, OutcomeUnknown, VenueUnavailable
from tests.chain.paths.lab import PEOPLE, Lab, open_lab

pytestmark = pytest.mark.anvil


async def test_a_bundle_is_held_for_its_block_and_mined_in_its_order(lab: Lab) -> None:
    head = (await lab.client.head()).number
    # Rising fees: a block that took the best payer first would turn them round.
    raws = [lab.payment(who, 0, maxFeePerGas=10**10 + who, maxPriorityFeePerGas=10**9 * (who + 1)) for who in range(3)]
    async with lab.rpc() as rpc:
        name = await BundleClient(rpc).send(raws, head + 2)
        assert lab.relay.outcomes[name].status is Status.HELD
        await lab.relay.look()
        assert (await lab.client.head()).number == head
        assert await outcome(lab.client, raws, head + 2) is BundleOutcome.WAITING
        await lab.devnet.fund(PEOPLE[5].address, 0, {"USDC": 1})  # Somebody else's block.
        assert (await lab.settled(name)).status is Status.INCLUDED
    block = await lab.client.block(head + 2)
    assert list(block.transactions) == [transaction_hash(raw) for raw in raws]
    assert await outcome(lab.client, raws, head + 2) is BundleOutcome.INCLUDED
    assert await outcome(lab.client, raws[::-1], head + 2) is BundleOutcome.BROKEN


async def test_a_bundle_of_which_one_reverts_leaves_no_trace(lab: Lab) -> None:
    before = await lab.client.head()
    async with lab.rpc() as rpc:
        bundles = BundleClient(rpc)
        name = await bundles.send([lab.payment(0, 0), lab.failing(1, 0)], before.number + 1)
        ended = await lab.settled(name)
    assert ended.status is Status.FAILED
    assert "reverts" in ended.reason
    assert (await lab.client.head()).hash == before.hash
    assert [await lab.client.nonce(PEOPLE[who].address, "pending") for who in (0, 1)] == [0, 0]


async def test_what_may_revert_may(lab: Lab) -> None:
    raws = [lab.payment(0, 0), lab.failing(1, 0), lab.payment(2, 0)]
    failing, block = transaction_hash(raws[1]), (await lab.client.head()).number + 1
    async with lab.rpc() as rpc:
        name = await BundleClient(rpc).send(raws, block, may_revert=[failing])
        assert (await lab.settled(name)).status is Status.INCLUDED
        with pytest.raises(InputError, match="not in the bundle"):
            await BundleClient(rpc).send(raws[:1], block, may_revert=[failing])
    receipts = [await lab.client.receipt(transaction_hash(raw)) for raw in raws]
    assert [receipt.succeeded for receipt in receipts if receipt] == [True, False, True]


@pytest.mark.parametrize("has_strangers", [True, False])
async def test_a_block_that_goes_wrong_is_taken_back_and_strangers_keep_theirs(lab: Lab, has_strangers: bool) -> None:
    before, mining = await lab.client.head(), Mining(lab.client, 0)
    ours, stranger = [lab.payment(0, 0), lab.failing(1, 0)], lab.payment(2, 0)
    async with mining.held():
        if has_strangers:
            await lab.client.send_raw(stranger)
        with pytest.raises(NotMined, match="reverted"):
            await mining.mine(ours, [transaction_hash(raw) for raw in ours], ())
        mined = [transaction_hash(stranger)] if has_strangers else []
        head = await lab.client.head()
        assert head.number == before.number + len(mined)
        assert list(head.transactions) == mined or head.hash == before.hash
        good = [lab.payment(0, 0)]
        await lab.client.send_raw(lab.payment(2, len(mined)))
        block = await mining.mine(good, [transaction_hash(raw) for raw in good], ())
        assert list(block.transactions) == [transaction_hash(good[0]), transaction_hash(lab.payment(2, len(mined)))]
    assert await lab.client.rpc.request("txpool_status") == {"pending": "0x0", "queued": "0x0"}


async def test_what_nobody_signed_keeps_its_place_too(lab: Lab) -> None:
    before, mining, raw = await lab.client.head(), Mining(lab.client, 0), lab.payment(0, 0)
    async with mining.held():
        request = {"from": DEPLOYER, "to": PEOPLE[5].address, "value": "0x7", "gas": hex(21_000)}
        await lab.client.rpc.request("eth_sendTransaction", request)
        block = await mining.mine([raw], [transaction_hash(raw)], ())
    assert block.number == before.number + 1
    assert block.transactions[0] == transaction_hash(raw)
    assert len(block.transactions) == 2


async def test_who_is_cancelled_while_taking_over_the_mining_gives_it_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered, plain = asyncio.Event(), asyncio.Event(), lab.client.rpc.request

    async def slow(method: str, *params: Any) -> Any:
        answer = await plain(method, *params)
        if (method, params) == ("evm_setAutomine", (False,)):
            asked.set()
            await answered.wait()
        return answer

    async def hold() -> None:
        async with Mining(lab.client, 0).held():
            raise AssertionError("it was cancelled before")

    monkeypatch.setattr(lab.client.rpc, "request", slow)
    holding = asyncio.create_task(hold())
    await asked.wait()
    holding.cancel()
    await asyncio.sleep(0)
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert await plain("anvil_getAutomine")


async def test_a_bundle_whose_block_came_without_it_is_missed_and_may_be_sent_again(lab: Lab) -> None:
    head, raws = (await lab.client.head()).number, [lab.payment(0, 0)]
    async with lab.rpc() as rpc:
        bundles = BundleClient(rpc)
        name = await bundles.send(raws, head + 2)
        await lab.client.rpc.request("anvil_mine", "0x2")
        assert (await lab.settled(name)).status is Status.MISSED
        assert await outcome(lab.client, raws, head + 2) is BundleOutcome.MISSED
        with pytest.raises(BroadcastRejected, match="past"):
            await bundles.send(raws, head + 1)
        assert (await lab.settled(await bundles.send(raws, head + 3))).status is Status.INCLUDED


async def test_better_paying_bundles_come_first_and_what_they_spoil_is_out(lab: Lab) -> None:
    block = (await lab.client.head()).number + 2
    poor = [lab.payment(0, 0, maxPriorityFeePerGas=10**8)]
    rich = [lab.payment(1, 0, maxPriorityFeePerGas=5 * 10**9)]
    spoiled = [lab.payment(1, 0, maxPriorityFeePerGas=10**9, value=2)]
    async with lab.rpc() as rpc:
        names = [await BundleClient(rpc).send(raws, block) for raws in (poor, spoiled, rich)]
        await lab.client.rpc.request("evm_mine")
        statuses = [(await lab.settled(name)).status for name in names[::2]]
    assert statuses == [Status.INCLUDED, Status.INCLUDED]
    mined = (await lab.client.block(block)).transactions
    assert list(mined) == [transaction_hash(rich[0]), transaction_hash(poor[0])]
    assert (await lab.settled(names[1])).status is Status.MISSED


async def test_what_a_bundle_pays_the_builder_directly_counts(lab: Lab) -> None:
    head = await lab.client.rpc.request("eth_getBlockByNumber", "latest", False)
    block, builder = int(head["number"], 16) + 2, head["miner"]
    tipping = [lab.payment(0, 0, maxPriorityFeePerGas=10**9)]
    paying = [lab.payment(1, 0, maxPriorityFeePerGas=1, to=builder, value=21_000 * 2 * 10**9)]
    async with lab.rpc() as rpc:
        bundles = BundleClient(rpc)
        told = await bundles.simulate(paying, block)
        assert told.gas_price_wei == 2 * 10**9 + 1
        names = [await bundles.send(raws, block) for raws in (tipping, paying)]
        await lab.client.rpc.request("evm_mine")
        assert [(await lab.settled(name)).status for name in names] == [Status.INCLUDED, Status.INCLUDED]
    mined = (await lab.client.block(block)).transactions
    assert list(mined) == [transaction_hash(paying[0]), transaction_hash(tipping[0])]


async def test_a_bundle_waits_for_its_time_and_is_out_after_it(lab: Lab) -> None:
    pending = await lab.client.rpc.request("eth_getBlockByNumber", "pending", False)
    now, block = int(pending["timestamp"], 16), (await lab.client.head()).number + 1
    async with lab.rpc() as rpc:
        bundles = BundleClient(rpc)
        early = await bundles.send([lab.payment(0, 0)], block, time_min_s=now + 5_000, time_max_s=now + 90_000)
        late = await bundles.send([lab.payment(1, 0)], block, time_max_s=now - 1)
        assert (await lab.settled(late)).status is Status.FAILED
        await lab.relay.look()
        assert lab.relay.outcomes[early].status is Status.HELD
        await lab.client.rpc.request("evm_increaseTime", 10_000)
        assert (await lab.settled(early)).status is Status.INCLUDED


async def test_nothing_is_lost_while_the_public_trades_and_bundles_come_and_fail(lab: Lab) -> None:
    noise = NoiseTrader(lab.client, lab.devnet.world, seed=5)
    await noise.prepare()
    public: list[str] = []

    async def trade() -> None:
        public.extend([(await noise.step())[1] for _ in range(60)])

    good, bad = [], []
    async with lab.rpc() as rpc:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(trade(), name="trade")
            for nonce in range(12):
                head = (await lab.client.head()).number
                good.append(await PrivateRelay(rpc).send_raw(lab.payment(0, nonce), head + 500))
                with contextlib.suppress(BroadcastRejected):  # The public was faster: the block is past.
                    bad.append(await BundleClient(rpc).send([lab.payment(1, 0), lab.failing(2, 0)], head + 4))
        assert [(await lab.settled(name)).status for name in good] == [Status.INCLUDED] * 12
        await lab.client.rpc.request("anvil_mine", "0x5")
        assert Status.INCLUDED not in {(await lab.settled(name)).status for name in bad}
    receipts = [await lab.client.wait_receipt(tx_hash, poll_s=0.002) for tx_hash in public]
    assert all(receipt.succeeded for receipt in receipts)


async def test_a_replacement_takes_the_place_of_what_it_replaces_and_only_its_signer_may(lab: Lab) -> None:
    block = (await lab.client.head()).number + 3
    async with lab.rpc() as rpc, lab.rpc(PEOPLE[4]) as other:
        bundles, others = BundleClient(rpc), BundleClient(other)
        first = await bundles.send([lab.payment(0, 0)], block, replacement_uuid="a")
        second = await bundles.send([lab.payment(0, 0, value=2)], block, replacement_uuid="a")
        assert lab.relay.outcomes[first].status is Status.CANCELLED
        assert not await others.cancel("a")
        assert lab.relay.outcomes[second].status is Status.HELD
        assert await bundles.cancel("a")
        assert lab.relay.outcomes[second].status is Status.CANCELLED


async def test_a_simulation_says_what_the_block_will(lab: Lab) -> None:
    raws = [lab.payment(0, 0), lab.failing(1, 0), lab.payment(0, 1)]
    head = (await lab.client.head()).number
    async with lab.rpc() as rpc:
        bundles = BundleClient(rpc)
        told = await bundles.simulate(raws, head + 1)
        assert [tx.tx_hash for tx in told.transactions] == [transaction_hash(raw) for raw in raws]
        assert [bool(tx.error) for tx in told.transactions] == [False, True, False]
        assert transaction_hash(raws[1]) in told.first_error
        assert told.state_block == head
        assert (await lab.client.head()).number == head
        name = await bundles.send(raws, head + 1, may_revert=[transaction_hash(raws[1])])
        assert (await lab.settled(name)).status is Status.INCLUDED
        receipts = [await lab.client.receipt(transaction_hash(raw)) for raw in raws]
        assert [r.gas_used for r in receipts if r] == [tx.gas_used for tx in told.transactions]
        assert told.gas_used == sum(tx.gas_used for tx in told.transactions)
        assert told.gas_price_wei == 10**9
        with pytest.raises(NodeRefused, match="nonce"):
            await bundles.simulate(raws[:1], head + 2)


@pytest.mark.parametrize(
    ("raws", "why"),
    [
        ([b"\x02"] * (BUNDLE_TRANSACTIONS_MAX + 1), "101 transactions"),
        ([b"\x02" * (BUNDLE_BYTES_MAX + 1)], "300001 bytes"),
        ([b"\x02\x03"], "not a signed transaction"),
    ],
)
async def test_what_is_no_bundle_is_refused(lab: Lab, raws: list[bytes], why: str) -> None:
    async with lab.rpc() as rpc:
        with pytest.raises(BroadcastRejected, match=why):
            await BundleClient(rpc).send(raws, 10**6)
        with pytest.raises(InputError, match="at least one"):
            await BundleClient(rpc).send([], 10**6)


async def test_who_does_not_sign_is_refused(lab: Lab) -> None:
    rpc = lab.rpc()
    rpc._address = PEOPLE[0].address  # A name that is not the signer's.
    async with rpc:
        with pytest.raises(BroadcastRejected, match="is not by"):
            await BundleClient(rpc).send([lab.payment(0, 0)], 10**6)

    async def nonsense(text: str) -> bytes:
        return b"\x01" * 64

    rpc = lab.rpc()
    rpc._sign = nonsense
    async with rpc:
        with pytest.raises(BroadcastRejected, match="missing or malformed"):
            await PrivateRelay(rpc).send_raw(lab.payment(0, 0))
    assert lab.relay.outcomes == {}


async def test_a_private_transaction_is_mined_and_was_in_no_public_pool(lab: Lab) -> None:
    head, raw = (await lab.client.head()).number, lab.payment(0, 0)
    early = lab.payment(1, 1)  # Its account's first transaction is missing: it must wait.
    async with lab.rpc() as rpc:
        private = PrivateRelay(rpc)
        held = await private.send_raw(early, head + 3)
        name = await private.send_raw(raw)
        assert name == transaction_hash(raw)
        assert (await lab.settled(name)).status is Status.INCLUDED
        assert lab.relay.outcomes[held].status is Status.HELD
        assert await lab.client.transaction(held) is None
        assert (await lab.client.rpc.request("txpool_status")) == {"pending": "0x0", "queued": "0x0"}
        await lab.client.send_raw(lab.payment(1, 0))
        assert (await lab.settled(held)).status is Status.INCLUDED


async def test_a_private_transaction_that_would_revert_is_never_mined(lab: Lab) -> None:
    head, raw = await lab.client.head(), lab.failing(0, 0)
    async with lab.rpc() as rpc:
        name = await PrivateRelay(rpc).send_raw(raw, head.number + 2)
        await lab.relay.look()
        assert lab.relay.outcomes[name].status is Status.HELD
        await lab.client.rpc.request("anvil_mine", "0x2")
        assert (await lab.settled(name)).status in (Status.MISSED, Status.FAILED)
        assert await lab.client.receipt(name) is None
        cancelled = await PrivateRelay(rpc).send_raw(lab.payment(1, 5))
        assert await PrivateRelay(rpc).cancel(cancelled)
        assert lab.relay.outcomes[cancelled].status is Status.CANCELLED


async def test_a_back_run_stands_right_behind_the_public_transaction_it_follows() -> None:
    async with await Devnet.start(DevnetConfig(order="fifo", block_time_s=3600)) as devnet, open_lab(devnet) as lab:
        public, late = lab.payment(0, 0), lab.payment(2, 0, maxPriorityFeePerGas=9 * 10**9)
        for raw in (late, public):
            await lab.client.send_raw(raw)
        block = (await lab.client.head()).number + 1
        bundle = [public, lab.payment(1, 0)]
        async with lab.rpc() as rpc:
            name = await BundleClient(rpc).send(bundle, block)
            assert (await lab.settled(name)).status is Status.INCLUDED
        mined = (await lab.client.block(block)).transactions
        assert list(mined) == [transaction_hash(raw) for raw in (*bundle, late)]


async def test_a_relay_that_is_away_or_speaks_nonsense_is_told_apart(lab: Lab) -> None:
    raw = lab.payment(0, 0)
    rpc = lab.rpc()
    rpc._url = "http://127.0.0.1:9"  # The discard port: nobody listens.
    async with rpc:
        with pytest.raises(VenueUnavailable):
            await PrivateRelay(rpc).send_raw(raw)
    rpc = lab.rpc()
    rpc._url = lab.server.url + "/elsewhere"  # Answers 404, which says nothing about the transaction.
    async with rpc:
        with pytest.raises(OutcomeUnknown) as unknown:
            await PrivateRelay(rpc).send_raw(raw)
    assert unknown.value.request_id == transaction_hash(raw)
    with pytest.raises(VenueUnavailable, match="not open"):
        await PrivateRelay(rpc).send_raw(raw)


async def test_the_relay_passes_reads_through_and_takes_raw_transactions_privately(lab: Lab) -> None:
    raw = lab.payment(0, 0)
    async with ChainClient([lab.server.url], lab.devnet.world.chain_id) as through:
        assert (await through.head()).hash == (await lab.client.head()).hash
        name = await through.send_raw(raw)
        assert (await lab.settled(name)).status is Status.INCLUDED
        with pytest.raises(NodeRefused, match="does not exist"):
            async with lab.rpc() as rpc:
                await rpc.request("eth_mine", 1)


async def test_every_pair_of_neighbours_keeps_its_order_in_a_full_bundle(lab: Lab) -> None:
    raws = [
        lab.payment(who, nonce, maxPriorityFeePerGas=10**9 + 10**7 * ((7 * who + 3 * nonce) % 11))
        for nonce in range(20)
        for who in range(5)
    ]
    assert len(raws) == BUNDLE_TRANSACTIONS_MAX
    block = (await lab.client.head()).number + 1
    async with lab.rpc() as rpc:
        name = await BundleClient(rpc).send(raws, block)
        assert (await lab.settled(name)).status is Status.INCLUDED
    mined = (await lab.client.block(block)).transactions
    places = [mined.index(transaction_hash(raw)) for raw in raws]
    assert all(later == sooner + 1 for sooner, later in pairwise(places))
