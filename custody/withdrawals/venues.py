"""Withdrawals by an exchange: screened, judged, approved like a transaction, and asked for once.

That an exchange is asked is recorded before it is; from then on the exchange is only asked what became of it, by our id
where it keeps one, else by address and amount. Nothing is ever asked for again. What asking cannot tell (two that look
like ours, none although it was sent) freezes the exchange and waits for a person.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import structlog
from sqlmodel import Session, col, select

from chain import parse_address
from compliance import Screener
from custody import freeze
from custody.approvals import (
    ApprovalRules,
    ApprovalState,
    CanonicalIntent,
    ExchangeWithdrawal,
    verify,
)
from custody.freeze import Freezes
from custody.ledger import postings, venue_account
from custody.policy import Decision, Facts, Requirement, read_withdrawal
from custody.policy.judge import Judge
from custody.ports import ApprovalDesk
from custody.withdrawals.lifecycle import State, Step
from custody.withdrawals.ports import ExchangeWithdrawals
from custody.withdrawals.requests import WithdrawalRequest
from custody.withdrawals.secrets import VenueSecrets
from custody.withdrawals.store import Withdrawal, WithdrawalStore
from custody.withdrawals.tables import WithdrawalRow
from custody.withdrawals.transfers import HOUSE, OwnAssets, arrived, check_owner
from domain import InputError, InvariantError, OrderRejected, OutcomeUnknown, Refused, VenueUnavailable
from domain.withdrawals import VenueWithdrawal, VenueWithdrawalReport, VenueWithdrawalState
from runtime.database import raw_sum
from runtime.secrets import ApiKey

log = structlog.get_logger(__name__)

_S: Final = 10**9
_UNCOUNTED: Final = (State.REQUESTED, State.SCREENED, State.REFUSED, State.CANCELLED, State.FAILED, State.HELD)


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


class VenueDesk:
    """Carries withdrawals at exchanges. Satisfies `VenueCarrier`.

    Args:
        store: Withdrawals in the database.
        venues: By our name of each.
        secrets: Keys that may withdraw.
        policy: What may leave, as one document for chains and exchanges.
        screener: Asked about destinations that are addresses of a chain we can read.
        freezes: Used when it cannot be told what became of one.
        approvals: Asks people; without it, whatever needs them is refused.
        known_since: Says how long destinations are known, for policy's `younger_than`: `AddressBook.first_seen_s`.
        rules: The bundle by which approvals are verified once more before a key is unsealed.
        own: Knows the house's own addresses, to which it may move what it holds at an exchange.
        now_ns: UTC nanoseconds.
    """

    def __init__(
        self,
        *,
        store: WithdrawalStore,
        venues: Mapping[str, ExchangeWithdrawals],
        secrets: VenueSecrets,
        policy: Judge,
        screener: Screener,
        freezes: Freezes,
        now_ns: Callable[[], int],
        approvals: ApprovalDesk | None = None,
        known_since: Callable[[Session, Sequence[str]], Mapping[str, int]] = lambda _session, _addresses: {},
        rules: Callable[[], ApprovalRules] | None = None,
        own: OwnAssets = lambda _address, _code: None,
        options: VenueOptions | None = None,
        checkpoint: Callable[[str], None] = lambda _edge: None,
    ) -> None:
        self._store = store
        self._venues = dict(venues)
        self._secrets = secrets
        self._policy = policy
        self._screener = screener
        self._freezes = freezes
        self._approvals = approvals
        self._known_since = known_since
        self._rules = rules
        self._own = own
        self._now_ns = now_ns
        self._options = options or VenueOptions()
        self._checkpoint = checkpoint

    @property
    def venues(self) -> frozenset[str]:
        return frozenset(self._venues)

    def check(self, request: WithdrawalRequest) -> None:
        """Refuse what could never be paid.

        Raises:
            InputError: Another exchange, or the house's transfers and clients' withdrawals are mixed up.
        """
        to = request.destination
        if to.place not in self._venues:
            raise InputError(f"nothing is withdrawn from {to.place} here")
        own = self._own(to.address, request.asset.id.partition("/")[2])
        check_owner(request.user, own, is_ours=own is not None)

    async def advance(self, withdrawal: Withdrawal) -> bool:
        """Take the next step; False when there is none to take yet.

        Raises:
            Refused: It ends here; `frozen`: it waits.
            VenueUnavailable: Something did not answer.
        """
        steps = {
            State.REQUESTED: self._screen,
            State.SCREENED: self._judge,
            State.AWAITING_APPROVAL: self._await_people,
            State.DELAYED: self._await_time,
            State.APPROVED: self._send,
            State.SENDING: self._ask,
        }
        if withdrawal.state not in steps:
            return False
        return await steps[withdrawal.state](withdrawal)

    # --- before the exchange hears of it

    async def _screen(self, withdrawal: Withdrawal) -> bool:
        try:
            await self._screener.screen({parse_address(withdrawal.venue.address)})
        except InputError as exc:
            # An address of a chain that our lists do not speak of is no clear one.
            raise Refused(f"{withdrawal.venue.address} cannot be screened", rule="screening-unavailable") from exc
        await self._take(withdrawal, Step.SCREENED)
        return True

    async def _judge(self, withdrawal: Withdrawal) -> bool:
        """Let policy judge, and count what it allows, in the database transaction of the step."""

        def work(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, *_scopes(withdrawal))
            decision = self._evaluate(session, withdrawal)
            expires_s = self._now_ns() // _S + decision.delay_s + self._options.approval_s
            row.decision = _encode(decision, expires_s)
            row.due_ns = self._now_ns() + decision.delay_s * _S if decision.delay_s else 0
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

        await self._change("judge", withdrawal, find)
        return True

    async def _await_people(self, withdrawal: Withdrawal) -> bool:
        if self._approvals is None:
            raise Refused("nobody can be asked here", rule="approvals")
        state = await asyncio.to_thread(self._approvals.state, withdrawal.id, self._now_ns())
        if state in (ApprovalState.REJECTED, ApprovalState.EXPIRED):
            raise Refused(f"its approval is {state}", rule=f"approval-{state}")
        if state is not ApprovalState.MET:
            await self._later(withdrawal, self._options.people_s)
            return False
        delay_s = int(json.loads(withdrawal.decision)["delay_s"])
        due_ns = withdrawal.created_ns + delay_s * _S
        if delay_s and self._now_ns() < due_ns:

            def wait(_session: Session, row: WithdrawalRow) -> None:
                row.due_ns = due_ns

            await self._take(withdrawal, Step.DELAYED, also=wait)
        else:
            await self._approve(withdrawal)
        return True

    async def _await_time(self, withdrawal: Withdrawal) -> bool:
        await self._approve(withdrawal)  # it is due, or it would not be here
        return True

    async def _approve(self, withdrawal: Withdrawal) -> None:
        """Approve, if policy still says what it said."""

        def check(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, *_scopes(withdrawal))
            decision, asked = self._evaluate(session, withdrawal), json.loads(row.decision)
            known = (asked["policy_version"], asked["policy_digest"])
            if known != (decision.policy_version, decision.policy_digest):
                raise Refused("the policy was changed after this was asked", rule="policy-changed")
            row.due_ns = 0

        await self._take(withdrawal, Step.APPROVED, also=check)

    def _evaluate(self, session: Session, withdrawal: Withdrawal) -> Decision:
        to = withdrawal.venue
        action = read_withdrawal(
            venue=to.venue, asset=withdrawal.asset, raw=withdrawal.raw + withdrawal.fee_raw, address=to.address
        )
        facts = Facts(
            initiator=withdrawal.client,
            vault=withdrawal.vault,
            now_s=self._now_ns() // _S,
            first_seen_s=self._known_since(session, [to.address]),
        )
        self._store.serialize(session, f"velocity/venue/{to.venue}")
        return self._policy.judge(
            action, spent=lambda counter, window_s: self._spent(session, withdrawal, counter, window_s), facts=facts
        )

    def _spent(self, session: Session, withdrawal: Withdrawal, asset: str, window_s: int) -> int:
        """What left an exchange in a window. Counters of policy's own (dollars) need prices, and are not kept here."""
        query = select(raw_sum(WithdrawalRow.raw), raw_sum(WithdrawalRow.fee_raw)).where(
            col(WithdrawalRow.kind) == "venue",
            col(WithdrawalRow.asset) == asset,
            col(WithdrawalRow.vault) == withdrawal.vault,
            col(WithdrawalRow.created_ns) > max(self._now_ns() - window_s * _S, -1),
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
        to, order = withdrawal.venue, self._order(withdrawal)
        return ExchangeWithdrawal(
            venue=to.venue,
            asset=order.asset,
            amount=format(order.amount.normalize(), "f"),
            address=to.address,
            network=to.network,
            memo=to.memo,
        )

    # --- the exchange

    async def _send(self, withdrawal: Withdrawal) -> bool:
        """Ask the exchange, once. It is asked first whether it knows it: this database may have come from a backup."""
        venue, order = self._venue(withdrawal), self._order(withdrawal)
        self._check_approvals(withdrawal)
        unseal = self._unseal(withdrawal)
        if venue.knows_client_ids:
            known = await venue.find(order, _since_ms(withdrawal.created_ns), unseal)
            if known:
                sent = await self._sent(withdrawal)
                return await self._follow(sent, known) or True
        sent = await self._sent(withdrawal)
        if sent.state is not State.SENDING:
            return True  # cancelled or held meanwhile
        self._checkpoint("ask.before")
        try:
            report = await venue.submit(order, unseal)
        except OrderRejected as exc:
            await self._fail(sent, f"{exc.code}: {exc.reason}", entries=())
            return True
        except (VenueUnavailable, OutcomeUnknown) as exc:
            # Also what certainly did not reach it is not asked for again: who can be sure of that after a crash here?
            log.warning("withdrawal.outcome_unknown", withdrawal_id=withdrawal.id, error=str(exc))
            await self._later(sent, self._options.look_s)
            return False
        self._checkpoint("ask.after")
        await self._accept(sent, report)
        return True

    async def _ask(self, withdrawal: Withdrawal) -> bool:
        """Ask what became of one that was sent."""
        found = await self._venue(withdrawal).find(
            self._order(withdrawal), _since_ms(withdrawal.asked_ns), self._unseal(withdrawal)
        )
        return await self._follow(withdrawal, found)

    async def _follow(self, withdrawal: Withdrawal, found: Sequence[VenueWithdrawalReport]) -> bool:
        if withdrawal.chosen_ref or (withdrawal.venue_ref and not self._venue(withdrawal).knows_client_ids):
            found = [report for report in found if report.ref == (withdrawal.chosen_ref or withdrawal.venue_ref)]
        else:
            found = [report for report in found if not await self._is_claimed(withdrawal, report.ref)]
        if len(found) > 1:
            return await self._need_operator(withdrawal, f"{len(found)} withdrawals there look like this one")
        if not found:
            return await self._absent(withdrawal)
        report = found[0]
        if not withdrawal.venue_ref:
            withdrawal = await self._accept(withdrawal, report)
        if report.state is VenueWithdrawalState.PENDING:
            await self._later(withdrawal, self._options.look_s)
            return False
        if report.state is VenueWithdrawalState.FAILED:
            total = withdrawal.raw + withdrawal.fee_raw
            returned = postings.withdrawal_returned(
                withdrawal.id, venue_account(withdrawal.venue.venue), withdrawal.asset, total, reason="failed there"
            )
            await self._fail(withdrawal, "the exchange took it, and it failed there", entries=(returned,))
            return True
        await self._complete(withdrawal, report)
        return True

    async def _absent(self, withdrawal: Withdrawal) -> bool:
        waited_s = (self._now_ns() - withdrawal.asked_ns) / _S
        if withdrawal.venue_ref or waited_s < self._options.absent_s:
            await self._later(withdrawal, self._options.look_s)
            return False
        if not self._venue(withdrawal).knows_client_ids:
            return await self._need_operator(withdrawal, "no withdrawal there looks like this one")
        # It keeps our ids and does not know this one, long after it would have refused the request for being too old.
        await self._fail(withdrawal, "the exchange never got it", entries=())
        return True

    async def _sent(self, withdrawal: Withdrawal) -> Withdrawal:
        """Record that the exchange is asked, before it is."""

        def note(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, *_scopes(withdrawal))
            row.asked_ns, row.due_ns, row.reason = self._now_ns(), self._now_ns() + round(self._options.look_s * _S), ""

        return await self._take(withdrawal, Step.SENT, also=note)

    async def _accept(self, withdrawal: Withdrawal, report: VenueWithdrawalReport) -> Withdrawal:
        """Note the exchange's reference, and book that the value left what we hold there."""
        sent = postings.withdrawal_sent(
            withdrawal.id,
            venue_account(withdrawal.venue.venue),
            withdrawal.asset,
            withdrawal.raw + withdrawal.fee_raw,
        )

        def note(_session: Session, row: WithdrawalRow) -> None:
            row.venue_ref, row.reason = report.ref, ""
            row.due_ns = self._now_ns() + round(self._options.look_s * _S)

        return await self._take(withdrawal, Step.ACCEPTED, detail={"ref": report.ref}, entries=(sent,), also=note)

    async def _complete(self, withdrawal: Withdrawal, report: VenueWithdrawalReport) -> None:
        # The agreed fee went to the exchange with the amount: all that was held is paid, and nothing is earned.
        total, fee_raw = withdrawal.raw + withdrawal.fee_raw, int(report.fee.scaleb(self._options.decimals))
        if withdrawal.user == HOUSE:
            own = self._own(withdrawal.venue.address, withdrawal.asset.partition("/")[2])
            if own is None:
                raise InvariantError(f"{withdrawal.id} was sent to {withdrawal.venue.address}, which is ours no more")
            done = arrived(
                withdrawal.id,
                withdrawal.asset,
                own,
                total_raw=total,
                fee_raw=fee_raw,
                decimals=self._options.decimals,
                tx_hash=report.tx_hash,
            )
        else:
            done = postings.withdrawal_done(
                withdrawal.id, withdrawal.user, withdrawal.asset, total, tx_hash=report.tx_hash
            )

        def note(_session: Session, row: WithdrawalRow) -> None:
            row.tx_hash, row.venue_fee_raw, row.due_ns, row.reason = report.tx_hash, fee_raw, 0, ""
            row.needs_operator = False

        detail = {"tx_hash": report.tx_hash, "venue_fee_raw": str(fee_raw)}
        await self._take(withdrawal, Step.FINALIZED, Step.BOOKED, detail=detail, entries=(done,), also=note)

    async def _fail(self, withdrawal: Withdrawal, reason: str, *, entries: Sequence[Any], by: str = "") -> None:
        def note(_session: Session, row: WithdrawalRow) -> None:
            row.reason, row.due_ns, row.needs_operator = reason, 0, False

        detail = {"reason": reason, **({"by": by} if by else {})}
        await self._take(withdrawal, Step.FAILED, detail=detail, entries=entries, also=note)

    async def _need_operator(self, withdrawal: Withdrawal, reason: str) -> bool:
        """Freeze the exchange and wait for a person. Asking goes on: the answer may become clear."""
        log.error("withdrawal.ambiguous", withdrawal_id=withdrawal.id, venue=withdrawal.venue.venue, reason=reason)

        def note(session: Session, row: WithdrawalRow) -> None:
            if not row.needs_operator:
                scope = freeze.venue_scope(withdrawal.venue.venue)
                self._freezes.impose_in(session, scope, source="withdrawals", reason=f"{withdrawal.id}: {reason}")
            row.needs_operator, row.reason = True, reason
            row.due_ns = self._now_ns() + round(self._options.look_s * _S)

        await asyncio.to_thread(self._store.change, withdrawal.id, note)
        return False

    async def resolve(self, withdrawal: Withdrawal, ref: str, *, by: str) -> Withdrawal:
        """Take an operator's word; see `WithdrawalDesk.resolve`."""
        if not ref:
            entries = ()
            if withdrawal.venue_ref:
                raise InputError(f"{withdrawal.id} was accepted as {withdrawal.venue_ref}: it cannot be absent")
            await self._fail(withdrawal, "not found there by an operator", entries=entries, by=by)
            return await asyncio.to_thread(self._store.find, withdrawal.id)
        if await self._is_claimed(withdrawal, ref):
            raise InputError(f"{ref} is another withdrawal's")
        found = await self._venue(withdrawal).find(
            self._order(withdrawal), _since_ms(withdrawal.asked_ns), self._unseal(withdrawal)
        )
        chosen = [report for report in found if report.ref == ref]
        if not chosen:
            raise InputError(f"{withdrawal.venue.venue} knows no withdrawal {ref} that looks like {withdrawal.id}")

        def choose(_session: Session, row: WithdrawalRow) -> None:
            row.followed, row.needs_operator, row.reason = ref, False, f"{ref}, says {by}"

        withdrawal = await asyncio.to_thread(self._store.change, withdrawal.id, choose)
        await self._follow(withdrawal, chosen)
        return await asyncio.to_thread(self._store.find, withdrawal.id)

    async def _is_claimed(self, withdrawal: Withdrawal, ref: str) -> bool:
        return await asyncio.to_thread(self._store.is_claimed, withdrawal.venue.venue, ref, but=withdrawal.id)

    def _unseal(self, withdrawal: Withdrawal) -> Callable[[], ApiKey]:
        venue = withdrawal.venue.venue
        return lambda: self._secrets.open(venue)

    def _check_approvals(self, withdrawal: Withdrawal) -> None:
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
            now_s=self._now_ns() // _S,
        )
        verified.check(requirements)

    def _order(self, withdrawal: Withdrawal) -> VenueWithdrawal:
        to = withdrawal.venue
        return VenueWithdrawal(
            client_id=withdrawal.id,
            asset=withdrawal.asset.partition("/")[2],
            amount=Decimal(withdrawal.raw + withdrawal.fee_raw).scaleb(-self._options.decimals),
            network=to.network,
            address=to.address,
            memo=to.memo,
        )

    def _venue(self, withdrawal: Withdrawal) -> ExchangeWithdrawals:
        venue = self._venues.get(withdrawal.venue.venue)
        if venue is None:
            raise VenueUnavailable(f"{withdrawal.venue.venue} is not served here")
        return venue

    async def _take(
        self,
        withdrawal: Withdrawal,
        *steps: Step,
        detail: dict[str, Any] | None = None,
        entries: Sequence[Any] = (),
        also: Callable[[Session, WithdrawalRow], None] | None = None,
    ) -> Withdrawal:
        self._checkpoint(f"{steps[0]}.before")
        taken = await asyncio.to_thread(self._store.take, withdrawal, steps, detail=detail, entries=entries, also=also)
        self._checkpoint(f"{steps[0]}.after")
        return taken

    async def _change(self, edge: str, withdrawal: Withdrawal, find: Callable[..., Any]) -> None:
        self._checkpoint(f"{edge}.before")
        await asyncio.to_thread(self._store.change_state, withdrawal.id, find)
        self._checkpoint(f"{edge}.after")

    async def _later(self, withdrawal: Withdrawal, after_s: float) -> None:
        due_ns = self._now_ns() + round(after_s * _S)

        def wait(_session: Session, row: WithdrawalRow) -> None:
            row.due_ns = due_ns

        await asyncio.to_thread(self._store.change, withdrawal.id, wait)


def _scopes(withdrawal: Withdrawal) -> tuple[str, ...]:
    return freeze.venue_scope(withdrawal.venue.venue), freeze.vault_scope(withdrawal.vault)


def _since_ms(instant_ns: int) -> int:
    # A minute for clocks that differ.
    return max(0, instant_ns // 10**6 - 60_000)


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
