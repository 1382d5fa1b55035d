"""Moves the liquidity of a manager contract: one transaction, judged by the contract's own loss bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain import parse_address
from cli import output
from cli.dex.desk import open_desk
from cli.dex.devnet_policy import Allowances
from cli.dex.lp.carry import new_intent
from cli.dex.lp.place import Places, open_reading, places_of
from cli.dex.lp.work import STRATEGY, ask_to
from cli.dex.options import DeskPlace
from dex.liquidity import Range, tick_at
from dex.liquidity.manager import ManagerState, plan_move, read_manager
from dex.liquidity.policies import Outlook, RangePolicy, share0_of
from domain import Address, OrderRejected
from domain.plans import TransactionPlan


@dataclass(frozen=True, slots=True)
class Wish:
    """Where the liquidity should lie, and what is tolerated."""

    policy: RangePolicy
    volatility_day: float
    fee_bps: int
    tolerance_bps: int
    deadline_s: int


async def move_manager(place: DeskPlace, name: str, wish: Wish, *, send: bool, yes: bool, as_json: bool) -> None:
    """Show a manager, and move it if that is asked for."""
    manager = parse_address(name)
    async with open_reading(place) as places:
        state = await read_manager(places.client, manager, places.owner)
        wanted, _ = await _plan(places, state, wish)
    told: dict[str, Any] = {**_shown(state), "wanted": [wanted.lower, wanted.upper], "sent": False}
    if not send:
        output.table(told, as_json=as_json)
        return
    if not as_json:
        output.table({key: value for key, value in told.items() if key != "sent"}, as_json=False)
    ask_to(f"Move {manager} to {wanted.lower} … {wanted.upper}?", yes=yes, as_json=as_json)
    async with open_desk(place, Allowances(contracts={manager: ("move", "collectToOwner")})) as desk:
        places = await places_of(desk.client, desk.network, desk.account)
        _, plan = await _plan(places, await read_manager(desk.client, manager, desk.account), wish)
        outcome = await desk.execute(plan)
        if outcome.status != "mined":
            raise OrderRejected(f"{plan.intent_id} {outcome.status}: {outcome.reason}")
        after = await read_manager(desk.client, manager, desk.account)
        differences = len(await desk.differences())
    told = {
        **_shown(after),
        "value_before": str(state.value),
        "intent_id": plan.intent_id,
        "tx_hash": outcome.tx_hash,
        "gas_cost_wei": outcome.gas_cost_wei,
        "ledger_differences": differences,
        "sent": True,
    }
    output.table(told, as_json=as_json)


async def _plan(places: Places, state: ManagerState, wish: Wish) -> tuple[Range, TransactionPlan]:
    head, price = await places.client.head(), state.sqrt_price_x96
    outlook = Outlook(
        tick=tick_at(price),
        spacing=state.spacing,
        volatility_day=wish.volatility_day,
        share0=share0_of(price, state.held),
    )
    wanted = wish.policy.range_for(outlook)
    plan = plan_move(
        state,
        wanted,
        intent_id=new_intent("move"),
        strategy=STRATEGY,
        chain_id=places.client.chain_id,
        sender=Address(places.owner),
        deadline_s=head.time_s + wish.deadline_s,
        tolerance_bps=wish.tolerance_bps,
        fee_bps=wish.fee_bps,
    )
    return wanted, plan


def _shown(state: ManagerState) -> dict[str, Any]:
    return {
        "manager": state.address,
        "owner": state.owner,
        "tokens": list(state.tokens),
        "range": [state.span.lower, state.span.upper] if state.span else None,
        "liquidity": str(state.liquidity),
        "idle": [str(raw) for raw in state.idle],
        "value": str(state.value),
        "loss_bps": state.loss_bps,
        "spent_bps_of_day": f"{state.spent_bps} of {state.day_loss_bps}",
        "paused": state.is_paused,
        "may_move": state.is_operator,
    }
