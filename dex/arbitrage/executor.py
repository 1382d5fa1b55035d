"""Calls of our ArbExecutor (contracts/src/arbitrage): a cycle as typed steps, and what pays for its beginning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from chain.codec import function
from dex.arbitrage.cycles import CycleOptimum
from dex.pools import ZERO_ADDRESS, PoolSpec
from domain.assets import native_asset
from domain.errors import InputError
from domain.ids import Address

EXECUTE: Final = function(
    "execute("
    "(uint8 funding, address token, uint256 amount, uint256 minProfit, uint256 deadline, uint256 maxBlock,"
    " uint16 tipBps, address lenderToken, uint24 lenderFee) arbitrage,"
    " (uint8 kind, address venue, address tokenIn, address tokenOut, uint24 fee, int24 tickSpacing, bytes32 id)[] steps"
    ") returns (uint256 profit)"
)
_NO_ID: Final = bytes(32)


class Funding(IntEnum):
    """Where a cycle's first input comes from, as the contract numbers it."""

    OWN = 0
    """What the contract holds."""
    FLASH_SWAP = 1
    """The first step's pool delivers before it is paid."""
    FLASH_V3 = 2
    UNLOCK_V4 = 3
    AAVE = 4
    BALANCER = 5


class StepKind(IntEnum):
    """What a step does, as the contract numbers it."""

    V2 = 0
    V3 = 1
    V4 = 2
    BALANCER = 3
    CURVE = 4
    WRAP = 5


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cycle, as `IArbExecutor.Step` has it. The zero address is the chain's coin."""

    kind: StepKind
    token_in: Address
    token_out: Address
    venue: Address = ZERO_ADDRESS
    fee_pips: int = 0
    tick_spacing: int = 0
    id: bytes = _NO_ID


@dataclass(frozen=True, slots=True)
class Loan:
    """How a cycle's input is paid for, and what that costs."""

    funding: Funding
    fee: int = 0
    """In the cycle's token, for the amount it was asked about."""
    lender_token: Address = ZERO_ADDRESS
    """Of `FLASH_V3`: the other token of the pool that lends."""
    lender_fee_pips: int = 0
    """Of `FLASH_V3`: that pool's fee."""


def steps_of(optimum: CycleOptimum, pools: Mapping[str, PoolSpec], wrapped: Address) -> tuple[Step, ...]:
    """Write a cycle as steps; where one pool has the coin and the next its wrapped token, it is wrapped or unwrapped.

    Args:
        optimum: The cycle.
        pools: Its pools by id.
        wrapped: The contract of the wrapped coin.

    Raises:
        InputError: The contract has no step for one of the pools.
    """
    return tuple(_steps(optimum, pools, wrapped))


def _steps(optimum: CycleOptimum, pools: Mapping[str, PoolSpec], wrapped: Address) -> Iterator[Step]:
    legs = optimum.cycle.legs
    first = pools[legs[0].pool]
    # A cycle begins and ends with a token that has a contract.
    start = held = _token(first, legs[0].token_in, coin_as=wrapped)
    for leg in legs:
        step = _step(pools[leg.pool], leg.token_in, leg.token_out)
        if step.token_in != held:
            yield Step(StepKind.WRAP, held, step.token_in)
        yield step
        held = step.token_out
    if held != start:
        yield Step(StepKind.WRAP, held, start)


def _step(pool: PoolSpec, token_in: str, token_out: str) -> Step:
    source, target = _token(pool, token_in), _token(pool, token_out)
    if pool.kind == "v2":
        return Step(StepKind.V2, source, target, fee_pips=pool.fee_pips)
    if pool.kind == "v3":
        return Step(StepKind.V3, source, target, fee_pips=pool.fee_pips)
    if pool.kind == "v4":
        return Step(StepKind.V4, source, target, pool.hooks, pool.fee_pips, pool.tick_spacing)
    if pool.kind in ("balancer-stable", "balancer-weighted"):
        return Step(StepKind.BALANCER, source, target, id=bytes.fromhex(pool.pool_id[2:]))
    if pool.kind == "curve-stable":
        order = [address for _, address in pool.tokens]
        indexes = order.index(source) << 128 | order.index(target)
        return Step(StepKind.CURVE, source, target, pool.address, id=indexes.to_bytes(32))
    raise InputError(f"pool {pool.id}: the arbitrage executor has no step for pools of kind {pool.kind}")


def _token(pool: PoolSpec, asset_id: str, coin_as: Address = ZERO_ADDRESS) -> Address:
    if asset_id == native_asset(pool.chain_id).id:
        return coin_as
    return pool.address_of(asset_id)


def encode_execute(
    steps: Sequence[Step],
    loan: Loan,
    *,
    amount: int,
    min_profit: int,
    deadline_s: int,
    block_max: int,
    tip_bps: int = 0,
) -> bytes:
    """Write the call that carries a cycle out."""
    return EXECUTE.encode(
        (
            int(loan.funding),
            steps[0].token_in,
            amount,
            min_profit,
            deadline_s,
            block_max,
            tip_bps,
            loan.lender_token,
            loan.lender_fee_pips,
        ),
        [
            (
                int(step.kind),
                step.venue,
                step.token_in,
                step.token_out,
                step.fee_pips,
                step.tick_spacing,
                step.id,
            )
            for step in steps
        ],
    )
