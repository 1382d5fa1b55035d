"""A plan's promises against its calldata."""

from __future__ import annotations

from collections.abc import Mapping

from custody.policy.action import asset_of
from custody.policy.decision import Decision
from domain import Address, Amount, Refused
from domain.plans import TransactionPlan


def check_promises(plan: TransactionPlan, decision: Decision) -> None:
    """Compare what a plan says it does with what its calldata does; they must be the same.

    Raises:
        Refused: Rule `broken-promise`, naming the first difference.
    """
    call = decision.call
    receives = call.receives_min if call is not None else {}
    approves = call.approves if call is not None else {}
    recipient = call.recipient if call is not None else plan.to
    named = plan.recipient or plan.sender
    if call is not None and call.spender is not None and not receives:
        # An approval's plan may name the spender as its recipient, or nobody. A swap that carries a permit for the
        # router itself names who receives.
        recipient, named = call.spender, plan.recipient or call.spender
    checks: tuple[tuple[str, object, object], ...] = (
        ("spends", _by_asset(plan.spends), dict(decision.spends)),
        ("receives at least", _by_asset(plan.receives_min), _by_token(plan, receives)),
        ("approves", _by_asset(plan.approves), _by_token(plan, approves)),
        ("deadline", plan.deadline_s, call.deadline_s if call is not None and receives else plan.deadline_s),
        ("recipient", named, recipient),
    )
    for what, promised, found in checks:
        if promised != found:
            raise Refused(
                f"{plan.intent_id}: the plan promises {what} {promised}, its calldata says {found}",
                rule="broken-promise",
            )


def _by_asset(amounts: tuple[Amount, ...]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for amount in amounts:
        totals[amount.asset.id] = totals.get(amount.asset.id, 0) + amount.raw
    return totals


def _by_token(plan: TransactionPlan, amounts: Mapping[Address, int]) -> dict[str, int]:
    return {asset_of(plan.chain_id, token): raw for token, raw in amounts.items()}
