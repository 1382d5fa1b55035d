"""Each cause that stands in a swap's way is brought about on the devnet and named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chain.abi import address_word, selector, uint_word
from chain.devnet import TEST_ADDRESSES
from dex.execution.contracts import PERMIT2, router_version, swap_contracts
from dex.execution.permits import Permit, SignedPermit
from dex.execution.planning import plan_approval
from dex.execution.preflight import Cause, diagnose, problem_of, read_account, try_out
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through, choose_way, plan_quote
from domain import Address, InputError, Refused
from runtime import Secret
from tests.dex.execution.routes import Asker
from wallets import DEVNET_MNEMONIC, HdWallet, Network, TypedDataToSign

pytestmark = pytest.mark.anvil
OWNER = TEST_ADDRESSES[4]


class Bench:
    """A swap of 1 WETH for USDC by an account the node holds."""

    def __init__(self, devnet, client, contracts):
        self.devnet, self.client, self.contracts = devnet, client, contracts
        self.ask = Asker(client, devnet.world)
        self.weth = Address(devnet.world.tokens["WETH"].address)

    async def plan(self, through=None, *, permit=None, steps="WETH v3:USDC/WETH:500 USDC", amount=10**18):
        quote = await self.ask.quote("WETH", "USDC", await self.ask.path(amount, steps))
        way = choose_way(quote, self.contracts, through)
        state = await read_account(self.client, OWNER, self.weth, way)
        bounds = SlippagePolicy().bounds(quote, head_number=state.head_number, time_s=state.time_s)
        signed = permit(bounds, way, state) if permit else None
        plan = plan_quote(quote, bounds, way, self.contracts, intent_id="s", strategy="t", sender=OWNER, permit=signed)
        return plan, way, state, signed

    async def send(self, to, data):
        request = {"from": OWNER, "to": to, "data": "0x" + data.hex(), "gas": hex(500_000)}
        receipt = await self.client.wait_receipt(await self.client.rpc.request("eth_sendTransaction", request))
        assert receipt.succeeded

    async def approve(self, spender, amount):
        await self.send(self.weth, selector("approve(address,uint256)") + address_word(spender) + uint_word(amount))


@pytest.fixture
async def bench(devnet, chain_client):
    await devnet.fund(OWNER, 0, {"WETH": 10**18})
    version = await router_version(chain_client, devnet.world.contracts["UniversalRouter"])
    return Bench(devnet, chain_client, swap_contracts(devnet.world.contracts, version))


def causes(problems):
    return [problem.cause for problem in problems]


async def test_what_is_missing_is_named_before_anything_is_sent(bench):
    plan, way, state, _ = await bench.plan()
    assert causes(diagnose(state, plan, way)) == [Cause.ALLOWANCE]
    assert diagnose(state, plan, way)[0].is_mendable
    await bench.approve(way.spender, 10**18)
    plan, way, state, _ = await bench.plan()
    assert diagnose(state, plan, way) == []
    # Nothing but one cause is changed each time.
    assert causes(diagnose(replace(state, balance=10**18 - 1), plan, way)) == [Cause.BALANCE]
    assert causes(diagnose(state, plan, way, gas_cost_wei=state.coins_wei + 1)) == [Cause.COINS]
    assert causes(diagnose(replace(state, time_s=plan.deadline_s), plan, way)) == [Cause.DEADLINE]


async def test_permits_are_told_apart(bench):
    key = HdWallet(Secret(DEVNET_MNEMONIC)).signer(4)

    async def signed(nonce=0, expires=2**40, key=key):
        plan, way, _, _ = await bench.plan(Through.UNIVERSAL_ROUTER)
        permit = Permit(plan.chain_id, bench.weth, plan.spends[0].raw, way.contract, nonce, expires)
        signature = await key.sign_typed_data(TypedDataToSign(permit.document()), network=Network.DEVNET)
        return lambda _bounds, _way, _state: SignedPermit(permit, signature.to_bytes())

    await bench.approve(PERMIT2, 10**18)
    plan, way, state, _ = await bench.plan(Through.UNIVERSAL_ROUTER)
    assert causes(diagnose(state, plan, way)) == [Cause.PERMIT_MISSING]
    words = address_word(bench.weth) + address_word(way.contract) + uint_word(10**18)
    await bench.send(PERMIT2, selector("approve(address,address,uint160,uint48)") + words + uint_word(state.time_s - 1))
    plan, way, state, _ = await bench.plan(Through.UNIVERSAL_ROUTER)
    assert causes(diagnose(state, plan, way)) == [Cause.PERMIT_EXPIRED]
    # The chain itself says the same, and by the same name.
    tried = await try_out(bench.client, plan, way, None, stands_for_permit=False)
    assert problem_of(tried.revert).cause is Cause.PERMIT_EXPIRED
    plan, way, state, permit = await bench.plan(Through.UNIVERSAL_ROUTER, permit=await signed(nonce=7))
    assert causes(diagnose(state, plan, way, permit=permit)) == [Cause.PERMIT_NONCE]
    tried = await try_out(bench.client, plan, way, None, stands_for_permit=False)
    assert problem_of(tried.revert).cause is Cause.PERMIT_NONCE
    plan, way, state, permit = await bench.plan(Through.UNIVERSAL_ROUTER, permit=await signed(expires=5))
    assert causes(diagnose(state, plan, way, permit=permit)) == [Cause.PERMIT_LATE]
    plan, way, state, permit = await bench.plan(Through.UNIVERSAL_ROUTER, permit=await signed())
    assert diagnose(state, plan, way, permit=permit) == []
    assert (await try_out(bench.client, plan, way, None, stands_for_permit=False)).succeeded
    other = HdWallet(Secret(DEVNET_MNEMONIC)).signer(3)
    plan, way, _, _ = await bench.plan(Through.UNIVERSAL_ROUTER, permit=await signed(key=other))
    tried = await try_out(bench.client, plan, way, None, stands_for_permit=False)
    assert problem_of(tried.revert).cause is Cause.PERMIT_SIGNATURE


@pytest.mark.parametrize(
    ("steps", "through"),
    [
        ("WETH v3:USDC/WETH:500 USDC", None),
        ("WETH v2:USDC/WETH:3000 USDC", None),
        ("WETH v3:USDC/WETH:500 USDC", Through.UNIVERSAL_ROUTER),
        ("WETH v2:USDC/WETH:3000 USDC", Through.UNIVERSAL_ROUTER),
        ("WETH v4:ETH/USDC:500 USDC", None),
    ],
)
async def test_a_pool_that_moved_is_named_whatever_its_kind(bench, steps, through):
    plan, way, _, _ = await bench.plan(through, steps=steps)
    tried = await try_out(bench.client, plan, way, bench.weth, stands_for_permit=way.needs_permit)
    assert tried.succeeded
    # Others sell 300 WETH first.
    whale = Bench(bench.devnet, bench.client, bench.contracts)
    await bench.devnet.fund(OWNER, 0, {"WETH": 300 * 10**18})
    moved, there, _, _ = await whale.plan(through, steps=steps, amount=300 * 10**18)
    spend = [(bench.weth, selector("approve(address,uint256)"), (there.spender, 300 * 10**18))]
    await whale.approve(*spend[0][2])
    if there.needs_permit:
        words = address_word(bench.weth) + address_word(there.contract) + uint_word(300 * 10**18)
        await whale.send(PERMIT2, selector("approve(address,address,uint160,uint48)") + words + uint_word(2**40))
    await whale.send(moved.to, moved.data)
    tried = await try_out(bench.client, plan, way, bench.weth, stands_for_permit=way.needs_permit)
    assert problem_of(tried.revert).cause is Cause.POOL_MOVED


async def test_a_token_that_does_not_move_is_named(bench):
    plan, way, _, _ = await bench.plan()
    # The token from now on answers every call by reverting with a text.
    text = b"Pausable: paused"
    error = selector("Error(string)") + uint_word(32) + uint_word(len(text)) + text.ljust(32, b"\0")
    code = b"".join(
        bytes([0x7F]) + error[at : at + 32].ljust(32, b"\0") + bytes([0x61]) + at.to_bytes(2, "big") + bytes([0x52])
        for at in range(0, len(error), 32)
    ) + bytes([0x60, len(error), 0x5F, 0xFD])
    await bench.client.rpc.request("anvil_setCode", bench.weth, "0x" + code.hex())
    tried = await try_out(bench.client, plan, way, bench.weth, stands_for_permit=False)
    problem = problem_of(tried.revert)
    assert problem.cause is Cause.TOKEN_PAUSED
    assert "Pausable: paused" in problem.text
    with pytest.raises(InputError, match="answers no questions"):
        await read_account(bench.client, OWNER, bench.weth, way)


async def test_coins_need_no_allowance(bench):
    quote = await bench.ask.quote("ETH", "USDC", await bench.ask.path(10**18, "ETH v4:ETH/USDC:500 USDC"))
    way = choose_way(quote, bench.contracts)
    assert (way.spender, way.needs_permit) == (None, False)
    state = await read_account(bench.client, OWNER, None, way)
    assert state.coins_wei > 10**18


async def test_what_no_router_reaches_is_refused_by_name(bench):
    quote = await bench.ask.quote("WETH", "USDC", await bench.ask.path(10**18, "WETH v3:USDC/WETH:500 USDC"))
    (path,) = quote.paths
    curve = replace(path, hops=(replace(path.hops[0], pool=replace(path.hops[0].pool, kind="curve-stable")),))
    with pytest.raises(Refused) as refused:
        choose_way(replace(quote, paths=(curve,)), bench.contracts)
    assert refused.value.rule == "unsupported-pool"
    with pytest.raises(InputError, match="does not carry this swap out"):
        choose_way(replace(quote, paths=(curve,)), bench.contracts, Through.SWAP_ROUTER)
    without = replace(bench.contracts, version=None, swap_router=None)
    with pytest.raises(InputError, match="no router is known"):
        choose_way(quote, without)


async def test_exact_outputs_over_several_kinds_are_refused_by_name(bench):
    steps = "WETH v3:USDC/WETH:500 USDC v4:WBTC/USDC:3000 WBTC"
    path = await bench.ask.path(10**6, steps, exact_out=True)
    quote = await bench.ask.quote("WETH", "WBTC", path, exact_out=True)
    bounds = SlippagePolicy().bounds(quote, head_number=quote.block_number, time_s=0)
    way = choose_way(quote, bench.contracts)
    with pytest.raises(Refused) as refused:
        plan_quote(quote, bounds, way, bench.contracts, intent_id="s", strategy="t", sender=OWNER)
    assert refused.value.rule == "mixed-exact-output"


def test_approvals_are_exact():
    with pytest.raises(InputError):
        plan_approval(
            intent_id="a",
            strategy="t",
            chain_id=1337,
            token=None,
            token_address=OWNER,
            sender=OWNER,
            spender=OWNER,
            amount=2**256 - 1,
        )
