"""Allowances that a position plan needs: exact amounts, and what is left of them is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chain import ChainClient
from chain.abi import address_word, call_data, selector, uint_at, uint_word
from dex.execution.planning import GAS_LIMIT_APPROVE, plan_approval
from dex.liquidity.planning import Need
from domain.amounts import Amount
from domain.ids import Address, IntentId
from domain.plans import TransactionPlan

PERMIT2_APPROVE: Final = selector("approve(address,address,uint160,uint48)")
_ALLOWANCE: Final = selector("allowance(address,address)")
_PERMIT2_ALLOWANCE: Final = selector("allowance(address,address,address)")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What is allowed of one need's token."""

    need: Need
    token: int
    """By the token itself: to the manager, or to Permit2."""
    permit2: int = 0
    expires_s: int = 0


async def read_allowed(client: ChainClient, needs: Sequence[Need], owner: Address) -> list[Allowed]:
    """Ask what is allowed already, of each need."""
    found = []
    for need in needs:
        spender = need.permit2 or need.spender
        words = [address_word(owner), address_word(spender)]
        token = uint_at(await client.call(need.token, call_data(_ALLOWANCE, words)), 0)
        if need.permit2 is None:
            found.append(Allowed(need, token))
            continue
        words = [address_word(owner), address_word(need.token), address_word(need.spender)]
        answer = await client.call(need.permit2, call_data(_PERMIT2_ALLOWANCE, words))
        found.append(Allowed(need, token, uint_at(answer, 0), uint_at(answer, 1)))
    return found


async def plan_allowances(client: ChainClient, needs: Sequence[Need], plan: TransactionPlan) -> list[TransactionPlan]:
    """Plan the approvals without which `plan` would fail, each of the exact amount.

    An allowance that is there, and too small, is taken back first: some tokens do not change one that is not zero.
    """
    plans: list[TransactionPlan] = []
    for index, now in enumerate(await read_allowed(client, needs, plan.sender)):
        need, name = now.need, f"{plan.intent_id}/allow{index}"
        if now.token < need.amount.raw:
            if now.token:
                plans.append(_approval(f"{name}/first", plan, need, 0))
            plans.append(_approval(name, plan, need, need.amount.raw))
        if need.permit2 is not None and (now.permit2 < need.amount.raw or now.expires_s < plan.deadline_s):
            plans.append(plan_permit2(f"{name}/permit2", plan, need, need.amount.raw, plan.deadline_s))
    return plans


async def plan_leftovers(client: ChainClient, needs: Sequence[Need], plan: TransactionPlan) -> list[TransactionPlan]:
    """Plan taking back whatever is still allowed after `plan` was carried out."""
    plans: list[TransactionPlan] = []
    for index, now in enumerate(await read_allowed(client, needs, plan.sender)):
        name = f"{plan.intent_id}/back{index}"
        if now.token:
            plans.append(_approval(name, plan, now.need, 0))
        if now.permit2:
            # An expiry of 0 is "this block", and no deadline that could have passed by now.
            plans.append(plan_permit2(f"{name}/permit2", plan, now.need, 0, 0))
    return plans


def plan_permit2(intent_id: str, plan: TransactionPlan, need: Need, amount: int, expires_s: int) -> TransactionPlan:
    """Plan an allowance within Permit2, of exactly this amount until a time."""
    words = address_word(need.token) + address_word(need.spender) + uint_word(amount) + uint_word(expires_s)
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=plan.strategy,
        purpose="approve",
        chain_id=plan.chain_id,
        sender=plan.sender,
        to=need.permit2 or need.spender,
        value_wei=0,
        data=PERMIT2_APPROVE + words,
        gas_limit=GAS_LIMIT_APPROVE,
        deadline_s=expires_s,
        approves=(Amount(need.amount.asset, amount),),
        recipient=need.spender,
    )


def _approval(intent_id: str, plan: TransactionPlan, need: Need, amount: int) -> TransactionPlan:
    return plan_approval(
        intent_id=intent_id,
        strategy=plan.strategy,
        chain_id=plan.chain_id,
        token=need.amount.asset,
        token_address=need.token,
        sender=plan.sender,
        spender=need.permit2 or need.spender,
        amount=amount,
    )
