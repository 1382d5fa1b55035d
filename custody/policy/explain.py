"""Why a decision came out as it did: every rule, condition by condition. Slower than deciding, and only for people."""

from __future__ import annotations

from dataclasses import dataclass

from custody.policy.action import Action
from custody.policy.compile import NO_RULE, CompiledRule, CompiledRules
from custody.policy.decision import Spent
from custody.policy.facts import Facts
from custody.policy.limits import Refusal
from custody.policy.measures import Unknown


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """What a rule said."""

    rule: str
    effect: str
    matches: bool | None
    """None: it would have to know something that it does not."""
    conditions: tuple[tuple[str, str], ...]
    """(condition, `yes`, `no`, or `unknown: fact`), in the order in which they are asked."""
    limit: str = ""
    """Of a matching allow rule: the limit that does not hold, or empty."""


def trace(compiled: CompiledRules, action: Action, facts: Facts, spent: Spent) -> tuple[RuleTrace, ...]:
    """Ask every condition of every rule."""
    return tuple(_trace(rule, action, facts, spent) for rule in compiled.rules)


def nearest_miss(compiled: CompiledRules, action: Action, facts: Facts, spent: Spent) -> Refusal:
    """Name the condition at which the allow rule failed that held the longest; the first of several such rules."""
    best: tuple[int, Refusal] | None = None
    for rule in compiled.rules:
        if rule.effect != "allow":
            continue
        for name, check in rule.conditions:
            if check(action, facts, spent) is False:
                rank = _ORDER.index(name)
                if best is None or rank > best[0]:
                    best = rank, Refusal(name, f"no rule allows it; rule {rule.id} comes nearest, but for its {name}")
                break
    return best[1] if best is not None else Refusal(NO_RULE, "no rule allows it")


def _trace(rule: CompiledRule, action: Action, facts: Facts, spent: Spent) -> RuleTrace:
    found: list[tuple[str, str]] = []
    matches: bool | None = True
    for name, check in rule.conditions:
        truth = check(action, facts, spent)
        if isinstance(truth, Unknown):
            found.append((name, f"unknown: {truth.fact}"))
            matches = None if matches is True else matches
        else:
            found.append((name, "yes" if truth else "no"))
            matches = matches if truth else False
    limit = ""
    if matches is True:
        refusals = (check(action, facts, spent) for check in rule.limits)
        limit = next((f"{r.rule}: {r.reason}" for r in refusals if r is not None), "")
    return RuleTrace(rule.id, rule.effect, matches, tuple(found), limit)


_ORDER = (
    "kind",
    "chain",
    "venue",
    "vault",
    "contract",
    "method",
    "asset",
    "recipient",
    "spender",
    "initiator",
    "above",
    "aml",
    "risk_above",
    "younger_than",
    "hours",
    "unless",
)
