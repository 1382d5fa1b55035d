"""Withdrawals by an exchange: screened, judged, approved like a transaction, and asked for once.

That an exchange is asked is recorded before it is; from then on the exchange is only asked what became of it, by our id
where it keeps one, else by address and amount. Nothing is ever asked for again. What asking cannot tell (two that look
like ours, none although it was sent) freezes the exchange and waits for a person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from sqlmodel import Session

from compliance import Screener
from custody import freeze
from custody.approvals import ApprovalRules
from custody.freeze import Freezes
from custody.ledger import postings, venue_account
from custody.policy.judge import Judge
from custody.ports import ApprovalDesk
from custody.withdrawals.lifecycle import State, Step
from custody.withdrawals.ports import ExchangeWithdrawals
from custody.withdrawals.requests import WithdrawalRequest
from custody.withdrawals.secrets import VenueSecrets
from custody.withdrawals.store import Withdrawal, WithdrawalStore
from custody.withdrawals.tables import WithdrawalRow
from custody.withdrawals.transfers import HOUSE, OwnAssets, arrived, check_owner
from custody.withdrawals.venue_admission import KnownSince, VenueAdmission, VenueOptions
from custody.withdrawals.venue_recorder import NS, Recorder, scopes
from domain import InputError, InvariantError, OrderRejected, OutcomeUnknown, VenueUnavailable
from domain.withdrawals import VenueWithdrawalReport, VenueWithdrawalState
from runtime.secrets import ApiKey

log = structlog.get_logger(__name__)


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
        known_since: KnownSince = lambda _session, _addresses: {},
        rules: Callable[[], ApprovalRules] | None = None,
        own: OwnAssets = lambda _address, _code: None,
        options: VenueOptions | None = None,
        checkpoint: Callable[[str], None] = lambda _edge: None,
    ) -> None:
        self._store = store
        self._venues = dict(venues)
        self._secrets = secrets
        self._freezes = freezes
        self._own = own
        self._now_ns = now_ns
        self._options = options or VenueOptions()
        self._checkpoint = checkpoint
        self._recorder = Recorder(store, now_ns, checkpoint, self._options.decimals)
        self._admission = VenueAdmission(
            recorder=self._recorder,
            policy=policy,
            screener=screener,
            approvals=approvals,
            rules=rules,
            known_since=known_since,
            options=self._options,
        )

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
            State.REQUESTED: self._admission.screen,
            State.SCREENED: self._admission.judge,
            State.AWAITING_APPROVAL: self._admission.await_people,
            State.DELAYED: self._admission.await_time,
            State.APPROVED: self._send,
            State.SENDING: self._ask,
        }
        if withdrawal.state not in steps:
            return False
        return await steps[withdrawal.state](withdrawal)

    # --- the exchange

    async def _send(self, withdrawal: Withdrawal) -> bool:
        """Ask the exchange, once. It is asked first whether it knows it: this database may have come from a backup."""
        venue, order = self._venue(withdrawal), self._recorder.order(withdrawal)
        self._admission.check_approvals(withdrawal)
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
            await self._recorder.later(sent, self._options.look_s)
            return False
        self._checkpoint("ask.after")
        await self._accept(sent, report)
        return True

    async def _ask(self, withdrawal: Withdrawal) -> bool:
        """Ask what became of one that was sent."""
        found = await self._venue(withdrawal).find(
            self._recorder.order(withdrawal), _since_ms(withdrawal.asked_ns), self._unseal(withdrawal)
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
        if withdrawal.state is not State.SENDING:
            return True  # an operator and the desk have looked at the same time
        if report.state is VenueWithdrawalState.PENDING:
            await self._recorder.later(withdrawal, self._options.look_s)
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
        waited_s = (self._now_ns() - withdrawal.asked_ns) / NS
        if withdrawal.venue_ref or waited_s < self._options.absent_s:
            await self._recorder.later(withdrawal, self._options.look_s)
            return False
        if not self._venue(withdrawal).knows_client_ids:
            return await self._need_operator(withdrawal, "no withdrawal there looks like this one")
        # It keeps our ids and does not know this one, long after it would have refused the request for being too old.
        await self._fail(withdrawal, "the exchange never got it", entries=())
        return True

    async def _sent(self, withdrawal: Withdrawal) -> Withdrawal:
        """Record that the exchange is asked, before it is."""

        def note(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, *scopes(withdrawal))
            row.asked_ns, row.due_ns, row.reason = self._now_ns(), self._now_ns() + round(self._options.look_s * NS), ""

        return await self._recorder.take(withdrawal, Step.SENT, also=note)

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
            row.due_ns = self._now_ns() + round(self._options.look_s * NS)

        return await self._recorder.take(
            withdrawal, Step.ACCEPTED, detail={"ref": report.ref}, entries=(sent,), also=note
        )

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
        await self._recorder.take(withdrawal, Step.FINALIZED, Step.BOOKED, detail=detail, entries=(done,), also=note)

    async def _fail(self, withdrawal: Withdrawal, reason: str, *, entries: Sequence[Any], by: str = "") -> None:
        def note(_session: Session, row: WithdrawalRow) -> None:
            row.reason, row.due_ns, row.needs_operator = reason, 0, False

        detail = {"reason": reason, **({"by": by} if by else {})}
        await self._recorder.take(withdrawal, Step.FAILED, detail=detail, entries=entries, also=note)

    async def _need_operator(self, withdrawal: Withdrawal, reason: str) -> bool:
        """Freeze the exchange and wait for a person. Asking goes on: the answer may become clear."""
        log.error("withdrawal.ambiguous", withdrawal_id=withdrawal.id, venue=withdrawal.venue.venue, reason=reason)

        def note(session: Session, row: WithdrawalRow) -> None:
            if not row.needs_operator:
                scope = freeze.venue_scope(withdrawal.venue.venue)
                self._freezes.impose_in(session, scope, source="withdrawals", reason=f"{withdrawal.id}: {reason}")
            row.needs_operator, row.reason = True, reason
            row.due_ns = self._now_ns() + round(self._options.look_s * NS)

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
            self._recorder.order(withdrawal), _since_ms(withdrawal.asked_ns), self._unseal(withdrawal)
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

    def _venue(self, withdrawal: Withdrawal) -> ExchangeWithdrawals:
        venue = self._venues.get(withdrawal.venue.venue)
        if venue is None:
            raise VenueUnavailable(f"{withdrawal.venue.venue} is not served here")
        return venue


def _since_ms(instant_ns: int) -> int:
    # A minute for clocks that differ.
    return max(0, instant_ns // 10**6 - 60_000)
