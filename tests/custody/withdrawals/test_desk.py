"""Withdrawals on a real chain: paid once, booked to the unit, stopped where they may be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet
from compliance import DenyListScreener
from custody import freeze
from custody.audit import AuditLog
from custody.withdrawals import ChainDestination, State, Step
from domain import InputError, InvariantError, Refused
from runtime import ManualClock
from tests.custody.desk import VAULT
from tests.custody.withdrawals.house import (
    CHAIN,
    COIN,
    RECIPIENT,
    USER,
    House,
    ask,
    house_of,
    opened,
    paying_policy,
    resting_policy,
    wary_policy,
)

pytestmark = pytest.mark.anvil
DONE = (State.BOOKED, State.REFUSED, State.CANCELLED, State.FAILED)


@pytest.fixture
async def funded(devnet: Devnet) -> Devnet:
    await devnet.fund(VAULT, tokens={"USDC": 10**12})
    return devnet


async def test_coins_and_tokens_are_paid_once_and_booked_to_the_unit(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path, database_url: str
) -> None:
    house = await opened(funded, chain_client, tmp_path, database_url=database_url, fee_raw=7)
    before = await chain_client.balance(RECIPIENT)
    coins = await house.withdrawals.request(ask(COIN, 10**18))
    tokens = await house.withdrawals.request(ask(house.usdc, 250 * 10**6, key="k-2"))
    assert (await house.withdrawals.request(ask(COIN, 10**18))).id == coins.id
    for withdrawal in (coins, tokens):
        await finalized(house, funded, withdrawal.id)
    await house.stop()
    assert await chain_client.balance(RECIPIENT) == before + 10**18
    assert await chain_client.token_balance(funded.world.tokens["USDC"].address, RECIPIENT) == 250 * 10**6
    assert house.owed(COIN) == 4 * COIN.unit - 7
    assert house.owed(house.usdc) == 750 * house.usdc.unit - 7
    assert house.owed(COIN, "held") == house.owed(house.usdc, "held") == 0
    assert house.ledger.balances("inflight") == {}
    assert house.ledger.balances("fees") == {"fees/withdrawals": {COIN.id: -7, house.usdc.id: -7}}
    assert await house.desk.differences() == {}
    assert house.ledger.verify().is_sound
    steps = [event["step"] for event in house.withdrawals.history(coins.id)]
    assert steps == [Step.REQUESTED, Step.SCREENED, Step.APPROVED, Step.SENT, Step.FINALIZED, Step.BOOKED]


async def test_a_key_stands_for_one_request_and_funds_are_never_held_twice(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path, database_url: str
) -> None:
    house = await opened(funded, chain_client, tmp_path, database_url=database_url)
    await house.stop()  # nothing is paid: this is about requests
    await house.withdrawals.request(ask(COIN, 10**18))
    for other in (
        ask(COIN, 10**18 + 1),
        ask(house.usdc, 10**18),
        ask(COIN, 10**18, user="other"),
        ask(COIN, 10**18, destination=ChainDestination(CHAIN, TEST_ADDRESSES[7])),
    ):
        with pytest.raises(InputError, match="stands for another"):
            await house.withdrawals.request(other)
    assert house.owed(COIN) == 4 * 10**18
    results = await asyncio.gather(
        *(house.withdrawals.request(ask(COIN, 10**18, key=f"n-{n % 10}")) for n in range(2, 22)),
        return_exceptions=True,
    )
    taken = {found.id for found in results if not isinstance(found, BaseException)}
    refused = [found for found in results if isinstance(found, BaseException)]
    assert len(taken) == 4
    assert refused
    assert all(isinstance(found, Refused) and found.rule == "funds" for found in refused)
    assert (house.owed(COIN), house.owed(COIN, "held")) == (0, 5 * 10**18)


async def test_what_policy_refuses_gives_the_funds_back(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    house = await opened(funded, chain_client, tmp_path)
    stranger = ChainDestination(CHAIN, TEST_ADDRESSES[7])
    asked = await house.withdrawals.request(ask(COIN, 10**18, destination=stranger))
    found = await house.withdrawals.wait_for(asked.id, DONE, timeout_s=90)
    await house.stop()
    assert found.state is State.REFUSED
    assert found.reason.startswith("recipient: ")
    assert (house.owed(COIN), house.owed(COIN, "held")) == (5 * 10**18, 0)
    assert house.desk.signer.asked == 0


async def test_a_denied_destination_is_refused_before_a_transaction_exists(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    (tmp_path / "deny.txt").write_text(f"{RECIPIENT} sanctioned\n")
    house = await opened(funded, chain_client, tmp_path, screener=DenyListScreener(tmp_path / "deny.txt"))
    asked = await house.withdrawals.request(ask(COIN, 10**18))
    found = await house.withdrawals.wait_for(asked.id, DONE, timeout_s=90)
    await house.stop()
    assert found.reason.startswith("deny-list: ")
    assert await house.desk.custody.in_flight() == []
    assert house.owed(COIN) == 5 * 10**18


async def test_a_freeze_holds_everything_back_until_two_people_lift_it(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    house = await opened(funded, chain_client, tmp_path)
    freezes = freeze.Freezes(house.database, AuditLog(house.database, lambda: 1), lambda: 1)
    frozen = freezes.impose(freeze.chain_scope(CHAIN), source="operator:olga", reason="drill")
    asked = await house.withdrawals.request(ask(COIN, 10**18))
    await until(lambda: "frozen" in house.store.find(asked.id).reason)
    assert (await house.withdrawals.find(asked.id)).state is State.REQUESTED
    freezes.lift(frozen.id, operator="olga", reason="over")
    freezes.lift(frozen.id, operator="otto", reason="over")
    await house.withdrawals.wait_for(asked.id, [State.SENDING], timeout_s=90)
    await house.stop()


async def test_hold_release_and_cancel_before_anything_is_recorded_for_the_signer(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    house = await opened(funded, chain_client, tmp_path)
    freezes = freeze.Freezes(house.database, AuditLog(house.database, lambda: 1), lambda: 1)
    freezes.impose(freeze.ALL, source="operator:olga", reason="so that nothing moves on")
    asked = await house.withdrawals.request(ask(COIN, 10**18))
    held = await house.withdrawals.hold(asked.id, by="olga", reason="call the client")
    assert held.state is State.HELD
    with pytest.raises(InputError, match="held"):
        await house.withdrawals.release((await house.withdrawals.request(ask(COIN, 1, key="other"))).id, by="olga")
    released = await house.withdrawals.release(asked.id, by="olga")
    assert released.state is State.REQUESTED
    assert (await house.withdrawals.cancel(asked.id, by="shop")).state is State.CANCELLED
    assert house.owed(COIN) == 5 * 10**18 - 1
    with pytest.raises(InputError, match="cannot be stopped"):
        await house.withdrawals.cancel(asked.id, by="shop")
    await house.stop()


async def test_hold_release_and_cancel_reach_the_transaction_that_is_recorded_already(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    house = await opened(funded, chain_client, tmp_path, settings=resting_policy(funded.world))
    asked = await house.withdrawals.request(ask(COIN, 10**18))
    await house.withdrawals.wait_for(asked.id, [State.DELAYED], timeout_s=90)
    await house.withdrawals.hold(asked.id, by="olga", reason="call the client")
    await house.withdrawals.wait_for(asked.id, [State.HELD], timeout_s=90)
    await house.withdrawals.release(asked.id, by="olga")
    await house.withdrawals.wait_for(asked.id, [State.DELAYED], timeout_s=90)
    await house.withdrawals.cancel(asked.id, by="shop")
    found = await house.withdrawals.wait_for(asked.id, DONE, timeout_s=90)
    await house.stop()
    assert found.state is State.CANCELLED
    assert (house.owed(COIN), house.owed(COIN, "held")) == (5 * 10**18, 0)
    assert house.desk.signer._journal.count() == 0  # shown when its delay began, never signed


async def test_policy_is_told_how_long_a_destination_is_known(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    clock = ManualClock(10**18)
    world = funded.world
    house = await opened(
        funded,
        chain_client,
        tmp_path,
        settings=wary_policy(world),
        signer_settings=paying_policy(world),
        now_ns=clock.now_ns,
    )
    reasons = []
    for number in range(3):
        asked = await house.withdrawals.request(ask(COIN, 10**17, key=f"k-{number}"))
        found = await house.withdrawals.wait_for(asked.id, [*DONE, State.SENDING], timeout_s=90)
        reasons.append(found.reason.partition(":")[0] if found.state is State.REFUSED else found.state)
        if number == 0:
            house.addresses.add(USER, ChainDestination(CHAIN, RECIPIENT), by="shop")
        clock.advance(seconds=3600 * number)
    await house.stop()
    assert reasons == ["unknown-fact", "too-new", State.SENDING]


async def test_a_new_address_waits_for_its_cool_down(funded: Devnet, chain_client: ChainClient, tmp_path: Path) -> None:
    clock = ManualClock(10**18)
    house = house_of(funded.world, chain_client, tmp_path, cool_down_s=3600, now_ns=clock.now_ns)
    house.grant(COIN, 10**18)
    to = ChainDestination(CHAIN, RECIPIENT)
    for rule in ("unknown-address", "cool-down"):
        with pytest.raises(Refused) as refused:
            await house.withdrawals.request(ask(COIN, 10**17))
        assert refused.value.rule == rule
        house.addresses.add(USER, to, label="home", by="shop")
    clock.advance(seconds=3600)
    await house.withdrawals.request(ask(COIN, 10**17))
    house.addresses.remove(USER, to, by="shop")
    house.addresses.add(USER, to, by="shop")
    with pytest.raises(Refused, match="must have been there"):
        await house.withdrawals.request(ask(COIN, 10**17, key="k-2"))
    with house.database.snapshot() as session:
        assert house.addresses.first_seen_s(session, [RECIPIENT, VAULT]) == {RECIPIENT: 10**9 + 3600}


@pytest.mark.parametrize("edge", ["request.after", "submit.before", "submit.after", "follow.before", "follow.after"])
async def test_killed_at_an_edge_it_is_paid_once_after_the_restart(
    edge: str, funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    def kill(at: str) -> None:
        if at == edge:
            raise InvariantError("killed")

    house = await opened(funded, chain_client, tmp_path, checkpoint=kill)
    before = await chain_client.balance(RECIPIENT)
    request = ask(COIN, 10**18)
    try:
        asked = await house.withdrawals.request(request)
        await house.withdrawals.wait_for(asked.id, [State.SENDING], timeout_s=90)
    except InvariantError:
        pass
    with pytest.raises(InvariantError) if edge != "request.after" else _nothing():
        await house.withdrawals.stop()
    await house.desk.custody.stop()

    again = house_of(funded.world, chain_client, tmp_path)
    await again.start()
    asked = await again.withdrawals.request(request)  # the client asks again, not knowing
    await finalized(again, funded, asked.id)
    await again.stop()
    assert await chain_client.balance(RECIPIENT) == before + 10**18
    assert (again.owed(COIN), again.owed(COIN, "held")) == (4 * 10**18, 0)
    assert await again.desk.differences() == {}


async def test_a_settlement_nobody_told_is_found_at_the_next_look(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    house = house_of(funded.world, chain_client, tmp_path)
    await house.desk.open_ledger()
    house.grant(COIN, 10**18)
    await house.desk.custody.start(lambda _settled: None)  # tells nobody
    await house.withdrawals.start()
    asked = await house.withdrawals.request(ask(COIN, 10**17))
    await finalized(house, funded, asked.id)
    await house.stop()


async def test_a_policy_without_the_asset_refuses_what_is_recorded_already(
    funded: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    settings = paying_policy(funded.world)
    bare = settings.model_copy(update={"assets": {k: v for k, v in settings.assets.items() if k != COIN.id}})
    house = await opened(funded, chain_client, tmp_path, settings=bare)
    asked = await house.withdrawals.request(ask(COIN, 10**17))
    found = await house.withdrawals.wait_for(asked.id, DONE, timeout_s=90)
    await house.stop()
    assert found.reason.startswith("asset: ")


class _nothing:  # noqa: N801 - stands where pytest.raises stands
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


async def finalized(house: House, devnet: Devnet, withdrawal_id: str) -> None:
    """Let the chain make a withdrawal's transaction final, and see it booked."""
    await until(lambda: is_mined(house, withdrawal_id))
    async with devnet.client() as client:
        await client.rpc.request("anvil_mine", hex(100))
    found = await house.withdrawals.wait_for(withdrawal_id, DONE, timeout_s=90)
    assert found.state is State.BOOKED, found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(45):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def is_mined(house: House, withdrawal_id: str) -> bool:
    """Whether its transaction has an outcome that blocks on top will make final (or has ended without)."""
    state = house.desk.custody.state(withdrawal_id)
    return state is not None and state.is_settled
