"""From a recorded plan to an approved one: screening, policy, people's approvals, a delay, holds.

Policy is asked twice where people have to approve or time has to pass: first for what it requires, then, when that is
met, whether it still says the same. Only the second yes counts against the limits.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from sqlmodel import Session

from custody.approvals import ApprovalState, CanonicalIntent
from custody.policy import Decision, check_promises
from custody.transactions.evidence import canonical_intent, facts_of, has_rested, needs_rest, proposal_of
from custody.transactions.lifecycle import UNSIGNED, State, Step
from custody.transactions.records import Intent, Wish
from custody.transactions.tools import Tools
from domain import InputError, Refused

log = structlog.get_logger(__name__)


class Admission:
    """Takes intents up to APPROVED. Keeps nothing that must survive."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._announced: set[str] = set()
        """Intents that the signer was shown; shown again after a restart, which changes nothing."""

    async def advance(self, intent: Intent) -> bool:
        """Take the next step of an intent that is not approved yet; False when there is none to take now."""
        steps = {
            State.CREATED: self._screen,
            State.SCREENED: self._judge,
            State.AWAITING_APPROVAL: self._await_approval,
            State.DELAYED: self._await_time,
        }
        return await steps[intent.state](intent) if intent.state in steps else False

    async def obey(self, intent: Intent) -> bool:
        """Do what an operator asked for, as far as it concerns unsigned intents; False when there is nothing to do."""
        outbox, state = self._tools.outbox, intent.state
        if intent.wish is Wish.NONE or state not in UNSIGNED:
            return False
        if intent.wish is Wish.CANCEL:
            outcome = await self._tools.write(
                "cancel", lambda s: outbox.end(s, intent, Step.CANCELLED, "cancelled", "before it was signed")
            )
            self._tools.tell(outcome)
        elif intent.wish is Wish.HOLD and state is not State.HELD:
            await self._tools.write("hold", lambda s: outbox.hold(s, intent))
        elif intent.wish is Wish.RELEASE and state is State.HELD:
            await self._tools.write("release", lambda s: outbox.release(s, intent))
        else:
            await self._tools.write("wish", lambda s: outbox.forget_wish(s, intent))
        return True

    async def decline(self, intent: Intent, refusal: Refused) -> None:
        """End an intent of which nothing was signed, and tell it."""
        log.warning("custody.refused", intent_id=intent.plan.intent_id, rule=refusal.rule, reason=str(refusal))
        outbox = self._tools.outbox
        outcome = await self._tools.write(
            "decline", lambda session: outbox.end(session, intent, Step.DECLINED, refusal.rule, str(refusal))
        )
        self._tools.tell(outcome)

    # --- the steps

    async def _screen(self, intent: Intent) -> bool:
        tools = self._tools
        try:
            tools.check_way(intent.plan)
            await tools.screener.screen(tools.policy.parties(proposal_of(intent.plan)))
        except Refused as exc:
            await self.decline(intent, exc)
            return True
        await tools.write("screen", lambda session: tools.outbox.step(session, intent, Step.SCREENED))
        return True

    async def _judge(self, intent: Intent) -> bool:
        """Ask policy: approve at once, or record what it requires and ask for that."""

        def next_step(session: Session, decision: Decision) -> None:
            if decision.requirements or decision.delay_s or intent.decision is not None:
                self._require(session, intent, decision)
            else:
                self._tools.outbox.approve(session, intent, decision)

        return await self._evaluate(intent, next_step)

    async def _await_approval(self, intent: Intent) -> bool:
        if needs_rest(intent) and intent.plan.intent_id not in self._announced:
            # The signer's delay begins while people are asked, as ours has.
            await self._has_rested(intent)
        if not await self._is_met(intent):
            return False

        def next_step(session: Session, decision: Decision) -> None:
            _check_same(intent, decision)
            if self._must_wait(intent.delayed_until_ns):
                self._tools.outbox.step(session, intent, Step.DELAYED, until_ns=intent.delayed_until_ns)
            else:
                self._tools.outbox.approve(session, intent, decision)

        return await self._evaluate(intent, next_step)

    async def _await_time(self, intent: Intent) -> bool:
        if self._must_wait(intent.delayed_until_ns) and intent.plan.intent_id in self._announced:
            return False
        if not await self._has_rested(intent) or self._must_wait(intent.delayed_until_ns):
            return False
        if _requirements(intent) and not await self._is_met(intent):
            return False  # Declined meanwhile: an approval may end before the delay does.

        def next_step(session: Session, decision: Decision) -> None:
            _check_same(intent, decision)
            self._tools.outbox.approve(session, intent, decision)

        return await self._evaluate(intent, next_step)

    async def _evaluate(self, intent: Intent, next_step: Callable[[Session, Decision], None]) -> bool:
        """Let policy judge, and take a step in the same database transaction; decline when either refuses."""
        tools, plan = self._tools, intent.plan
        head = await tools.chain.head()

        def work(session: Session) -> None:
            tools.gate(session, intent)
            proposal = proposal_of(plan)
            known = replace(facts, first_seen_s=tools.known_since(session, tools.policy.parties(proposal)))

            def evaluate(spent: Any) -> Decision:
                decision = tools.policy.evaluate(proposal, spent=spent, facts=known)
                check_promises(plan, decision)
                return decision

            next_step(session, tools.outbox.judge(session, evaluate))

        try:
            facts = await facts_of(tools, intent, chain_time_s=head.time_s)
            await tools.write("approve", work)
        except Refused as exc:
            await self.decline(intent, exc)
        return True

    def _require(self, session: Session, intent: Intent, decision: Decision) -> None:
        """Record what has to happen first. A released intent finds it recorded, and goes on with what it has."""
        tools = self._tools
        if intent.decision is None:
            now = tools.now_ns()
            expires_s = now // 10**9 + decision.delay_s + tools.options.approval_s
            if intent.plan.deadline_s:
                expires_s = min(expires_s, intent.plan.deadline_s)
            until_ns = now + decision.delay_s * 10**9
            tools.outbox.require(session, intent, _encode(decision, expires_s), until_ns)
        else:
            _check_same(intent, decision)
            expires_s = int(json.loads(intent.decision)["expires_s"])
            until_ns = intent.delayed_until_ns or 0
        if decision.requirements:
            if tools.approvals is None:
                raise Refused("people have to approve this, and nobody can be asked here", rule="approvals")
            tools.approvals.open(session, self._canonical(intent, decision, expires_s), decision)
            tools.outbox.step(session, intent, Step.APPROVAL_ASKED)
        elif self._must_wait(until_ns):
            tools.outbox.step(session, intent, Step.DELAYED, until_ns=until_ns)
        else:
            tools.outbox.approve(session, intent, decision)

    def _canonical(self, intent: Intent, decision: Decision, expires_s: int) -> CanonicalIntent:
        version, digest = decision.policy_version, decision.policy_digest
        try:
            return canonical_intent(self._tools, intent, version=version, digest=digest, expires_s=expires_s)
        except InputError as exc:
            raise Refused(f"nobody can be asked to approve it: {exc}", rule="approvals") from exc

    async def _is_met(self, intent: Intent) -> bool:
        """Whether people have approved; an intent they rejected, or left too long, is declined."""
        tools, name = self._tools, str(intent.plan.intent_id)
        if tools.approvals is None:
            return False
        state = await asyncio.to_thread(tools.approvals.state, name, tools.now_ns())
        if state in (ApprovalState.REJECTED, ApprovalState.EXPIRED):
            await self.decline(intent, Refused(f"its approval is {state}", rule=f"approval-{state}"))
        return state is ApprovalState.MET

    async def _has_rested(self, intent: Intent) -> bool:
        rested = await has_rested(self._tools, intent)
        self._announced.add(intent.plan.intent_id)
        return rested

    def _must_wait(self, until_ns: int | None) -> bool:
        return until_ns is not None and self._tools.now_ns() < until_ns


def _encode(decision: Decision, expires_s: int) -> str:
    return json.dumps(
        {
            "policy_version": decision.policy_version,
            "policy_digest": decision.policy_digest,
            "requirements": [[r.group, r.count, r.rule] for r in decision.requirements],
            "delay_s": decision.delay_s,
            "expires_s": expires_s,
        },
        separators=(",", ":"),
    )


def _requirements(intent: Intent) -> list[list[Any]]:
    return list(json.loads(intent.decision)["requirements"]) if intent.decision else []


def _check_same(intent: Intent, decision: Decision) -> None:
    """Refuse what was decided under another policy, or would need more today than was asked for."""
    asked = json.loads(intent.decision or "{}")
    if (asked.get("policy_version"), asked.get("policy_digest")) != (decision.policy_version, decision.policy_digest):
        raise Refused("the policy was changed after this was asked", rule="policy-changed")
    more = [r for r in decision.requirements if [r.group, r.count, r.rule] not in asked["requirements"]]
    if more or decision.delay_s > asked["delay_s"]:
        wanted = ", ".join(f"{r.count} of {r.group}" for r in more) or f"a delay of {decision.delay_s} s"
        raise Refused(f"it needs more than was asked for by now: {wanted}", rule="requirements-changed")
