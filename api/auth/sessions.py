"""Sessions: a login is a family of refresh tokens, each of which is used once and replaced by the next.

A refresh token says its session and its number and carries a MAC of both under the server's key, so whatever has a
right MAC was issued. Only the newest is good. An older one that comes back was stolen, or its thief was here first:
nobody can tell which, so the whole family ends, and the person logs in again (RFC 9700, §4.14).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import delete, update
from sqlmodel import Session, col

from api.auth.names import new_id
from api.auth.scopes import Scope, format_scopes
from api.auth.settings import ApiSettings
from api.auth.tables import SessionRow
from api.core.errors import Unauthenticated
from custody.audit import AuditLog
from runtime.base64url import encode64
from runtime.database import Database

log = structlog.get_logger(__name__)

_TOKEN: Final = re.compile(r"rt_([a-z2-7]{16})\.(0|[1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})")
_DAY_NS: Final = 24 * 3_600 * 10**9
_LISTED_NS: Final = 90 * _DAY_NS
"""So long after its end a session is still listed."""


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody who proved who it is, and where from."""

    user: str
    organisation: str
    scopes: frozenset[Scope]
    methods: str
    address: str = ""
    agent: str = ""
    client: str | None = None


class Sessions:
    """Starts, refreshes and ends sessions."""

    def __init__(
        self, database: Database, now_ns: Callable[[], int], key: bytes, settings: ApiSettings, audit: AuditLog
    ) -> None:
        self._database = database
        self._audit = audit
        self._now_ns = now_ns
        self._key = key
        self._settings = settings

    def start(self, session: Session, login: Login) -> tuple[SessionRow, str]:
        """Begin a session in a transaction of the caller's; give it with its first refresh token."""
        now = self._now_ns()
        session.execute(
            delete(SessionRow).where(col(SessionRow.user) == login.user, col(SessionRow.expires_ns) < now - _LISTED_NS)
        )
        row = SessionRow(
            id=new_id("ses"),
            organisation=login.organisation,
            user=login.user,
            client=login.client,
            scopes=format_scopes(login.scopes),
            methods=login.methods,
            counter=0,
            address=login.address,
            agent=login.agent[:200],
            created_ns=now,
            refreshed_ns=now,
            expires_ns=now + self._settings.session_days * _DAY_NS,
        )
        session.add(row)
        return row, self._token(row.id, 0)

    async def refresh(self, token: str, *, client: str | None = None) -> tuple[SessionRow, str]:
        """Take a refresh token and give the next one.

        Args:
            token: The newest of its session.
            client: The OAuth client that asks; a session belongs to one, or to none.

        Raises:
            Unauthenticated: It is none, its session is over, or (`reused_token`) it was used before: then it is now.
        """
        name, number = self._read(token)

        def take(session: Session) -> tuple[SessionRow | None, str]:
            now = self._now_ns()
            row = session.get(SessionRow, name)
            if row is None or row.client != client or row.revoked_ns is not None:
                return None, "over"
            if now >= min(row.expires_ns, row.refreshed_ns + self._settings.refresh_days * _DAY_NS):
                return None, "over"
            changed: Any = session.execute(
                update(SessionRow)
                .where(col(SessionRow.id) == name, col(SessionRow.counter) == number)
                .values(counter=number + 1, refreshed_ns=now)
                .execution_options(synchronize_session=False)
            )
            if changed.rowcount == 1:
                session.refresh(row)
                return row, ""
            self.end_copied(session, name, "reused refresh token")
            return row, "reused"

        row, trouble = await self._database.run(take)
        if row is not None and not trouble:
            return row, self._token(name, number + 1)
        if row is not None:
            log.warning("auth.refresh_token_reused", session=name, user=row.user, organisation=row.organisation)
            raise Unauthenticated(
                "this refresh token was used before; the session has ended", code="reused_token",
                hint="log in again", claimed=f"session:{name}",
            )  # fmt: skip
        raise Unauthenticated(
            "this session is over", code="session_over", hint="log in again", claimed=f"session:{name}"
        )

    def name_of(self, token: str) -> str:
        """The session that a refresh token belongs to, good or not.

        Raises:
            Unauthenticated: It is none of ours.
        """
        return self._read(token)[0]

    def end(self, session: Session, name: str, why: str) -> SessionRow | None:
        """End a session; None if there is no such one."""
        row = session.get(SessionRow, name)
        if row is not None and row.revoked_ns is None:
            row.revoked_ns, row.revoked_why = self._now_ns(), why[:40]
        return row

    def end_copied(self, session: Session, name: str, why: str) -> None:
        """End a session of which somebody has a copy of a token or code; its organisation's audit log says so."""
        row = session.get(SessionRow, name)
        if row is None or row.revoked_ns is not None:
            return
        row.revoked_ns, row.revoked_why = self._now_ns(), why[:40]
        detail = {"organisation": row.organisation, "session": name, "client": row.client or "", "why": why}
        self._audit.append(session, "session.token-reused", f"user/{row.user}", detail)

    def end_all(
        self, session: Session, user: str, why: str, *, organisation: str | None = None, but: str | None = None
    ) -> None:
        """End every session of a person, but one; with `organisation`, only those in it."""
        rows = [col(SessionRow.user) == user, col(SessionRow.revoked_ns).is_(None), col(SessionRow.id) != (but or "")]
        if organisation is not None:
            rows.append(col(SessionRow.organisation) == organisation)
        session.execute(update(SessionRow).where(*rows).values(revoked_ns=self._now_ns(), revoked_why=why[:40]))

    def _token(self, name: str, number: int) -> str:
        return f"rt_{name.removeprefix('ses_')}.{number}.{encode64(self._mac(name, number))}"

    def _read(self, token: str) -> tuple[str, int]:
        found = _TOKEN.fullmatch(token)
        if found is not None:
            name, number = f"ses_{found[1]}", int(found[2])
            # A text that decodes to the same bytes in another way is not the token; compare the text.
            if hmac.compare_digest(found[3], encode64(self._mac(name, number))):
                return name, number
        raise Unauthenticated("this is no refresh token of ours", code="invalid_token", hint="log in again")

    def _mac(self, name: str, number: int) -> bytes:
        return hmac.digest(self._key, f"{name}.{number}".encode(), "sha256")
