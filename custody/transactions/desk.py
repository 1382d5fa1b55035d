"""The door: plans come in, signed transactions go out, the ledger follows what the chain says.

Two tasks share the work by state: one takes intents up to bytes that are out (`admission`, `dispatch`), several at a
time; the other follows what is out until the chain can no longer take it back (`following`, `repair`). This is their
loop, the lease they work under, and their callers' door.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import structlog
from sqlmodel import Session

from chain import NodeRefused
from compliance import Screener
from custody import freeze
from custody.audit import AuditLog
from custody.ledger import Ledger, vault_account
from custody.policy import Judge
from custody.ports import ApprovalDesk, ChainPort, PrivateWays, Statements
from custody.transactions.admission import Admission
from custody.transactions.dispatch import Dispatch
from custody.transactions.documents import Documents
from custody.transactions.following import Follower
from custody.transactions.lease import Lease
from custody.transactions.lifecycle import UNSIGNED, State, Step
from custody.transactions.options import DeskOptions
from custody.transactions.outbox import Outbox
from custody.transactions.plans import check_plan
from custody.transactions.records import Intent, Wish
from custody.transactions.repair import Repair
from custody.transactions.tools import AccessFinder, Booker, Checkpoint, KnownSince, Tools
from domain import (
    Address,
    ChainId,
    InputError,
    InvariantError,
    OutcomeUnknown,
    PlatformError,
    VenueUnavailable,
    native_asset,
)
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime.database import Database
from wallets import Network, Signer

log = structlog.get_logger(__name__)

OnSettled = Callable[[SwapSettled], None]
OnCorrected = Callable[[SwapSettled, SwapSettled], None]
"""Told (before, after) when a reorganisation gave something another outcome than was told."""

_RETELL_NS = 24 * 3600 * 10**9
_RETRY_S_MAX = 1.0
_AHEAD = UNSIGNED | {State.NONCE_RESERVED, State.SIGNED}


class Custody:
    """The one door to one account's key on one chain. Satisfies the engine's `TransactionDesk`.

    Args:
        database: Brought up to date by `custody.open_books`.
        ledger: Books kept in the same database.
        policy: What may leave.
        screener: Asked before policy.
        signer: Holds the account's key, usually a `SignerClient`.
        chain: The chain's node or nodes.
        network: What kind of chain it is, told to the signer.
        now_ns: UTC nanoseconds.
        approvals: Asks people; without it, whatever needs them is refused.
        statements: What services attest; without it, rules that need such facts refuse.
        booker: Says how mined plans are booked, where it is not custody's own way.
        known_since: Says how long destinations are known, for policy's `younger_than`.
        private: Sends what is not for the public; without it, such plans are refused.
        access: Finds access lists that make transactions cheaper; without it, none is declared.
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        policy: Judge,
        screener: Screener,
        signer: Signer,
        chain: ChainPort,
        network: Network,
        now_ns: Callable[[], int] = time.time_ns,
        options: DeskOptions | None = None,
        approvals: ApprovalDesk | None = None,
        statements: Statements | None = None,
        booker: Booker | None = None,
        known_since: KnownSince = lambda _session, _addresses: {},
        private: PrivateWays | None = None,
        access: AccessFinder | None = None,
        checkpoint: Checkpoint = lambda _edge: None,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._chain = chain
        self._now_ns = now_ns
        self._options = options or DeskOptions()
        self._checkpoint = checkpoint
        self._sender = signer.address
        self._vault = vault_account(chain.chain_id, self._sender)
        self._audit = AuditLog(database, now_ns)
        self._lease = Lease(
            database,
            chain_id=chain.chain_id,
            address=self._sender,
            holder=f"{socket.gethostname()}/{os.getpid()}",
            now_ns=now_ns,
            lease_s=self._options.lease_s,
        )
        self._outbox = Outbox(
            database,
            ledger,
            chain_id=chain.chain_id,
            sender=self._sender,
            now_ns=now_ns,
            fence=self._lease.check,
            observe=self._record,
        )
        tools = Tools(
            outbox=self._outbox,
            policy=policy,
            screener=screener,
            signer=signer,
            chain=chain,
            network=network,
            approvals=approvals,
            statements=statements,
            gate=self._gate,
            now_ns=now_ns,
            options=self._options,
            tell=self._tell,
            correct=self._correct,
            checkpoint=checkpoint,
            booker=booker,
            known_since=known_since,
            private=private,
            access=access,
        )
        self._admission = Admission(tools)
        self._dispatch = Dispatch(tools, self._admission)
        self._follower = Follower(tools, self._dispatch)
        self._repair = Repair(tools, self._dispatch)
        self.documents = Documents(tools, self._audit, self._check_running)
        """Signs permits and other documents that policy allows."""
        self._on_settled: OnSettled = lambda _settled: None
        self._on_corrected: OnCorrected = lambda _before, _after: None
        self._submitted = asyncio.Event()
        self._sent = asyncio.Event()
        self._moved = asyncio.Event()
        self._stopping = asyncio.Event()
        self._lanes = asyncio.Semaphore(self._options.lanes)
        self._carrying: set[int] = set()
        self._turns_begun = 0
        self._turns_acted_on = 0
        self._idle_s = 0.0
        self._is_troubled = False
        self._task: asyncio.Task[None] | None = None

    # --- what the engine calls

    async def start(
        self, on_settled: OnSettled, *, on_corrected: OnCorrected | None = None, wait_s: float = 0.0
    ) -> None:
        """Take the account over and carry on with what a former process left.

        `on_settled` is called on the event loop, once for each intent that ends; what ended within the last day is
        told again first, because a former process may have died before telling. The receiver goes by intent id.

        Args:
            on_settled: See above.
            on_corrected: Told when a reorganisation gave something another outcome than was told.
            wait_s: How long to wait for a holder of the account that has stopped giving signs of life.

        Raises:
            InputError: Another process serves this account on this database.
        """
        if self._task is not None:
            raise InvariantError("custody was started before")
        await self._take_over(wait_s)
        self._on_settled = on_settled
        self._on_corrected = on_corrected or self._on_corrected
        for settled in await self.settlements(max(0, self._now_ns() - _RETELL_NS)):
            self._follower.told.add(settled.intent_id)
            on_settled(settled)
        self._task = asyncio.create_task(self._run(), name="custody.desk")

    async def stop(self) -> None:
        """Finish the steps under way and stop; intents stay where they are and go on at the next start.

        Raises:
            InvariantError: The desk had stopped itself, for this reason.
        """
        self._stopping.set()
        self._submitted.set()
        self._sent.set()
        if self._task is not None:
            try:
                await self._task
            finally:
                await asyncio.to_thread(self._lease.release)

    async def submit(self, plan: TransactionPlan, *, initiator: str = "engine", vault: str = "default") -> None:
        """Record a plan; its outcome arrives as `SwapSettled`. The same intent again is a no-op.

        Args:
            plan: What is to be done.
            initiator: Who asks: policy judges by it, and whoever asked may not approve.
            vault: The vault it is for, as policy names it.

        Raises:
            InputError: It is for another account or chain, or the intent id stands for another plan.
            VenueUnavailable: It could not be recorded; nothing will happen.
            InvariantError: The desk has stopped itself.
        """
        check_plan(plan, chain_id=self._chain.chain_id, sender=self._sender)
        self._check_running()
        self._checkpoint("record.before")
        if await asyncio.to_thread(self._outbox.record, plan, initiator=initiator, vault=vault):
            log.info("custody.recorded", intent_id=plan.intent_id, purpose=plan.purpose, strategy=plan.strategy)
        self._checkpoint("record.after")
        self._submitted.set()

    async def cancel(self, intent_id: str) -> None:
        """Ask that an intent shall not happen. Its outcome, as the chain decides, arrives as `SwapSettled`.

        Nothing signed yet: it ends as `refused` (`cancelled: …`). Signed: a transaction of nothing with higher fees
        takes its place, and whichever is mined is told, the cancellation as `failed` (`cancelled: …`). May be called
        in any process that has the database.

        Raises:
            InputError: There is no such intent, or its outcome is told already.
        """
        await self._wish(intent_id, Wish.CANCEL)

    async def speed_up(self, intent_id: str) -> None:
        """Ask for higher fees, within policy's caps. Before it is signed, this does nothing.

        Raises:
            InputError: There is no such intent, or its outcome is told already.
        """
        await self._wish(intent_id, Wish.SPEED_UP)

    async def hold(self, intent_id: str) -> None:
        """Stop an intent of which nothing was signed, until it is released or cancelled.

        Raises:
            InputError: There is no such intent, or it may have been signed.
        """
        await self._wish(intent_id, Wish.HOLD)

    async def release(self, intent_id: str) -> None:
        """Let a held intent begin again: screened and judged anew; approvals that stand count.

        Raises:
            InputError: There is no such intent, or it may have been signed.
        """
        await self._wish(intent_id, Wish.RELEASE)

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        """Record a plan in a transaction of the caller's, for whoever has more to record with it; then call `wake`.

        Synchronous; errors as `submit`.
        """
        check_plan(plan, chain_id=self._chain.chain_id, sender=self._sender)
        self._check_running()
        return self._outbox.record_in(session, plan, initiator=initiator, vault=vault)

    @property
    def chain_id(self) -> ChainId:
        return self._chain.chain_id

    @property
    def address(self) -> Address:
        """The account this desk signs for."""
        return self._sender

    def wake(self) -> None:
        """Look now: something was recorded, approved or asked for elsewhere. To be called on the event loop."""
        self._submitted.set()
        self._sent.set()

    async def settlements(self, since_ns: int = 0) -> list[SwapSettled]:
        """Every outcome at or after an instant, oldest first."""
        return await asyncio.to_thread(self._outbox.settlements, since_ns)

    def history(self, intent_id: str) -> list[tuple[Step, State]]:
        """The steps an intent took, with the states they led to."""
        return self._outbox.history(intent_id)

    def state(self, intent_id: str) -> State | None:
        """How far an intent has come; None when there is none."""
        found = self._outbox.find(intent_id)
        return None if found is None else found.state

    async def in_flight(self) -> list[str]:
        """Intent ids that have no outcome yet."""
        return [str(intent.plan.intent_id) for intent in await asyncio.to_thread(self._outbox.working)]

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight and everything is told; return False when the time was not enough.

        Raises:
            InvariantError: The desk has stopped itself.
        """
        self.wake()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._moved.clear()
                    states = await asyncio.to_thread(self._outbox.states)
                    if not states and not self._carrying and not self._follower.is_telling:
                        return True
                    self._check_running()
                    await self._moved.wait()
        except TimeoutError:
            return False

    async def wait_steady(self, timeout_s: float) -> bool:
        """Wait until the chain was asked about everything that is out and was obeyed; False when it takes too long.

        After a start: until the past is caught up with.

        Raises:
            InvariantError: The desk has stopped itself.
        """
        begun = self._turns_begun  # The one under way may have looked before now.
        self.wake()
        try:
            async with asyncio.timeout(timeout_s):
                while self._turns_acted_on <= begun:
                    self._moved.clear()
                    self._check_running()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def balances(self) -> dict[str, int]:
        """What the account holds on chain by asset id: the policy's tokens and the chain's own coin."""
        native = native_asset(self._chain.chain_id).id
        held = {native: int(await self._chain.balance(self._sender))}
        for asset in self._assets():
            if asset != native:
                held[asset] = await self._chain.token_balance(asset.rpartition(":")[2], self._sender)
        return held

    async def reconcile(self, observed: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Compare the ledger with what was observed on chain; returns (ledger, observed) where they differ.

        Meaningful when nothing is in flight: what is mined but not yet deep enough is not booked.
        """
        booked = (await asyncio.to_thread(self._ledger.balances, self._vault)).get(self._vault, {})
        pairs = {asset: (booked.get(asset, 0), observed.get(asset, 0)) for asset in {*booked, *observed}}
        return {asset: pair for asset, pair in sorted(pairs.items()) if pair[0] != pair[1]}

    # --- the tasks

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._loop(self._submitted, lambda _: self._carry_all(tasks)), name="custody.carry")
                tasks.create_task(self._loop(self._sent, self._follow_all), name="custody.follow")
                tasks.create_task(self._keep_lease(), name="custody.lease")
        except* PlatformError as group:
            error = group.exceptions[0]
            log.critical("custody.stopped", error=str(error))
            raise error from None
        finally:
            self._moved.set()

    async def _loop(self, wake: asyncio.Event, turn: Callable[[bool], Awaitable[tuple[bool, float]]]) -> None:
        """Take turns until stopped.

        A turn is told whether it was asked for or is only time, and tells whether all went well and when to look again
        without being asked.
        """
        delay_s = self._options.poll_s
        wake.set()
        while not self._stopping.is_set():
            was_woken = wake.is_set()
            wake.clear()
            went_well, pause_s = await turn(was_woken)
            delay_s = self._options.poll_s if went_well else min(delay_s * 2, _RETRY_S_MAX)
            try:
                async with asyncio.timeout(max(delay_s, pause_s)):
                    await wake.wait()
            except TimeoutError:
                continue

    async def _carry_all(self, tasks: asyncio.TaskGroup) -> tuple[bool, float]:
        """Begin with every intent that is not out yet; several go at a time, in the order they were recorded."""
        try:
            ahead = await asyncio.to_thread(self._outbox.working, _AHEAD)
        except VenueUnavailable as exc:
            log.warning("custody.waiting", error=str(exc))
            return False, 0.0
        for intent in ahead:
            if intent.id not in self._carrying:
                self._carrying.add(intent.id)
                tasks.create_task(self._carry(intent), name=f"custody.carry.{intent.plan.intent_id}")
        went_well, self._is_troubled = not self._is_troubled, False
        return went_well, 0.0 if ahead else _RETRY_S_MAX

    async def _carry(self, intent: Intent) -> None:
        """Move one intent as far as it goes now: until it is out, or the node, the signer or people are awaited."""
        current: Intent | None = None
        try:
            async with self._lanes:
                # Read again: it was found some time ago, and may have moved since.
                current = await asyncio.to_thread(self._outbox.find, intent.plan.intent_id)
                while current is not None and current.state in _AHEAD and not self._stopping.is_set():
                    if not await self._advance(current):
                        break
                    self._moved.set()
                    current = await asyncio.to_thread(self._outbox.find, current.plan.intent_id)
        except (VenueUnavailable, OutcomeUnknown, NodeRefused) as exc:
            log.warning("custody.waiting", intent_id=intent.plan.intent_id, error=str(exc))
            self._is_troubled = True
        finally:
            self._carrying.discard(intent.id)
            self._moved.set()
        if current is not None and current.state is State.BROADCAST:
            self._sent.set()

    async def _advance(self, intent: Intent) -> bool:
        if await self._admission.obey(intent):
            return True
        if intent.state in UNSIGNED and intent.state is not State.APPROVED:
            return await self._admission.advance(intent)
        return await self._dispatch.advance(intent)

    async def _follow_all(self, was_woken: bool) -> tuple[bool, float]:
        """Look once at everything that is out, and act until nothing moves."""
        try:
            if not was_woken and not await self._follower.has_news():
                return True, self._idle_s
            while not self._stopping.is_set():
                self._turns_begun += 1
                turn = self._turns_begun
                working, settled = await asyncio.gather(
                    asyncio.to_thread(self._outbox.working), asyncio.to_thread(self._outbox.settled)
                )
                out = any(intent.state in (State.BROADCAST, State.MINED) for intent in working)
                if not out and not settled:
                    self._turns_acted_on = turn
                    self._idle_s = _RETRY_S_MAX
                    return True, self._idle_s
                seen = await self._follower.look(working, settled)
                moved, again = await self._follower.follow(seen)
                mended = await self._repair.mend(seen, working)
                self._turns_acted_on = turn
                self._moved.set()
                if moved or mended:
                    self._submitted.set()  # A replacement or a closed gap wants to be signed.
                if not again:
                    self._idle_s = 0.0 if out else self._options.settled_poll_s
                    return True, self._idle_s
        except (VenueUnavailable, OutcomeUnknown, NodeRefused) as exc:
            log.warning("custody.waiting", error=str(exc))
            return False, 0.0
        finally:
            self._moved.set()
        return True, 0.0

    async def _keep_lease(self) -> None:
        """Say that we live, three times as often as we must."""
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._options.lease_s / 3):
                    await self._stopping.wait()
            except TimeoutError:
                try:
                    await asyncio.to_thread(self._lease.renew)
                except VenueUnavailable as exc:
                    log.warning("custody.lease_not_renewed", error=str(exc))

    async def _take_over(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            try:
                await asyncio.to_thread(self._lease.acquire)
                return
            except InputError:
                if loop.time() >= deadline:
                    raise
                await asyncio.sleep(min(self._options.lease_s / 10, 0.5))

    # --- small things

    async def _wish(self, intent_id: str, wish: Wish) -> None:
        await asyncio.to_thread(self._outbox.wish, intent_id, wish)
        self.wake()

    def _gate(self, session: Session, intent: Intent) -> None:
        freeze.check(
            session,
            freeze.chain_scope(self._chain.chain_id),
            freeze.vault_scope(intent.vault),
            freeze.vault_scope(self._sender),
        )

    def _record(self, session: Session, intent_id: str, step: Step, state: State, detail: Mapping[str, object]) -> None:
        self._audit.append(session, f"transaction.{step}", f"transaction/{intent_id}", {"state": state, **detail})

    def _tell(self, outcome: SwapSettled) -> None:
        log.info("custody.settled", intent_id=outcome.intent_id, status=outcome.status, reason=outcome.reason)
        self._on_settled(outcome)
        self._checkpoint("tell.after")

    def _correct(self, before: SwapSettled, after: SwapSettled) -> None:
        log.critical(
            "custody.corrected",
            intent_id=after.intent_id,
            told=before.status,
            status=after.status,
            tx_hash=after.tx_hash,
            amount_out=after.amount_out,
        )
        self._on_corrected(before, after)

    def _check_running(self) -> None:
        if self._task is not None and self._task.done() and not self._stopping.is_set():
            raise InvariantError("custody has stopped itself; see its log", hint="restart after the cause is mended")

    def _assets(self) -> Collection[str]:
        prefix = f"eip155:{self._chain.chain_id}/"
        return [asset for asset in sorted(self._policy.assets) if asset.startswith(prefix)]
