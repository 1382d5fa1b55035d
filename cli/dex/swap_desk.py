"""Carries out the swaps that the API wrote down, one after the other, from one account, through custody.

Of swaps that give the same token a later one waits until an earlier one that was begun has ended.

    requested ──begin──> running ──> mined | failed | refused

A swap's effect is one intent of custody, named after the row: it happens at most once, whatever dies in between. Until
that intent is recorded the swap may be begun again; from then on its outcome is custody's to tell, however long it
takes, and nothing is sent anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from sqlmodel import Session, col, select

from api.swaps.tables import SwapRow, intent_of
from cli.dex.desk import DexDesk
from cli.dex.service import DexService, Wish
from cli.dex.swapping import Prepared, carry_out, no_worse, prepare, take_back
from custody.transactions.operations import Operations
from custody.transactions.tables import TransactionRow
from dex.execution.slippage import Bounds, SlippagePolicy
from dex.execution.swaps import Through
from dex.pools import ZERO_ADDRESS
from dex.routing import Quote
from domain import InputError, InvariantError, PlatformError, Refused
from domain.events import SwapSettled

log = structlog.get_logger(__name__)

_MARGIN_S: Final = 1
"""A swap that is over sooner than this is not begun."""


@dataclass(frozen=True, slots=True)
class Job:
    """One row, as far as carrying it out goes."""

    id: str
    initiator: str
    wish: Wish
    slippage_bps: int
    impact_bps_max: int
    worst: Bounds
    deadline_ns: int
    attempts: int


class SwapDesk:
    """Of one open desk.

    Args:
        desk: The account, custody and the books, beside which the rows are.
        service: Quotes.
        now_ns: The clock of deadlines.
    """

    def __init__(self, desk: DexDesk, service: DexService, now_ns: Callable[[], int]) -> None:
        self._desk = desk
        self._service = service
        self._now_ns = now_ns
        self._operations = Operations(desk.database, now_ns)

    async def step(self) -> None:
        """Carry on with every swap that has not ended, in the order of asking.

        Raises:
            VenueUnavailable: The database does not answer; nothing is lost.
        """
        under_way: set[str] = set()
        for job in await self._desk.database.read(_open_jobs):
            token = job.wish.token_in.lower()
            if not await self._carry_on(job, may_begin=token not in under_way) and token != ZERO_ADDRESS:
                # What the token's allowance is now is this swap's: another one would use it up, or take it back.
                under_way.add(token)

    async def _carry_on(self, job: Job, *, may_begin: bool) -> bool:
        """Take a swap as far as it goes now; give whether it has ended."""
        try:
            if await self._is_recorded(job):
                # An earlier process, or a wait that ended: custody tells.
                if (settled := await asyncio.to_thread(self._operations.outcome, intent_of(job.id))) is None:
                    return False
                await self._end(job, settled)
                return True
            if self._now_ns() + _MARGIN_S * 10**9 > job.deadline_ns:
                await self._refuse(job, "deadline-passed", "it was not sent in time")
                return True
            return may_begin and await self._begin(job)
        except InvariantError:
            raise
        except PlatformError as exc:
            # A node, a signer or people that do not answer: the row stays, and is looked at again.
            log.warning("swaps.waiting", swap=job.id, error=str(exc))
            return False

    async def _begin(self, job: Job) -> bool:
        attempt = job.attempts + 1
        await self._write(job, state="running", attempts=attempt)
        policy = SlippagePolicy(
            tolerance_bps=job.slippage_bps,
            lifetime_s=max(1, (job.deadline_ns - self._now_ns()) // 10**9),
            impact_bps_max=job.impact_bps_max,
        )

        async def requote(through: Through | None) -> Quote:
            return await self._service.quote(job.wish, through)

        try:
            shown = await self._prepared(job, policy)
            done = await carry_out(
                self._desk, shown, policy, requote, name=intent_of(job.id), attempt=attempt, initiator=job.initiator
            )
        except (Refused, InputError) as exc:
            if await self._is_recorded(job):
                return False
            await self._refuse(job, exc.rule if isinstance(exc, Refused) else "impossible", str(exc))
            return True
        settled = await asyncio.to_thread(self._operations.outcome, done.expected.intent_id)
        if settled is None:
            return False
        await self._end(job, settled, is_clean=True)
        return True

    async def _prepared(self, job: Job, policy: SlippagePolicy) -> Prepared:
        """Quote it anew, and never accept less than was asked for.

        Raises:
            Refused: The pools moved further than that, or something else stands in the way.
        """
        quote = await self._service.quote(job.wish, job.wish.way)
        contracts = await self._service.contracts()
        desk = self._desk
        now = await prepare(desk.client, quote, policy, contracts, desk.account, job.wish.way)
        return replace(now, bounds=no_worse(job.worst, now))

    async def _end(self, job: Job, settled: SwapSettled, *, is_clean: bool = False) -> None:
        """Write an outcome; after an interruption also take back what is left of an allowance."""
        if settled.status == "refused":
            rule, _, reason = settled.reason.partition(": ")
            await self._refuse(job, rule, reason or rule)
            return
        if not is_clean:
            await self._clean_up(job)
        await self._write(
            job,
            state=settled.status,
            reason=settled.reason,
            tx_hash=settled.tx_hash,
            block_number=settled.block_number,
            amount_in_settled=settled.amount_in,
            amount_out_settled=settled.amount_out,
            gas_cost_wei=settled.gas_cost_wei,
            ended_ns=self._now_ns(),
        )

    async def _refuse(self, job: Job, rule: str, reason: str) -> None:
        if job.attempts:
            await self._clean_up(job)
        await self._write(job, state="refused", rule=rule[:80], reason=reason[:2_000], ended_ns=self._now_ns())

    async def _clean_up(self, job: Job) -> None:
        """Take back an allowance that an interrupted attempt may have left; where that cannot be told, it stays.

        It is for the exact amount and for a router, which takes it for whoever the account is.
        """
        with contextlib.suppress(Refused, InputError):
            policy = SlippagePolicy(tolerance_bps=9_999, impact_bps_max=10_000)
            quote = await self._service.quote(job.wish, job.wish.way)
            left = await prepare(
                self._desk.client, quote, policy, await self._service.contracts(), self._desk.account, job.wish.way
            )
            await take_back(self._desk, left, f"{intent_of(job.id)}-{job.attempts}-after")

    async def _is_recorded(self, job: Job) -> bool:
        def read(session: Session) -> bool:
            query = select(TransactionRow.id).where(TransactionRow.intent_id == intent_of(job.id))
            return session.exec(query).first() is not None

        return await self._desk.database.read(read)

    async def _write(self, job: Job, **values: Any) -> None:
        def write(session: Session) -> None:
            row = session.exec(select(SwapRow).where(SwapRow.id == job.id)).one()
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)

        await self._desk.database.run(write)
        log.info("swaps.moved", swap=job.id, state=values["state"], rule=values.get("rule", ""))


def _open_jobs(session: Session) -> list[Job]:
    query = select(SwapRow).where(col(SwapRow.state).in_(("requested", "running"))).order_by(col(SwapRow.number))
    return [
        Job(
            id=row.id,
            initiator=row.initiator,
            wish=Wish(
                token_in=row.token_in,
                token_out=row.token_out,
                amount=row.amount_out if row.is_exact_out else row.amount_in,
                is_exact_out=row.is_exact_out,
                max_hops=row.max_hops,
                through=row.through,
            ),
            slippage_bps=row.slippage_bps,
            impact_bps_max=row.impact_bps_max,
            worst=Bounds(int(row.amount_in_max), int(row.amount_out_min), (), 0),
            deadline_ns=row.deadline_ns,
            attempts=row.attempts,
        )
        for row in session.exec(query.limit(1_000))
    ]
