"""Carries a position plan out through custody: allowances first, what is left of them taken back after."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chain import Receipt
from chain.abi import topic
from cli.dex.desk import DexDesk
from dex.liquidity import Planned
from dex.liquidity.allowances import plan_allowances, plan_leftovers
from dex.liquidity.history import gained
from domain import Address, OrderRejected
from domain.events import SwapSettled
from domain.plans import TransactionPlan

_TRANSFER = topic("Transfer(address,address,uint256)")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of a plan that was carried out."""

    planned: Planned
    outcome: SwapSettled
    moved: tuple[int, int]
    """What the account gained (negative: paid) of the two tokens, raw."""
    transactions: int
    """Sent in all, with allowances."""
    created: int
    """The number of the position that was minted; 0 for none."""


def new_intent(verb: str) -> str:
    """Choose an id for something that is to happen once."""
    return f"lp-{verb}-{uuid.uuid4().hex[:12]}"


async def carry_out(desk: DexDesk, planned: Planned, say: Say = lambda _text: None) -> Carried:
    """Have custody carry it out.

    Raises:
        OrderRejected: It was mined and reverted: the price moved too far, or it came too late. What was allowed for it
            is taken back all the same.
        Refused: Custody or policy said no.
    """
    plan = planned.plan
    allowed = await plan_allowances(desk.client, planned.needs, plan)
    back: list[TransactionPlan] = []
    try:
        if allowed:
            say(f"allowing {len(allowed)} exact amounts")
            await _in_order(desk, allowed)
        say("waiting for the position")
        outcome = await desk.execute(plan)
    finally:
        # Also after a refusal: nothing that was allowed for this plan stays allowed.
        back = await plan_leftovers(desk.client, planned.needs, plan)
        if back:
            say(f"taking {len(back)} allowances back")
            await _in_order(desk, back)
    _check(outcome)
    receipt = await desk.client.wait_receipt(outcome.tx_hash)
    moved = tuple(gained(receipt, token, desk.account) for token in planned.tokens)
    sent = len(allowed) + 1 + len(back)
    return Carried(planned, outcome, (moved[0], moved[1]), sent, _created(receipt, plan.to, desk.account))


async def _in_order(desk: DexDesk, plans: Sequence[TransactionPlan]) -> None:
    # One after the other: what is submitted together may be signed in another order, and an allowance that is taken
    # back before it is given again must come first.
    for plan in plans:
        _check(await desk.execute(plan))


def _check(outcome: SwapSettled) -> None:
    if outcome.status != "mined":
        raise OrderRejected(
            f"{outcome.intent_id} {outcome.status}: {outcome.reason or 'no reason was given'}",
        )


def _created(receipt: Receipt, manager: Address, account: Address) -> int:
    """Find the position's token that was minted to the account."""
    for log in receipt.logs:
        is_minted = len(log.topics) == 4 and log.topics[0] == _TRANSFER and not int(log.topics[1], 16)
        if log.address == manager and is_minted and log.topics[2].lower().endswith(account[2:].lower()):
            return int(log.topics[3], 16)
    return 0
