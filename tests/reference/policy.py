"""docs/policy.md, read aloud: a policy evaluator that is as slow and as plain as the text.

Shares the parsed document with the product, and nothing else: no index, no closures, every rule is asked every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from custody.policy import Action, Facts, Kind
from custody.policy.schema import Conditions, Limits, PolicyDocument, Rule

Spent = Callable[[str, int], int]
YES, NO = "yes", "no"
"""Anything else is the name of an unknown fact."""

ORDER = (
    "kind", "chain", "venue", "vault", "contract", "method", "asset", "recipient", "spender", "initiator", "above",
    "aml", "risk_above", "younger_than", "hours", "unless",
)  # fmt: skip
LIFETIME = 10**11


@dataclass(frozen=True)
class Answer:
    """`refused` is the rule's name, or empty for a yes."""

    refused: str = ""
    rules: tuple[str, ...] = ()
    requirements: tuple[tuple[str, int, str], ...] = ()
    delay_s: int = 0
    counts: tuple[tuple[str, int], ...] = ()


class Refuse(Exception):
    """Ends an evaluation."""


def evaluate(document: PolicyDocument, action: Action, facts: Facts, spent: Spent) -> Answer:
    """Decide by the numbered steps of the text (the bytes have been read already)."""
    try:
        fixed_checks(document, action, facts)
        truths = [(rule, rule_holds(document, rule, action, facts, spent)) for rule in document.rules]
        for rule, truth in truths:
            if rule.effect == "deny" and truth == YES:
                raise Refuse(rule.id)
        for _rule, truth in truths:
            if truth not in (YES, NO):
                raise Refuse(f"unknown-fact:{truth}")
        matching = [rule for rule, truth in truths if truth == YES]
        if not any(rule.effect == "allow" for rule in matching):
            raise Refuse(nearest(document, action, facts, spent))
        for rule in matching:
            if rule.limits is not None:
                check_limits(document, rule.limits, action, facts, spent)
        counts = counting(document, action, facts)
    except Refuse as exc:
        return Answer(refused=str(exc))
    return Answer(
        rules=tuple(rule.id for rule in matching if rule.effect == "allow"),
        requirements=tuple((str(r.group), int(r.count or 0), r.id) for r in matching if r.effect == "require"),
        delay_s=max((int(rule.delay or 0) for rule in matching if rule.effect == "delay"), default=0),
        counts=tuple(sorted(counts.items())),
    )


def fixed_checks(document: PolicyDocument, action: Action, facts: Facts) -> None:
    if action.chain == 0:
        return
    if action.chain not in document.chains:
        raise Refuse("chain")
    caps = document.chains[action.chain]
    if action.gas_limit:
        if action.gas_limit > caps.gas_limit_max:
            raise Refuse("gas-limit")
        if action.fee_per_gas_wei > caps.fee_per_gas_wei_max:
            raise Refuse("fee-cap")
        if action.gas_limit * action.fee_per_gas_wei > caps.gas_cost_wei_max:
            raise Refuse("fee-cap")
    owners = [vault for vault, addresses in document.vaults.items() if action.sender in addresses]
    if facts.vault not in (None, "", "default") and owners and owners != [facts.vault]:
        raise Refuse("vault")
    if action.kind is Kind.SWAP or (action.kind is Kind.CALL and action.receives_min):
        if action.deadline_s == 0:
            raise Refuse("deadline")
        if facts.chain_time_s is not None:
            ahead = action.deadline_s - facts.chain_time_s
            if ahead <= 0 or ahead > caps.deadline_s_max:
                raise Refuse("deadline")
        if 0 in action.receives_min.values():
            raise Refuse("slippage")


def rule_holds(document: PolicyDocument, rule: Rule, action: Action, facts: Facts, spent: Spent) -> str:
    every = rule.effect == "allow"
    parts = [block_holds(document, rule.when, every, action, facts, spent)]
    if every and rule.when.kind is None:
        named = {Kind.SAFE, Kind.DESCRIBED, Kind.MESSAGE, Kind.TYPED_DATA, Kind.AUTHORIZATION}
        parts.append(NO if action.kind in named else YES)
    if rule.unless is not None:
        truth = block_holds(document, rule.unless, not every, action, facts, spent)
        parts.append({YES: NO, NO: YES}.get(truth, truth))
    return together(parts)


def block_holds(
    document: PolicyDocument, block: Conditions, every: bool, action: Action, facts: Facts, spent: Spent
) -> str:
    names = [name for name in ORDER if name != "unless" and getattr(block, name) is not None]
    return together([condition_holds(document, name, block, every, action, facts, spent) for name in names])


def together(parts: list[str]) -> str:
    if NO in parts:
        return NO
    return next((part for part in parts if part != YES), YES)


def condition_holds(  # noqa: PLR0911, PLR0912 - one case a condition, as in the text
    document: PolicyDocument, name: str, block: Conditions, every: bool, action: Action, facts: Facts, spent: Spent
) -> str:
    value: Any = getattr(block, name)
    match name:
        case "kind":
            return yes(action.kind in value)
        case "chain":
            return yes(action.chain in value)
        case "venue":
            return yes(action.venue in value)
        case "vault":
            return yes(vault_of(document, action, facts) in value)
        case "contract":
            return yes(("none" in value) if action.contract is None else listed(document, action.contract, value))
        case "method":
            return yes(action.method in value or action.selector in value)
        case "asset":
            return several([a in value for a in [*action.spends, *action.approves]], every)
        case "recipient":
            own = ours(document)
            fits = [
                listed(document, r, value)
                or ("self" in value and r == action.sender)
                or ("internal" in value and r in own)
                for r in action.recipients
            ]
            return several(fits, every)
        case "spender":
            return several([listed(document, s, value) for s in action.spenders], every)
        case "initiator":
            if facts.initiator is None:
                return "initiator"
            person = document.people.get(facts.initiator)
            return yes(
                facts.initiator in value.ids
                or (person is not None and any(role in value.roles for role in person.roles))
                or any(facts.initiator in document.groups[group] for group in value.groups)
            )
        case "above":
            return above(document, value, block.price_max_age, action, facts, spent)
        case "aml" | "risk_above" | "younger_than":
            return foreign(document, name, value, every, action, facts)
        case "hours":
            return hours(value, facts)
    raise AssertionError(name)


def yes(truth: bool) -> str:
    return YES if truth else NO


def several(fits: list[bool], every: bool) -> str:
    if not fits:
        return NO
    return yes(all(fits) if every else any(fits))


def listed(document: PolicyDocument, address: str, texts: tuple[str, ...]) -> bool:
    for text in texts:
        if text.startswith("@"):
            if address in document.lists[text[1:]]:
                return True
        elif text not in ("self", "internal", "none") and text == address:
            return True
    return False


def ours(document: PolicyDocument) -> set[str]:
    return {address for addresses in document.vaults.values() for address in addresses}


def vault_of(document: PolicyDocument, action: Action, facts: Facts) -> str:
    if document.vaults and action.kind is not Kind.WITHDRAWAL:
        return next((vault for vault, addresses in document.vaults.items() if action.sender in addresses), "")
    return facts.vault or "default"


def going_out(action: Action) -> dict[str, int]:
    return {
        asset: action.spends.get(asset, 0) + action.approves.get(asset, 0)
        for asset in [*action.spends, *action.approves]
    }


def above(document: PolicyDocument, value: Any, age: int, action: Action, facts: Facts, spent: Spent) -> str:
    amounts = going_out(action)
    if value.usd is not None:
        worth = dollars(document, amounts, age, facts, up=True)
        if worth is None:
            return "usd-price"
        return yes(worth + (spent("usd", value.window) if value.window is not None else 0) > value.usd)
    if value.asset is not None:
        amounts = {asset: raw for asset, raw in amounts.items() if asset == value.asset}
    if value.amount is not None:
        return yes(
            any(
                raw + (spent(asset, value.window) if value.window is not None else 0) > value.amount
                for asset, raw in amounts.items()
            )
        )
    truths = []
    for asset, raw in amounts.items():
        if facts.balances is None or asset not in facts.balances:
            truths.append("balances")
        else:
            truths.append(yes(Fraction(raw) > Fraction(value.share_percent, 100) * facts.balances[asset]))
    if YES in truths:
        return YES
    return "balances" if "balances" in truths else NO


def dollars(document: PolicyDocument, amounts: Any, age: int, facts: Facts, *, up: bool) -> int | None:
    decimals = {asset.id: asset.decimals for asset in document.assets.values()}
    total = 0
    for asset, raw in amounts.items():
        if raw == 0:
            continue
        price = facts.prices.get(asset)
        if price is None or facts.now_s is None or asset not in decimals:
            return None
        if facts.now_s - price.at_s > age or price.at_s - facts.now_s > 30:
            return None
        exact = Fraction(raw * price.usd_micro, 10 ** decimals[asset])
        whole = exact.numerator // exact.denominator
        total += whole + (1 if up and exact.denominator != 1 else 0)
    return total


def foreign(document: PolicyDocument, name: str, value: Any, every: bool, action: Action, facts: Facts) -> str:
    everybody = [*action.recipients, *action.spenders]
    if not everybody:
        return NO
    strangers = [a for a in everybody if a != action.sender and a not in ours(document)]
    if not strangers:
        return yes(every)
    truths = []
    for address in strangers:
        if name == "younger_than":
            seen = facts.first_seen_s.get(address)
            truths.append("first-seen" if seen is None or facts.now_s is None else yes(facts.now_s - seen < value))
            continue
        found = facts.screened.get(address)
        if found is None:
            truths.append("aml")
        else:
            truths.append(yes(found.verdict in value) if name == "aml" else yes(found.risk > value))
    decisive = NO if every else YES
    if decisive in truths:
        return decisive
    return next((truth for truth in truths if truth not in (YES, NO)), yes(every))


def hours(windows: Any, facts: Facts) -> str:
    if facts.now_s is None:
        return "time"
    week = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    for window in windows:
        local = datetime.fromtimestamp(facts.now_s, UTC).astimezone(ZoneInfo(window.zone))
        minute = local.hour * 60 + local.minute
        today, yesterday = week[local.weekday()], week[(local.date() - timedelta(days=1)).weekday()]
        if window.start < window.end:
            if today in window.days and window.start <= minute < window.end:
                return YES
        else:
            if today in window.days and minute >= window.start:
                return YES
            if yesterday in window.days and minute < window.end:
                return YES
    return NO


def nearest(document: PolicyDocument, action: Action, facts: Facts, spent: Spent) -> str:
    best = -1
    for rule in document.rules:
        if rule.effect != "allow":
            continue
        for number, name in enumerate(ORDER):
            if name == "kind" and rule.when.kind is None:
                truth = rule_holds(document, rule.model_copy(update={"when": Conditions(), "unless": None}),
                                   action, facts, spent)  # fmt: skip
            elif name == "unless":
                truth = YES
                if rule.unless is not None:
                    inner = block_holds(document, rule.unless, False, action, facts, spent)
                    truth = NO if inner == YES else YES
            elif getattr(rule.when, name) is None:
                continue
            else:
                truth = condition_holds(document, name, rule.when, True, action, facts, spent)
            if truth == NO:
                best = max(best, number)
                break
    return ORDER[best] if best >= 0 else "implicit-deny"


def check_limits(  # noqa: PLR0912 - one paragraph a limit, as in the text
    document: PolicyDocument, limits: Limits, action: Action, facts: Facts, spent: Spent
) -> None:
    if limits.amounts is not None:
        entries = {entry.asset: entry for entry in limits.amounts}
        for asset, raw in action.approves.items():
            entry = entries.get(asset) or entries.get(None)
            if entry is None:
                raise Refuse("asset")
            if raw > next((v for v in (entry.approval, entry.per_transaction) if v is not None), 0):
                raise Refuse("approval-limit")
        for asset, raw in action.spends.items():
            entry = entries.get(asset) or entries.get(None)
            if entry is None:
                raise Refuse("asset")
            check_spend(entry, asset, raw, action, facts, spent)
    if limits.usd is not None:
        worth = dollars(document, action.spends, limits.usd.price_max_age, facts, up=True)
        if worth is None:
            raise Refuse("unknown-fact:usd-price")
        if limits.usd.per_transaction is not None and worth > limits.usd.per_transaction:
            raise Refuse("usd-amount")
        for window in limits.usd.windows:
            if spent("usd", window.window) + worth > window.amount:
                raise Refuse("usd-velocity")
        if limits.usd.lifetime is not None and spent("usd", LIFETIME) + worth > limits.usd.lifetime:
            raise Refuse("usd-lifetime")
    for often in limits.transactions:
        if spent("transactions", often.window) + 1 > often.count:
            raise Refuse("count")
    if limits.simulation is not None:
        check_simulation(limits.simulation, action, facts)
    if limits.gas_cost_wei is not None and action.gas_limit * action.fee_per_gas_wei > limits.gas_cost_wei:
        raise Refuse("gas-cost")
    if action.kind is Kind.SWAP or (action.kind is Kind.CALL and action.receives_min):
        if limits.deadline is not None:
            now = facts.chain_time_s if facts.chain_time_s is not None else facts.now_s
            if now is None:
                raise Refuse("unknown-fact:time")
            if action.deadline_s > now + limits.deadline:
                raise Refuse("deadline")
        if limits.slippage_bps is not None:
            given = dollars(document, action.spends, limits.price_max_age, facts, up=True)
            got = dollars(document, action.receives_min, limits.price_max_age, facts, up=False)
            if given is None or got is None:
                raise Refuse("unknown-fact:usd-price")
            if Fraction(got) < Fraction(given) * (10_000 - limits.slippage_bps) / 10_000:
                raise Refuse("slippage")


def check_spend(entry: Any, asset: str, raw: int, action: Action, facts: Facts, spent: Spent) -> None:
    if entry.per_transaction is not None and raw > entry.per_transaction:
        raise Refuse("amount")
    if entry.share_percent is not None:
        if facts.balances is None or asset not in facts.balances:
            raise Refuse("unknown-fact:balances")
        if Fraction(raw) > Fraction(entry.share_percent, 100) * facts.balances[asset]:
            raise Refuse("share")
    if not entry.windows and entry.lifetime is None:
        return
    for counter in counter_names(entry.per, asset, action, facts):
        for window in entry.windows:
            if spent(counter, window.window) + raw > window.amount:
                raise Refuse("velocity")
        if entry.lifetime is not None and spent(counter, LIFETIME) + raw > entry.lifetime:
            raise Refuse("lifetime")


def counter_names(per: str, asset: str, action: Action, facts: Facts) -> list[str]:
    if per == "vault":
        return [asset]
    if per == "initiator":
        if facts.initiator is None:
            raise Refuse("unknown-fact:initiator")
        return [f"by:{facts.initiator}|{asset}"]
    paid = list(action.recipients) or ([action.contract] if action.contract else [])
    return [f"to:{address}|{asset}" for address in paid]


def check_simulation(limit: Any, action: Action, facts: Facts) -> None:
    if facts.simulation is None:
        raise Refuse("unknown-fact:simulation")
    moves = {move.asset: move for move in limit.moves}
    for asset, change in facts.simulation.changes.items():
        if asset not in moves:
            if change < 0:
                raise Refuse("simulation")
            continue
        if change < moves[asset].lowest:
            raise Refuse("simulation")
        if moves[asset].highest is not None and change > moves[asset].highest:
            raise Refuse("simulation")
    if not limit.new_allowances:
        for asset, spender in facts.simulation.allowances:
            if asset not in action.approves or spender not in action.spenders:
                raise Refuse("simulation")


def counting(document: PolicyDocument, action: Action, facts: Facts) -> dict[str, int]:
    counts = dict(action.spends)
    blocks = [b for rule in document.rules for b in (rule.when, rule.unless) if b is not None]
    limits = [rule.limits for rule in document.rules if rule.limits is not None]
    if any(limit.transactions for limit in limits):
        counts["transactions"] = 1
    ages = [b.price_max_age for b in blocks if b.above and b.above.usd is not None and b.above.window is not None]
    ages += [
        limit.usd.price_max_age
        for limit in limits
        if limit.usd and (limit.usd.windows or limit.usd.lifetime is not None)
    ]
    if ages:
        worth = dollars(document, action.spends, max(ages), facts, up=True)
        if worth is None:
            raise Refuse("unknown-fact:usd-price")
        counts["usd"] = worth
    for asset, raw in action.spends.items():
        for limit in limits:
            for entry in limit.amounts or ():
                over_time = bool(entry.windows) or entry.lifetime is not None
                if entry.per != "vault" and over_time and entry.asset in (None, asset):
                    for counter in counter_names(entry.per, asset, action, facts):
                        counts[counter] = raw
    return counts
