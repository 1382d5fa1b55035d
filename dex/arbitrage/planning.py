"""A cycle as an unsigned transaction to the ArbExecutor: its least profit, deadline and last block inside the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chain import parse_address
from dex.arbitrage.cycles import CycleOptimum
from dex.arbitrage.executor import Loan, Step, encode_execute
from dex.pools import PoolSpec
from domain.amounts import Amount
from domain.assets import Asset, native_asset
from domain.errors import InputError
from domain.ids import ChainId, IntentId, StrategyId
from domain.plans import BroadcastKind, TransactionPlan

PURPOSE: Final = "arbitrage"
_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a transaction must keep, or revert."""

    tolerance_bps: int
    """How much less than predicted the profit may be."""
    deadline_s: int
    block_max: int
    tip_bps: int = 0
    """Share of the profit for the block's builder."""
    broadcast: BroadcastKind = "public"
    """How it reaches the chain. Not publicly, nobody sees the cycle before it is mined."""


def least_profit(profit: int, bounds: Bounds) -> int:
    """Give the profit below which an arbitrage reverts, rounded down, but never less than one unit.

    Raises:
        InputError: The tolerance or the tip is no share.
    """
    if not 0 <= bounds.tolerance_bps < _BPS or not 0 <= bounds.tip_bps <= _BPS:
        raise InputError(
            f"tolerance must lie in 0..9999 bps and the tip in 0..10000, found {bounds.tolerance_bps}, {bounds.tip_bps}"
        )
    kept = profit - profit * bounds.tip_bps // _BPS
    return max(1, kept * (_BPS - bounds.tolerance_bps) // _BPS)


def plan_arbitrage(
    *,
    intent_id: str,
    strategy: str,
    chain_id: ChainId,
    executor: str,
    sender: str,
    optimum: CycleOptimum,
    steps: tuple[Step, ...],
    loan: Loan,
    token: Asset,
    bounds: Bounds,
    gas_limit: int = 0,
) -> TransactionPlan:
    """Plan a cycle. Nothing of the sender's goes in; the profit goes to the executor's beneficiary.

    Args:
        intent_id: Chosen by the caller; custody executes it at most once.
        strategy: In whose name.
        chain_id: Where.
        executor: The ArbExecutor.
        sender: One of its operators.
        optimum: The cycle and its amounts.
        steps: The same as the contract's steps.
        loan: What pays for the beginning.
        token: What the profit is counted in: the first step's token.
        bounds: What must be kept.
        gas_limit: 0 lets custody estimate it.

    Raises:
        InputError: It would not pay, or a bound is impossible.
    """
    profit = optimum.profit - loan.fee
    if profit <= 0:
        raise InputError(f"arbitrage {intent_id}: the loan costs {loan.fee}, all that the cycle earns")
    least = least_profit(profit, bounds)
    to = parse_address(executor)
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose=PURPOSE,
        chain_id=chain_id,
        sender=parse_address(sender),
        to=to,
        value_wei=0,
        data=encode_execute(
            steps,
            loan,
            amount=optimum.amount_in,
            min_profit=least,
            deadline_s=bounds.deadline_s,
            block_max=bounds.block_max,
            tip_bps=bounds.tip_bps,
        ),
        gas_limit=gas_limit,
        deadline_s=bounds.deadline_s,
        receives_min=(Amount(token, least),),
        recipient=to,
        broadcast=bounds.broadcast,
        max_block=bounds.block_max if bounds.broadcast != "public" else 0,
    )


def token_of(optimum: CycleOptimum, pools: Mapping[str, PoolSpec], wrapped: Asset) -> Asset:
    """Give what a cycle's profit is counted in: its first token, the coin as its wrapped form."""
    leg = optimum.cycle.legs[0]
    pool = pools[leg.pool]
    if leg.token_in == native_asset(pool.chain_id).id:
        return wrapped
    return next(asset for asset, _ in pool.tokens if asset.id == leg.token_in)
