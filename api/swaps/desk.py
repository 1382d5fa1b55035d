"""Swaps for those who ask: bounded by their quote, written once, read by the process that carries them out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from fastapi import Request
from pydantic import BaseModel, Field
from sqlalchemy import func
from sqlmodel import Session, col, select

from api.auth.principal import Principal
from api.core.effects import Effects, Once
from api.core.errors import NotFound
from api.core.pages import newest_of
from api.core.times import instant, instant_or_none
from api.custody.names import initiator_of
from api.swaps.quotes import Quoted, Quotes
from api.swaps.settings import SwapSettings
from api.swaps.tables import SwapRow
from dex.execution.slippage import max_in_up, min_out_down
from domain import Refused
from runtime.database import Database

SwapState = Literal["requested", "running", "mined", "failed", "refused"]
OPEN_MAX: Final = 20
"""Swaps that wait or are under way at a time."""


@dataclass(frozen=True, slots=True)
class Tolerated:
    """How far from its quote a swap may end."""

    slippage_bps: int
    impact_bps_max: int
    lifetime_s: int


@dataclass(frozen=True, slots=True)
class Worst:
    """What is accepted at the worst, raw."""

    amount_in_max: int
    amount_out_min: int


class Swap(BaseModel):
    """A swap, what was asked of it and what it gave. Amounts are raw."""

    id: str = Field(examples=["sw_0123456789abcdef01234567"])
    state: SwapState
    chain_id: int
    token_in: str
    token_out: str
    is_exact_out: bool
    amount_in: str = Field(description="As quoted.")
    amount_out: str = Field(description="As quoted.")
    amount_in_max: str
    amount_out_min: str
    amount_in_settled: str | None = Field(description="From the receipt's logs, as booked.")
    amount_out_settled: str | None
    gas_cost_wei: str | None
    intent: str = Field(description="Custody's name for it, among its transactions.")
    tx_hash: str
    block: int | None
    rule: str = Field(description="Of one that was refused: what said no.")
    reason: str
    attempts: int
    asked_by: str
    created_at: datetime
    deadline: datetime = Field(description="It is not sent later.")
    ended_at: datetime | None


class SwapBook:
    """Of one process.

    Args:
        database: With the API's tables.
        effects: What happens once.
        quotes: What swaps refer to.
        now_ns: The clock.
        settings: From which account, and what needs a person.
    """

    def __init__(
        self,
        database: Database,
        effects: Effects,
        quotes: Quotes,
        now_ns: Callable[[], int],
        settings: SwapSettings,
    ) -> None:
        self._database = database
        self._effects = effects
        self._quotes = quotes
        self._now_ns = now_ns
        self._settings = settings

    def check(self, tolerated: Tolerated) -> None:
        """Stop here unless swaps are made at all, and so much may be tolerated.

        Raises:
            Refused: Rule `swaps-off` or `slippage`.
        """
        if not self._settings.account:
            raise Refused("this installation swaps nothing", rule="swaps-off", hint="[swaps] account says from where")
        if tolerated.slippage_bps > self._settings.slippage_bps_max:
            raise Refused(
                f"a slippage of {tolerated.slippage_bps} bps is more than {self._settings.slippage_bps_max}",
                rule="slippage",
                hint="[swaps] slippage_bps_max bounds it",
            )

    def worst(self, quoted: Quoted, tolerated: Tolerated) -> Worst:
        """What is accepted at the worst."""
        amount_in, amount_out = int(quoted.amount_in), int(quoted.amount_out)
        if quoted.is_exact_out:
            return Worst(max_in_up(amount_in, tolerated.slippage_bps), amount_out)
        return Worst(amount_in, min_out_down(amount_out, tolerated.slippage_bps))

    def needs_step_up(self, quoted: Quoted, worst: Worst) -> bool:
        """Whether a person has to confirm it."""
        return self._settings.needs_step_up(quoted.token_in, worst.amount_in_max)

    async def ask(
        self, request: Request, who: Principal, key: str, quoted: Quoted, tolerated: Tolerated, worst: Worst
    ) -> Once:
        """Write a swap down, once for its key.

        Raises:
            Refused: Rule `quote-expired`, or `swaps-waiting`: too many are under way.
        """

        def write(session: Session) -> Swap:
            self._quotes.check(quoted)
            self._database.serialize(session, "swaps")
            waiting = select(func.count()).where(col(SwapRow.state).in_(("requested", "running")))
            if session.exec(waiting).one() >= OPEN_MAX:
                raise Refused(f"{OPEN_MAX} swaps are under way", rule="swaps-waiting", hint="ask again in a moment")
            now = self._now_ns()
            row = SwapRow(
                id=f"sw_{secrets.token_hex(12)}", organisation=who.organisation, actor=who.actor,
                initiator=initiator_of(session, who), state="requested", chain_id=quoted.chain_id,
                token_in=quoted.token_in, token_out=quoted.token_out, is_exact_out=quoted.is_exact_out,
                amount_in=quoted.amount_in, amount_out=quoted.amount_out, amount_in_max=str(worst.amount_in_max),
                amount_out_min=str(worst.amount_out_min), max_hops=quoted.max_hops, through=quoted.through,
                slippage_bps=tolerated.slippage_bps, impact_bps_max=tolerated.impact_bps_max,
                deadline_ns=now + tolerated.lifetime_s * 10**9, created_ns=now,
            )  # fmt: skip
            session.add(row)
            session.flush()
            return _shown(row)

        return await self._effects.once(request, who.organisation, key, write)

    async def find(self, who: Principal, swap: str) -> Swap:
        """One of the caller's organisation.

        Raises:
            NotFound: It has none of that id.
        """

        def read(session: Session) -> Swap:
            query = select(SwapRow).where(SwapRow.id == swap, SwapRow.organisation == who.organisation)
            row = session.exec(query).first()
            if row is None:
                raise NotFound(f"no swap {swap}")
            return _shown(row)

        return await self._database.read(read)

    async def page(self, who: Principal, state: str | None, before: int | None, limit: int) -> list[tuple[int, Swap]]:
        """The organisation's newest before a number, with theirs."""
        query = newest_of(SwapRow, who.organisation, state=state, before=before, limit=limit)
        return await self._database.read(
            lambda session: [(row.number or 0, _shown(row)) for row in session.exec(query)]
        )


def _shown(row: SwapRow) -> Swap:
    return Swap.model_validate(
        row.model_dump()
        | {
            "intent": row.intent_id, "block": row.block_number, "asked_by": row.actor,
            "created_at": instant(row.created_ns), "deadline": instant(row.deadline_ns),
            "ended_at": instant_or_none(row.ended_ns),
        }
    )  # fmt: skip
