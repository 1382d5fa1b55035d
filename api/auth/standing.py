"""What a caller is at this moment: its key, session or client with its person, membership and organisation.

Tokens and keys say what they were made with; what counts is what the database says now. It is read once a second for
each caller that asks, so a role that was taken away or a key that was revoked is gone within a second everywhere.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from sqlmodel import Session

from api.auth.networks import Network, parse_networks
from api.auth.portfolio_limits import Limit, narrower, read_limit
from api.auth.scopes import Role, Scope, parse_scopes, scopes_of
from api.auth.sealing import Seal
from api.auth.signing import Algorithm, Verifier
from api.auth.tables import ApiKeyRow, MembershipRow, OAuthClientRow, OrganisationRow, SessionRow, UserRow
from runtime.base64url import decode64
from runtime.database import Database

FRESH_NS: Final = 10**9
_KEPT_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody who may act now."""

    organisation: str
    user: str
    scopes: frozenset[Scope]
    portfolios: Limit
    networks: tuple[tuple[Network, ...], ...]
    """The caller's address must be in each of them."""
    rate_limit: int
    verifier: Verifier | None = None
    """Of an API key."""


class Standings:
    """Reads standings, and remembers each for a second."""

    def __init__(self, database: Database, now_ns: Callable[[], int], seal: Seal) -> None:
        self._database = database
        self._now_ns = now_ns
        self._seal = seal
        self._kept: OrderedDict[str, tuple[int, Standing]] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of_key(self, key: str) -> Standing | None:
        return await self._find(key, self._read_key)

    async def of_session(self, session: str) -> Standing | None:
        return await self._find(session, self._read_session)

    async def of_client(self, client: str) -> Standing | None:
        return await self._find(client, self._read_client)

    def forget(self) -> None:
        """Read everything anew: this process has changed something."""
        self._kept.clear()

    async def _find(self, name: str, read: Callable[[Session, str], Standing | None]) -> Standing | None:
        if (found := self._fresh(name)) is not None:
            return found
        lock = self._locks.setdefault(name, asyncio.Lock())
        async with lock:
            if (found := self._fresh(name)) is not None:
                return found
            read_ns = self._now_ns()
            standing = await self._database.read(lambda session: read(session, name))
            kept = self._kept.get(name)
            if kept is not None and kept[1] == standing:
                standing = kept[1]  # The same object: who looks every second sees at once that nothing has changed.
            if standing is not None:  # Who is nobody is not kept: names that are made up fill no memory.
                self._kept[name] = (read_ns, standing)
                self._kept.move_to_end(name)
                if len(self._kept) > _KEPT_MAX:
                    self._kept.popitem(last=False)
            return standing

    def _fresh(self, name: str) -> Standing | None:
        kept = self._kept.get(name)
        return kept[1] if kept is not None and 0 <= self._now_ns() - kept[0] < FRESH_NS else None

    def _read_key(self, session: Session, name: str) -> Standing | None:
        row = session.get(ApiKeyRow, name)
        if row is None or row.revoked_ns is not None:
            return None
        if row.expires_ns is not None and row.expires_ns <= self._now_ns():
            return None
        algorithm = Algorithm(row.algorithm)
        material = (
            decode64(row.material)
            if algorithm is Algorithm.ED25519
            else self._seal.open(row.material, f"api-key/{row.id}")
        )
        made_with = _Grant(row.organisation, row.user, row.scopes, row.portfolios, row.networks)
        return _standing(session, made_with, Verifier(algorithm, material))

    def _read_session(self, session: Session, name: str) -> Standing | None:
        row = session.get(SessionRow, name)
        if row is None or row.revoked_ns is not None or row.expires_ns <= self._now_ns():
            return None
        portfolios = None
        if row.client is not None:
            client = session.get(OAuthClientRow, row.client)
            if client is None or client.revoked_ns is not None:
                return None
            portfolios = client.portfolios
        return _standing(session, _Grant(row.organisation, row.user, row.scopes, portfolios, "[]"))

    def _read_client(self, session: Session, name: str) -> Standing | None:
        row = session.get(OAuthClientRow, name)
        if row is None or row.revoked_ns is not None or not row.acts_alone:
            return None
        return _standing(session, _Grant(row.organisation, row.user, row.scopes, row.portfolios, "[]"))


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a key, session or client was made with."""

    organisation: str
    user: str
    scopes: str
    portfolios: str | None
    networks: str


def member_standing(session: Session, organisation: str, user: str) -> Standing | None:
    """What a person is in an organisation; None if it is no member, or one of the two is closed."""
    return _standing(session, _Grant(organisation, user, "", None, "[]"), is_whole=True)


def _standing(
    session: Session, made_with: _Grant, verifier: Verifier | None = None, *, is_whole: bool = False
) -> Standing | None:
    organisation = session.get(OrganisationRow, made_with.organisation)
    user = session.get(UserRow, made_with.user)
    member = session.get(MembershipRow, (made_with.organisation, made_with.user))
    if organisation is None or user is None or member is None:
        return None
    if organisation.closed_ns is not None or user.disabled_ns is not None:
        return None
    roles = scopes_of(Role(word) for word in member.roles.split())
    lists = [parse_networks(msgspec.json.decode(text)) for text in (organisation.networks, made_with.networks)]
    return Standing(
        organisation.id,
        user.id,
        roles if is_whole else roles & parse_scopes(made_with.scopes),
        narrower(read_limit(member.portfolios), read_limit(made_with.portfolios)),
        tuple(networks for networks in lists if networks),
        organisation.rate_limit,
        verifier,
    )
