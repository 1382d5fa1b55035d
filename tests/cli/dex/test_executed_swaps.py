"""Every kind of swap, carried out on the genuine routers through custody: amounts equal the quote, ledger the chain."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from chain.devnet import TEST_ADDRESSES
from cli.dex.desk import open_desk
from cli.dex.options import DeskPlace
from dex.execution.contracts import PERMIT2, router_version, swap_contracts
from dex.execution.permits import Permit, SignedPermit
from dex.execution.planning import plan_approval
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through, choose_way, plan_quote
from domain import Refused
from tests.dex.execution.routes import Asker

pytestmark = pytest.mark.anvil
TRADER = TEST_ADDRESSES[5]
ETHER = 10**18


class Swapper:
    """A desk with contracts, approvals and permits: what the swap command does, step by step."""

    def __init__(self, desk, devnet, contracts):
        self.desk, self.devnet, self.contracts = desk, devnet, contracts
        self.ask = Asker(desk.client, devnet.world)
        self.numbers = itertools.count(1)

    async def swap(self, quote, *, through=None, tolerance_bps=50):
        """Approve exactly what is needed, sign a permit where the router wants one, swap."""
        number = next(self.numbers)
        head = await self.desk.client.head()
        quote = replace(quote, block_number=head.number)
        policy = SlippagePolicy(tolerance_bps=tolerance_bps, lifetime_s=1_500)
        bounds = policy.bounds(quote, head_number=head.number, time_s=head.time_s)
        way = choose_way(quote, self.contracts, through)
        permit, token = None, quote.token_in.id.rpartition(":")[2]
        if way.spender is not None:
            approved = await self.desk.execute(
                plan_approval(
                    intent_id=f"approve-{number}",
                    strategy="dex",
                    chain_id=quote.chain_id,
                    token=quote.token_in,
                    token_address=token,
                    sender=self.desk.account,
                    spender=way.spender,
                    amount=bounds.amount_in_max,
                )
            )
            assert approved.status == "mined"
        if way.needs_permit:
            document = Permit(
                chain_id=quote.chain_id,
                token=token,
                amount=bounds.amount_in_max,
                spender=way.contract,
                nonce=self.permits(token),
                expires_s=bounds.deadline_s,
            )
            signature = await self.desk.custody.documents.sign(document.document(), intent_id=f"permit-{number}")
            permit = SignedPermit(document, signature.to_bytes())
        plan = plan_quote(
            quote,
            bounds,
            way,
            self.contracts,
            intent_id=f"swap-{number}",
            strategy="dex",
            sender=self.desk.account,
            permit=permit,
        )
        return await self.desk.execute(plan)

    def permits(self, token):
        """Permit2 counts per (owner, token, spender)."""
        counts = self.__dict__.setdefault("_nonces", {})
        counts[token] = counts.get(token, -1) + 1
        return counts[token]


@asynccontextmanager
async def swapper(devnet, folder):
    tokens = {"WETH": 50 * ETHER, "USDC": 200_000 * 10**6, "WBTC": 2 * 10**8, "DAI": 100_000 * ETHER}
    await devnet.fund(TRADER, 0, tokens)
    async with open_desk(DeskPlace(rpc_url=devnet.world.rpc_url, data=folder)) as desk:
        version = await router_version(desk.client, devnet.world.contracts["UniversalRouter"])
        yield Swapper(desk, devnet, swap_contracts(devnet.world.contracts, version))


EXACT_IN = {
    "v2 over SwapRouter02": ("WETH", "USDC", None, [(ETHER, "WETH v2:USDC/WETH:3000 USDC")]),
    "v3 over SwapRouter02": ("WETH", "USDC", None, [(ETHER, "WETH v3:USDC/WETH:500 USDC")]),
    "v2 and v3 split over SwapRouter02": (
        "WETH",
        "USDC",
        None,
        [(ETHER, "WETH v3:USDC/WETH:500 USDC"), (ETHER // 3, "WETH v2:USDC/WETH:3000 USDC")],
    ),
    "two hops over SwapRouter02": (
        "WETH",
        "WBTC",
        None,
        [(ETHER, "WETH v3:USDC/WETH:500 USDC v3:WBTC/USDC:500 WBTC")],
    ),
    "v2 with a permit": ("WETH", "USDC", Through.UNIVERSAL_ROUTER, [(ETHER, "WETH v2:USDC/WETH:3000 USDC")]),
    "v3 two hops with a permit": (
        "WETH",
        "WBTC",
        Through.UNIVERSAL_ROUTER,
        [(ETHER, "WETH v3:USDC/WETH:500 USDC v3:WBTC/USDC:500 WBTC")],
    ),
    "v4 tokens": ("WBTC", "USDC", None, [(10**6, "WBTC v4:WBTC/USDC:3000 USDC")]),
    "v4 two hops": ("WBTC", "ETH", None, [(10**6, "WBTC v4:WBTC/USDC:3000 USDC v4:ETH/USDC:500 ETH")]),
    "v4 coins in": ("ETH", "USDC", None, [(ETHER, "ETH v4:ETH/USDC:500 USDC")]),
    "v4 coins out": ("USDC", "ETH", None, [(3_000 * 10**6, "USDC v4:ETH/USDC:500 ETH")]),
    "v4 WETH in": ("WETH", "USDC", None, [(ETHER, "WETH v4:ETH/USDC:500 USDC")]),
    "v4 WETH out": ("USDC", "WETH", None, [(3_000 * 10**6, "USDC v4:ETH/USDC:500 WETH")]),
    "v4 with hooks": ("ETH", "USDC", None, [(ETHER, "ETH v4:ETH/USDC:8388608 USDC")]),
    "coins in over v2 and v3": (
        "ETH",
        "USDC",
        None,
        [(ETHER, "WETH v3:USDC/WETH:500 USDC"), (ETHER // 2, "WETH v2:USDC/WETH:3000 USDC")],
    ),
    "coins in over all three": (
        "ETH",
        "USDC",
        None,
        [
            (ETHER, "ETH v4:ETH/USDC:3000 USDC"),
            (ETHER, "WETH v3:USDC/WETH:3000 USDC"),
            (ETHER, "WETH v2:USDC/WETH:3000 USDC"),
        ],
    ),
    "coins out over all three": (
        "USDC",
        "ETH",
        None,
        [
            (3_000 * 10**6, "USDC v4:ETH/USDC:3000 ETH"),
            (3_000 * 10**6, "USDC v3:USDC/WETH:3000 WETH"),
            (3_000 * 10**6, "USDC v2:USDC/WETH:3000 WETH"),
        ],
    ),
    "WETH in over all three": (
        "WETH",
        "USDC",
        None,
        [
            (ETHER, "WETH v4:ETH/USDC:3000 USDC"),
            (ETHER, "WETH v3:USDC/WETH:3000 USDC"),
            (ETHER, "WETH v2:USDC/WETH:3000 USDC"),
        ],
    ),
    "a path over v2, v4 and v3": (
        "DAI",
        "WBTC",
        None,
        [(5_000 * ETHER, "DAI v2:DAI/WETH:3000 WETH v4:ETH/USDC:500 USDC v3:WBTC/USDC:500 WBTC")],
    ),
    "Balancer's stable pool": ("DAI", "USDC", None, [(ETHER, "DAI balancer-stable USDC")]),
    "Balancer's weighted pool": ("WETH", "USDC", None, [(ETHER, "WETH balancer-weighted USDC")]),
    "a path that wraps in its middle": (
        "WBTC",
        "DAI",
        None,
        [(10**6, "WBTC v4:WBTC/USDC:3000 USDC v4:ETH/USDC:500 WETH v3:DAI/WETH:3000 DAI")],
    ),
}


async def test_every_kind_of_exact_input_gives_what_was_quoted(devnet, tmp_path):
    async with swapper(devnet, tmp_path) as swaps:
        for name, (token_in, token_out, through, parts) in EXACT_IN.items():
            paths = [await swaps.ask.path(amount, steps) for amount, steps in parts]
            quote = await swaps.ask.quote(token_in, token_out, *paths)
            settled = await swaps.swap(quote, through=through)
            assert settled.status == "mined", (name, settled)
            assert int(settled.amount_in) == quote.amount_in, name
            assert int(settled.amount_out) == quote.amount_out, name
            assert await swaps.desk.differences() == {}, name


EXACT_OUT = {
    "Balancer's stable pool": ("DAI", "USDC", None, [(10**6, "DAI balancer-stable USDC")]),
    "Balancer's weighted pool": ("WETH", "USDC", None, [(10**9, "WETH balancer-weighted USDC")]),
    "v2 over SwapRouter02": ("WETH", "USDC", None, [(3_000 * 10**6, "WETH v2:USDC/WETH:3000 USDC")]),
    "v3 over SwapRouter02": ("WETH", "USDC", None, [(3_000 * 10**6, "WETH v3:USDC/WETH:500 USDC")]),
    "v3 two hops over SwapRouter02": (
        "WETH",
        "WBTC",
        None,
        [(10**6, "WETH v3:USDC/WETH:500 USDC v3:WBTC/USDC:500 WBTC")],
    ),
    "v2 and v3 with a permit": (
        "WETH",
        "USDC",
        Through.UNIVERSAL_ROUTER,
        [(3_000 * 10**6, "WETH v3:USDC/WETH:500 USDC"), (10**9, "WETH v2:USDC/WETH:3000 USDC")],
    ),
    "v4 tokens": ("USDC", "WBTC", None, [(10**6, "USDC v4:WBTC/USDC:3000 WBTC")]),
    "v4 two hops": ("ETH", "WBTC", None, [(10**6, "ETH v4:ETH/USDC:500 USDC v4:WBTC/USDC:3000 WBTC")]),
    "v4 coins in": ("ETH", "USDC", None, [(3_000 * 10**6, "ETH v4:ETH/USDC:500 USDC")]),
    "v4 coins out": ("USDC", "ETH", None, [(ETHER, "USDC v4:ETH/USDC:500 ETH")]),
    "v4 WETH in": ("WETH", "USDC", None, [(3_000 * 10**6, "WETH v4:ETH/USDC:500 USDC")]),
    "v4 WETH out": ("USDC", "WETH", None, [(ETHER, "USDC v4:ETH/USDC:500 WETH")]),
    "coins in over all three": (
        "ETH",
        "USDC",
        None,
        [
            (3_000 * 10**6, "ETH v4:ETH/USDC:3000 USDC"),
            (3_000 * 10**6, "WETH v3:USDC/WETH:3000 USDC"),
            (3_000 * 10**6, "WETH v2:USDC/WETH:3000 USDC"),
        ],
    ),
    "coins out over all three": (
        "USDC",
        "ETH",
        None,
        [
            (ETHER, "USDC v4:ETH/USDC:3000 ETH"),
            (ETHER, "USDC v3:USDC/WETH:3000 WETH"),
            (ETHER, "USDC v2:USDC/WETH:3000 WETH"),
        ],
    ),
}


async def test_every_kind_of_exact_output_costs_what_was_quoted(devnet, tmp_path):
    async with swapper(devnet, tmp_path) as swaps:
        for name, (token_in, token_out, through, parts) in EXACT_OUT.items():
            paths = [await swaps.ask.path(amount, steps, exact_out=True) for amount, steps in parts]
            quote = await swaps.ask.quote(token_in, token_out, *paths, exact_out=True)
            bought = {}
            for hop in (path.hops[0] for path in paths if path.hops[0].pool.kind == "v2"):
                names = (hop.token_in.symbol, hop.token_out.symbol)
                again = await swaps.ask.hop(hop.pool.id, *names, hop.amount_in)
                bought[hop.pool.id, names] = again.amount_out
            settled = await swaps.swap(quote, through=through)
            assert settled.status == "mined", (name, settled)
            assert int(settled.amount_in) == quote.amount_in, name
            # The UniversalRouter pays a V2 pair what the exact output costs, and hands over all that this buys.
            more = 0
            for path in quote.paths if "SwapRouter02" not in name else ():
                hop = path.hops[0]
                if hop.pool.kind == "v2":
                    names = (hop.token_in.symbol, hop.token_out.symbol)
                    more += bought[hop.pool.id, names] - hop.amount_out
            assert int(settled.amount_out) == quote.amount_out + more, name
            assert await swaps.desk.differences() == {}, name


async def test_a_bound_that_does_not_hold_reverts_and_only_gas_is_booked(devnet, tmp_path):
    async with swapper(devnet, tmp_path) as swaps:
        path = await swaps.ask.path(ETHER, "ETH v4:ETH/USDC:500 USDC")
        better = replace(path, hops=(replace(path.hops[0], amount_out=path.amount_out + 1),))
        quote = await swaps.ask.quote("ETH", "USDC", better)
        with pytest.raises(Refused):
            # What would revert is found out before it is signed: the node cannot estimate its gas.
            await swaps.swap(quote, tolerance_bps=0)
        assert await swaps.desk.differences() == {}


async def test_the_router_is_known_by_its_code(devnet, chain_client):
    with pytest.raises(Refused) as refused:
        await router_version(chain_client, devnet.world.contracts["SwapRouter02"])
    assert refused.value.rule == "unknown-router"
    with pytest.raises(Refused, match="no contract"):
        await router_version(chain_client, TRADER)
    assert devnet.world.contracts["Permit2"] == PERMIT2
