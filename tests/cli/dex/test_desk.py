"""The desk of dex commands: real custody, a devnet's policy, books that equal the chain."""

from __future__ import annotations

import pytest

from chain.devnet import TEST_ADDRESSES
from cli.dex.desk import open_desk
from cli.dex.devnet_policy import Allowances
from cli.dex.options import DeskPlace
from dex import devnet_pools, devnet_routers, plan_approval, plan_swap
from domain import InputError, Refused, VenueUnavailable, token_asset
from tests.world import roll_back

pytestmark = pytest.mark.anvil
TRADER = TEST_ADDRESSES[5]


def weth(devnet):
    return token_asset(devnet.world.chain_id, devnet.world.tokens["WETH"].address, "WETH", 18)


def approval(devnet, spender, name="approve-1"):
    return plan_approval(
        intent_id=name,
        strategy="dex",
        chain_id=devnet.world.chain_id,
        token=weth(devnet),
        token_address=devnet.world.tokens["WETH"].address,
        sender=TRADER,
        spender=spender,
        amount=10**18,
    )


async def test_a_swap_through_the_desk_leaves_ledger_and_chain_equal(devnet, tmp_path):
    await devnet.fund(TRADER, 0, {"WETH": 5 * 10**18})
    routers = devnet_routers(devnet.world)
    pool = next(s for s in devnet_pools(devnet.world).values() if s.kind == "v3" and s.fee_pips == 500)
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as desk:
        head_s = (await desk.client.head()).time_s
        swap = plan_swap(
            intent_id="swap-1",
            strategy="dex",
            pool=pool,
            routers=routers,
            sender=desk.account,
            token_in=weth(devnet).id,
            amount_in=10**18,
            min_out=1,
            deadline_s=head_s + 600,
        )
        approved, swapped = await desk.execute_all([approval(devnet, routers.v3), swap])
        assert (approved.status, swapped.status) == ("mined", "mined")
        assert swapped.amount_in == str(10**18)
        assert await desk.differences() == {}
    # What is opened again goes on where it was, and an intent is never carried out twice.
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as desk:
        nonce = await desk.client.nonce(TRADER)
        assert (await desk.execute(swap)).tx_hash == swapped.tx_hash
        assert await desk.client.nonce(TRADER) == nonce
        assert await desk.differences() == {}


async def test_plans_are_carried_out_one_after_the_other(devnet, tmp_path, monkeypatch):
    """Given together, custody numbers them in any order: the allowance that is meant to stay would be taken back."""
    spender = devnet_routers(devnet.world).v3
    plans = [
        approval(devnet, spender, "first"),
        approval(devnet, spender, "second"),
        approval(devnet, spender, "third"),
    ]
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as desk:
        submit, told = desk.custody.submit, []

        async def submit_and_note(plan, **named):
            told.append((plan.intent_id, sorted(desk._outcomes)))
            return await submit(plan, **named)

        monkeypatch.setattr(desk.custody, "submit", submit_and_note)
        await desk.execute_all(plans)
    assert told == [("first", []), ("second", ["first"]), ("third", ["first", "second"])]


async def test_the_devnets_policy_refuses_spenders_it_does_not_list(devnet, tmp_path):
    stranger = TEST_ADDRESSES[9]
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)) as desk:
        with pytest.raises(Refused) as refused:
            await desk.execute(approval(devnet, stranger))
        assert refused.value.rule == "spender"
    more = Allowances(spenders=(stranger,))
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path), more) as desk:
        assert (await desk.execute(approval(devnet, stranger, "approve-2"))).status == "mined"


async def test_books_of_another_devnet_are_refused(devnet, chain_client, tmp_path):
    place = DeskPlace(rpc_url=devnet.world.rpc_url, data=tmp_path)
    before = await chain_client.rpc.request("evm_snapshot")
    async with open_desk(place) as desk:
        await desk.execute(approval(devnet, devnet_routers(devnet.world).v3))
    await roll_back(chain_client, before)
    with pytest.raises(InputError, match="books of another devnet"):
        async with open_desk(place):
            pass


async def test_without_a_folder_each_devnet_has_books_of_its_own(devnet, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url)) as desk:
        assert desk.root.is_relative_to(tmp_path / "capstan" / "devnets")
        assert desk.is_devnet


async def test_a_desk_says_what_it_misses(tmp_path):
    for place in (DeskPlace(), DeskPlace(config=tmp_path / "capstan.toml", rpc_url="http://127.0.0.1:1")):
        with pytest.raises(InputError, match="either --config or --rpc-url"):
            async with open_desk(place):
                pass
    with pytest.raises(VenueUnavailable, match=r"127\.0\.0\.1:1"):
        async with open_desk(DeskPlace(rpc_url="http://127.0.0.1:1/key")):
            pass
