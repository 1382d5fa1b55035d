"""Rules made fast: which rules an action can concern is one intersection of bit sets, the rest are a few closures.

Every rule has a bit. For each dimension (kind, chain, contract, method, asset, recipient, …) a table gives, for a
value, the rules that accept it, those without the condition among them. The intersection over the dimensions is exact
for what a rule says about who, where and what; only the rules that remain are asked about amounts and facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from custody.policy.action import Action
from custody.policy.conditions import Check, Names, conjunction, kinds, measured, negation, placed
from custody.policy.decision import Requirement, Spent
from custody.policy.facts import Facts
from custody.policy.limits import Limit, Refusal, build_limits, unknown_fact
from custody.policy.measures import (
    INITIATOR_UNKNOWN,
    PRICE_UNKNOWN,
    TRANSACTIONS,
    USD,
    Unknown,
    counters,
    usd_micro_up,
)
from custody.policy.schema import PolicyDocument, Rule

NO_RULE: Final = "implicit-deny"


class CompiledRule:
    """A rule whose words have become closures."""

    __slots__ = ("checks", "conditions", "delay_s", "effect", "id", "limits", "reason", "requirement")

    def __init__(self, rule: Rule, names: Names) -> None:
        every = rule.effect == "allow"
        self.id = rule.id
        self.effect = rule.effect
        self.reason = rule.note or f"rule {rule.id} denies it"
        after_index = list(measured(rule.when, names, every=every))
        meant = kinds(rule.when, every=every)
        self.conditions: tuple[tuple[str, Check], ...] = (
            ("kind", lambda action, _facts, _spent: action.kind in meant),
            *(named for named in placed(rule.when, names, every=every) if named[0] != "kind"),
            *after_index,
        )
        """All of them by name, for explanations."""
        if rule.unless is not None:
            both = (*placed(rule.unless, names, every=not every), *measured(rule.unless, names, every=not every))
            exception = negation(conjunction(both))
            after_index.append(("unless", exception))
            self.conditions = (*self.conditions, ("unless", exception))
        self.checks: tuple[Check, ...] = tuple(check for _, check in after_index)
        """What the index has not answered."""
        self.limits: tuple[Limit, ...] = tuple(build_limits(rule.id, rule.limits, names)) if rule.limits else ()
        self.requirement = (
            Requirement(group=rule.group, count=rule.count, rule=rule.id) if rule.group and rule.count else None
        )
        self.delay_s = rule.delay or 0


class _Dimension:
    """value → bits of the rules that accept it; `free` are those without the condition."""

    __slots__ = ("free", "table")

    def __init__(self, wanted: Iterable[Collection[object] | None]) -> None:
        self.free = 0
        table: dict[object, int] = {}
        for number, values in enumerate(wanted):
            if values is None:
                self.free |= 1 << number
            else:
                for value in values:
                    table[value] = table.get(value, 0) | 1 << number
        self.table = {value: bits | self.free for value, bits in table.items()}

    def of(self, value: object) -> int:
        return self.table.get(value, self.free)


class CompiledRules:
    """A document's rules, ready to be asked."""

    def __init__(self, document: PolicyDocument) -> None:
        self.names = names = Names(document)
        self.rules = tuple(CompiledRule(rule, names) for rule in document.rules)
        rules = document.rules
        self._allow = sum(1 << number for number, rule in enumerate(rules) if rule.effect == "allow")
        self._kind = _Dimension(_set(kinds(r.when, every=r.effect == "allow")) for r in rules)
        self._chain = _Dimension(_set(r.when.chain) for r in rules)
        self._venue = _Dimension(_set(r.when.venue) for r in rules)
        self._vault = _Dimension(_set(r.when.vault) for r in rules)
        self._contract = _Dimension(
            None if r.when.contract is None else names.contracts(r.when.contract) for r in rules
        )
        self._method = _Dimension(_set(r.when.method) for r in rules)
        self._asset = _Dimension(_set(r.when.asset) for r in rules)
        self._recipient = _Dimension(_places(r.when.recipient, names) for r in rules)
        self._spender = _Dimension(_places(r.when.spender, names) for r in rules)
        self._initiator = _Dimension(
            None if r.when.initiator is None else names.initiators(r.when.initiator) for r in rules
        )
        # Words, not addresses: an exchange's address book may hold an address that reads like one of them.
        self._to_self = self._recipient.table.pop("self", 0)
        self._to_internal = self._recipient.table.pop("internal", 0)
        self._by_initiator = ((1 << len(rules)) - 1) & ~self._initiator.free
        self._counts_usd_age = _usd_counted(document)
        self._counts_times = any(r.limits and r.limits.transactions for r in rules)
        self._counts_per = tuple(sorted(_counted_per(document), key=str))

    def candidates(self, action: Action, facts: Facts) -> tuple[int, int]:
        """Rules that fit who, where and what; and which of them would have to know the initiator and do not."""
        bits = (
            self._kind.of(action.kind)
            & self._chain.of(action.chain)
            & self._vault.of(self.names.vault(action, facts))
            & self._contract.of(action.contract)
            & self._venue.of(action.venue)
        )
        method = self._method
        bits &= method.of(action.method) | method.of(action.selector)
        if action.approves:
            bits &= self._joined([self._asset.of(a) for a in (*action.spends, *action.approves)], self._asset.free)
            bits &= self._joined([self._spender.of(a) for a in action.spenders], self._spender.free)
        else:
            bits &= self._joined([self._asset.of(a) for a in action.spends], self._asset.free)
            bits &= (
                self._joined([self._spender.of(a) for a in action.spenders], self._spender.free)
                if action.spenders
                else self._spender.free
            )
        bits &= self._joined([self._paid(r, action.sender) for r in action.recipients], self._recipient.free)
        if facts.initiator is None:
            return bits, bits & self._by_initiator
        return bits & self._initiator.of(facts.initiator), 0

    def judge(self, action: Action, facts: Facts, spent: Spent) -> Refusal | tuple[list[CompiledRule], dict[str, int]]:
        """Apply docs/policy.md; gives the rules that allow, require and delay, and what is to be counted."""
        bits, blind = self.candidates(action, facts)
        found = self._ask(bits, blind, action, facts, spent)
        if isinstance(found, Refusal):
            return found
        allowed = False
        for rule in found:
            allowed = allowed or rule.effect == "allow"
        if not allowed:
            return Refusal(NO_RULE, "no rule allows it")
        for rule in found:
            for limit in rule.limits:
                if refusal := limit(action, facts, spent):
                    return refusal
        counts = self._count(action, facts)
        return counts if isinstance(counts, Refusal) else (found, counts)

    def _ask(self, bits: int, blind: int, action: Action, facts: Facts, spent: Spent) -> list[CompiledRule] | Refusal:
        """Ask the rules of a bit set, in their order, what the index has not answered."""
        matched: list[CompiledRule] = []
        unknown: Refusal | None = None
        rules = self.rules
        while bits:
            low = bits & -bits
            bits ^= low
            rule = rules[low.bit_length() - 1]
            truth: bool | Unknown = INITIATOR_UNKNOWN if low & blind else True
            for check in rule.checks:
                answer = check(action, facts, spent)
                if answer is True:
                    continue
                if answer is False:
                    truth = False
                    break
                if truth is True:
                    truth = answer
            if truth is False:
                continue
            if truth is not True:
                unknown = unknown or unknown_fact(truth, rule.id)
            elif rule.effect == "deny":
                return Refusal(rule.id, rule.reason)
            else:
                matched.append(rule)
        return matched if unknown is None else unknown

    def _count(self, action: Action, facts: Facts) -> dict[str, int] | Refusal:
        counts = dict(action.spends)
        if self._counts_times:
            counts[TRANSACTIONS] = 1
        if self._counts_usd_age is not None:
            value = usd_micro_up(action.spends, facts, self.names.decimals, self._counts_usd_age)
            if isinstance(value, Unknown):
                return Refusal(f"unknown-fact:{PRICE_UNKNOWN.fact}", "dollars are counted, and a price is not known")
            counts[USD] = value
        for asset, per in self._counts_per:
            for spends, raw in action.spends.items():
                if asset in (None, spends):
                    if per == "initiator" and facts.initiator is None:
                        return Refusal("unknown-fact:initiator", "spending is counted by initiator, who is not known")
                    counts.update((counter, raw) for counter in counters(action, facts, spends, per))
        return counts

    def _paid(self, recipient: str, sender: str) -> int:
        bits = self._recipient.of(recipient)
        if recipient == sender:
            bits |= self._to_self
        if recipient in self.names.own:
            bits |= self._to_internal
        return bits

    def _joined(self, masks: list[int], free: int) -> int:
        """Allow rules must accept all values, the others any; without a value, only rules without the condition."""
        if len(masks) == 1:
            return masks[0]
        if not masks:
            return free
        every = any_of = masks[0]
        for mask in masks[1:]:
            every &= mask
            any_of |= mask
        return (every & self._allow) | (any_of & ~self._allow)


def _set(values: Iterable[object] | None) -> frozenset[object] | None:
    return None if values is None else frozenset(values)


def _places(values: tuple[str, ...] | None, names: Names) -> frozenset[str] | None:
    return None if values is None else names.addresses(values)


def _usd_counted(document: PolicyDocument) -> int | None:
    """The greatest price age of the rules that look at dollars over time; None when there are none."""
    ages = [
        rule.limits.usd.price_max_age
        for rule in document.rules
        if rule.limits and rule.limits.usd and (rule.limits.usd.windows or rule.limits.usd.lifetime is not None)
    ]
    ages += [
        conditions.price_max_age
        for rule in document.rules
        for conditions in (rule.when, rule.unless)
        if conditions and conditions.above and conditions.above.usd is not None and conditions.above.window
    ]
    return max(ages, default=None)


def _counted_per(document: PolicyDocument) -> Iterator[tuple[str | None, str]]:
    entries = (entry for rule in document.rules if rule.limits for entry in rule.limits.amounts or ())
    wanted = {(e.asset, e.per) for e in entries if e.per != "vault" and (e.windows or e.lifetime is not None)}
    everything = {per for asset, per in wanted if asset is None}
    for asset, per in wanted:
        if asset is None or per not in everything:
            yield asset, per
