"""Limits of an allow rule as closures: None when all is well, or what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from custody.policy.action import Action
from custody.policy.conditions import Names
from custody.policy.decision import LIFETIME_S, Spent
from custody.policy.facts import MICRO, Facts
from custody.policy.measures import (
    SIMULATION_UNKNOWN,
    TIME_UNKNOWN,
    TRANSACTIONS,
    USD,
    Unknown,
    counters,
    usd_micro_down,
    usd_micro_up,
)
from custody.policy.schema import AmountLimit, CountWindow, Limits, SimulationLimit, UsdLimit


@dataclass(frozen=True, slots=True)
class Refusal:
    """A no: the name of what said it, and a sentence with the numbers."""

    rule: str
    reason: str


Limit = Callable[[Action, Facts, Spent], Refusal | None]


def unknown_fact(unknown: Unknown, rule_id: str) -> Refusal:
    """A rule needs what nobody knows."""
    return Refusal(f"unknown-fact:{unknown.fact}", f"rule {rule_id} needs {unknown.fact}, which is not known")


def build_limits(rule_id: str, limits: Limits, names: Names) -> Iterator[Limit]:
    """The limits of a rule in the order in which they are asked."""
    if limits.amounts is not None:
        yield _amounts(rule_id, limits.amounts)
    if limits.usd is not None:
        yield _usd(rule_id, limits.usd, names)
    if limits.transactions:
        yield _transactions(rule_id, limits.transactions)
    if limits.simulation is not None:
        yield _simulation(rule_id, limits.simulation)
    if limits.gas_cost_wei is not None:
        yield _gas(rule_id, limits.gas_cost_wei)
    if limits.deadline is not None:
        yield _deadline(rule_id, limits.deadline)
    if limits.slippage_bps is not None:
        yield _slippage(rule_id, limits.slippage_bps, limits.price_max_age, names)


def _amounts(rule_id: str, entries: tuple[AmountLimit, ...]) -> Limit:
    by_asset = {entry.asset: entry for entry in entries}
    rest = by_asset.get(None)

    def within(action: Action, facts: Facts, spent: Spent) -> Refusal | None:
        for asset, raw in action.approves.items():
            entry = by_asset.get(asset, rest)
            if entry is None:
                return Refusal("asset", f"asset {asset} is not listed in rule {rule_id}")
            limit = entry.approval if entry.approval is not None else entry.per_transaction or 0
            if raw > limit:
                return Refusal("approval-limit", f"an allowance of {raw} {asset} exceeds {limit} (rule {rule_id})")
        for asset, raw in action.spends.items():
            entry = by_asset.get(asset, rest)
            if entry is None:
                return Refusal("asset", f"asset {asset} is not listed in rule {rule_id}")
            if refusal := _spend(rule_id, entry, asset, raw, action, facts, spent):
                return refusal
        return None

    return within


def _spend(
    rule_id: str, entry: AmountLimit, asset: str, raw: int, action: Action, facts: Facts, spent: Spent
) -> Refusal | None:
    limit = entry.per_transaction
    if limit is not None and raw > limit:
        return Refusal("amount", f"{raw} {asset} exceeds {limit} per transaction (rule {rule_id})")
    if entry.share_percent is not None:
        held = None if facts.balances is None else facts.balances.get(asset)
        if held is None:
            return unknown_fact(Unknown("balances"), rule_id)
        if raw * 100 > entry.share_percent * held:
            return Refusal("share", f"{raw} {asset} exceeds {entry.share_percent} % of {held} (rule {rule_id})")
    if entry.windows or entry.lifetime is not None:
        return _over_time(rule_id, entry, asset, raw, action, facts, spent)
    return None


def _over_time(
    rule_id: str, entry: AmountLimit, asset: str, raw: int, action: Action, facts: Facts, spent: Spent
) -> Refusal | None:
    if entry.per == "initiator" and facts.initiator is None:
        return unknown_fact(Unknown("initiator"), rule_id)
    for counter in counters(action, facts, asset, entry.per):
        for window in entry.windows:
            before = spent(counter, window.window)
            if before + raw > window.amount:
                return Refusal(
                    "velocity",
                    f"{raw} {asset} after {before} in {window.window} s exceeds {window.amount} (rule {rule_id})",
                )
        if entry.lifetime is not None and (before := spent(counter, LIFETIME_S)) + raw > entry.lifetime:
            return Refusal("lifetime", f"{raw} {asset} after {before} ever exceeds {entry.lifetime} (rule {rule_id})")
    return None


def _usd(rule_id: str, limit: UsdLimit, names: Names) -> Limit:
    def within(action: Action, facts: Facts, spent: Spent) -> Refusal | None:
        value = usd_micro_up(action.spends, facts, names.decimals, limit.price_max_age)
        if isinstance(value, Unknown):
            return unknown_fact(value, rule_id)
        if limit.per_transaction is not None and value > limit.per_transaction:
            return Refusal("usd-amount", f"{_dollars(value)} exceed {_dollars(limit.per_transaction)} (rule {rule_id})")
        for window in limit.windows:
            before = spent(USD, window.window)
            if before + value > window.amount:
                return Refusal(
                    "usd-velocity",
                    f"{_dollars(value)} after {_dollars(before)} in {window.window} s exceed {_dollars(window.amount)}"
                    f" (rule {rule_id})",
                )
        if limit.lifetime is not None and (before := spent(USD, LIFETIME_S)) + value > limit.lifetime:
            return Refusal(
                "usd-lifetime",
                f"{_dollars(value)} after {_dollars(before)} ever exceed {_dollars(limit.lifetime)} (rule {rule_id})",
            )
        return None

    return within


def _transactions(rule_id: str, windows: tuple[CountWindow, ...]) -> Limit:
    def within(_action: Action, _facts: Facts, spent: Spent) -> Refusal | None:
        for window in windows:
            if (before := spent(TRANSACTIONS, window.window)) >= window.count:
                return Refusal("count", f"{before} transactions within {window.window} s (rule {rule_id})")
        return None

    return within


def _simulation(rule_id: str, limit: SimulationLimit) -> Limit:
    moves = {move.asset: move for move in limit.moves}

    def within(action: Action, facts: Facts, _spent: Spent) -> Refusal | None:
        simulation = facts.simulation
        if simulation is None:
            return unknown_fact(SIMULATION_UNKNOWN, rule_id)
        for asset, change in simulation.changes.items():
            move = moves.get(asset)
            lowest, highest = (0, None) if move is None else (move.lowest, move.highest)
            if change < lowest or (highest is not None and change > highest):
                return Refusal("simulation", f"it would change {asset} by {change} (rule {rule_id})")
        if not limit.new_allowances:
            stated = {(asset, spender) for asset in action.approves for spender in action.spenders}
            for asset, spender in sorted(simulation.allowances - stated):
                return Refusal("simulation", f"{spender} would get an allowance of {asset} (rule {rule_id})")
        return None

    return within


def _gas(rule_id: str, limit_wei: int) -> Limit:
    def within(action: Action, _facts: Facts, _spent: Spent) -> Refusal | None:
        cost = action.gas_limit * action.fee_per_gas_wei
        if cost > limit_wei:
            return Refusal("gas-cost", f"gas may cost {cost} wei, rule {rule_id} allows {limit_wei}")
        return None

    return within


def _deadline(rule_id: str, limit_s: int) -> Limit:
    def within(action: Action, facts: Facts, _spent: Spent) -> Refusal | None:
        if not action.is_swap:
            return None
        now = facts.now_s if facts.chain_time_s is None else facts.chain_time_s
        if now is None:
            return unknown_fact(TIME_UNKNOWN, rule_id)
        if action.deadline_s - now > limit_s:
            return Refusal("deadline", f"deadline {action.deadline_s} is over {limit_s} s after {now} (rule {rule_id})")
        return None

    return within


def _slippage(rule_id: str, bps: int, max_age_s: int, names: Names) -> Limit:
    def within(action: Action, facts: Facts, _spent: Spent) -> Refusal | None:
        if not action.is_swap:
            return None
        given = usd_micro_up(action.spends, facts, names.decimals, max_age_s)
        if isinstance(given, Unknown):
            return unknown_fact(given, rule_id)
        got = usd_micro_down(action.receives_min, facts, names.decimals, max_age_s)
        if isinstance(got, Unknown):
            return unknown_fact(got, rule_id)
        if got * 10_000 < given * (10_000 - bps):
            return Refusal(
                "slippage", f"at least {_dollars(got)} for {_dollars(given)}: over {bps} bps less (rule {rule_id})"
            )
        return None

    return within


def _dollars(micro: int) -> str:
    return f"{micro // MICRO}.{micro % MICRO // 10_000:02} USD"
