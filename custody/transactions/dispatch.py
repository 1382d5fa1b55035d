"""From an approved plan to bytes that are out: simulate, price, number, sign, send.

Every step is recorded before it acts on the world: the unsigned transaction before the signer is asked, the raw bytes
before they are sent. So a process that is killed anywhere finds on restart what it was about to do, and does that
again: asking the signer for the same transaction gives the same bytes, and sending the same bytes is one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog
from sqlmodel import Session

from chain import BroadcastRejected, CallReverted, FeeTooLow, NodeRefused
from chain.broadcast import Sent
from custody.transactions import fees
from custody.transactions.admission import Admission
from custody.transactions.evidence import evidence_of
from custody.transactions.lifecycle import State, Step
from custody.transactions.records import Attempt, Intent, Kind, Wish
from custody.transactions.tools import Tools
from domain import InvariantError, OutcomeUnknown, Refused, VenueUnavailable
from domain.plans import BroadcastKind, TransactionPlan
from wallets import Evidence, TransactionToSign
from wallets.payloads import AccessList

log = structlog.get_logger(__name__)

_AHEAD = frozenset({State.CREATED, State.SCREENED, State.APPROVED, State.NONCE_RESERVED, State.SIGNED, State.BROADCAST})
_OUT = frozenset({State.NONCE_RESERVED, State.SIGNED, State.BROADCAST})
_BURNT = ("sign-once", "replacement-fee", "restored-floor")
"""What a signer says of a nonce under which something else was, or may have been, signed."""
_HOUR_NS = 3600 * 10**9


class Dispatch:
    """Takes intents from APPROVED to BROADCAST. Keeps when each was sent last, and nothing that must survive."""

    def __init__(self, tools: Tools, admission: Admission) -> None:
        self._tools = tools
        self._admission = admission
        self.sent_ns: dict[int, int] = {}
        self.underpriced: set[int] = set()
        """Intents whose fees a node found too low."""

    async def advance(self, intent: Intent) -> bool:
        """Take the next step of an intent that is not out yet; False when there is none to take now."""
        steps = {State.APPROVED: self._prepare, State.NONCE_RESERVED: self._sign, State.SIGNED: self._send}
        return await steps[intent.state](intent)

    # --- numbering

    async def _prepare(self, intent: Intent) -> bool:
        """Simulate, price and number a transaction. What fails here was never signed."""
        tools, plan = self._tools, intent.plan
        survey = await tools.chain.survey(tools.sender)
        try:
            if plan.deadline_s and survey.time_s >= plan.deadline_s:
                raise Refused(f"the deadline {plan.deadline_s} has passed", rule="deadline")
            if plan.max_block and survey.head >= plan.max_block:
                raise Refused(f"the last block it may be in, {plan.max_block}, has passed", rule="deadline")
            tools.check_way(plan)
            gas_limit = await self._simulate(intent)
            if gas_limit is None:
                return False
            tx = await self._price(plan, gas_limit)
        except Refused as exc:
            await self._admission.decline(intent, exc)
            return True
        if tx is None:
            return False
        priced = tx

        def reserve(session: Session) -> bool:
            tools.gate(session, intent)
            if not self.may_pay(session, priced):
                return False
            expected = tools.outbox.next_nonce_in(session)
            if expected is not None and survey.nonce > expected:
                log.critical("custody.foreign_nonces", first=expected, next=survey.nonce, account=tools.sender)
            tools.outbox.reserve(session, intent, survey.pending, lambda nonce: replace(priced, nonce=nonce))
            return True

        try:
            return await tools.write("reserve", reserve)
        except Refused as exc:
            await self._admission.decline(intent, exc)
            return True

    async def _simulate(self, intent: Intent) -> int | None:
        """Run the call on the chain's present state; gives the gas limit, or None when it is too early to tell.

        Raises:
            Refused: Rule `simulation`: it would revert, or needs more gas than the plan allows.
        """
        plan = intent.plan
        try:
            needed = await self._gas_needed(plan)
        except CallReverted as exc:
            if await self._may_wait_for_another(intent):
                return None
            raise Refused(f"it would revert: {exc.reason or exc}", rule="simulation") from exc
        limit = plan.gas_limit or needed * 5 // 4
        if needed > limit:
            raise Refused(f"it needs {needed} gas, the plan allows {limit}", rule="simulation")
        return limit

    async def _gas_needed(self, plan: TransactionPlan) -> int:
        chain, sender = self._tools.chain, self._tools.sender
        try:
            return await chain.gas_estimate(sender, plan.to, plan.data, plan.value_wei)
        except CallReverted:
            if plan.purpose != "arbitrage":
                raise
            # It may be meant to follow transactions that wait. Its own bounds keep it from harm if they do not come.
            return await chain.gas_estimate(sender, plan.to, plan.data, plan.value_wei, "pending")

    async def _may_wait_for_another(self, intent: Intent) -> bool:
        """Whether one of ours may be what it waits for (an approval): then it is judged again when that is mined."""
        states = await asyncio.to_thread(self._tools.outbox.states)
        return any(state in _OUT or (number < intent.id and state in _AHEAD) for number, state in states)

    async def _price(self, plan: TransactionPlan, gas_limit: int) -> TransactionToSign | None:
        """Make the unsigned transaction, its nonce still open; None while what is out may need the coins.

        Raises:
            Refused: The fees exceed policy's caps, or the account cannot pay for it.
        """
        tools = self._tools
        quote, held, committed = await asyncio.gather(
            tools.chain.fees(), tools.chain.balance(tools.sender), asyncio.to_thread(tools.outbox.committed_wei)
        )
        listed = await self._access_list(plan)
        price = fees.within_cap(quote, tools.policy.caps(plan.chain_id).fee_per_gas_wei_max)
        tx = TransactionToSign(
            chain_id=plan.chain_id,
            nonce=0,
            to=plan.to,
            value_wei=plan.value_wei,
            data=plan.data,
            gas_limit=gas_limit,
            max_fee_per_gas_wei=price.max_fee,
            max_priority_fee_per_gas_wei=price.priority,
            access_list=listed,
        )
        fees.check_fees(tools.policy, tx)
        cost = plan.value_wei + fees.ceiling_wei(tx)
        if held < cost:
            raise Refused(f"the account holds {held} wei, the transaction may need {cost}", rule="funds")
        return None if held < cost + committed else tx

    async def _access_list(self, plan: TransactionPlan) -> AccessList:
        """Which storage the transaction declares; a node that cannot say costs a little gas and nothing else."""
        if self._tools.access is None or not plan.data:
            return ()
        try:
            return await self._tools.access(self._tools.sender, plan.to, plan.data, plan.value_wei)
        except (NodeRefused, VenueUnavailable) as exc:
            log.info("custody.no_access_list", intent_id=plan.intent_id, reason=str(exc))
            return ()

    def may_pay(self, session: Session, tx: TransactionToSign) -> bool:
        """Whether this hour's fees allow one more transaction, or one more version of one."""
        tools = self._tools
        spent = tools.outbox.ceilings_since(session, tools.now_ns() - _HOUR_NS)
        if spent + fees.ceiling_wei(tx) <= tools.options.fees_per_hour_wei_max:
            return True
        log.warning("custody.hourly_fees", spent_wei=spent, cap_wei=tools.options.fees_per_hour_wei_max)
        return False

    # --- signing

    async def _sign(self, intent: Intent) -> bool:
        tools, attempt = self._tools, intent.attempts[-1]
        if attempt.kind is not Kind.CANCEL and await self._is_frozen(intent):
            return False  # The signer may have been asked before: only it can say that nothing was signed.
        tools.checkpoint("sign.before")
        try:
            signed = await tools.signer.sign_transaction(
                attempt.unsigned, network=tools.network, evidence=await self._evidence(intent, attempt)
            )
        except Refused as exc:
            return await self._not_signed(intent, attempt, exc)
        except (VenueUnavailable, OutcomeUnknown) as exc:
            if attempt.number == 0:
                raise  # Asked again with the same transaction: the signer answers with the same bytes.
            wish = Wish.CANCEL if attempt.kind is Kind.CANCEL else Wish.NONE
            if not intent.signed:
                raise
            reason = str(exc)
            await tools.write("keep", lambda session: tools.outbox.keep(session, intent, reason, wish=wish))
            return True
        tools.checkpoint("sign.after")
        await tools.write("store", lambda session: tools.outbox.signed(session, intent, signed))
        return True

    async def _not_signed(self, intent: Intent, attempt: Attempt, refusal: Refused) -> bool:
        """The signer said no: to a first version, to a replacement, or to what shall only use the nonce up."""
        tools = self._tools
        if intent.signed:
            log.warning(
                "custody.replacement_refused",
                intent_id=intent.plan.intent_id,
                kind=attempt.kind,
                rule=refusal.rule,
                reason=str(refusal),
            )
            reason = f"{refusal.rule}: {refusal}"
            await tools.write("keep", lambda session: tools.outbox.keep(session, intent, reason))
            return True
        if attempt.kind is Kind.ORIGINAL and refusal.rule not in _BURNT:
            await self._admission.decline(intent, refusal)
            return True
        # Another transaction was signed under this nonce, by a desk whose memory is gone. It is not ours to send, and
        # nothing after it is mined before the nonce is used: so it is used up, outbidding what was signed.
        log.error("custody.nonce_burnt", intent_id=intent.plan.intent_id, nonce=intent.nonce, rule=refusal.rule)
        if refusal.rule not in _BURNT:
            return False
        return await self.replace(intent, Kind.CANCEL, percent=2 * tools.options.bump_percent)

    async def _is_frozen(self, intent: Intent) -> bool:
        def ask(session: Session) -> bool:
            try:
                self._tools.gate(session, intent)
            except Refused as exc:
                log.warning("custody.frozen", reason=str(exc))
                return True
            return False

        return await self._tools.write("freeze-check", ask)

    async def _evidence(self, intent: Intent, attempt: Attempt) -> Evidence | None:
        return None if attempt.kind is Kind.CANCEL else await evidence_of(self._tools, intent)

    # --- replacing

    async def replace(self, intent: Intent, kind: Kind, *, percent: int) -> bool:
        """Record another version with higher fees, to be signed next; False when policy's or the hour's caps forbid it.

        Args:
            intent: One that has a nonce.
            kind: `FASTER`, or `CANCEL` for the version that does nothing.
            percent: How much higher both fees shall be.
        """
        tools = self._tools
        if intent.nonce is None:
            raise InvariantError(f"{intent.plan.intent_id} has no nonce to replace anything under")
        cap = tools.policy.caps(intent.plan.chain_id).fee_per_gas_wei_max
        price = fees.outbid(intent, await tools.chain.fees(), percent=percent, cap_wei=cap)
        if kind is Kind.CANCEL:
            tx = fees.cancellation(intent.plan.chain_id, tools.sender, intent.nonce, price)
        else:
            last = intent.attempts[-1].unsigned
            tx = replace(last, max_fee_per_gas_wei=price.max_fee, max_priority_fee_per_gas_wei=price.priority)
        try:
            fees.check_fees(tools.policy, tx)
        except Refused as exc:
            log.warning("custody.replacement_capped", intent_id=intent.plan.intent_id, kind=kind, reason=str(exc))
            self.underpriced.discard(intent.id)
            return False

        def work(session: Session) -> bool:
            if not self.may_pay(session, tx):
                return False
            tools.outbox.replace(session, intent, kind, tx)
            return True

        done = await tools.write("replace", work)
        self.underpriced.discard(intent.id)
        return done

    # --- sending

    async def _send(self, intent: Intent) -> bool:
        tools = self._tools
        to_cancel = intent.wish is Wish.CANCEL and intent.signed[0].kind is not Kind.CANCEL
        # What cannot be outbid takes its course; the cancellation is tried again when it is out.
        if to_cancel and await self.replace(intent, Kind.CANCEL, percent=tools.options.bump_percent):
            return True
        if await self._is_over(intent):
            return await self.replace(intent, Kind.CANCEL, percent=tools.options.bump_percent)
        await self.broadcast([intent])
        await tools.write("sent", lambda session: tools.outbox.step(session, intent, Step.SENT))
        return True

    async def _is_over(self, intent: Intent) -> bool:
        """Whether its last block has passed before it was ever sent: the process was down, or the way was blocked."""
        last = intent.plan.max_block
        if not last or intent.signed[0].kind is Kind.CANCEL:
            return False
        return (await self._tools.chain.head()).number >= last

    async def broadcast(self, intents: Sequence[Intent]) -> None:
        """Send the newest signed bytes of these intents, in the order given, each by its plan's way.

        Raises:
            VenueUnavailable: They certainly reached nobody.
        """
        tools = self._tools
        versions = [(intent, intent.signed[0]) for intent in intents if intent.signed]
        if len(versions) != len(intents):
            raise InvariantError("an intent has nothing signed to send")
        tools.checkpoint("send.before")
        outcomes = await self._by_their_ways(versions)
        now = tools.now_ns()
        for (intent, version), outcome in zip(versions, outcomes, strict=True):
            name = intent.plan.intent_id
            if isinstance(outcome, VenueUnavailable):
                if len(intents) == 1:
                    raise outcome
                log.warning("custody.not_sent", intent_id=name, error=str(outcome))
                continue
            if isinstance(outcome, FeeTooLow):
                log.warning("custody.underpriced", intent_id=name, error=str(outcome))
                self.underpriced.add(intent.id)
            elif isinstance(outcome, BroadcastRejected):
                # Used nonce: an earlier version may be mined, the receipts will tell. Too poor: somebody must fund it.
                log.warning("custody.send_rejected", intent_id=name, error=str(outcome))
            elif outcome is not None:
                log.warning("custody.send_unknown", intent_id=name, error=str(outcome))
            self.sent_ns[intent.id] = now
            log.info("custody.sent", intent_id=name, nonce=intent.nonce, tx_hash=version.tx_hash)
        tools.checkpoint("send.after")

    async def _by_their_ways(self, versions: Sequence[tuple[Intent, Attempt]]) -> list[Sent]:
        """Send each version as its plan says. A cancellation says nothing of its plan: every node may see it."""
        ways: dict[BroadcastKind, list[int]] = {}
        for number, (intent, version) in enumerate(versions):
            kind: BroadcastKind = "public" if version.kind is Kind.CANCEL else intent.plan.broadcast
            ways.setdefault(kind, []).append(number)
        outcomes: list[Sent] = [None] * len(versions)
        for kind, numbers in ways.items():
            chosen = [(versions[n][1].raw or b"", versions[n][0].plan.max_block) for n in numbers]
            for number, outcome in zip(numbers, await self._by(kind, chosen), strict=True):
                outcomes[number] = outcome
        return outcomes

    async def _by(self, kind: BroadcastKind, raws: Sequence[tuple[bytes, int]]) -> list[Sent]:
        private = self._tools.private
        if kind == "public":
            return await self._tools.chain.broadcast([raw for raw, _ in raws])
        if private is None or not private.offers(kind):
            # Configured when it was signed, and taken away since: it waits, and never goes another way.
            return [VenueUnavailable(f"nothing is configured to send {kind} transactions") for _ in raws]
        return await private.send(kind, raws)
