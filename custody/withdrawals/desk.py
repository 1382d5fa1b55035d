"""The desk: requests come in, withdrawals are carried to their end.

Everything is found again in the database, so a restart goes on where the process before stopped, and a word that was
lost (that a transaction settled, that somebody approved) is made up for by looking. Nothing waits for a poll that could
have been told: a request, a settlement and an operator's word wake the desk at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from sqlmodel import Session

from compliance import Screener
from custody import freeze
from custody.audit import AuditLog
from custody.ledger import Ledger
from custody.withdrawals.addresses import AddressBook
from custody.withdrawals.follow import follow_in
from custody.withdrawals.lifecycle import PASSING, UNSENT, State, Step
from custody.withdrawals.plans import plan_withdrawal
from custody.withdrawals.ports import TransactionDesk
from custody.withdrawals.requests import ChainDestination, WithdrawalRequest
from custody.withdrawals.store import Observe, Withdrawal, WithdrawalStore
from custody.withdrawals.tables import WithdrawalRow
from custody.withdrawals.transfers import HOUSE
from domain import Asset, ChainId, InputError, InvariantError, OutcomeUnknown, Refused, VenueUnavailable
from runtime.database import Database

log = structlog.get_logger(__name__)

Checkpoint = Callable[[str], None]
"""Told on both sides of every durable edge; fault tests end the process there."""
_AT_ONCE: Final = 16


class VenueCarrier(Protocol):
    """Carries a withdrawal at an exchange; `custody.withdrawals.VenueDesk` does."""

    def check(self, request: WithdrawalRequest) -> None:
        """Raise `InputError` for what could never be paid."""
        ...

    async def advance(self, withdrawal: Withdrawal) -> bool:
        """Take the next step; False when there is none to take yet."""
        ...

    async def resolve(self, withdrawal: Withdrawal, ref: str, *, by: str) -> Withdrawal: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalOptions:
    """How patient the desk is. Times in seconds."""

    look_s: float = 1.0
    """How often the database is looked at though nobody said a word: what another process changed."""
    retry_s: float = 0.5
    """How long to wait when something did not answer, or is frozen."""


class WithdrawalDesk:
    """Pays withdrawals out.

    Args:
        database: Brought up to date by `custody.open_books`.
        ledger: Books in the same database.
        audit: Log in the same database.
        screener: Asked about each destination on a chain.
        addresses: Users' address books.
        transactions: The vault accounts that pay, by chain and vault name.
        venues: Carries withdrawals at exchanges, where there are any.
        fees: What the user pays for a withdrawal, in its own asset: smallest units. The platform pays the network.
        now_ns: UTC nanoseconds.
        observe: Told of each step, in the database transaction that takes it.
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        audit: AuditLog,
        screener: Screener,
        addresses: AddressBook,
        transactions: Mapping[tuple[ChainId, str], TransactionDesk],
        venues: VenueCarrier | None = None,
        fees: Callable[[WithdrawalRequest], int] = lambda _request: 0,
        now_ns: Callable[[], int] = time.time_ns,
        options: WithdrawalOptions | None = None,
        checkpoint: Checkpoint = lambda _edge: None,
        observe: Observe = lambda _session, _withdrawal, _step: None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._store = WithdrawalStore(database, ledger, audit, now_ns, observe)
        self._screener = screener
        self._addresses = addresses
        self._transactions = dict(transactions)
        self._venues = venues
        self._fees = fees
        self._now_ns = now_ns
        self._options = options or WithdrawalOptions()
        self._checkpoint = checkpoint
        self._wake = asyncio.Event()
        self._moved = asyncio.Condition()
        self._busy: set[str] = set()
        self._passing: dict[str, tuple[str, float]] = {}
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    # --- what clients and operators call

    async def request(self, request: WithdrawalRequest) -> Withdrawal:
        """Record a withdrawal and hold its funds; the same request again gives the same withdrawal.

        Raises:
            InputError: The key stands for another request, or nobody here can pay it.
            Refused: `funds`, `unknown-address`, `cool-down`.
        """
        self._payer(request)
        self._checkpoint("request.before")
        withdrawal, is_new = await asyncio.to_thread(
            self._store.record, request, fee_raw=self._fees(request), check=self._destination_check(request)
        )
        self._checkpoint("request.after")
        if is_new:
            log.info("withdrawal.requested", withdrawal_id=withdrawal.id, client=request.client)
            self._wake.set()
        return withdrawal

    def request_in(self, session: Session, request: WithdrawalRequest) -> Withdrawal:
        """Record a withdrawal as `request` does, in a transaction of the caller's; call `notify` when it is durable."""
        self._payer(request)
        check = self._destination_check(request)
        return self._store.record_in(session, request, fee_raw=self._fees(request), check=check)[0]

    async def cancel(self, withdrawal_id: str, *, by: str, reason: str = "") -> Withdrawal:
        """End a withdrawal before anything is signed or an exchange is asked; its funds are given back.

        Where its transaction is recorded already, that is cancelled, and the withdrawal follows.

        Raises:
            InputError: It is being sent, or has ended.
        """
        withdrawal = await self._unsent(withdrawal_id)
        if await self._tell_transaction(withdrawal, "cancel", by=by):
            return withdrawal
        return await self._end(withdrawal, Step.CANCELLED, by=by, reason=reason or f"cancelled by {by}")

    async def hold(self, withdrawal_id: str, *, by: str, reason: str) -> Withdrawal:
        """Stop a withdrawal before anything is signed, until `release`. Errors as `cancel`."""
        withdrawal = await self._unsent(withdrawal_id)
        if await self._tell_transaction(withdrawal, "hold", by=by):
            return withdrawal
        if withdrawal.state is State.HELD:
            return withdrawal
        return await self._end(withdrawal, Step.HELD, by=by, reason=reason)

    async def release(self, withdrawal_id: str, *, by: str) -> Withdrawal:
        """Let a held withdrawal go on: it is screened and judged again.

        Raises:
            InputError: It is not held.
        """
        withdrawal = await self.find(withdrawal_id)
        if withdrawal.state is not State.HELD:
            raise InputError(f"{withdrawal_id} is {withdrawal.state}, not held")
        if await self._tell_transaction(withdrawal, "release", by=by):
            return withdrawal
        released = await self._end(withdrawal, Step.RELEASED, by=by, reason="")
        self._wake.set()
        return released

    async def resolve(self, withdrawal_id: str, ref: str, *, by: str) -> Withdrawal:
        """Say what became of an exchange withdrawal that asking could not tell.

        Args:
            withdrawal_id: One that needs an operator.
            ref: The exchange's own id of it, as a person found it there; empty: it is not there and never will be.
            by: Who looked.

        Raises:
            InputError: It does not need one.
        """
        withdrawal = await self.find(withdrawal_id)
        if self._venues is None or not withdrawal.needs_operator:
            raise InputError(f"{withdrawal_id} does not wait for an operator's word")
        resolved = await self._venues.resolve(withdrawal, ref, by=by)
        self._wake.set()
        return resolved

    async def find(self, withdrawal_id: str) -> Withdrawal:
        """Look one up; `InputError` when there is none."""
        return await asyncio.to_thread(self._store.find, withdrawal_id)

    def history(self, withdrawal_id: str) -> list[dict[str, Any]]:
        """The steps a withdrawal took, oldest first."""
        return self._store.history(withdrawal_id)

    def notify(self, _what: object = None) -> None:
        """Look for work now: something may have settled or been approved. To be called on the event loop."""
        self._wake.set()

    async def wait_for(self, withdrawal_id: str, states: Sequence[State], *, timeout_s: float) -> Withdrawal:
        """Wait until a withdrawal is in one of these states.

        Raises:
            VenueUnavailable: It did not get there in time; says where it is.
        """
        try:
            async with asyncio.timeout(timeout_s), self._moved:
                while (withdrawal := await self.find(withdrawal_id)).state not in states:
                    self._check_running()
                    await self._moved.wait()
        except TimeoutError as exc:
            found = await self.find(withdrawal_id)
            raise VenueUnavailable(f"{withdrawal_id} is {found.state} after {timeout_s:g} s: {found.reason}") from exc
        return withdrawal

    # --- the task

    async def start(self) -> None:
        """Begin, with whatever a former process left."""
        if self._task is not None:
            raise InvariantError("the withdrawal desk was started before")
        self._task = asyncio.create_task(self._run(), name="custody.withdrawals")

    async def stop(self) -> None:
        """Finish the steps under way and stop.

        Raises:
            InvariantError: The desk had stopped itself, for this reason.
        """
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                while not self._stopping:
                    self._wake.clear()
                    patience_s = self._options.retry_s
                    try:
                        await self._look(tasks)
                        patience_s = await self._patience_s()
                    except VenueUnavailable as exc:
                        log.warning("withdrawals.waiting", error=str(exc))
                    try:
                        async with asyncio.timeout(patience_s):
                            await self._wake.wait()
                    except TimeoutError:
                        continue
        except ExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            async with self._moved:
                self._moved.notify_all()

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to carry whatever has something to be done."""
        for withdrawal, transaction_state in await asyncio.to_thread(self._store.due, self._now_ns()):
            if self._is_passing(withdrawal.id, transaction_state):
                continue
            if withdrawal.id not in self._busy and len(self._busy) < _AT_ONCE:
                self._busy.add(withdrawal.id)
                tasks.create_task(self._carry(withdrawal, transaction_state), name="custody.withdrawal")

    def _is_passing(self, withdrawal_id: str, transaction_state: str) -> bool:
        """Whether a transaction is only passing through: writing that down would hold up the transaction itself."""
        now = time.monotonic()
        if transaction_state not in PASSING:
            self._passing.pop(withdrawal_id, None)
            return False
        state, since = self._passing.setdefault(withdrawal_id, (transaction_state, now))
        if state != transaction_state:
            self._passing[withdrawal_id] = (transaction_state, now)
            return True
        return now - since < self._options.look_s

    async def _patience_s(self) -> float:
        """How long nothing has to be looked at, unless somebody says a word."""
        due_ns = await asyncio.to_thread(self._store.next_due_ns)
        if due_ns is None:
            return self._options.look_s
        return min(self._options.look_s, max((due_ns - self._now_ns()) / 1e9, 0.005))

    async def _carry(self, withdrawal: Withdrawal, transaction_state: str) -> None:
        moved = False
        try:
            while not self._stopping and not withdrawal.state.has_ended:
                if not await self._advance(withdrawal, transaction_state):
                    break
                moved = True
                withdrawal = await self.find(withdrawal.id)
                transaction_state = ""
                if withdrawal.destination.kind == "chain" and withdrawal.state is not State.REQUESTED:
                    break  # the transaction has it now; what becomes of it wakes us
        except (VenueUnavailable, OutcomeUnknown) as exc:
            log.warning("withdrawal.waiting", withdrawal_id=withdrawal.id, error=str(exc))
            await self._later(withdrawal)
        except Refused as exc:
            if exc.rule == "frozen":
                log.warning("withdrawal.frozen", withdrawal_id=withdrawal.id, reason=str(exc))
                await self._later(withdrawal, str(exc))
            else:
                await self._refuse(withdrawal, exc)
                moved = True
        except InvariantError as exc:
            log.critical("withdrawal.stopped", withdrawal_id=withdrawal.id, error=str(exc))
            raise
        finally:
            self._busy.discard(withdrawal.id)
            if moved:
                async with self._moved:
                    self._moved.notify_all()
                self._wake.set()

    async def _advance(self, withdrawal: Withdrawal, transaction_state: str) -> bool:
        if withdrawal.destination.kind == "venue":
            if self._venues is None:
                raise InvariantError(f"{withdrawal.id}: nobody here serves {withdrawal.destination.place}")
            return await self._venues.advance(withdrawal)
        if transaction_state:
            self._checkpoint("follow.before")
            await asyncio.to_thread(self._store.change_state, withdrawal.id, follow_in)
            self._checkpoint("follow.after")
            return True
        if withdrawal.state not in (State.REQUESTED, State.SCREENED):
            return False
        await self._submit(withdrawal)
        return True

    async def _submit(self, withdrawal: Withdrawal) -> None:
        """Screen the destination and record the transaction, in one durable step with the withdrawal's own."""
        to, desk = withdrawal.chain, self._desk(withdrawal.chain.chain_id, withdrawal.vault)
        await self._screener.screen({to.address})
        plan = plan_withdrawal(
            withdrawal_id=withdrawal.id,
            chain_id=to.chain_id,
            sender=desk.address,
            recipient=to.address,
            # The plan needs the asset's id and amount; its symbol and decimals are for people.
            asset=Asset(withdrawal.asset, "", 0),
            raw=withdrawal.raw,
        )

        def record(session: Session, row: WithdrawalRow) -> None:
            freeze.check(session, freeze.chain_scope(to.chain_id), freeze.vault_scope(withdrawal.vault))
            desk.record_in(session, plan, initiator=withdrawal.client, vault=withdrawal.vault)
            row.due_ns, row.reason = 0, ""

        steps = (Step.SCREENED,) if withdrawal.state is State.REQUESTED else ()
        self._checkpoint("submit.before")
        await asyncio.to_thread(self._store.take, withdrawal, steps, also=record)
        self._checkpoint("submit.after")
        desk.wake()

    async def _refuse(self, withdrawal: Withdrawal, refusal: Refused) -> None:
        log.warning("withdrawal.refused", withdrawal_id=withdrawal.id, rule=refusal.rule, reason=str(refusal))
        await self._end(withdrawal, Step.REFUSED, by="", reason=f"{refusal.rule}: {refusal}")

    async def _end(self, withdrawal: Withdrawal, step: Step, *, by: str, reason: str) -> Withdrawal:
        """Take one step that has a reason."""

        def note(_session: Session, row: WithdrawalRow) -> None:
            row.reason, row.due_ns = reason, 0

        detail = {"by": by, "reason": reason} if by else {"reason": reason}
        self._checkpoint(f"{step}.before")
        taken = await asyncio.to_thread(self._store.take, withdrawal, (step,), detail=detail, also=note)
        self._checkpoint(f"{step}.after")
        async with self._moved:
            self._moved.notify_all()
        return taken

    async def _later(self, withdrawal: Withdrawal, reason: str = "") -> None:
        """Look at it again after a while."""
        due_ns = self._now_ns() + round(self._options.retry_s * 1e9)

        def wait(_session: Session, row: WithdrawalRow) -> None:
            row.due_ns = max(row.due_ns, due_ns)
            row.reason = reason or row.reason

        await asyncio.to_thread(self._store.change, withdrawal.id, wait)

    async def _unsent(self, withdrawal_id: str) -> Withdrawal:
        withdrawal = await self.find(withdrawal_id)
        if withdrawal.state not in UNSENT:
            raise InputError(f"{withdrawal_id} is {withdrawal.state}: it cannot be stopped any more")
        return withdrawal

    async def _tell_transaction(self, withdrawal: Withdrawal, word: str, *, by: str) -> bool:
        """Hand an operator's word to the withdrawal's transaction; False when there is none yet."""
        if withdrawal.destination.kind != "chain" or not await asyncio.to_thread(
            self._store.has_transaction, withdrawal.id
        ):
            return False
        desk = self._desk(withdrawal.chain.chain_id, withdrawal.vault)
        tell = {"cancel": desk.cancel, "hold": desk.hold, "release": desk.release}[word]
        await tell(withdrawal.id)
        asked = {"by": by, "word": word}
        await self._database.run(
            lambda session: self._audit.append(session, "withdrawal.asked", f"withdrawal/{withdrawal.id}", asked)
        )
        log.info("withdrawal.told", withdrawal_id=withdrawal.id, word=word, by=by)
        self._wake.set()
        return True

    def _destination_check(self, request: WithdrawalRequest) -> Callable[[Session], None]:
        return lambda session: self._addresses.check(session, request.user, request.destination)

    def _payer(self, request: WithdrawalRequest) -> None:
        to = request.destination
        if isinstance(to, ChainDestination):
            if request.user == HOUSE:
                raise InputError("the house moves value between its own places by sweeps and from exchanges")
            desk = self._desk(to.chain_id, request.vault)
            plan_withdrawal(
                withdrawal_id=request.withdrawal_id,
                chain_id=to.chain_id,
                sender=desk.address,
                recipient=to.address,
                asset=request.asset,
                raw=request.raw,
            )
        elif self._venues is None:
            raise InputError(f"nothing is withdrawn from {to.place} here")
        else:
            self._venues.check(request)

    def _desk(self, chain_id: ChainId, vault: str) -> TransactionDesk:
        desk = self._transactions.get((chain_id, vault))
        if desk is None:
            raise InputError(f"no vault {vault!r} pays on chain {chain_id} here")
        return desk

    def _check_running(self) -> None:
        if self._task is not None and self._task.done() and not self._stopping:
            raise InvariantError("the withdrawal desk has stopped itself; see its log")
