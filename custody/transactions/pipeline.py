"""Carrying one intent forward: what is done in each state, and what is recorded before it is done.

Every step is recorded before it acts on the world: the unsigned transaction before the signer is asked, the raw bytes
before they are sent, the outcome together with its ledger entries. So a process that is killed anywhere finds on
restart what it was about to do, and does that again: asking the signer for the same transaction gives the same bytes,
and sending the same bytes is one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from chain import BroadcastRejected, CallReverted, FeeQuote, FeeTooLow, Receipt
from compliance import Screener
from custody.policy import Decision, Facts, Policy, Proposal, Spent, check_promises
from custody.ports import ChainPort
from custody.transactions import receipts
from custody.transactions.lifecycle import State, Step
from custody.transactions.outbox import Intent, Outbox
from domain import InvariantError, OutcomeUnknown, Refused, VenueUnavailable
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from wallets import Network, Signer, TransactionToSign

log = structlog.get_logger(__name__)

Checkpoint = Callable[[str], None]
"""Told on both sides of every edge of the lifecycle (`sign.before`); fault tests end the process there."""

_LOST_DEPTH = 3
"""Blocks that must lie on top of the one that used our nonce before we believe that it was not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskOptions:
    """How patient the desk is. Times in seconds."""

    confirmations: int = 1
    """Depth at which a transaction is booked; 1 is the block it is in. Use 12 or more where blocks reorganise."""
    poll_s: float = 0.05
    rebroadcast_s: float = 5.0
    stuck_s: float = 30.0
    """After so long without being mined, a transaction is replaced by one with higher fees."""
    bump_percent: int = 15
    """Nodes want at least 10 % more on both fees."""
    bumps_max: int = 5


class Pipeline:
    """Takes intents from state to state. Keeps nothing that must survive; see `Custody` for the arguments."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        policy: Policy,
        screener: Screener,
        signer: Signer,
        chain: ChainPort,
        network: Network,
        now_ns: Callable[[], int],
        options: DeskOptions,
        tell: Callable[[SwapSettled], None],
        checkpoint: Checkpoint,
    ) -> None:
        self._outbox = outbox
        self._policy = policy
        self._screener = screener
        self._signer = signer
        self._sender = signer.address
        self._chain = chain
        self._network = network
        self._now_ns = now_ns
        self._options = options
        self._tell = tell
        self._checkpoint = checkpoint
        self._sent_ns: dict[int, int] = {}
        self._underpriced: set[int] = set()

    async def advance(self, intent: Intent) -> bool:
        """Take the next step of an intent; False when there is none to take yet.

        Raises:
            VenueUnavailable: The node, the signer or the database did not answer: try again later.
            OutcomeUnknown: The signer may have signed: ask again.
        """
        steps = {
            State.CREATED: self._screen,
            State.SCREENED: self._approve,
            State.APPROVED: self._prepare,
            State.NONCE_RESERVED: self._sign,
            State.SIGNED: self._send,
            State.BROADCAST: self._watch,
            State.MINED: self._confirm,
        }
        if intent.state not in steps:
            raise InvariantError(f"{intent.plan.intent_id} is {intent.state} and needs no step")
        return await steps[intent.state](intent)

    async def _screen(self, intent: Intent) -> bool:
        try:
            await self._screener.screen(self._policy.parties(_proposal(intent.plan)))
        except Refused as exc:
            return await self._decline(intent, exc)
        await self._step("screen", self._outbox.step, intent, Step.SCREENED)
        return True

    async def _approve(self, intent: Intent) -> bool:
        head = await self._chain.head()
        proposal = _proposal(intent.plan)
        facts = Facts(now_s=self._now_ns() // 10**9, chain_time_s=head.time_s)

        def judge(spent: Spent) -> Decision:
            decision = self._policy.evaluate(proposal, spent=spent, facts=facts)
            check_promises(intent.plan, decision)
            return decision

        try:
            await self._step("approve", self._outbox.approve, intent, judge)
        except Refused as exc:
            return await self._decline(intent, exc)
        return True

    async def _prepare(self, intent: Intent) -> bool:
        """Simulate, price and number a transaction. What fails here was never signed."""
        plan = intent.plan
        head = await self._chain.head()
        try:
            if plan.deadline_s and head.time_s >= plan.deadline_s:
                raise Refused(f"the deadline {plan.deadline_s} has passed", rule="deadline")
            gas_limit = await self._simulate(plan)
            if gas_limit is None:
                return False
            tx = await self._price(plan, gas_limit)
        except Refused as exc:
            return await self._decline(intent, exc)
        chain_nonce = await self._chain.nonce(self._sender)
        reserved: list[bool] = []
        await self._step(
            "reserve",
            lambda: reserved.append(self._outbox.reserve(intent, chain_nonce, lambda nonce: replace(tx, nonce=nonce))),
        )
        return reserved[0]

    async def _simulate(self, plan: TransactionPlan) -> int | None:
        """Run the call on the chain's present state; gives the gas limit, or None when it is too early to tell.

        Raises:
            Refused: Rule `simulation`: it would revert, or needs more gas than the plan allows.
        """
        try:
            needed = await self._chain.gas_estimate(self._sender, plan.to, plan.data, plan.value_wei)
        except CallReverted as exc:
            if await self._anything_out():
                return None  # Ours may be what it waits for (an approval): judge again when they are mined.
            raise Refused(f"it would revert: {exc.reason or exc}", rule="simulation") from exc
        limit = plan.gas_limit or needed * 5 // 4
        if needed > limit:
            raise Refused(f"it needs {needed} gas, the plan allows {limit}", rule="simulation")
        return limit

    async def _anything_out(self) -> bool:
        out = (State.NONCE_RESERVED, State.SIGNED, State.BROADCAST)
        return any(intent.state in out for intent in await asyncio.to_thread(self._outbox.unfinished))

    async def _price(self, plan: TransactionPlan, gas_limit: int) -> TransactionToSign:
        """Make the unsigned transaction, its nonce still open.

        Raises:
            Refused: The fees exceed policy's caps, or the account cannot pay for it.
        """
        fees = _within_cap(await self._chain.fees(), self._policy.caps(plan.chain_id).fee_per_gas_wei_max)
        self._policy.check_fees(plan.chain_id, gas_limit=gas_limit, fee_per_gas_wei=fees.max_fee)
        cost = plan.value_wei + gas_limit * fees.max_fee
        held = await self._chain.balance(self._sender)
        if held < cost:
            raise Refused(f"the account holds {held} wei, the transaction may need {cost}", rule="funds")
        return TransactionToSign(
            chain_id=plan.chain_id,
            nonce=0,
            to=plan.to,
            value_wei=plan.value_wei,
            data=plan.data,
            gas_limit=gas_limit,
            max_fee_per_gas_wei=fees.max_fee,
            max_priority_fee_per_gas_wei=fees.priority,
        )

    async def _sign(self, intent: Intent) -> bool:
        attempt = intent.attempts[-1]
        is_replacement = attempt.number > 0
        self._checkpoint("sign.before")
        try:
            signed = await self._signer.sign_transaction(attempt.unsigned, network=self._network)
        except Refused as exc:
            if not is_replacement:
                return await self._decline(intent, exc)
            log.warning("custody.bump_refused", intent_id=intent.plan.intent_id, rule=exc.rule, reason=str(exc))
            await self._step("keep", self._outbox.keep, intent, f"{exc.rule}: {exc}")
            return True
        except (VenueUnavailable, OutcomeUnknown) as exc:
            if not is_replacement:
                raise  # Asked again with the same transaction: the signer answers with the same bytes.
            await self._step("keep", self._outbox.keep, intent, str(exc))
            return True
        self._checkpoint("sign.after")
        await self._step("store", self._outbox.signed, intent, signed)
        return True

    async def _send(self, intent: Intent) -> bool:
        await self._broadcast(intent)
        await self._step("sent", self._outbox.step, intent, Step.SENT)
        return True

    async def _broadcast(self, intent: Intent, *, tx_hash: str = "") -> None:
        """Send the newest signed bytes, or those of a hash.

        Raises:
            VenueUnavailable: They certainly reached no node.
        """
        attempt = next((a for a in intent.signed if tx_hash in ("", a.tx_hash)), None)
        if attempt is None or attempt.raw is None:
            raise InvariantError(f"{intent.plan.intent_id} has nothing signed to send")
        self._checkpoint("send.before")
        try:
            await self._chain.send_raw(attempt.raw)
        except FeeTooLow as exc:
            log.warning("custody.underpriced", intent_id=intent.plan.intent_id, error=str(exc))
            self._underpriced.add(intent.id)
        except BroadcastRejected as exc:
            # Used nonce: an earlier version may be mined, the receipts will tell. Too poor: somebody must fund it.
            log.warning("custody.send_rejected", intent_id=intent.plan.intent_id, error=str(exc))
        except OutcomeUnknown as exc:
            log.warning("custody.send_unknown", intent_id=intent.plan.intent_id, error=str(exc))
        self._sent_ns[intent.id] = self._now_ns()
        self._checkpoint("send.after")
        log.info("custody.sent", intent_id=intent.plan.intent_id, nonce=intent.nonce, tx_hash=attempt.tx_hash)

    async def _watch(self, intent: Intent) -> bool:
        """Look for a sent transaction in a block; send it again, or raise its fees, when it does not get there."""
        if await self._find_mined(intent):
            return True
        now = self._now_ns()
        waited_s = (now - intent.attempts[-1].created_ns) / 1e9
        if waited_s > self._options.rebroadcast_s and await self._is_lost(intent):
            # Once more, now that the nonce is known to be used deep enough: our own must show by now.
            if await self._find_mined(intent):
                return True
            return await self._lose(intent)
        if (waited_s > self._options.stuck_s or intent.id in self._underpriced) and await self._bump(intent):
            return True
        if now - self._sent_ns.get(intent.id, 0) > self._options.rebroadcast_s * 1e9:
            await self._close_gap(intent)
            await self._broadcast(intent)
        return False

    async def _close_gap(self, intent: Intent) -> None:
        """Send booked transactions again that a reorganisation deeper than `confirmations` has undone.

        Nothing after them can be mined before they are. Their bytes are the same, and so are the books, if they come
        out as before; if they do not, the comparison of ledger and chain says so.
        """
        if intent.nonce is None:
            raise InvariantError(f"{intent.plan.intent_id} was sent without a nonce")
        next_nonce = await self._chain.nonce(self._sender)
        for undone in await asyncio.to_thread(self._outbox.settled_between, next_nonce, intent.nonce):
            log.critical(
                "custody.undone", intent_id=undone.plan.intent_id, nonce=undone.nonce, block=undone.block_number
            )
            await self._broadcast(undone, tx_hash=undone.tx_hash or "")

    async def _find_mined(self, intent: Intent) -> bool:
        for attempt in intent.signed:
            receipt = await self._chain.receipt(attempt.tx_hash or "")
            if receipt is None:
                continue

            def note(found: Receipt = receipt) -> None:
                self._outbox.mined(
                    intent, tx_hash=found.tx_hash, block_number=found.block_number, block_hash=found.block_hash
                )

            await self._step("mined", note)
            return True
        return False

    async def _is_lost(self, intent: Intent) -> bool:
        """Whether a transaction that is not ours has used the nonce, deep enough to be believed."""
        if intent.nonce is None:
            raise InvariantError(f"{intent.plan.intent_id} was sent without a nonce")
        depth = max(self._options.confirmations, _LOST_DEPTH)
        head = await self._chain.head()
        if head.number < depth:
            return False
        return await self._chain.nonce(self._sender, head.number - depth) > intent.nonce

    async def _lose(self, intent: Intent) -> bool:
        reason = f"nonce {intent.nonce} was used by a transaction that is not ours"
        log.error("custody.nonce_used_elsewhere", intent_id=intent.plan.intent_id, nonce=intent.nonce)
        outcome = SwapSettled(time_ns=self._now_ns(), intent_id=intent.plan.intent_id, status="failed", reason=reason)
        await self._step("settle", self._outbox.settle, intent, Step.LOST, outcome, ())
        self._tell(outcome)
        return True

    async def _bump(self, intent: Intent) -> bool:
        """Record a version with higher fees; False when policy's caps or the number of attempts forbid it."""
        if len(intent.attempts) > self._options.bumps_max:
            return False
        asked = [attempt.unsigned for attempt in intent.attempts]
        percent = 100 + self._options.bump_percent
        market = await self._chain.fees()
        fee = max(max(tx.max_fee_per_gas_wei for tx in asked) * percent // 100 + 1, market.max_fee)
        tip = max(max(tx.max_priority_fee_per_gas_wei for tx in asked) * percent // 100 + 1, market.priority)
        try:
            self._policy.check_fees(intent.plan.chain_id, gas_limit=asked[-1].gas_limit, fee_per_gas_wei=fee)
        except Refused as exc:
            log.warning("custody.bump_capped", intent_id=intent.plan.intent_id, reason=str(exc))
            self._underpriced.discard(intent.id)
            return False
        unsigned = replace(asked[-1], max_fee_per_gas_wei=fee, max_priority_fee_per_gas_wei=min(tip, fee))
        await self._step("replace", self._outbox.replace, intent, unsigned)
        self._underpriced.discard(intent.id)
        return True

    async def _confirm(self, intent: Intent) -> bool:
        """Book a mined transaction once it lies deep enough; go back when its block is no longer the chain's."""
        receipt = await self._chain.receipt(intent.tx_hash or "")
        head = await self._chain.head()
        block = None if receipt is None else await self._chain.find_block(int(receipt.block_number))
        if receipt is None or block is None or not intent.block_hash == receipt.block_hash == block.hash:
            log.warning("custody.reorged", intent_id=intent.plan.intent_id, block=intent.block_number)
            self._sent_ns.pop(intent.id, None)  # its bytes are sent again at once
            await self._step("reorged", self._outbox.step, intent, Step.REORGED)
            return True
        if head.number - receipt.block_number + 1 < self._options.confirmations:
            return False
        assets = {
            *self._policy.assets,
            *(a.asset.id for a in (*intent.plan.spends, *intent.plan.receives_min)),
        }
        outcome = receipts.settle(intent.plan, receipt, assets, self._now_ns())
        step = Step.CONFIRMED if receipt.succeeded else Step.REVERTED
        booked = receipts.entries(intent.plan, receipt, assets)
        await self._step("settle", self._outbox.settle, intent, step, outcome, booked)
        self._tell(outcome)
        return True

    async def _decline(self, intent: Intent, refusal: Refused) -> bool:
        log.warning("custody.refused", intent_id=intent.plan.intent_id, rule=refusal.rule, reason=str(refusal))
        self._checkpoint("decline.before")
        outcome = await asyncio.to_thread(self._outbox.decline, intent, refusal.rule, str(refusal))
        self._checkpoint("decline.after")
        self._tell(outcome)
        return True

    async def _step(self, edge: str, change: Callable[..., None], *arguments: object) -> None:
        """Make one durable change on a thread, with a checkpoint on either side of it."""
        self._checkpoint(f"{edge}.before")
        await asyncio.to_thread(change, *arguments)
        self._checkpoint(f"{edge}.after")


def _proposal(plan: TransactionPlan) -> Proposal:
    return Proposal(chain_id=plan.chain_id, sender=plan.sender, to=plan.to, value_wei=plan.value_wei, data=plan.data)


def _within_cap(fees: FeeQuote, cap_wei: int) -> FeeQuote:
    """Lower the head-room for rising base fees to the cap, while the present base fee and tip still fit under it."""
    if fees.base_fee + fees.priority <= cap_wei < fees.max_fee:
        return replace(fees, max_fee=type(fees.max_fee)(cap_wei))
    return fees
