"""Tickets: a word good once and for half a minute, by which a stream opens as the caller who asked for it.

Browsers cannot put headers on a WebSocket, and a URL ends up in logs; what ends up there is over by then.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlmodel import Session

from api.auth.challenges import Challenges
from api.auth.portfolio_limits import listed
from api.auth.principal import Method, Principal
from api.auth.scopes import Scope
from api.core.errors import Unauthenticated
from runtime.batches import Batches

LIFETIME_S: Final = 30
_KIND: Final = "tk"


class _Holder(msgspec.Struct, frozen=True):
    organisation: str
    actor: str
    scopes: list[Scope]
    portfolios: list[str] | None
    user: str | None
    session: str | None
    client: str | None


class Tickets:
    """Gives tickets out and takes them back: all that come at once in one transaction, as after a lost network."""

    def __init__(self, batches: Batches, challenges: Challenges) -> None:
        self._batches = batches
        self._challenges = challenges

    async def issue(self, who: Principal) -> str:
        """Make a ticket of a caller."""
        holder = _Holder(
            who.organisation,
            who.actor,
            sorted(who.scopes),
            listed(who.portfolios),
            who.user,
            who.session,
            who.client,
        )

        return await self._batches.run_among(self._issue, holder)

    async def redeem(self, word: str) -> Principal:
        """Give the caller whose ticket it is; how it stands now is asked of the gate (`still`).

        Raises:
            Unauthenticated: Code `invalid_ticket`: none, used, or over.
        """
        found = await self._batches.run_among(self._take, word[:100])
        if found is None:
            raise Unauthenticated("this ticket was used, is over, or never was", code="invalid_ticket")
        holder = msgspec.convert(found, _Holder)
        portfolios = None if holder.portfolios is None else frozenset(holder.portfolios)
        return Principal(
            holder.organisation, holder.actor, frozenset(holder.scopes), Method.TICKET, portfolios, user=holder.user,
            session=holder.session, client=holder.client,
        )  # fmt: skip

    def _issue(self, session: Session, holders: list[_Holder]) -> list[str]:
        asked = [(holder, holder.user) for holder in holders]
        return self._challenges.issue_among(session, _KIND, asked, ttl_s=LIFETIME_S)

    def _take(self, session: Session, words: list[str]) -> list[Any]:
        return self._challenges.take_among(session, _KIND, words)
