"""Keeping an account's nonces whole: gaps are closed, what the chain forgot is sent again, strangers are noticed.

The chain mines an account's transactions in the order of their nonces. When the next one it waits for is bound to
nothing of ours, everything later is stuck: then we use it up ourselves. When it is bound to something that had become
final, the chain has broken its word; the same bytes go out again, and somebody has to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import structlog

from custody.transactions import fees
from custody.transactions.dispatch import Dispatch
from custody.transactions.following import Round
from custody.transactions.outbox import GAP
from custody.transactions.records import Intent
from custody.transactions.tools import Tools
from domain import IntentId, Refused, StrategyId
from domain.plans import TransactionPlan

log = structlog.get_logger(__name__)

_GAPS_MAX = 64
"""How many nonces one round looks into."""


class Repair:
    """Looks for what is missing. Keeps since when, and nothing that must survive."""

    def __init__(self, tools: Tools, dispatch: Dispatch) -> None:
        self._tools = tools
        self._dispatch = dispatch
        self._missing_since_ns: dict[int, int] = {}
        self._strangers_seen = 0

    async def mend(self, seen: Round, working: Sequence[Intent]) -> bool:
        """Close gaps that have held up later nonces for long enough; True when something was done."""
        bound = {intent.nonce for intent in working if intent.nonce is not None}
        await self._notice_strangers(seen.survey.nonce, max(bound, default=-1))
        if not bound:
            self._missing_since_ns.clear()
            return False
        settled = {settled.nonce for settled in seen.settled}
        first, last = seen.survey.nonce, max(bound)
        missing = [nonce for nonce in range(first, min(last, first + _GAPS_MAX)) if nonce not in bound | settled]
        now = self._tools.now_ns()
        self._missing_since_ns = {nonce: self._missing_since_ns.get(nonce, now) for nonce in missing}
        wait_ns = self._tools.options.gap_s * 1e9
        due = [nonce for nonce, since in self._missing_since_ns.items() if now - since >= wait_ns]
        if not due:
            return False
        known = await asyncio.to_thread(self._tools.outbox.under, due)
        await self._send_again([intent for intent in known if intent.state.is_settled])
        bound_by_now = {intent.nonce for intent in known}
        closed = False
        for nonce in due:
            if nonce not in bound_by_now:
                closed |= await self._close(nonce)
        return closed

    async def _notice_strangers(self, chain_nonce: int, last_bound: int) -> None:
        """Say loudly when the chain has counted further than we have: somebody else uses the key."""
        if chain_nonce <= max(last_bound + 1, self._strangers_seen):
            return
        expected = await asyncio.to_thread(self._tools.outbox.next_nonce)
        if expected is not None and chain_nonce > expected:
            log.critical("custody.foreign_nonces", account=self._tools.sender, first=expected, next=chain_nonce)
        self._strangers_seen = chain_nonce

    async def _send_again(self, finals: Sequence[Intent]) -> None:
        """Send what was final and is missing all the same: its bytes, and so the books, are what they were."""
        for intent in finals:
            log.critical("custody.final_undone", intent_id=intent.plan.intent_id, nonce=intent.nonce)
        versions = ((i, next((v for v in i.signed if v.tx_hash == i.tx_hash), None)) for i in finals)
        again = [replace(intent, attempts=(version,)) for intent, version in versions if version is not None]
        if again:
            await self._dispatch.broadcast(again)
        now = self._tools.now_ns()
        self._missing_since_ns |= {intent.nonce: now for intent in again if intent.nonce is not None}

    async def _close(self, nonce: int) -> bool:
        tools = self._tools
        chain_id, sender = tools.chain.chain_id, tools.sender
        quote = fees.within_cap(await tools.chain.fees(), tools.policy.caps(chain_id).fee_per_gas_wei_max)
        tx = fees.cancellation(chain_id, sender, nonce, quote)
        try:
            fees.check_fees(tools.policy, tx)
        except Refused as exc:
            log.error("custody.gap_stays", nonce=nonce, reason=str(exc))
            return False
        plan = TransactionPlan(
            intent_id=IntentId(f"{GAP}/{chain_id}/{sender}/{nonce}"),
            strategy=StrategyId("custody"),
            purpose=GAP,
            chain_id=chain_id,
            sender=sender,
            to=sender,
            value_wei=0,
            data=b"",
            gas_limit=fees.CANCEL_GAS,
            deadline_s=0,
        )
        log.error("custody.gap_closed", nonce=nonce, account=sender)
        return await tools.write("gap", lambda session: tools.outbox.close_gap(session, plan, nonce, tx))
