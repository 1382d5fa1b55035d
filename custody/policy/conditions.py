"""Conditions as closures. Each says True, False, or which fact it would have to know.

`every` says how a list is read where an action has several assets, recipients or spenders: all of them must be listed
(for what allows), or one of them suffices (for what denies, requires or delays). Inside `unless` it is the other way
round, because there a match takes the rule's effect away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from custody.policy.action import BY_NAME_ONLY, Action, Kind
from custody.policy.decision import Spent
from custody.policy.facts import Facts
from custody.policy.measures import (
    AGE_UNKNOWN,
    AML_UNKNOWN,
    BALANCES_UNKNOWN,
    INITIATOR_UNKNOWN,
    TIME_UNKNOWN,
    USD,
    Unknown,
    outgoing,
    usd_micro_up,
)
from custody.policy.schema import Above, Conditions, Hours, Initiators, PolicyDocument

Truth = bool | Unknown
Check = Callable[[Action, Facts, Spent], Truth]

ORDINARY: Final = frozenset(Kind) - BY_NAME_ONLY


class Names:
    """A document's names, looked up once."""

    def __init__(self, document: PolicyDocument) -> None:
        self.vault_of: dict[str, str] = {
            address: name for name, addresses in document.vaults.items() for address in addresses
        }
        self.own = frozenset(self.vault_of)
        self.decimals = dict(document.decimals)
        self._document = document

    def addresses(self, texts: Iterable[str]) -> frozenset[str]:
        """Lists are replaced by what is in them."""
        found: set[str] = set()
        for text in texts:
            found.update(self._document.lists[text[1:]] if text.startswith("@") else (text,))
        return frozenset(found)

    def contracts(self, texts: Iterable[str]) -> frozenset[str | None]:
        """Do as `addresses`; `none` is that nobody is called."""
        return frozenset(None if address == "none" else address for address in self.addresses(texts))

    def initiators(self, spec: Initiators) -> frozenset[str]:
        """Everyone a condition on the initiator means."""
        document = self._document
        found = set(spec.ids)
        found.update(name for name, person in document.people.items() if set(person.roles) & set(spec.roles))
        for group in spec.groups:
            found.update(document.groups[group])
        return frozenset(found)

    def vault(self, action: Action, facts: Facts) -> str:
        """Where the document lists vaults, the sending address says which; elsewhere it is what we are told."""
        if self.vault_of and action.kind is not Kind.WITHDRAWAL:
            return self.vault_of.get(action.sender, "")
        return facts.vault or "default"


def kinds(conditions: Conditions, *, every: bool) -> frozenset[Kind]:
    """The kinds a rule means; see `BY_NAME_ONLY`."""
    if conditions.kind is not None:
        return frozenset(conditions.kind)
    return ORDINARY if every else frozenset(Kind)


def placed(conditions: Conditions, names: Names, *, every: bool) -> Iterator[tuple[str, Check]]:
    """Conditions on who, where and what, which the index answers; here for explanations and for `unless`."""
    if conditions.kind is not None:
        meant = frozenset(conditions.kind)
        yield "kind", lambda action, _facts, _spent: action.kind in meant
    if conditions.chain is not None:
        chains = frozenset(conditions.chain)
        yield "chain", lambda action, _facts, _spent: action.chain in chains
    if conditions.venue is not None:
        venues = frozenset(conditions.venue)
        yield "venue", lambda action, _facts, _spent: action.venue in venues
    if conditions.vault is not None:
        vaults = frozenset(conditions.vault)
        yield "vault", lambda action, facts, _spent: names.vault(action, facts) in vaults
    if conditions.contract is not None:
        contracts = names.contracts(conditions.contract)
        yield "contract", lambda action, _facts, _spent: action.contract in contracts
    if conditions.method is not None:
        methods = frozenset(conditions.method)
        yield "method", lambda action, _facts, _spent: action.method in methods or action.selector in methods
    if conditions.asset is not None:
        assets = frozenset(conditions.asset)
        yield "asset", lambda action, _facts, _spent: _quantify((*action.spends, *action.approves), assets, every)
    if conditions.recipient is not None:
        yield "recipient", _recipient(conditions.recipient, names, every)
    if conditions.spender is not None:
        spenders = names.addresses(conditions.spender)
        yield "spender", lambda action, _facts, _spent: _quantify(action.spenders, spenders, every)
    if conditions.initiator is not None:
        initiators = names.initiators(conditions.initiator)

        def asked(_action: Action, facts: Facts, _spent: Spent) -> Truth:
            return INITIATOR_UNKNOWN if facts.initiator is None else facts.initiator in initiators

        yield "initiator", asked


def measured(conditions: Conditions, names: Names, *, every: bool) -> Iterator[tuple[str, Check]]:
    """Conditions on amounts and facts, which are asked one by one."""
    if conditions.above is not None:
        yield "above", _above(conditions.above, names.decimals, conditions.price_max_age)
    if conditions.aml is not None:
        verdicts = frozenset(conditions.aml)

        def verdict(address: str, facts: Facts) -> Truth:
            found = facts.screened.get(address)
            return AML_UNKNOWN if found is None else found.verdict in verdicts

        yield "aml", _destinations(verdict, names, every)
    if conditions.risk_above is not None:
        bound = conditions.risk_above

        def risk(address: str, facts: Facts) -> Truth:
            found = facts.screened.get(address)
            return AML_UNKNOWN if found is None else found.risk > bound

        yield "risk_above", _destinations(risk, names, every)
    if conditions.younger_than is not None:
        age = conditions.younger_than

        def young(address: str, facts: Facts) -> Truth:
            seen = facts.first_seen_s.get(address)
            return AGE_UNKNOWN if seen is None or facts.now_s is None else facts.now_s - seen < age

        yield "younger_than", _destinations(young, names, every)
    if conditions.hours is not None:
        yield "hours", _hours(conditions.hours)


def conjunction(checks: Iterable[tuple[str, Check]]) -> Check:
    """All hold: False when one is, unknown when one is and none is False."""
    parts = tuple(check for _, check in checks)

    def all_hold(action: Action, facts: Facts, spent: Spent) -> Truth:
        unknown: Truth = True
        for check in parts:
            truth = check(action, facts, spent)
            if truth is False:
                return False
            if truth is not True and unknown is True:
                unknown = truth
        return unknown

    return all_hold


def negation(check: Check) -> Check:
    """The opposite; unknown stays unknown."""

    def not_so(action: Action, facts: Facts, spent: Spent) -> Truth:
        truth = check(action, facts, spent)
        return not truth if isinstance(truth, bool) else truth

    return not_so


def _quantify(values: Iterable[str], listed: frozenset[str], every: bool) -> bool:
    found = [value in listed for value in values]
    # What names nothing matches no list, neither as all nor as any of it.
    return bool(found) and (all(found) if every else any(found))


def _recipient(texts: tuple[str, ...], names: Names, every: bool) -> Check:
    listed, own = names.addresses(text for text in texts if text not in ("self", "internal")), names.own
    to_self, to_internal = "self" in texts, "internal" in texts

    def paid(action: Action, _facts: Facts, _spent: Spent) -> Truth:
        found = [
            r in listed or (to_self and r == action.sender) or (to_internal and r in own) for r in action.recipients
        ]
        return bool(found) and (all(found) if every else any(found))

    return paid


def _destinations(one: Callable[[str, Facts], Truth], names: Names, every: bool) -> Check:
    """Ask of every recipient and spender that is not ours; ours pass whatever is asked for, and match no warning."""
    own = names.own

    def asked(action: Action, facts: Facts, _spent: Spent) -> Truth:
        places = action.recipients + action.spenders
        if len(places) == 1:
            place = places[0]
            return every if place == action.sender or place in own else one(place, facts)
        foreign = [one(p, facts) for p in places if p != action.sender and p not in own]
        if not foreign:
            return every and bool(places)
        decisive = not every
        if any(truth is decisive for truth in foreign):
            return decisive
        return next((truth for truth in foreign if isinstance(truth, Unknown)), every)

    return asked


def _above(above: Above, decimals: Mapping[str, int], max_age_s: int) -> Check:
    window = above.window
    if above.usd is not None:
        dollars = above.usd

        def worth(action: Action, facts: Facts, spent: Spent) -> Truth:
            value = usd_micro_up(outgoing(action), facts, decimals, max_age_s)
            if isinstance(value, Unknown):
                return value
            return value + (spent(USD, window) if window else 0) > dollars

        return worth
    if above.share_percent is not None:
        share = above.share_percent

        def part(action: Action, facts: Facts, _spent: Spent) -> Truth:
            unknown: Truth = False
            for asset, raw in _of(action, above.asset):
                held = None if facts.balances is None else facts.balances.get(asset)
                if held is None:
                    unknown = BALANCES_UNKNOWN
                elif raw * 100 > share * held:
                    return True
            return unknown

        return part
    bound = above.amount or 0
    if above.asset is not None:
        return _above_of(above.asset, bound, window)

    def much(action: Action, _facts: Facts, spent: Spent) -> Truth:
        return any(raw + (spent(asset, window) if window else 0) > bound for asset, raw in outgoing(action).items())

    return much


def _above_of(asset: str, bound: int, window: int | None) -> Check:
    def much(action: Action, _facts: Facts, spent: Spent) -> Truth:
        raw = action.spends.get(asset)
        if asset in action.approves:
            raw = (raw or 0) + action.approves[asset]
        return raw is not None and raw + (spent(asset, window) if window else 0) > bound

    return much


def _of(action: Action, asset: str | None) -> Iterable[tuple[str, int]]:
    amounts = outgoing(action)
    return amounts.items() if asset is None else ((asset, amounts[asset]),) if asset in amounts else ()


def _hours(windows: tuple[Hours, ...]) -> Check:
    parts = tuple(
        (ZoneInfo(hours.zone), frozenset(_WEEK.index(day) for day in hours.days), hours.start, hours.end)
        for hours in windows
    )

    latest = (-1, False)

    def now(_action: Action, facts: Facts, _spent: Spent) -> Truth:
        nonlocal latest
        if facts.now_s is None:
            return TIME_UNKNOWN
        minute, truth = latest
        if facts.now_s // 60 != minute:
            # Zones shift by whole minutes, so the answer changes with the minute at most.
            truth = within(facts.now_s)
            latest = facts.now_s // 60, truth
        return truth

    def within(now_s: int) -> bool:
        utc = datetime.fromtimestamp(now_s, UTC)
        for zone, days, start, end in parts:
            local = utc.astimezone(zone)
            minute, day = local.hour * 60 + local.minute, local.weekday()
            if start < end:
                if day in days and start <= minute < end:
                    return True
            elif (day in days and minute >= start) or ((day - 1) % 7 in days and minute < end):
                return True
        return False

    return now


_WEEK: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
