"""Before an exchange hears of a withdrawal: screening, policy, people, time. The same words as for transactions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session, col, select

from chain import parse_address
from compliance import Screener
from custody import freeze
from custody.approvals import ApprovalRules, ApprovalState, CanonicalIntent, ExchangeWithdrawal, verify
from custody.policy import Decision, Facts, Requirement, read_withdrawal
from custody.policy.judge import Judge
from custody.ports import ApprovalDesk
from custody.withdrawals.lifecycle import State, Step
from custody.withdrawals.store import Withdrawal, WithdrawalStore
from custody.withdrawals.tables import WithdrawalRow
from custody.withdrawals.venue_recorder import NS, Recorder, scopes
from domain import InputError, Refused
from runtime.database import raw_sum

_UNCOUNTED: Final = (State.REQUESTED, State.SCREENED, State.REFUSED, State.CANCELLED, State.FAILED, State.HELD)
KnownSince = Callable[[Session, Sequence[str]], Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOptions:
    """Times in seconds."""

    look_s: float = 5.0
    """How often an exchange is asked what became of a withdrawal."""
    people_s: float = 1.0
    """How often it is looked whether people have approved."""
    absent_s: float = 300.0
    """An exchange that keeps our ids and does not know one after so long never got it. Longer than `recv_window_ms`."""
    approval_s: int = 24 * 3600
    decimals: int = 8
    """Of exchanges' finest unit."""


class VenueAdmission:
    """Brings a withdrawal to where it may be asked for. See `VenueDesk` for the arguments."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        policy: Judge,
        screener: Screener,
        approvals: ApprovalDesk | None,
        rules: Callable[[], ApprovalRules] | None,
        known_since: KnownSince,
        options: VenueOptions,
    ) -> None:
        self._recorder = recorder
        self._policy = policy
        self._screener = screener
        self._approvals = approvals
        self._rules = rules
        self._known_since = known_since
        self._options = options

    @property
    def _store(self) -> WithdrawalStore:
        return self._recorder.store

    def _now_ns(self) -> int:
        return self._recorder.now_ns()

    async def screen(self, withdrawal: Withdrawal) -> bool:
        try:
            await self._screener.screen({parse_address(withdrawal.venue.address)})
        except InputError as exc:
            # An address of a chain that our lists do not speak of is no clear one.
            raise Refused(f"{withdrawal.venue.address} cannot be screened", rule="screening-unavailable") from exc
        await self._recorder.take(withdrawal, Step.SCREENED)
        return True

    async def judge(self, withdrawal: Withdrawal) -> bool:
        """Let policy judge, and count what it allows, in the database transaction of the step."""

        def work(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, *scopes(withdrawal))
            decision = self._evaluate(session, withdrawal)
            expires_s = self._now_ns() // NS + decision.delay_s + self._options.approval_s
            row.decision = _encode(decision, expires_s)
            row.due_ns = self._now_ns() + decision.delay_s * NS if decision.delay_s else 0
            row.reason = ""
            if decision.requirements:
                if self._approvals is None:
                    raise Refused("people have to approve this, and nobody can be asked here", rule="approvals")
                self._approvals.open(session, self._canonical(withdrawal, decision, expires_s), decision)
                row.due_ns = 0

        def steps(row: WithdrawalRow) -> Sequence[Step]:
            decision = json.loads(row.decision)
            if decision["requirements"]:
                return (Step.APPROVAL_ASKED,)
            return (Step.DELAYED,) if decision["delay_s"] else (Step.APPROVED,)

        def find(session: Session, row: WithdrawalRow) -> tuple[Sequence[Step], Sequence[Any]]:
            if row.state != State.SCREENED:
                return (), ()
            work(session, row)
            return steps(row), ()

        await self._recorder.change("judge", withdrawal, find)
        return True

    async def await_people(self, withdrawal: Withdrawal) -> bool:
        if self._approvals is None:
            raise Refused("nobody can be asked here", rule="approvals")
        state = await asyncio.to_thread(self._approvals.state, withdrawal.id, self._now_ns())
        if state in (ApprovalState.REJECTED, ApprovalState.EXPIRED):
            raise Refused(f"its approval is {state}", rule=f"approval-{state}")
        if state is not ApprovalState.MET:
            await self._recorder.later(withdrawal, self._options.people_s)
            return False
        delay_s = int(json.loads(withdrawal.decision)["delay_s"])
        due_ns = withdrawal.created_ns + delay_s * NS
        if delay_s and self._now_ns() < due_ns:

            def wait(_session: Session, row: WithdrawalRow) -> None:
                row.due_ns = due_ns

            await self._recorder.take(withdrawal, Step.DELAYED, also=wait)
        else:
            await self._approve(withdrawal)
        return True

    async def await_time(self, withdrawal: Withdrawal) -> bool:
        await self._approve(withdrawal)  # it is due, or it would not be here
        return True

    async def _approve(self, withdrawal: Withdrawal) -> None:
        """Approve, if policy still says what it said."""

        def check(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, *scopes(withdrawal))
            decision, asked = self._evaluate(session, withdrawal), json.loads(row.decision)
            known = (asked["policy_version"], asked["policy_digest"])
            if known != (decision.policy_version, decision.policy_digest):
                raise Refused("the policy was changed after this was asked", rule="policy-changed")
            row.due_ns = 0

        await self._recorder.take(withdrawal, Step.APPROVED, also=check)

    def _evaluate(self, session: Session, withdrawal: Withdrawal) -> Decision:
        to = withdrawal.venue
        action = read_withdrawal(
            venue=to.venue, asset=withdrawal.asset, raw=withdrawal.raw + withdrawal.fee_raw, address=to.address
        )
        facts = Facts(
            initiator=withdrawal.client,
            vault=withdrawal.vault,
            now_s=self._now_ns() // NS,
            first_seen_s=self._known_since(session, [to.address]),
        )
        self._store.serialize(session, f"velocity/venue/{to.venue}")
        return self._policy.judge(
            action, spent=lambda counter, window_s: self._spent(session, withdrawal, counter, window_s), facts=facts
        )

    def _spent(self, session: Session, withdrawal: Withdrawal, asset: str, window_s: int) -> int:
        """What left an exchange in a window.

        Raises:
            Refused: Rule `unknown-fact:window`, for counters of policy's own (dollars, how often, by whom, to whom):
                they are not kept here, and what is not counted is not nothing.
        """
        if asset != withdrawal.asset:
            raise Refused(f"{asset} is not counted for withdrawals from exchanges", rule="unknown-fact:window")
        query = select(raw_sum(WithdrawalRow.raw), raw_sum(WithdrawalRow.fee_raw)).where(
            col(WithdrawalRow.kind) == "venue",
            col(WithdrawalRow.asset) == asset,
            col(WithdrawalRow.vault) == withdrawal.vault,
            col(WithdrawalRow.created_ns) > max(self._now_ns() - window_s * NS, -1),
            col(WithdrawalRow.state).not_in(_UNCOUNTED),
            col(WithdrawalRow.withdrawal_id) != withdrawal.id,
        )
        return sum(int(total) for total in session.exec(query).one())

    def _canonical(self, withdrawal: Withdrawal, decision: Decision, expires_s: int) -> CanonicalIntent:
        return CanonicalIntent(
            intent_id=withdrawal.id,
            vault=withdrawal.vault,
            initiator=withdrawal.client,
            subject=self._subject(withdrawal),
            expires_s=expires_s,
            policy_version=decision.policy_version,
            policy_digest=decision.policy_digest,
        )

    def _subject(self, withdrawal: Withdrawal) -> ExchangeWithdrawal:
        to, order = withdrawal.venue, self._recorder.order(withdrawal)
        return ExchangeWithdrawal(
            venue=to.venue,
            asset=order.asset,
            amount=format(order.amount.normalize(), "f"),
            address=to.address,
            network=to.network,
            memo=to.memo,
        )

    def check_approvals(self, withdrawal: Withdrawal) -> None:
        """Verify people's signatures once more, from what they signed: a database that lies gets no key unsealed."""
        decision = json.loads(withdrawal.decision)
        requirements = [Requirement(group=g, count=c, rule=r) for g, c, r in decision["requirements"]]
        if not requirements:
            return
        if self._approvals is None or self._rules is None:
            raise Refused("approvals cannot be verified here", rule="approvals")
        verified = verify(
            self._approvals.evidence(withdrawal.id),
            subject=self._subject(withdrawal),
            rules=self._rules(),
            now_s=self._now_ns() // NS,
        )
        verified.check(requirements)


def _encode(decision: Decision, expires_s: int) -> str:
    return json.dumps(
        {
            "policy_version": decision.policy_version,
            "policy_digest": decision.policy_digest,
            "requirements": [[r.group, r.count, r.rule] for r in decision.requirements],
            "delay_s": decision.delay_s,
            "expires_s": expires_s,
        }
    )
