"""Cancel and speed-up: whichever version is mined wins, and what is told is what the chain says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chain import ChainClient
from chain.devnet import Devnet, DevnetConfig
from custody import DeskOptions, State, Step
from domain import Address, ChainId, InputError, Refused
from runtime import ManualClock
from tests.custody.desk import VAULT, TestDesk, approvals, build_desk, policy_settings, swap
from tests.custody.reindex import check_against_chain
from tests.custody.test_faults import until
from wallets import SigningJournal, TransactionToSign, is_cancel_form

pytestmark = pytest.mark.anvil


@pytest.fixture
async def slow() -> AsyncIterator[Devnet]:
    """A devnet of its own that mines only when told to, once the vault is set up."""
    try:
        devnet = await Devnet.start(DevnetConfig())
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    async with devnet:
        await devnet.fund(VAULT, tokens={"WETH": 100 * 10**18, "USDC": 10**12})
        yield devnet


async def ready(devnet: Devnet, client: ChainClient, folder: Path, **changes: Any) -> TestDesk:
    """A started desk whose approvals are mined, on a chain that mines no more by itself."""
    options = {"poll_s": 0.005, "rebroadcast_s": 0.1} | changes.pop("options", {})
    desk = build_desk(devnet.world, client, folder, options=DeskOptions(**options), **changes)
    await desk.open_ledger()
    await desk.start()
    for plan in approvals(devnet.world):
        await desk.custody.submit(plan)
    assert await desk.custody.drain(60)
    await client.rpc.request("evm_setAutomine", False)
    return desk


async def finish(desk: TestDesk, client: ChainClient) -> None:
    """Mine what is out, and hold the books against the chain."""
    await client.rpc.request("evm_mine")
    assert await desk.custody.drain(60)
    await desk.custody.stop()
    await check_against_chain(client, desk.database, VAULT)
    assert await desk.differences() == {}


def steps(desk: TestDesk, intent_id: str) -> list[Step]:
    return [step for step, _ in desk.custody.history(intent_id)]


async def test_before_signing_a_cancel_ends_it_and_nothing_is_signed(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await ready(slow, client, tmp_path)
        await desk.custody.stop()
        asked = desk.signer.asked
        idle = build_desk(slow.world, client, tmp_path)  # not started: nobody works on what is recorded
        await idle.custody.submit(swap(slow.world, "never"))
        await idle.custody.cancel("never")
        await idle.start()
        assert await idle.custody.drain(60)
        assert idle.outcome("never").status == "refused"
        assert idle.outcome("never").reason.startswith("cancelled: ")
        assert idle.custody.state("never") is State.CANCELLED
        assert (idle.signer.asked, desk.signer.asked) == (0, asked)
        with pytest.raises(InputError, match="too late"):
            await idle.custody.cancel("never")
        with pytest.raises(InputError, match="no intent"):
            await idle.custody.cancel("unheard of")
        await finish(idle, client)


async def test_out_a_cancel_is_a_transaction_of_nothing_and_is_told_as_such(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await ready(slow, client, tmp_path)
        await desk.custody.submit(swap(slow.world, "regretted"))
        await until(lambda: desk.custody.state("regretted") is State.BROADCAST)
        await desk.custody.cancel("regretted")
        await until(lambda: steps(desk, "regretted").count(Step.SENT) == 2)
        await finish(desk, client)
        outcome = desk.outcome("regretted")
        assert (outcome.status, outcome.amount_in, outcome.amount_out) == ("failed", "0", "0")
        assert outcome.reason.startswith("cancelled: ")
        assert int(outcome.gas_cost_wei) > 0
        seen = await client.transaction(outcome.tx_hash)
        assert seen is not None
        assert (seen.to, seen.value_wei, seen.data) == (VAULT, 0, b"")
        assert Step.CANCELLED in steps(desk, "regretted")


async def test_a_cancel_that_comes_too_late_is_told_as_mined(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await ready(slow, client, tmp_path)
        await desk.custody.submit(swap(slow.world, "fast"))
        await until(lambda: desk.custody.state("fast") is State.BROADCAST)
        await desk.custody.stop()
        await client.rpc.request("evm_mine")
        again = build_desk(slow.world, client, tmp_path)
        await again.custody.cancel("fast")  # nobody has looked since it was mined
        await again.start()
        await finish(again, client)
        assert (await again.custody.settlements())[-1].status == "mined"
        assert Step.CANCELLED not in steps(again, "fast")


async def test_a_cancel_survives_a_restart_between_wish_and_replacement(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await ready(slow, client, tmp_path)
        await desk.custody.submit(swap(slow.world, "restarted"))
        await until(lambda: desk.custody.state("restarted") is State.BROADCAST)
        await desk.custody.stop()
        await desk.custody.cancel("restarted")
        again = build_desk(slow.world, client, tmp_path)
        await again.start()
        await until(lambda: steps(again, "restarted").count(Step.SENT) == 2)
        await finish(again, client)
        assert again.outcome("restarted").reason.startswith("cancelled: ")


async def test_speed_up_raises_both_fees_and_the_dearer_version_lands(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        desk = await ready(slow, client, tmp_path)
        await desk.custody.submit(swap(slow.world, "hurried"))
        await until(lambda: desk.custody.state("hurried") is State.BROADCAST)
        await desk.custody.speed_up("hurried")
        await until(lambda: steps(desk, "hurried").count(Step.SENT) == 2)
        intent = desk.custody._outbox.find("hurried")
        assert intent is not None
        slower, faster = (attempt.unsigned for attempt in intent.attempts)
        assert faster.max_fee_per_gas_wei * 100 > slower.max_fee_per_gas_wei * 110
        assert faster.max_priority_fee_per_gas_wei > slower.max_priority_fee_per_gas_wei
        assert (faster.to, faster.data, faster.nonce) == (slower.to, slower.data, slower.nonce)
        await finish(desk, client)
        assert desk.outcome("hurried").tx_hash == intent.attempts[1].tx_hash
        assert desk.outcome("hurried").status == "mined"


async def test_replacements_stay_within_policys_fee_cap(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        quote = await client.fees()
        tight = policy_settings(slow.world, fee_per_gas_wei_max=quote.max_fee + 1)
        desk = await ready(slow, client, tmp_path, settings=tight)
        # The first price is cut to the cap, so there is no room above it.
        await client.rpc.request("anvil_setNextBlockBaseFeePerGas", hex(quote.max_fee - quote.priority))
        await desk.custody.submit(swap(slow.world, "capped"))
        await until(lambda: desk.custody.state("capped") is State.BROADCAST)
        await desk.custody.speed_up("capped")
        await until(lambda: wish_of(desk, "capped") == "")
        assert Step.REPLACING not in steps(desk, "capped")
        await finish(desk, client)
        assert desk.outcome("capped").status == "mined"


async def test_replacements_and_new_transactions_stay_within_the_hours_fees(slow: Devnet, tmp_path: Path) -> None:
    async with slow.client() as client:
        clock = ManualClock(10**18)
        probe = await ready(slow, client, tmp_path / "probe", now_ns=clock.now_ns)
        await probe.custody.submit(swap(slow.world, "probe"))
        await until(lambda: probe.custody.state("probe") is State.BROADCAST)
        found = probe.custody._outbox.find("probe")
        assert found is not None
        cost = found.attempts[0].unsigned.gas_limit * found.attempts[0].unsigned.max_fee_per_gas_wei
        await finish(probe, client)
        clock.advance(seconds=3601)

        options = DeskOptions(poll_s=0.005, stuck_s=10**6, fees_per_hour_wei_max=cost * 5 // 2)
        desk = build_desk(slow.world, client, tmp_path / "probe", options=options, now_ns=clock.now_ns)
        await desk.start()
        for name in ("one", "two", "three"):
            await desk.custody.submit(swap(slow.world, name))
        await until(lambda: sum(desk.custody.state(n) is State.BROADCAST for n in ("one", "two", "three")) == 2)
        waiting = next(n for n in ("one", "two", "three") if desk.custody.state(n) is not State.BROADCAST)
        await until(lambda: desk.custody.state(waiting) is State.APPROVED)
        clock.advance(seconds=3601)
        await until(lambda: desk.custody.state(waiting) is State.BROADCAST)
        await finish(desk, client)


def wish_of(desk: TestDesk, intent_id: str) -> str:
    intent = desk.custody._outbox.find(intent_id)
    assert intent is not None
    return intent.wish


# --- the form that only uses a nonce up


ME = Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def tx(**changes: Any) -> TransactionToSign:
    fields: dict[str, Any] = {
        "chain_id": ChainId(1337),
        "nonce": 3,
        "to": OTHER,
        "value_wei": 5,
        "gas_limit": 21_000,
        "max_fee_per_gas_wei": 100,
        "max_priority_fee_per_gas_wei": 10,
    }
    return TransactionToSign(**fields | changes)


CANCEL = tx(to=ME, value_wei=0, max_fee_per_gas_wei=101, max_priority_fee_per_gas_wei=11)


def test_only_nothing_to_ourselves_is_the_cancel_form() -> None:
    assert is_cancel_form(ME, CANCEL)
    for changes in ({"to": OTHER}, {"value_wei": 1}, {"data": b"\x01"}, {"access_list": ((OTHER, ()),)}):
        assert not is_cancel_form(ME, replace(CANCEL, **changes))  # type: ignore[arg-type]


def test_the_journal_lets_a_cancellation_follow_and_nothing_follow_it_but_dearer_cancellations(tmp_path: Path) -> None:
    def sign(payload: TransactionToSign) -> str:
        try:
            journal.record(ME, payload, lambda _spent: {})
        except Refused as exc:
            return exc.rule
        return "signed"

    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 1) as journal:
        assert sign(tx()) == "signed"
        assert sign(replace(CANCEL, max_fee_per_gas_wei=100)) == "replacement-fee"
        assert sign(replace(CANCEL, max_priority_fee_per_gas_wei=10)) == "replacement-fee"
        assert sign(replace(CANCEL, to=OTHER)) == "sign-once"
        assert sign(CANCEL) == "signed"
        dearer = {"max_fee_per_gas_wei": 200, "max_priority_fee_per_gas_wei": 20}
        assert sign(tx(**dearer)) == "sign-once", "what was cancelled stays cancelled"
        assert sign(tx()) == "signed", "the same bytes again are no new signature"
        assert sign(replace(CANCEL, **dearer)) == "signed"  # type: ignore[arg-type]
