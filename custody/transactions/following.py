"""From bytes that are out to finality: what the chain says is noted, booked, told, undone and told again.

A round asks every node once, however much is out: receipts of all versions, the blocks that outcomes stand on, the
account's nonces, the head and the finalized block. Everything the answers change is written in a few database
transactions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import structlog
from sqlmodel import Session

from chain import Receipt, Survey
from custody.transactions import receipts
from custody.transactions.dispatch import Dispatch
from custody.transactions.lifecycle import State, Step
from custody.transactions.outbox import GAP, Ending
from custody.transactions.records import Intent, Kind, Settled, Wish
from custody.transactions.tools import Tools
from domain import InvariantError
from domain.events import SwapSettled

log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_LOST_DEPTH = 3
"""Blocks that must lie on top of the one that used our nonce before we believe that it was not ours."""
_WRITTEN_AT_ONCE = 200
"""How many intents one database transaction moves: other writers want their turn."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the chain is about."""

    out: tuple[Intent, ...]
    """BROADCAST and MINED, in the order of their nonces."""
    settled: tuple[Settled, ...]
    survey: Survey


class Followed(NamedTuple):
    """What came of one look."""

    moved: bool
    """Something has another state now."""
    again: bool
    """Something has to be sent, or looked for, at once."""


class Follower:
    """Takes intents from BROADCAST to their end. Keeps nothing that must survive."""

    def __init__(self, tools: Tools, dispatch: Dispatch) -> None:
        self._tools = tools
        self._dispatch = dispatch
        self._looked_ns = 0
        self._heads: object = None
        self.told: set[str] = set()
        """Intents that this process has told the outcome of, while the chain could still take it back."""
        self.is_telling = False
        """An outcome is in the database, or about to be, that is not told yet."""

    async def has_news(self) -> bool:
        """Whether another look is worth it: a node has another head, or something may be due by the clock."""
        tools = self._tools
        if tools.now_ns() - self._looked_ns >= tools.options.rebroadcast_s * 1e9:
            return True
        return _heads(await tools.chain.survey(tools.sender)) != self._heads

    async def look(self, working: Sequence[Intent], settled: Sequence[Settled]) -> Round:
        """Ask the chain about everything that is out.

        Raises:
            VenueUnavailable: Too few nodes answered.
        """
        out = sorted((i for i in working if i.state in (State.BROADCAST, State.MINED)), key=lambda i: i.nonce or 0)
        hashes = [version.tx_hash or "" for intent in out for version in intent.signed]
        blocks = {i.block_number for i in out if i.state is State.MINED and i.block_number is not None}
        blocks |= {s.block_number for s in settled if s.block_hash is not None}
        self._looked_ns = self._tools.now_ns()
        survey = await self._tools.chain.survey(self._tools.sender, hashes, blocks)
        self._heads = _heads(survey)
        return Round(tuple(out), tuple(settled), survey)

    async def follow(self, seen: Round) -> Followed:
        """Act on what the chain said."""
        moved = await self._follow_settled(seen)
        mined = [i for i in seen.out if i.state is State.MINED]
        gone = [i for i in mined if seen.survey.is_undone(i.block_number or 0, i.block_hash or "")]
        if gone:
            await self._return(gone)
        fresh = await self._note_mined(seen)
        missing = {intent.id for intent in gone}
        deep = [*(intent for intent in mined if intent.id not in missing), *fresh]
        settled = await self._settle(seen.survey, deep)
        found = {intent.id for intent in fresh}
        waiting = [i for i in seen.out if i.state is State.BROADCAST and i.id not in found]
        moved |= await self._chase(seen.survey, waiting)
        return Followed(bool(moved or settled or gone or fresh), bool(moved or gone))

    # --- found in a block

    async def _note_mined(self, seen: Round) -> list[Intent]:
        """Record which versions are in blocks; gives their intents as they are then."""
        found: list[tuple[Intent, Receipt]] = []
        for intent in seen.out:
            if intent.state is State.BROADCAST:
                versions = (seen.survey.inclusion(version.tx_hash or "") for version in intent.signed)
                receipt = next((receipt for receipt in versions if receipt is not None), None)
                if receipt is not None:
                    found.append((intent, receipt))

        def work(session: Session, part: Sequence[tuple[Intent, Receipt]]) -> None:
            self._tools.outbox.lock(session, [intent.id for intent, _ in part])
            for intent, receipt in part:
                self._tools.outbox.mined(
                    session,
                    intent,
                    tx_hash=receipt.tx_hash,
                    block_number=receipt.block_number,
                    block_hash=receipt.block_hash,
                )

        await self._write_all("mined", found, work)
        return [
            replace(
                intent,
                state=State.MINED,
                tx_hash=receipt.tx_hash,
                block_number=int(receipt.block_number),
                block_hash=receipt.block_hash,
            )
            for intent, receipt in found
        ]

    async def _return(self, gone: Sequence[Intent]) -> None:
        """Send intents on their way again whose blocks are no longer the chain's."""

        def work(session: Session, part: Sequence[Intent]) -> None:
            self._tools.outbox.lock(session, [intent.id for intent in part])
            for intent in part:
                log.warning("custody.reorged", intent_id=intent.plan.intent_id, block=intent.block_number)
                self._tools.outbox.step(session, intent, Step.REORGED, block=intent.block_number)

        await self._write_all("reorged", gone, work)
        for intent in gone:
            self._dispatch.sent_ns.pop(intent.id, None)  # its bytes are sent again at once

    # --- booked and told

    async def _settle(self, survey: Survey, mined: Sequence[Intent]) -> bool:
        """Book and tell what lies deep enough, as a quorum of the nodes has it."""
        tools = self._tools
        ready: list[tuple[Intent, Receipt]] = []
        for intent in mined:
            receipt = survey.inclusion(intent.tx_hash or "")
            if receipt is None or receipt.block_hash != intent.block_hash:
                continue  # Asked about too early, or the nodes do not agree: the next look will tell.
            if survey.head - receipt.block_number + 1 >= tools.options.confirmations:
                ready.append((intent, receipt))
        told: list[tuple[SwapSettled, SwapSettled | None]] = []

        def work(session: Session, part: Sequence[tuple[Intent, Receipt]]) -> None:
            tools.outbox.lock(session, [intent.id for intent, _ in part])
            endings = [self._ending(intent, receipt) for intent, receipt in part]
            before = tools.outbox.settle_all(session, endings)
            told.extend((outcome, was) for (_, _, outcome, _), was in zip(endings, before, strict=True))

        for part in _parts(ready):
            told.clear()
            with self._telling():
                await tools.write("settle", _bound(work, part))
                for (intent, _), (outcome, before) in zip(part, told, strict=True):
                    self._dispatch.sent_ns.pop(intent.id, None)
                    self._tell(intent, outcome, before)
        return bool(ready)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        self.is_telling = True
        try:
            yield
        finally:
            self.is_telling = False

    def _ending(self, intent: Intent, receipt: Receipt) -> Ending:
        step = Step.CANCELLED if intent.is_cancelled else Step.CONFIRMED
        step = step if receipt.succeeded else Step.REVERTED
        return intent, step, self._outcome(intent, receipt), self._tools.entries(intent, receipt)

    def _outcome(self, intent: Intent, receipt: Receipt) -> SwapSettled:
        tools = self._tools
        if intent.is_cancelled:
            return SwapSettled(
                time_ns=tools.now_ns(),
                intent_id=intent.plan.intent_id,
                status="failed",
                gas_cost_wei=str(receipt.gas_cost_wei),
                tx_hash=receipt.tx_hash,
                block_number=receipt.block_number,
                reason="cancelled: a transaction of nothing was mined in its place",
            )
        return receipts.settle(intent.plan, receipt, tools.assets(intent.plan), tools.now_ns())

    def _tell(self, intent: Intent, outcome: SwapSettled, before: SwapSettled | None) -> None:
        if intent.plan.purpose == GAP:
            return
        if before is not None and _essence(before) != _essence(outcome):
            self._tools.correct(before, outcome)
        if outcome.intent_id not in self.told:
            # Also when a former process had an outcome already: it may have died before it told anybody.
            self.told.add(outcome.intent_id)
            self._tools.tell(outcome)

    # --- taken back, or never again

    async def _follow_settled(self, seen: Round) -> bool:
        """Undo outcomes the chain took back; end those it can no longer take back."""
        tools, survey = self._tools, seen.survey
        gone = [s for s in seen.settled if self._is_gone(s, survey)]
        missing = {settled.id for settled in gone}

        def undo(session: Session, part: Sequence[Settled]) -> None:
            tools.outbox.lock(session, [settled.id for settled in part])
            for settled in part:
                log.error("custody.undone", intent_id=settled.intent_id, block=settled.block_number)
                tools.outbox.undo(session, settled, "its block has left the chain")

        await self._write_all("undo", gone, undo)
        for settled in gone:
            self._dispatch.sent_ns.pop(settled.id, None)
        limit = survey.finalized(tools.options.final_depth)
        # A node is asked many things, not at one moment: what stands in a final block and counts for no nonce is an
        # answer from two chains, and finality is the one thing that is not taken back.
        counted = (s for s in seen.settled if s.id not in missing and s.nonce < survey.nonce)
        final = [s for s in counted if s.block_number <= limit]

        def finalize(session: Session, part: Sequence[Settled]) -> None:
            tools.outbox.lock(session, [settled.id for settled in part])
            for settled in part:
                tools.outbox.finalize(session, settled)

        await self._write_all("finalize", final, finalize)
        self.told.difference_update(settled.intent_id for settled in final)
        return bool(gone or final)

    @staticmethod
    def _is_gone(settled: Settled, survey: Survey) -> bool:
        if settled.block_hash is None:
            return survey.head >= settled.block_number and survey.nonce <= settled.nonce
        return survey.is_undone(settled.block_number, settled.block_hash)

    # --- not there yet

    async def _chase(self, survey: Survey, waiting: Sequence[Intent]) -> bool:
        """Cancel, lose, outbid or send again what is in no block."""
        moved = False
        resend: list[Intent] = []
        for intent in waiting:
            if await self._move_on(intent, survey):
                moved = True
            elif self._is_due(intent) and not _is_over(intent, survey):
                resend.append(intent)
        if resend:
            await self._dispatch.broadcast(resend)
        return moved

    async def _move_on(self, intent: Intent, survey: Survey) -> bool:
        tools, options = self._tools, self._tools.options
        if intent.wish is not Wish.NONE and await self._obey(intent):
            return True
        if _is_over(intent, survey):
            # What is no longer to be mined must not hold up later nonces.
            return await self._dispatch.replace(intent, Kind.CANCEL, percent=options.bump_percent)
        waited_s = (tools.now_ns() - intent.attempts[-1].created_ns) / 1e9
        if waited_s > options.rebroadcast_s and survey.nonce > (intent.nonce or 0):
            lost = await self._lost_at(intent, survey)
            if lost is not None:
                await self._lose(intent, lost)
                return True
        if waited_s <= options.stuck_s and intent.id not in self._dispatch.underpriced:
            return False
        if len(intent.attempts) > options.bumps_max:
            return False
        kind = Kind.CANCEL if intent.signed[0].kind is Kind.CANCEL else Kind.FASTER
        return await self._dispatch.replace(intent, kind, percent=options.bump_percent)

    async def _obey(self, intent: Intent) -> bool:
        """Do what an operator asked for with something that is out."""
        tools, percent = self._tools, self._tools.options.bump_percent
        latest = intent.signed[0].kind
        faster = Kind.CANCEL if latest is Kind.CANCEL else Kind.FASTER
        wanted = {Wish.CANCEL: None if latest is Kind.CANCEL else Kind.CANCEL, Wish.SPEED_UP: faster}.get(intent.wish)
        if wanted is not None and await self._dispatch.replace(intent, wanted, percent=percent):
            return True
        log.warning("custody.wish_dropped", intent_id=intent.plan.intent_id, wish=intent.wish)
        await tools.write("wish", lambda session: tools.outbox.forget_wish(session, intent))
        return False

    def _is_due(self, intent: Intent) -> bool:
        if intent.wish is Wish.CANCEL and intent.signed[0].kind is not Kind.CANCEL:
            return False  # Not helped along: its cancellation is waiting for a lower fee or for the signer.
        since = self._tools.now_ns() - self._dispatch.sent_ns.get(intent.id, 0)
        return since > self._tools.options.rebroadcast_s * 1e9

    async def _lost_at(self, intent: Intent, survey: Survey) -> int | None:
        """The block by which a transaction that is not ours has used the nonce, deep enough to be believed."""
        tools = self._tools
        if intent.nonce is None:
            raise InvariantError(f"{intent.plan.intent_id} was sent without a nonce")
        deep = survey.head - max(tools.options.confirmations, _LOST_DEPTH)
        if deep < 0 or await tools.chain.agreed_nonce(tools.sender, deep) <= intent.nonce:
            return None
        # Once more, now that the nonce is known to be used deep enough: our own must show by now.
        again = await tools.chain.survey(tools.sender, [version.tx_hash or "" for version in intent.signed])
        known = any(version.tx_hash in view.receipts for version in intent.signed for view in again.views)
        return None if known else deep

    async def _lose(self, intent: Intent, block_number: int) -> None:
        tools = self._tools
        reason = f"nonce {intent.nonce} was used by a transaction that is not ours"
        log.critical("custody.nonce_used_elsewhere", intent_id=intent.plan.intent_id, nonce=intent.nonce)
        outcome = SwapSettled(
            time_ns=tools.now_ns(),
            intent_id=intent.plan.intent_id,
            status="failed",
            block_number=block_number,
            reason=reason,
        )
        with self._telling():
            before = await tools.write(
                "settle", lambda session: tools.outbox.settle(session, intent, Step.LOST, outcome, ())
            )
            self._tell(intent, outcome, before)

    # --- writing

    async def _write_all(self, edge: str, items: Sequence[_T], work: Callable[[Session, Sequence[_T]], None]) -> None:
        for part in _parts(items):
            await self._tools.write(edge, _bound(work, part))
            await asyncio.sleep(0)


def _bound(work: Callable[[Session, Sequence[_T]], None], part: Sequence[_T]) -> Callable[[Session], None]:
    return lambda session: work(session, part)


def _parts(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), _WRITTEN_AT_ONCE):
        yield items[start : start + _WRITTEN_AT_ONCE]


def _heads(survey: Survey) -> object:
    """What each node says of the chain: while this is the same, so is everything else it would say."""
    return sorted((view.head.hash, view.finalized or 0, view.nonce, view.pending) for view in survey.views)


def _essence(outcome: SwapSettled) -> tuple[str, ...]:
    """What makes two outcomes different for whoever was told: not when, nor in which block."""
    return (outcome.status, outcome.amount_in, outcome.amount_out, outcome.gas_cost_wei, outcome.tx_hash)


def _is_over(intent: Intent, survey: Survey) -> bool:
    """Whether the last block that a transaction may be in has passed, and nothing is out yet that uses its nonce up."""
    last = intent.plan.max_block
    return bool(last) and survey.head > last and intent.signed[0].kind is not Kind.CANCEL
