"""From a proof of who somebody is to a session: passwords here, passkeys and wallets through `begin`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from sqlmodel import Session, col, select

from api.auth.passwords import Passwords
from api.auth.scopes import Scope, parse_scopes
from api.auth.sealing import Seal
from api.auth.second_factor import factors_of, is_locked, take_code
from api.auth.sessions import Login, Sessions
from api.auth.standing import Standing, member_standing
from api.auth.tables import MembershipRow, OrganisationRow, SessionRow, UserRow
from api.auth.tokens import Tokens
from api.core.errors import ApiError, BadRequest, Forbidden, Unauthenticated
from runtime.database import Database

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a login or a refresh gives."""

    access_token: str
    expires_s: int
    refresh_token: str
    session: str
    user: str
    organisation: str
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class From:
    """Where a login comes from."""

    address: str
    agent: str


class Logins:
    """Turns proofs into sessions."""

    def __init__(
        self,
        *,
        database: Database,
        now_ns: Callable[[], int],
        seal: Seal,
        passwords: Passwords,
        sessions: Sessions,
        tokens: Tokens,
    ) -> None:
        self._database = database
        self._now_ns = now_ns
        self._seal = seal
        self._passwords = passwords
        self._sessions = sessions
        self._tokens = tokens

    async def by_password(self, email: str, password: str, code: str, organisation: str, origin: From) -> Issued:
        """Log in by password, and a code where the person has a second factor.

        Raises:
            Unauthenticated: `invalid_login` (whatever was wrong, or nobody), `second_factor_required`,
                `passkey_required`.
            BadRequest: `organisation_required`.
        """
        user, methods = await self.prove(email, password, code)
        return await self.begin(user, methods, organisation, origin)

    async def prove(self, email: str, password: str, code: str, *, is_confirmed: bool = False) -> tuple[str, str]:
        """Check password and second factor; give the person's id and the methods.

        `is_confirmed` says that a step-up of the person's was taken, which stands for a passkey.
        """
        stored = await self._database.read(lambda session: _password_of(session, email.strip().lower()))
        is_right = await self._passwords.check(password, stored[1] if stored else None)
        if stored is None or not is_right:
            user = stored[0] if stored else ""
            log.warning("auth.refused", code="invalid_login", user=user)
            raise _invalid(user)
        name = stored[0]

        def second(session: Session) -> str | ApiError:
            user = session.get(UserRow, name, with_for_update=True)
            if user is None or user.disabled_ns is not None:
                return _invalid(name)
            factors = factors_of(session, name)
            if not factors.any:
                return "pwd"
            if not factors.has_totp:
                passkey = Unauthenticated("this person logs in with a passkey", code="passkey_required")
                return "pwd hwk mfa" if is_confirmed else passkey
            if not code:
                return Unauthenticated(
                    "a code is needed too", code="second_factor_required", hint="send it as `code` with the password"
                )
            now = self._now_ns()
            if is_locked(user, now):
                return Unauthenticated("too many wrong codes", code="locked", hint="wait, or ask an operator")
            method = take_code(session, self._seal, user, code, now)
            return _invalid(name) if method is None else f"pwd {method} mfa"

        found = await self._database.run(second)
        if isinstance(found, ApiError):
            log.warning("auth.refused", code=found.code, user=name)
            raise found
        return name, found

    async def begin(self, user: str, methods: str, organisation: str, origin: From) -> Issued:
        """Start a session of a person who has proved who it is, in the organisation of that short name or id.

        Raises:
            BadRequest: `organisation_required`: the person is a member of several and names none.
            Forbidden: `no_membership`.
        """

        def start(session: Session) -> tuple[SessionRow, str, Standing]:
            standing = _choose(session, user, organisation)
            login = Login(user, standing.organisation, frozenset(Scope), methods, origin.address, origin.agent)
            return *self._sessions.start(session, login), standing

        row, refresh_token, standing = await self._database.run(start)
        log.info("auth.login", user=user, organisation=row.organisation, methods=methods, session=row.id)
        return await self._issue(row, refresh_token, standing)

    async def refresh(self, token: str, *, client: str | None = None) -> Issued:
        """Give the next pair of tokens; see `Sessions.refresh`."""
        row, following = await self._sessions.refresh(token, client=client)
        standing = await self._database.read(lambda session: member_standing(session, row.organisation, row.user))
        if standing is None:
            raise Unauthenticated(
                "this session is over", code="session_over", hint="log in again", claimed=f"session:{row.id}"
            )
        return await self._issue(row, following, standing)

    async def issue_for(self, row: SessionRow, refresh_token: str) -> Issued:
        """Give the first tokens of a session that was started elsewhere."""
        standing = await self._database.read(lambda session: member_standing(session, row.organisation, row.user))
        if standing is None:
            raise Forbidden("no member any more", code="no_membership")
        return await self._issue(row, refresh_token, standing)

    async def _issue(self, row: SessionRow, refresh_token: str, standing: Standing) -> Issued:
        scopes = parse_scopes(row.scopes) & standing.scopes
        access_token = await self._tokens.issue(
            subject=f"user:{row.user}", organisation=row.organisation, scopes=scopes, session=row.id,
            client=row.client or "", methods=row.methods,
        )  # fmt: skip
        return Issued(access_token, self._tokens.lifetime_s, refresh_token, row.id, row.user, row.organisation, scopes)


def _password_of(session: Session, email: str) -> tuple[str, str | None] | None:
    user = session.exec(select(UserRow).where(UserRow.email == email)).first()
    return None if user is None or user.disabled_ns is not None else (user.id, user.password)


def _choose(session: Session, user: str, organisation: str) -> Standing:
    rows = session.exec(
        select(OrganisationRow)
        .join(MembershipRow, col(MembershipRow.organisation) == col(OrganisationRow.id))
        .where(MembershipRow.user == user, col(OrganisationRow.closed_ns).is_(None))
        .order_by(OrganisationRow.slug)
    ).all()
    chosen = [row for row in rows if not organisation or organisation in (row.id, row.slug)]
    if len(chosen) > 1:
        raise BadRequest(
            "a member of several organisations says which", code="organisation_required",
            hint=f"one of {', '.join(row.slug for row in rows)}",
        )  # fmt: skip
    standing = member_standing(session, chosen[0].id, user) if chosen else None
    if standing is None:
        raise Forbidden("no member of such an organisation", code="no_membership")
    return standing


def _invalid(user: str) -> Unauthenticated:
    claimed = f"user:{user}" if user else ""
    return Unauthenticated("these do not log anybody in", code="invalid_login", claimed=claimed)
