"""Every kind of transaction that the product makes is rendered.

Makers are found in the source: whoever constructs a plan, and every constant that is a method's selector. A new one
without an example here fails this test.
"""

from __future__ import annotations

import ast
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from chain import checksum
from chain.abi import selector
from custody.approvals import ChainCall
from custody.clear_signing import ChainName, Names, TokenName
from custody.deposits.contracts import user_id
from custody.deposits.sweep_plans import Holding, plan_batch, plan_grant, plan_transfer
from custody.withdrawals.plans import plan_withdrawal
from dex import plan_approval, plan_swap
from dex.arbitrage import Cycle, CycleOptimum, Leg
from dex.arbitrage.deployment import DEPLOYER, Factories, Roles, deployment_data, plan_deployment
from dex.arbitrage.executor import Funding, Loan, steps_of
from dex.arbitrage.funding import Venues
from dex.arbitrage.planning import Bounds, plan_arbitrage
from dex.execution.contracts import PERMIT2, RouterVersion, swap_contracts
from dex.execution.permits import Permit, SignedPermit
from dex.execution.planning import Routers
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import choose_way, plan_quote
from dex.perps.gmx import GmxOrder, OrderKind, load_book, plan_cancel, plan_order
from dex.perps.gmx.book import GmxToken
from dex.pools import ZERO_ADDRESS, PoolSpec
from dex.routing.quote import Hop, Quote
from dex.routing.quote import Path as Route
from domain import ChainId, IntentId, StrategyId, native_asset, token_asset
from domain.ids import PoolId
from domain.plans import TransactionPlan
from tests.custody.clear_signing import position_plans
from tests.support.approvers import PARTNER, USDC, VAULT, address_of, intent

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = ("dex", "custody", "engine", "api", "cli")
CHAIN = ChainId(1)
WETH = address_of("weth")
WETH9 = checksum("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2")
V2, V3, V3_FIRST = address_of("v2"), address_of("v3"), address_of("v3 first")
SWEEPER, EXECUTOR = address_of("sweeper"), address_of("executor")
_GMX = load_book(42161)
NAMES = Names(
    chains={1: ChainName("Ethereum")},
    tokens={(1, USDC): TokenName("USDC", 6), (1, WETH): TokenName("WETH", 18), (1, WETH9): TokenName("WETH", 18)},
    addresses={
        **position_plans.NAMES,
        (0, VAULT): "Hot vault",
        (0, PARTNER): "Partner Ltd",
        (0, V2): "Uniswap V2",
        (0, V3): "Uniswap V3",
        (0, V3_FIRST): "Uniswap V3, first router",
        (0, SWEEPER): "Sweeper",
        (0, _GMX.exchange_router): "GMX",
        (0, _GMX.order_vault): "GMX order vault",
        (0, _GMX.markets[0].address): "GMX ETH/USD",
        (0, EXECUTOR): "Arbitrage executor",
        (0, DEPLOYER): "Deployment proxy",
    },
)
USDC_ID, ETH_ID = f"eip155:1/erc20:{USDC}", "eip155:1/slip44:60"
SYMBOLS = {USDC_ID: "USDC", ETH_ID: "ETH", f"eip155:1/erc20:{WETH}": "WETH", f"eip155:1/erc20:{WETH9}": "WETH"}
USDC_ASSET, WETH_ASSET = token_asset(CHAIN, USDC, "USDC", 6), token_asset(CHAIN, WETH, "WETH", 18)


def swap(kind, routers):
    pool = PoolSpec(PoolId("pool"), kind, address_of("pool"), CHAIN, USDC_ASSET, WETH_ASSET, USDC, WETH, 3000)
    return plan_swap(
        intent_id="swap",
        strategy="arb",
        pool=pool,
        routers=routers,
        sender=VAULT,
        token_in=USDC_ASSET.id,
        amount_in=2_500_000_000,
        min_out=10**18,
        deadline_s=1_795_632_000,
    )


def arbitrage():
    pools = {
        name: PoolSpec(PoolId(name), kind, address_of(name), CHAIN, USDC_ASSET, WETH_ASSET, USDC, WETH, fee)
        for name, kind, fee in (("one", "v2", 3000), ("two", "v3", 500))
    }
    cycle = Cycle((Leg("one", WETH_ASSET.id, USDC_ASSET.id), Leg("two", USDC_ASSET.id, WETH_ASSET.id)))
    optimum = CycleOptimum(cycle, (10**18, 3_000_000_000, 10**18 + 10**16))
    return plan_arbitrage(
        intent_id="arbitrage",
        strategy="arb",
        chain_id=CHAIN,
        executor=EXECUTOR,
        sender=VAULT,
        optimum=optimum,
        steps=steps_of(optimum, pools, WETH),
        loan=Loan(Funding.FLASH_SWAP),
        token=WETH_ASSET,
        bounds=Bounds(tolerance_bps=100, deadline_s=1_795_632_000, block_max=21_000_000),
    )


def executor():
    roles = Roles(owner=PARTNER, operator=VAULT, pauser=PARTNER, beneficiary=VAULT)
    data = deployment_data(roles, Venues(WETH), Factories(V2, V3))
    return plan_deployment(intent_id="deploy", strategy="arb", chain_id=CHAIN, sender=VAULT, roles=roles, data=data)


def allowance(amount):
    return plan_approval(
        intent_id="approve",
        strategy="arb",
        chain_id=CHAIN,
        token=USDC_ASSET,
        token_address=USDC,
        sender=VAULT,
        spender=V3,
        amount=amount,
    )


def withdrawal(asset):
    return plan_withdrawal(
        withdrawal_id="w-1", chain_id=CHAIN, sender=VAULT, recipient=PARTNER, asset=asset, raw=1_500_000
    )


def holding(asset):
    return Holding(VAULT, "forwarder", user_id("u1"), asset, 7, (1,), 0)


def plain(purpose, to, data=b"", value_wei=0):
    return TransactionPlan(IntentId("p"), StrategyId("custody"), purpose, CHAIN, VAULT, to, value_wei, data, 0, 0)


def gmx_order(kind):
    order = GmxOrder(
        market=GMX.markets[0],
        kind=OrderKind[kind],
        is_long=True,
        size_usd=Decimal(30_000),
        collateral=USDC,
        collateral_raw=5_000_000_000,
        acceptable_price=Decimal(3_010),
        trigger_price=None if OrderKind[kind].is_market else Decimal(2_900),
    )
    return plan_order(intent_id="o", strategy="s", book=GMX, order=order, sender=VAULT, execution_fee_wei=10**15)


GMX = replace(
    _GMX,
    chain_id=CHAIN,
    markets=(replace(_GMX.markets[0], short_token=GmxToken(USDC_ASSET, USDC), long_token=GmxToken(WETH_ASSET, WETH)),),
)


def routed(token_in, token_out, hops, *, exact_out=False, permit=False):
    """A quote of one path as a plan, through whichever router reaches it."""
    path = Route(tuple(hops))
    quote = Quote(
        id="q",
        chain_id=CHAIN,
        block_number=5,
        block_hash="0x05",
        token_in=token_in,
        token_out=token_out,
        amount_in=path.amount_in,
        amount_out=path.amount_out,
        is_exact_out=exact_out,
        paths=(path,),
        mid_price=Fraction(path.amount_out, path.amount_in),
        gas_units=0,
        gas_cost=0,
    )
    bounds = SlippagePolicy().bounds(quote, head_number=5, time_s=1_795_632_000)
    names = {
        "WETH9": WETH9,
        "UniversalRouter": V3,
        "SwapRouter02": V3,
        "Permit2": PERMIT2,
        "BalancerVault": V2,
    }
    contracts = swap_contracts(names, RouterVersion.V2_1)
    way = choose_way(quote, contracts)
    signed = None
    if permit:
        document = Permit(CHAIN, USDC, bounds.amount_in_max, V3, 0, bounds.deadline_s)
        signed = SignedPermit(document, b"s" * 65)
    return plan_quote(quote, bounds, way, contracts, intent_id="swap", strategy="dex", sender=VAULT, permit=signed)


def hop(kind, source, target, amounts, *, coin=False):
    """A hop over a pool of USDC and WETH (of V4: and the coin)."""
    eth = (ETH, ZERO_ADDRESS) if coin else (WETH9_ASSET, WETH9)
    pool = PoolSpec(PoolId("pool"), kind, address_of("pool"), CHAIN, eth[0], USDC_ASSET, eth[1], USDC, 500)
    return Hop(replace(pool, tick_spacing=10, pool_id="0x" + "0b" * 32), source, target, *amounts)


WETH9_ASSET, ETH = token_asset(CHAIN, WETH9, "WETH", 18), native_asset(CHAIN)
BUY, SELL = (3_000_000_000, 10**18), (10**18, 3_000_000_000)
UNIVERSAL = "Swap on Uniswap through the UniversalRouter"
ALL = Routers(v2=V2, v3=V3, v3_first=V3_FIRST)
EXAMPLES = {
    **position_plans.EXAMPLES,
    "dex/execution/planning.py:plan_swap": [
        (swap("v2", ALL), "Swap on Uniswap V2"),
        (swap("v3", ALL), "Swap on Uniswap V3"),
        (swap("v3", replace(ALL, v3=None)), "Swap on Uniswap V3"),
    ],
    "dex/arbitrage/deployment.py:plan_deployment": [(executor(), "Deploy an arbitrage executor")],
    "dex/arbitrage/planning.py:plan_arbitrage": [(arbitrage(), "Arbitrage around a cycle of pools")],
    "dex/execution/planning.py:plan_approval": [
        (allowance(2_500_000_000), "Allow a spender to take tokens"),
        (allowance(0), "Take an allowance back"),
    ],
    "dex/execution/swaps.py:plan_quote": [
        (routed(USDC_ASSET, WETH9_ASSET, [hop("v2", USDC_ASSET, WETH9_ASSET, BUY)]), "Swap on Uniswap V2"),
        (
            routed(USDC_ASSET, WETH9_ASSET, [hop("v3", USDC_ASSET, WETH9_ASSET, BUY)], exact_out=True),
            "Swap on Uniswap V3",
        ),
        (
            routed(USDC_ASSET, WETH9_ASSET, [hop("balancer-weighted", USDC_ASSET, WETH9_ASSET, BUY)]),
            "Swap on Balancer",
        ),
        (routed(ETH, USDC_ASSET, [hop("v4", ETH, USDC_ASSET, SELL, coin=True)]), UNIVERSAL),
        (routed(ETH, USDC_ASSET, [hop("v3", WETH9_ASSET, USDC_ASSET, SELL)], exact_out=True), UNIVERSAL),
        (routed(USDC_ASSET, ETH, [hop("v3", USDC_ASSET, WETH9_ASSET, BUY)], permit=True), UNIVERSAL),
        (routed(USDC_ASSET, WETH9_ASSET, [hop("v4", USDC_ASSET, ETH, BUY, coin=True)], permit=True), UNIVERSAL),
    ],
    "custody/withdrawals/plans.py:plan_withdrawal": [
        (withdrawal(USDC_ASSET), "Send tokens"),
        (withdrawal(native_asset(CHAIN)), "Send coins"),
    ],
    "custody/deposits/sweep_plans.py:_plan": [
        (
            plan_batch(
                "s", chain_id=CHAIN, sender=VAULT, sweeper=SWEEPER, holdings=[holding(USDC_ID), holding(ETH_ID)]
            ),
            "Sweep deposits into the sweeper's own vault",
        ),
        (plan_transfer("s", chain_id=CHAIN, holding=holding(USDC_ID), vault=PARTNER, raw=5), "Send tokens"),
        (plan_transfer("s", chain_id=CHAIN, holding=holding(ETH_ID), vault=PARTNER, raw=5), "Send coins"),
    ],
    "custody/deposits/sweep_plans.py:plan_grant": [
        (plan_grant("g", chain_id=CHAIN, tank=VAULT, target=PARTNER, raw=10**16), "Send coins")
    ],
    "dex/perps/gmx/orders.py:plan_order": [
        (gmx_order("MARKET_INCREASE"), "Increase a long position on GMX"),
        (gmx_order("STOP_LOSS_DECREASE"), "Decrease as a stop loss a long position on GMX"),
    ],
    "dex/perps/gmx/orders.py:plan_cancel": [
        (
            plan_cancel(intent_id="c", strategy="s", book=GMX, key=b"\x01" * 32, sender=VAULT),
            "Take an order back from GMX",
        )
    ],
    # Cancelling, and closing a gap among nonces: a transfer of nothing to oneself.
    "custody/transactions/fees.py:cancellation": [(plain("cancel", VAULT), "Send nothing (a transfer of 0)")],
}
MAKES_NOTHING_NEW = {
    "custody/transactions/plans.py:decode_plan": "reads back what was recorded",
    "custody/transactions/evidence.py:has_rested": "announces a plan to signers, who sign nothing of it yet",
    "custody/transactions/dispatch.py:_price": "prices a plan that was made elsewhere",
    "custody/backup/reconcile.py:_read": "reads back from the chain what was signed",
    "custody/transactions/repair.py:_close": "a transfer of 0, as cancelling",
}


@pytest.mark.parametrize(
    ("maker", "plan", "action"),
    [(maker, plan, action) for maker, examples in EXAMPLES.items() for plan, action in examples],
    ids=[f"{maker}-{number}" for maker, examples in EXAMPLES.items() for number, _ in enumerate(examples)],
)
def test_every_plan_has_words(maker, plan, action):
    subject = ChainCall(
        chain_id=plan.chain_id,
        sender=plan.sender,
        to=plan.to,
        value_wei=plan.value_wei,
        data=plan.data,
        gas_limit=plan.gas_limit,
        fee_per_gas_wei_max=10**9,
    )
    text = intent(subject=subject).render(NAMES)
    assert text.startswith(f"Action:        {action}\n")
    for amount in plan.spends:
        assert SYMBOLS[amount.asset.id] in text
    if plan.recipient is not None:
        assert plan.recipient in text
    # Adding to a V3 position pays tokens its bytes do not name, which approvers are told.
    assert text.count("WARNING") == action.startswith("Add liquidity to a position on Uniswap V3")


def test_every_maker_of_plans_is_known():
    made = set()
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            for function, call in calls_in(ast.parse(path.read_text())):
                if call in ("TransactionPlan", "TransactionToSign"):
                    made.add(f"{name}:{function}")
    unknown = made - EXAMPLES.keys() - MAKES_NOTHING_NEW.keys()
    assert not unknown, f"no example of what these make: {sorted(unknown)}"
    assert {maker for maker in EXAMPLES if "planning" in maker} <= made


def test_every_selector_in_the_product_can_be_read_or_only_reads():
    from custody.calls.registry import _METHODS

    signatures = set()
    for package in PRODUCT:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                is_selector = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "selector"
                if is_selector and isinstance(node.args[0], ast.Constant):
                    signatures.add(node.args[0].value)
    unread = {text for text in signatures if selector(text) not in _METHODS}
    assert "transfer(address,uint256)" in signatures
    fine = VIEWS | DRILL | position_plans.VIEWS | position_plans.WITHIN_OTHERS
    assert unread <= fine, f"nobody could approve these: {sorted(unread - fine)}"


DRILL = frozenset({"mint(address,uint256)"})
"""The drill's own token on its devnet, sent by an account of the devnet that no guard stands before."""
VIEWS = frozenset(
    {
        "balanceOf(address)",
        "extsload(bytes32[])",
        "allowance(address,address)",
        "symbol()",
        "decimals()",
        "factory()",
        "getPair(address,address)",
        "getPool(address,address,uint24)",
        "getSwapFeePercentage()",
        "getNormalizedWeights()",
        "getAmplificationParameter()",
        "forwarderOf(bytes32)",
        "implementation()",
        "vault()",
    }
)
"""Asked of a node, never signed."""


def calls_in(tree):
    """(enclosing function, name of what is called), for every call."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call):
                    yield function.name, getattr(node.func, "id", getattr(node.func, "attr", ""))
