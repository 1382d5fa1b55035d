"""Moves a position to another range, step by step through custody: end it, swap what does not fit, provide again.

Between the steps the tokens lie in the account. `contracts/src/liquidity` does the same in one transaction, within a
loss bound that the chain enforces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chain.network import identify
from cli import output
from cli.dex.desk import DexDesk, open_desk
from cli.dex.lp.carry import carry_out
from cli.dex.lp.place import Places, devnet_allowances, open_reading, places_of
from cli.dex.lp.work import ask_to, order_for
from cli.dex.market import open_market
from cli.dex.options import DeskPlace
from cli.dex.swapping import carry_out as carry_swap
from cli.dex.swapping import contracts_on, prepare, quote_through
from dex.execution.slippage import SlippagePolicy
from dex.execution.swaps import Through
from dex.liquidity import Position, PositionId, Range, plan_burn, plan_mint
from dex.liquidity.policies import Outlook, RangePolicy, share0_of, wants_rebalancing
from dex.liquidity.rebalancing import balancing
from domain import InputError

_DUST_BPS = 50
"""A swap of less than this part of what is held is not worth its gas."""
_SWAPS_MAX = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What is wanted, and what is tolerated."""

    policy: RangePolicy
    volatility_day: float
    only_if_needed: bool
    tolerance_bps: int
    slippage_bps: int
    deadline_s: int


async def rebalance(place: DeskPlace, name: str, terms: Terms, *, send: bool, yes: bool, as_json: bool) -> None:
    """Move a position to the range its policy wants now."""
    async with open_reading(place) as places:
        position = await _read(places, name)
        wanted, outlook = _wanted(position, terms)
    is_needed = wants_rebalancing(position.span, outlook, wanted)
    told: dict[str, Any] = {
        "position": name,
        "range": [position.span.lower, position.span.upper],
        "wanted": [wanted.lower, wanted.upper],
        "tick": position.pool.tick,
        "needed": is_needed,
        "sent": False,
    }
    if not as_json:
        output.table({key: value for key, value in told.items() if key != "sent"}, as_json=False)
    if not send or (terms.only_if_needed and not is_needed):
        if as_json:
            output.emit(told)
        elif not send:
            output.say("not sent: say --send")
        return
    ask_to(f"Move {name} to {wanted.lower} … {wanted.upper}?", yes=yes, as_json=as_json)
    async with open_desk(place, devnet_allowances()) as desk:
        places = await places_of(desk.client, desk.network, desk.account)
        told |= await _carry(desk, places, name, terms)
        told["ledger_differences"] = len(await desk.differences())
    if as_json:
        output.emit({**told, "sent": True})
    else:
        output.table({key: value for key, value in told.items() if key != "sent"}, as_json=False)


async def _carry(desk: DexDesk, places: Places, name: str, terms: Terms) -> dict[str, Any]:
    position = await _read(places, name)
    wanted, _ = _wanted(position, terms)
    order = await order_for(places, "burn", terms.tolerance_bps, terms.deadline_s)
    ended = await carry_out(desk, plan_burn(order, position))
    held, spec = list(ended.moved), position.pool.spec
    swapped = [0, 0]
    for _ in range(_SWAPS_MAX):
        # The first swap moves the price, so a second may be worth its gas; what is left then stays in the account.
        now = await places.reader.pool(spec)
        fit = balancing(now.sqrt_price_x96, now.tick, wanted, (held[0], held[1]), cost_bps=spec.fee_pips // 100)
        source = 0 if fit.is_zero_in else 1
        if fit.amount * 10_000 <= _DUST_BPS * max(1, held[source]):
            break
        paid, got = await _swap(desk, ended.planned.tokens, source, fit.amount, terms)
        for side, raw in ((source, -paid), (1 - source, got)):
            held[side] += raw
            swapped[side] += raw
    now = await places.reader.pool(spec)
    order = await order_for(places, "mint", terms.tolerance_bps, terms.deadline_s)
    made = await carry_out(desk, plan_mint(order, now, wanted, (held[0], held[1])))
    left = [held[k] + made.moved[k] for k in (0, 1)]
    return {
        "became": f"{spec.kind}:{made.created}",
        "wanted": [wanted.lower, wanted.upper],
        "taken_out": [str(raw) for raw in ended.moved],
        "swapped": [str(raw) for raw in swapped],
        "provided": [str(-raw) for raw in made.moved],
        "left_over": [str(raw) for raw in left],
        "liquidity": str(made.planned.liquidity),
    }


async def _swap(desk: DexDesk, tokens: tuple[str, str], source: int, amount: int, terms: Terms) -> tuple[int, int]:
    """Swap exactly so much over all pools; gives what was paid and what came."""
    ends, url = (tokens[source], tokens[1 - source]), desk.client.rpc.endpoints[0].url

    async def requote(through: Through | None = None) -> Any:
        async with open_market(url, ends) as market:
            return await quote_through(market, ends, amount, through, is_exact_out=False, max_hops=3)

    policy = SlippagePolicy(tolerance_bps=terms.slippage_bps, lifetime_s=terms.deadline_s)
    contracts = await contracts_on(desk.client, await identify(desk.client))
    prepared = await prepare(desk.client, await requote(), policy, contracts, desk.account)
    done = await carry_swap(desk, prepared, policy, requote)
    if done.status != "mined":
        raise InputError(f"the swap of the surplus {done.status}: {done.reason}", hint="The tokens are in the account.")
    return int(done.amount_in), int(done.amount_out)


def _wanted(position: Position, terms: Terms) -> tuple[Range, Outlook]:
    outlook = Outlook(
        tick=position.pool.tick,
        spacing=position.span.spacing,
        volatility_day=terms.volatility_day,
        share0=share0_of(position.pool.sqrt_price_x96, position.amounts),
    )
    return terms.policy.range_for(outlook), outlook


async def _read(places: Places, name: str) -> Position:
    (found,) = await places.reader.read([PositionId.parse(name)])
    return found
