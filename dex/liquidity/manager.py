"""Our contracts that keep liquidity for an owner (`contracts/src/liquidity`): their state, and moves as unsigned plans.

What bounds a move is in the contract: a loss measured at a price its pool does not set. So a plan says where the
liquidity should lie and what to swap first, and promises nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain import ChainClient
from chain.abi import address_at, address_word, call_data, int_at, int_word, selector, uint_at, uint_word
from dex.liquidity.bounds import price_band
from dex.liquidity.maths import Range, amounts_down, tick_at
from dex.liquidity.rebalancing import balancing
from domain.errors import InputError, Refused
from domain.ids import Address, ChainId, IntentId, StrategyId
from domain.plans import TransactionPlan

MOVE: Final = selector("move((int24,int24,bool,uint256,uint160,uint128,uint256))")
COLLECT: Final = selector("collectToOwner()")
EXIT: Final = selector("exit(uint256,uint256)")
GAS_LIMIT_MOVE: Final = 1_500_000
"""Measured: 700,000 with a swap on V3, and 100,000 less on V4."""

_TOKENS: Final = (selector("token0()"), selector("token1()"))
_SPACING: Final = selector("tickSpacing()")
_POSITION: Final = selector("position()")
_OWNER: Final = selector("owner()")
_ORACLE: Final = selector("oracle()")
_PRICE: Final = selector("sqrtPriceX96()")
_BOUNDS: Final = selector("bounds()")
_SPENT: Final = selector("spentBpsUp()")
_VALUE: Final = selector("valueDown()")
_PAUSED: Final = selector("isPaused()")
_IS_OPERATOR: Final = selector("isOperator(address)")
_BALANCE_OF: Final = selector("balanceOf(address)")
_COIN: Final = "0x" + "00" * 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerState:
    """What a manager holds and may do, at one block."""

    address: Address
    owner: Address
    tokens: tuple[Address, Address]
    spacing: int
    span: Range | None
    """None while nothing is provided."""
    liquidity: int
    idle: tuple[int, int]
    """In the contract's hands, raw."""
    sqrt_price_x96: int
    """The reference's, by which moves are judged."""
    value: int
    """Raw token 1 at that price, fees not collected aside."""
    deviation_bps: int
    loss_bps: int
    day_loss_bps: int
    spent_bps: int
    is_paused: bool
    is_operator: bool
    """Whether the account that asked may move it."""

    @property
    def held(self) -> tuple[int, int]:
        """Everything, as if the pool stood at the reference's price; fees not collected aside."""
        if self.span is None:
            return self.idle
        own = amounts_down(self.sqrt_price_x96, tick_at(self.sqrt_price_x96), self.span, self.liquidity)
        return self.idle[0] + own[0], self.idle[1] + own[1]


async def read_manager(client: ChainClient, manager: Address, account: Address) -> ManagerState:
    """Read a manager's state.

    Raises:
        InputError: Nothing like one stands there.
        NodeRefused: Its reference does not know the price.
    """
    block = await client.head()
    if not await client.code(manager, block.hash):
        raise InputError(f"there is no contract at {manager}", hint="Deploy a V3LpManager or V4LpManager first.")

    async def ask(method: bytes, *words: bytes, at: str = manager) -> bytes:
        return await client.call(at, call_data(method, words), block.hash)

    tokens = [address_at(await ask(method), 0) for method in _TOKENS]
    position = await ask(_POSITION)
    liquidity, spacing = uint_at(position, 2), int_at(await ask(_SPACING), 0)
    bounds = await ask(_BOUNDS)
    idle = [
        await client.balance(manager, block.hash)
        if token == _COIN
        else uint_at(await ask(_BALANCE_OF, address_word(manager), at=token), 0)
        for token in tokens
    ]
    return ManagerState(
        address=manager,
        owner=address_at(await ask(_OWNER), 0),
        tokens=(tokens[0], tokens[1]),
        spacing=spacing,
        span=Range(int_at(position, 0), int_at(position, 1), spacing) if liquidity else None,
        liquidity=liquidity,
        idle=(idle[0], idle[1]),
        sqrt_price_x96=uint_at(await ask(_PRICE, at=address_at(await ask(_ORACLE), 0)), 0),
        value=uint_at(await ask(_VALUE), 0),
        deviation_bps=uint_at(bounds, 0),
        loss_bps=uint_at(bounds, 1),
        day_loss_bps=uint_at(bounds, 2),
        spent_bps=uint_at(await ask(_SPENT), 0),
        is_paused=bool(uint_at(await ask(_PAUSED), 0)),
        is_operator=bool(uint_at(await ask(_IS_OPERATOR, address_word(account)), 0)),
    )


def plan_move(
    state: ManagerState,
    wanted: Range,
    *,
    intent_id: str,
    strategy: str,
    chain_id: ChainId,
    sender: Address,
    deadline_s: int,
    tolerance_bps: int,
    fee_bps: int = 0,
) -> TransactionPlan:
    """Plan moving all that a manager holds into a range, swapping what does not fit.

    The swap stops where the price would be `tolerance_bps` beyond the reference's; the least liquidity asked for is one
    unit, because what the move may cost is the contract's own bound.

    Raises:
        InputError: Nothing is held.
        Refused: It is paused, or the sender may not move it.
    """
    if state.is_paused:
        raise Refused(f"{state.address} is paused", rule="manager-paused", hint="Its owner ends the pause.")
    if not state.is_operator:
        raise Refused(
            f"{sender} is no operator of {state.address}", rule="manager-operator", hint="Its owner names them."
        )
    price = state.sqrt_price_x96
    fit = balancing(price, tick_at(price), wanted, state.held, cost_bps=fee_bps)
    low, high = price_band(price, tolerance_bps)
    limit = low if fit.is_zero_in else high
    words = [int_word(wanted.lower), int_word(wanted.upper), uint_word(int(fit.is_zero_in))]
    words += [uint_word(value) for value in (fit.amount, limit, 1, deadline_s)]
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose="liquidity",
        chain_id=chain_id,
        sender=sender,
        to=state.address,
        value_wei=0,
        data=call_data(MOVE, words),
        gas_limit=GAS_LIMIT_MOVE,
        deadline_s=deadline_s,
        recipient=sender,
    )
