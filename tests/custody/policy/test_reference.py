"""The compiled policy answers as docs/policy.md read aloud does, for policies and actions that nobody thought of."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from custody.policy import Action, Decision, Facts, Policy, Refusal, Spent
from custody.policy.compile import NO_RULE
from custody.policy.explain import nearest_miss
from tests.reference.policy import Answer, evaluate
from tests.support.random_policy import Maker


def answer(policy: Policy, action: Action, facts: Facts, spent: Spent) -> Answer:
    """What the product says, as the reference says it."""
    found = policy.decide(action, facts, spent)
    if isinstance(found, Refusal):
        if found.rule == NO_RULE:
            found = nearest_miss(policy.compiled, action, facts, spent)
        return Answer(refused=found.rule)
    return Answer(
        rules=found.rules,
        requirements=tuple((r.group, r.count, r.rule) for r in found.requirements),
        delay_s=found.delay_s,
        counts=tuple(sorted(found.counts.items())),
    )


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), rules=st.integers(0, 40))
def test_compiled_and_naive_evaluators_agree_on_every_case(seed: int, rules: int) -> None:
    maker = Maker(random.Random(seed))
    policy = Policy(maker.rulebook(rules))
    for _ in range(10):
        action, facts, spent = maker.action(), maker.facts(), maker.spent()
        assert answer(policy, action, facts, spent) == evaluate(policy.document, action, facts, spent)


def test_random_cases_reach_every_kind_of_answer() -> None:
    maker = Maker(random.Random(11))
    seen: Counter[str] = Counter()
    for _ in range(150):
        policy = Policy(maker.rulebook(maker.chance.randint(1, 25)))
        for _ in range(20):
            found = answer(policy, maker.action(), maker.facts(), maker.spent())
            seen["denied" if found.refused.startswith("r") and found.refused[1:].isdigit() else found.refused] += 1
            seen["required"] += bool(found.requirements)
            seen["delayed"] += bool(found.delay_s)
    wanted = {
        "", "denied", "required", "delayed", "kind", "chain", "vault", "contract", "method", "asset", "recipient",
        "spender", "initiator", "unless", "amount", "approval-limit", "velocity", "count", "usd-amount", "simulation",
        "deadline", "slippage", "gas-limit", "fee-cap", "unknown-fact:initiator", "unknown-fact:usd-price",
        "unknown-fact:balances", "unknown-fact:aml", "unknown-fact:time", "unknown-fact:first-seen",
    }  # fmt: skip
    assert not {name for name in wanted if not seen[name]}


def test_an_index_of_many_rules_agrees_too() -> None:
    maker = Maker(random.Random(5), spread=300)
    policy = Policy(maker.rulebook(400))
    for _ in range(150):
        action, facts, spent = maker.action(), maker.facts(), maker.spent()
        assert answer(policy, action, facts, spent) == evaluate(policy.document, action, facts, spent)


def test_a_decision_names_the_document_it_was_made_by() -> None:
    maker = Maker(random.Random(2))
    policy = Policy(maker.rulebook(30))
    decisions = [policy.decide(maker.action(), maker.facts(), maker.spent()) for _ in range(300)]
    allowed = [decision for decision in decisions if isinstance(decision, Decision)]
    assert allowed
    assert {(d.policy_version, d.policy_digest) for d in allowed} == {(policy.version, policy.digest)}
