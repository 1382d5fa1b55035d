"""Every plan for a liquidity position, with the words people read."""

from __future__ import annotations

from dataclasses import replace

from custody.calls.permit2 import PERMIT2
from dex.liquidity import (
    Order,
    PoolNow,
    Position,
    PositionContracts,
    PositionId,
    Range,
    plan_add,
    plan_burn,
    plan_collect,
    plan_mint,
    plan_remove,
)
from dex.liquidity.allowances import plan_permit2
from dex.liquidity.manager import ManagerState, plan_move
from dex.pools import PoolSpec
from domain import ChainId, native_asset, token_asset
from domain.ids import PoolId
from tests.support.approvers import USDC, VAULT, address_of

CHAIN, WETH = ChainId(1), address_of("weth")
USDC_ASSET, WETH_ASSET = token_asset(CHAIN, USDC, "USDC", 6), token_asset(CHAIN, WETH, "WETH", 18)
MANAGER = address_of("manager")
POSITIONS3, POSITIONS4 = address_of("positions 3"), address_of("positions 4")
NAMES = {
    (0, POSITIONS3): "Uniswap V3 positions",
    (0, POSITIONS4): "Uniswap V4 positions",
    (0, PERMIT2): "Permit2",
    (0, MANAGER): "Liquidity manager",
}
CONTRACTS = PositionContracts(
    v3=POSITIONS3, v4=POSITIONS4, v4_pools=address_of("pool manager"), permit2=PERMIT2, wrapped=WETH
)
COIN = "0x" + "00" * 20
ORDER = Order(intent_id="lp", strategy="lp", sender=VAULT, contracts=CONTRACTS, deadline_s=1_795_632_000)
GIVEN = (2_500_000_000, 10**18)


def position(kind, of_coin=False):
    asset0, token0 = (native_asset(CHAIN), COIN) if of_coin else (WETH_ASSET, WETH)
    spec = PoolSpec(
        PoolId("pool"), kind, address_of("pool"), CHAIN, asset0, USDC_ASSET, token0, USDC, 3000, tick_spacing=60
    )
    pool = PoolNow(spec=spec, sqrt_price_x96=2**96, tick=0, block_number=1, block_hash="0x01")
    span = Range(-600, 600, 60)
    return Position(id=PositionId(kind, 7), owner=VAULT, pool=pool, span=span, liquidity=10**12, fees=(5, 6))


def positions(kind, of_coin=False):
    """Everything that is planned for a position, with its words."""
    held, name = position(kind, of_coin), f"Uniswap {kind.upper()}"
    collect = f"Collect all that a position on {name} is owed" if kind == "v3" else f"Collect a position on {name}"
    taken = f"Take out of a position on {name}" if kind == "v3" else f"Take liquidity out of a position on {name}"
    end = f"Take out of a position on {name}" if kind == "v3" else f"End a position on {name}"
    return [
        (plan_mint(ORDER, held.pool, held.span, GIVEN).plan, f"Provide liquidity on {name}"),
        (plan_add(ORDER, held, GIVEN).plan, f"Add liquidity to a position on {name}"),
        (plan_remove(ORDER, held, held.liquidity // 2).plan, taken),
        (plan_collect(ORDER, held).plan, collect),
        (plan_burn(ORDER, held).plan, end),
        (plan_burn(ORDER, replace(held, liquidity=0)).plan, "End a position" if kind == "v3" else end),
    ]


def permit():
    mint = plan_mint(ORDER, position("v4").pool, Range(-600, 600, 60), GIVEN)
    return plan_permit2("p", mint.plan, mint.needs[0], 7, 1_795_632_000)


def managed():
    state = ManagerState(
        address=MANAGER,
        owner=VAULT,
        tokens=(WETH, USDC),
        spacing=60,
        span=None,
        liquidity=0,
        idle=(10**18, 0),
        sqrt_price_x96=2**96,
        value=10**18,
        deviation_bps=100,
        loss_bps=50,
        day_loss_bps=200,
        spent_bps=0,
        is_paused=False,
        is_operator=True,
    )
    return plan_move(
        state,
        Range(-600, 600, 60),
        intent_id="m",
        strategy="lp",
        chain_id=CHAIN,
        sender=VAULT,
        deadline_s=1_795_632_000,
        tolerance_bps=50,
    )


EXAMPLES = {
    "dex/liquidity/manager.py:plan_move": [(managed(), "Move a manager's liquidity, within its loss bound")],
    "dex/liquidity/planning.py:_plan": [*positions("v3"), *positions("v4"), *positions("v4", of_coin=True)],
    "dex/liquidity/allowances.py:plan_permit2": [(permit(), "Allow a spender to take tokens through Permit2")],
}
VIEWS = frozenset(
    {
        "allowance(address,address,address)",
        "bounds()",
        "fee()",
        "isOperator(address)",
        "isPaused()",
        "oracle()",
        "owner()",
        "position()",
        "spentBpsUp()",
        "sqrtPriceX96()",
        "valueDown()",
        "feeGrowthGlobal0X128()",
        "feeGrowthGlobal1X128()",
        "getFeeGrowthInside(bytes32,int24,int24)",
        "getPoolAndPositionInfo(uint256)",
        "getPositionInfo(bytes32,address,int24,int24,bytes32)",
        "getSlot0(bytes32)",
        "ownerOf(uint256)",
        "poolKeys(bytes25)",
        "positions(uint256)",
        "slot0()",
        "tickSpacing()",
        "ticks(int24)",
        "token0()",
        "token1()",
        "tokenOfOwnerByIndex(address,uint256)",
    }
)
"""Asked of a node, never signed."""
WITHIN_OTHERS = frozenset({"burn(uint256)"})
"""Read within a batch of the position manager only: alone it is how some tokens destroy an amount."""
