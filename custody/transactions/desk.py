"""The door: plans come in, signed transactions go out, the ledger follows what the chain says.

One task carries every intent forward (`pipeline` says how); this is its loop, and its callers' door.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager

import structlog
from sqlmodel import Session

from chain import NodeRefused
from compliance import Screener
from custody.ledger import Ledger, vault_account
from custody.policy import Policy
from custody.ports import ChainPort
from custody.transactions.lifecycle import State, Step
from custody.transactions.outbox import Intent, Outbox
from custody.transactions.pipeline import Checkpoint, DeskOptions, Pipeline
from custody.transactions.plans import check_plan
from domain import Address, ChainId, InvariantError, OutcomeUnknown, VenueUnavailable, native_asset
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime.database import Database
from wallets import Network, Signer

log = structlog.get_logger(__name__)

OnSettled = Callable[[SwapSettled], None]

_RETELL_NS = 24 * 3600 * 10**9
_RETRY_S_MAX = 1.0


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
    """

    def __init__(
        self,
        *,
        database: Database,
        ledger: Ledger,
        policy: Policy,
        screener: Screener,
        signer: Signer,
        chain: ChainPort,
        network: Network,
        now_ns: Callable[[], int] = time.time_ns,
        options: DeskOptions | None = None,
        checkpoint: Checkpoint = lambda _edge: None,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._policy = policy
        self._chain = chain
        self._now_ns = now_ns
        self._options = options or DeskOptions()
        self._checkpoint = checkpoint
        self._sender = signer.address
        self._vault = vault_account(chain.chain_id, self._sender)
        self._outbox = Outbox(database, ledger, chain_id=chain.chain_id, sender=self._sender, now_ns=now_ns)
        self._pipeline = Pipeline(
            outbox=self._outbox,
            policy=policy,
            screener=screener,
            signer=signer,
            chain=chain,
            network=network,
            now_ns=now_ns,
            options=self._options,
            tell=self._tell,
            checkpoint=checkpoint,
        )
        self._on_settled: OnSettled = lambda _settled: None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._lock: AbstractContextManager[None] | None = None

    # --- what the engine calls

    async def start(self, on_settled: OnSettled) -> None:
        """Take the account over and carry on with what a former process left.

        `on_settled` is called on the event loop, once for each intent that ends; what ended within the last day is
        told again first, because a former process may have died before telling. The receiver goes by intent id.

        Raises:
            InputError: Another process serves this account on this database.
        """
        if self._task is not None:
            raise InvariantError("custody was started before")
        self._lock = self._database.writer_lock(f"vault {self._vault}")
        self._lock.__enter__()
        self._on_settled = on_settled
        for settled in await self.settlements(max(0, self._now_ns() - _RETELL_NS)):
            on_settled(settled)
        self._task = asyncio.create_task(self._run(), name="custody.desk")

    async def stop(self) -> None:
        """Finish the step under way and stop; intents stay where they are and go on at the next start.

        Raises:
            InvariantError: The desk had stopped itself, for this reason.
        """
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            try:
                await self._task
            finally:
                if self._lock is not None:
                    self._lock.__exit__(None, None, None)
                    self._lock = None

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
        self._wake.set()

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        """Record a plan in a transaction of the caller's, for whoever has more to record with it; then call `wake`.

        Synchronous; errors as `submit`.
        """
        check_plan(plan, chain_id=self._chain.chain_id, sender=self._sender)
        self._check_running()
        return self._outbox.record_in(session, plan, initiator=initiator, vault=vault)

    def wake(self) -> None:
        """Look for work now. To be called on the event loop."""
        self._wake.set()

    @property
    def chain_id(self) -> ChainId:
        return self._chain.chain_id

    @property
    def address(self) -> Address:
        """The account this desk signs for."""
        return self._sender

    async def settlements(self, since_ns: int = 0) -> list[SwapSettled]:
        """Every outcome at or after an instant, oldest first."""
        return await asyncio.to_thread(self._outbox.settlements, since_ns)

    def history(self, intent_id: str) -> list[tuple[Step, State]]:
        """The steps an intent took, with the states they led to."""
        return self._outbox.history(intent_id)

    async def in_flight(self) -> list[str]:
        """Intent ids that have no outcome yet."""
        return [str(intent.plan.intent_id) for intent in await asyncio.to_thread(self._outbox.unfinished)]

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; return False when the time was not enough.

        Raises:
            InvariantError: The desk has stopped itself.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while await self.in_flight():
                    self._check_running()
                    self._idle.clear()
                    self._wake.set()
                    await self._idle.wait()
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

    # --- the task

    async def _run(self) -> None:
        delay_s = self._options.poll_s
        while not self._stopping:
            self._wake.clear()
            intents = await asyncio.to_thread(self._outbox.unfinished)
            if not intents:
                self._idle.set()
            troubled = False
            for intent in intents:
                if self._stopping:
                    return
                troubled |= not await self._carry(intent)
            delay_s = min(delay_s * 2, _RETRY_S_MAX) if troubled else self._options.poll_s
            try:
                async with asyncio.timeout(delay_s if intents else _RETRY_S_MAX):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _carry(self, intent: Intent) -> bool:
        """Move one intent as far as it goes now; False when the node, the signer or the database was in the way."""
        current: Intent | None = intent
        try:
            while current is not None and not current.state.is_settled and not self._stopping:
                if not await self._pipeline.advance(current):
                    break
                current = await asyncio.to_thread(self._outbox.find, current.plan.intent_id)
        except (VenueUnavailable, OutcomeUnknown, NodeRefused) as exc:
            log.warning("custody.waiting", intent_id=intent.plan.intent_id, error=str(exc))
            return False
        except InvariantError as exc:
            log.critical("custody.stopped", intent_id=intent.plan.intent_id, error=str(exc))
            self._idle.set()
            raise
        return True

    def _tell(self, outcome: SwapSettled) -> None:
        log.info("custody.settled", intent_id=outcome.intent_id, status=outcome.status, reason=outcome.reason)
        self._on_settled(outcome)
        self._checkpoint("tell.after")

    def _check_running(self) -> None:
        if self._task is not None and self._task.done() and not self._stopping:
            raise InvariantError("custody has stopped itself; see its log", hint="restart after the cause is mended")

    def _assets(self) -> Collection[str]:
        prefix = f"eip155:{self._chain.chain_id}/"
        return [asset for asset in sorted(self._policy.assets) if asset.startswith(prefix)]
