"""What is probably not meant: rules that never matter, limits that are missing, groups that cannot or must not decide.

Linting judges words, not transactions: what it finds is worth a look, and what it does not find is no promise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, combinations, islice
from typing import Any

from custody.calls import known_documents, known_methods
from custody.policy.conditions import Names, kinds
from custody.policy.references import SELECTOR
from custody.policy.schema import Conditions, PolicyDocument, Rule
from domain import InputError

_ENDS = 4
"""Digits at either end by which wallets shorten addresses."""
_SPENDS_NOTHING = frozenset({"approve", "typed-data", "message", "authorization-7702"})
_PLACED = ("kind", "chain", "venue", "vault", "contract", "method", "asset", "recipient", "spender", "initiator")
_MEASURED = ("above", "aml", "risk_above", "younger_than", "hours")


class Severity(StrEnum):
    ERROR = "error"
    """It cannot work as written."""
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth a look."""

    code: str
    severity: Severity
    where: str
    """The rule, group, list or section."""
    text: str


def lint(document: PolicyDocument, *, at_most: int | None = None) -> list[Finding]:
    """Find what is probably a mistake, the worst first.

    Raises:
        InputError: There is more than `at_most`: much is found for each pair of rules, and becomes gigabytes.
    """
    names = Names(document)
    checks = chain(
        _unreachable(document),
        _shadowed(document, names),
        _unlimited(document),
        _groups(document),
        _self_approval(document, names),
        _lists(document),
        _unknown(document),
        _look_alikes(document),
        _facts(document),
        _sections(document),
    )
    found = list(islice(checks, None if at_most is None else at_most + 1))
    if at_most is not None and len(found) > at_most:
        raise InputError(f"more than {at_most:,} findings", hint="`capstan policy lint` says them all")
    order = list(Severity)
    return sorted(found, key=lambda finding: (order.index(finding.severity), finding.code, finding.where))


def _unreachable(document: PolicyDocument) -> Iterator[Finding]:
    """Rules that a chain, a kind or a rule before them keeps from ever mattering."""
    blanket = next((r.id for r in document.rules if r.effect == "deny" and r.unless is None and _is_free(r.when)), None)
    for rule in document.rules:
        where = f"rule {rule.id}"
        if blanket is not None and rule.effect != "deny":
            yield Finding("unreachable", Severity.ERROR, where, f"rule {blanket} denies everything")
        chains = set(rule.when.chain or ()) - {0}
        if chains and not chains & set(document.chains):
            yield Finding("unreachable", Severity.ERROR, where, "none of its chains is among the document's chains")
        meant = kinds(rule.when, every=rule.effect == "allow")
        if rule.when.venue and "exchange-withdrawal" not in meant:
            yield Finding("unreachable", Severity.ERROR, where, "only exchange-withdrawal has a venue")
        if rule.when.spender and rule.when.kind and not set(rule.when.kind) & {
            "approve", "contract-call", "safe", "typed-data",
        }:  # fmt: skip
            yield Finding("unreachable", Severity.ERROR, where, "what it is about gives nobody an allowance")
        if rule.effect in ("require", "delay") and rule.when.kind and set(rule.when.kind) == {"message"}:
            yield Finding(
                "unreachable", Severity.WARNING, where, "approvals and delays do not cover messages: they are refused"
            )


def _shadowed(document: PolicyDocument, names: Names) -> Iterator[Finding]:
    """A rule that a deny rule covers wholly, or that a twin repeats."""
    denies = [rule for rule in document.rules if rule.effect == "deny" and rule.unless is None]
    for rule in document.rules:
        if rule.effect != "deny":
            for deny in denies:
                if _covers(deny, rule, names) and not _is_free(deny.when):
                    yield Finding(
                        "shadowed", Severity.ERROR, f"rule {rule.id}", f"rule {deny.id} denies all that it means"
                    )
    for first, second in combinations(document.rules, 2):
        same = first.effect == second.effect and (first.when, first.unless) == (second.when, second.unless)
        if same and (first.limits, first.group, first.count) == (second.limits, second.group, second.count):
            yield Finding("repeated", Severity.WARNING, f"rule {second.id}", f"it says what rule {first.id} says")
    allows = [rule for rule in document.rules if rule.effect == "allow" and rule.limits and rule.unless is None]
    for narrow in document.rules:
        if narrow.effect != "allow" or narrow.limits is None:
            continue
        for wide in allows:
            if wide is not narrow and _covers(wide, narrow, names) and not _covers(narrow, wide, names):
                text = f"rule {wide.id} matches whenever it does, so that rule's limits hold as well"
                yield Finding("limited-twice", Severity.NOTE, f"rule {narrow.id}", text)


def _covers(wide: Rule, narrow: Rule, names: Names) -> bool:
    """Whether `wide` matches whatever `narrow` matches, as far as its words show it."""
    if any(getattr(wide.when, name) is not None for name in _MEASURED):
        return False
    for name in _PLACED:
        if name == "kind":
            wider, narrower = (set(kinds(r.when, every=r.effect == "allow")) for r in (wide, narrow))
            if not narrower <= wider:
                return False
            continue
        wanted, given = _values(wide.when, name, names), _values(narrow.when, name, names)
        if wanted is not None and (given is None or not given <= wanted):
            return False
    return True


def _values(conditions: Conditions, name: str, names: Names) -> frozenset[Any] | None:
    value = getattr(conditions, name)
    if value is None:
        return None
    if name == "initiator":
        return names.initiators(value)
    return names.addresses(value) if name in ("contract", "recipient", "spender") else frozenset(value)


def _is_free(conditions: Conditions) -> bool:
    return not conditions.model_fields_set - {"price_max_age"}


def _unlimited(document: PolicyDocument) -> Iterator[Finding]:
    for rule in document.rules:
        if rule.effect != "allow":
            continue
        where, limits = f"rule {rule.id}", rule.limits
        if limits is None or (limits.amounts is None and limits.usd is None and limits.simulation is None):
            if not rule.when.kind or set(rule.when.kind) - {"message", "authorization-7702"}:
                yield Finding("no-limits", Severity.WARNING, where, "it allows any amount")
            continue
        spends_nothing = rule.when.kind is not None and not set(rule.when.kind) - _SPENDS_NOTHING
        windows = limits.usd is not None and (limits.usd.windows or limits.usd.lifetime is not None)
        for entry in limits.amounts or ():
            if not (entry.windows or entry.lifetime is not None or windows or spends_nothing):
                text = f"{entry.asset or 'every other asset'} has no window: many small amounts make a large one"
                yield Finding("no-window", Severity.WARNING, where, text)
        is_open = rule.when.recipient is None and rule.when.contract is None and rule.when.spender is None
        if is_open and not rule.when.venue and rule.unless is None:
            yield Finding("anybody", Severity.WARNING, where, "it names no recipient, spender or contract")


def _groups(document: PolicyDocument) -> Iterator[Finding]:
    for rule in document.rules:
        if rule.group is None or rule.count is None:
            continue
        members = document.groups[rule.group]
        able = [name for name in members if document.people[name].keys]
        if len(able) < rule.count:
            text = f"it wants {rule.count} of {rule.group}, where {len(able)} have keys"
            yield Finding("group-too-small", Severity.ERROR, f"rule {rule.id}", text)
        elif len(able) == rule.count:
            text = f"it wants all {rule.count} of {rule.group}: one lost key stops it"
            yield Finding("group-without-spare", Severity.WARNING, f"rule {rule.id}", text)
        for name in sorted(set(members) - set(able)):
            yield Finding("keyless-approver", Severity.WARNING, f"group {rule.group}", f"{name} has no key")


def _self_approval(document: PolicyDocument, names: Names) -> Iterator[Finding]:
    """Whoever asks cannot approve; where only the same people may do both, it takes one more of them."""
    for rule in document.rules:
        if rule.group is None or rule.count is None:
            continue
        members = set(document.groups[rule.group])
        for allow in document.rules:
            if allow.effect != "allow" or allow.when.initiator is None:
                continue
            askers = names.initiators(allow.when.initiator)
            stuck = sorted(name for name in askers & members if len(members) - 1 < rule.count)
            if stuck:
                text = f"{', '.join(stuck)} may ask (rule {allow.id}), and too few others are left in {rule.group}"
                yield Finding("cannot-approve", Severity.ERROR, f"rule {rule.id}", text)
            elif askers and askers >= members:
                text = (
                    f"everybody in {rule.group} may ask (rule {allow.id}): they approve one another, nobody else looks"
                )
                yield Finding("approve-each-other", Severity.WARNING, f"rule {rule.id}", text)


def _lists(document: PolicyDocument) -> Iterator[Finding]:
    vaults = {address: name for name, addresses in document.vaults.items() for address in addresses}
    for (first, a), (second, b) in combinations(document.lists.items(), 2):
        if both := sorted(set(a) & set(b)):
            text = f"lists {first} and {second} share {', '.join(both)}"
            yield Finding("overlapping-lists", Severity.WARNING, f"list {second}", text)
    used = {
        text[1:]
        for rule in document.rules
        for conditions in (rule.when, rule.unless)
        if conditions is not None
        for texts in (conditions.contract, conditions.recipient, conditions.spender)
        for text in texts or ()
        if text.startswith("@")
    }
    for name, addresses in document.lists.items():
        if len(set(addresses)) < len(addresses):
            yield Finding("repeated", Severity.WARNING, f"list {name}", "an address is there twice")
        if not addresses:
            yield Finding("empty-list", Severity.WARNING, f"list {name}", "it is empty: nothing fits it")
        if name not in used:
            yield Finding("unused", Severity.NOTE, f"list {name}", "no rule uses it")
        for address in sorted(set(addresses) & set(vaults)):
            yield Finding("own-address", Severity.NOTE, f"list {name}", f"{address} is our vault {vaults[address]}")


def _unknown(document: PolicyDocument) -> Iterator[Finding]:
    """Assets and methods that nothing knows: a rule about them is about nothing, or about a typing error."""
    methods, assets = known_methods() | known_documents(), {asset.id for asset in document.assets.values()}
    for rule in document.rules:
        where = f"rule {rule.id}"
        for conditions in (rule.when, rule.unless):
            for method in (conditions and conditions.method) or ():
                if method not in methods and not SELECTOR.fullmatch(method) and not document.descriptors:
                    yield Finding("unknown-method", Severity.ERROR, where, f"{method} cannot be read here")
        named = {*(rule.when.asset or ()), *((rule.unless.asset if rule.unless else None) or ())}
        named |= {entry.asset for entry in (rule.limits.amounts if rule.limits else None) or () if entry.asset}
        for asset in sorted(named - assets):
            yield Finding("unknown-asset", Severity.WARNING, where, f"{asset} is not among the document's assets")
        listed = set(rule.when.asset or ())
        for entry in (rule.limits.amounts if rule.limits else None) or ():
            if listed and entry.asset is not None and entry.asset not in listed:
                yield Finding("idle-limit", Severity.WARNING, where, f"it limits {entry.asset}, which it does not mean")


def _look_alikes(document: PolicyDocument) -> Iterator[Finding]:
    """Addresses that wallets show alike (`0x1234…abcd`): one of them may have been planted."""
    places: dict[str, str] = {}
    for what, groups in (("list", document.lists), ("vault", document.vaults)):
        for name, addresses in groups.items():
            places.update(dict.fromkeys(addresses, f"{what} {name}"))
    places.update(dict.fromkeys(document.names, "names"))
    for rule in document.rules:
        for conditions in (rule.when, rule.unless):
            for texts in (conditions and (conditions.contract, conditions.recipient, conditions.spender)) or ():
                places.update({text: f"rule {rule.id}" for text in texts or () if text.startswith("0x")})
    ends: dict[tuple[str, str], list[str]] = {}
    for address in places:
        digits = address[2:].lower()
        ends.setdefault((digits[:_ENDS], digits[-_ENDS:]), []).append(address)
    for alike in ends.values():
        for first, second in combinations(sorted(alike), 2):
            text = f"{second} looks like {first} ({places[first]})"
            yield Finding("look-alike", Severity.ERROR, places[second], text)


def _facts(document: PolicyDocument) -> Iterator[Finding]:
    """Facts that signers need and nobody may attest: at a signer such a rule refuses everything it could be about."""
    attested = {fact for attester in document.attesters.values() for fact in attester.facts}
    for rule in document.rules:
        for fact in sorted(_needed(rule) - attested):
            text = f"it needs {fact}, which no attester may state: signers will refuse"
            yield Finding("nobody-attests", Severity.WARNING, f"rule {rule.id}", text)


def _needed(rule: Rule) -> set[str]:
    needed: set[str] = set()
    for conditions in (rule.when, rule.unless):
        if conditions is None:
            continue
        if conditions.aml is not None or conditions.risk_above is not None:
            needed.add("aml")
        if conditions.younger_than is not None:
            needed.add("first-seen")
        if conditions.above is not None and conditions.above.usd is not None:
            needed.add("usd-price")
        if conditions.above is not None and conditions.above.share_percent is not None:
            needed.add("balances")
    if (limits := rule.limits) is not None:
        if limits.usd is not None or limits.slippage_bps is not None:
            needed.add("usd-price")
        if limits.simulation is not None:
            needed.add("simulation")
        if any(entry.share_percent is not None for entry in limits.amounts or ()):
            needed.add("balances")
    return needed


def _sections(document: PolicyDocument) -> Iterator[Finding]:
    if not any(rule.effect == "allow" for rule in document.rules):
        yield Finding("allows-nothing", Severity.WARNING, "rules", "no rule allows anything")
    if document.min_delay == 0:
        yield Finding("no-delay", Severity.NOTE, "min_delay", "the next version may be active at once")
    if not document.vaults:
        yield Finding("no-vaults", Severity.NOTE, "vaults", "no addresses of ours: a vault is what custody says it is")
    used = {rule.group for rule in document.rules} | {
        group
        for rule in document.rules
        for conditions in (rule.when, rule.unless)
        if conditions is not None and conditions.initiator is not None
        for group in conditions.initiator.groups
    }
    for group in document.groups:
        if group not in used:
            yield Finding("unused", Severity.NOTE, f"group {group}", "no rule uses it")
