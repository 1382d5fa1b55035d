"""Logins and sessions of people."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from api.auth.logins import From, Issued
from api.auth.names import digest_of, new_id
from api.auth.passwords import check_new
from api.auth.portfolio_limits import is_within, listed, read_limit
from api.auth.principal import Principal, confirm_step_up, public, require
from api.auth.scopes import Role, Scope, format_scopes, scopes_of
from api.auth.second_factor import factors_of
from api.auth.standing import member_standing
from api.auth.tables import InvitationRow, MembershipRow, SessionRow, UserRow
from api.core.errors import Forbidden, NotFound, Unauthenticated
from api.core.times import instant, instant_or_none
from api.services import Services, Use

router = APIRouter(prefix="/v1/auth", tags=["auth"])

LOGINS_A_MINUTE = 20
"""From one address, right or wrong."""
ATTEMPTS_A_MINUTE = 10
"""At one person, from wherever."""

Password = Annotated[str, Field(min_length=1, max_length=128)]
Code = Annotated[
    str,
    Field(default="", max_length=32, description="Of the authenticator app, or a recovery code.", examples=["123456"]),
]
SlugOrId = Annotated[
    str, Field(default="", max_length=40, description="Short name or id; needed by members of several organisations.")
]


class LoginRequest(BaseModel):
    """A person at the door."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=254, examples=["ann@acme.example"])
    password: Password
    code: Code
    organisation: SlugOrId


class TokenPair(BaseModel):
    """What a session goes by. The refresh token is good once: each refresh gives the next."""

    access_token: str
    token_type: str = "Bearer"
    expires_in: int = Field(description="Seconds until the access token is over.")
    refresh_token: str
    scope: str
    session: str
    user: str
    organisation: str

    @classmethod
    def of(cls, issued: Issued) -> TokenPair:
        return cls(
            access_token=issued.access_token, expires_in=issued.expires_s, refresh_token=issued.refresh_token,
            scope=format_scopes(issued.scopes), session=issued.session, user=issued.user,
            organisation=issued.organisation,
        )  # fmt: skip


class RefreshRequest(BaseModel):
    """The newest refresh token of a session."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: str = Field(max_length=200)


class Me(BaseModel):
    """The caller as it stands now."""

    actor: str
    organisation: str
    scopes: list[Scope]
    portfolios: list[str] | None = Field(description="Null is every portfolio.")
    user: str | None
    email: str | None
    name: str | None
    has_totp: bool
    passkeys: int


class SessionShown(BaseModel):
    """A login of the caller's."""

    id: str
    organisation: str
    client: str | None = Field(description="The OAuth client that acts for the person.")
    methods: str = Field(description="How the person proved who it is, RFC 8176.", examples=["pwd otp mfa"])
    address: str
    agent: str
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_why: str
    is_current: bool


class PasswordRequest(BaseModel):
    """A new password."""

    model_config = ConfigDict(extra="forbid")

    current: Password
    code: Code
    new: Password


class AcceptRequest(BaseModel):
    """The word of an invitation, and the password of the person that is to be, or is already."""

    model_config = ConfigDict(extra="forbid")

    invitation: str = Field(max_length=100)
    password: Password


class Member(BaseModel):
    """A person and the organisation it now belongs to."""

    user: str
    organisation: str


class Ended(BaseModel):
    """Sessions that are over."""

    sessions: list[str]


@router.post("/login", dependencies=[public()])
async def log_in(services: Use, request: Request, body: LoginRequest) -> TokenPair:
    """Log in by password, with a code where the person has a second factor. A passkey logs in at `/auth/passkeys`."""
    origin = await origin_of(services, request, body.email)
    issued = await services.auth.logins.by_password(body.email, body.password, body.code, body.organisation, origin)
    return TokenPair.of(issued)


@router.post("/refresh", dependencies=[public()])
async def refresh(services: Use, request: Request, body: RefreshRequest) -> TokenPair:
    """Give the next pair of tokens. A refresh token that is used a second time ends its session."""
    await services.auth.gate.spend_by_address(request, "refresh", 600)
    return TokenPair.of(await services.auth.logins.refresh(body.refresh_token))


@router.post("/logout")
async def log_out(services: Use, who: Annotated[Principal, require()]) -> Ended:
    """End the session that asks."""
    name = who.session
    if name is None:
        raise Forbidden("keys and clients have no session", code="person_required")
    await services.database.run(lambda session: services.auth.sessions.end(session, name, "logged out"))
    services.auth.standings.forget()
    return Ended(sessions=[name])


@router.get("/me")
async def me(services: Use, who: Annotated[Principal, require()]) -> Me:
    """Who asks, and what it may do."""

    def read(session: Session) -> Me:
        user = session.get(UserRow, who.user) if who.user else None
        factors = factors_of(session, who.user or "")
        return Me(
            actor=who.actor, organisation=who.organisation, scopes=sorted(who.scopes),
            portfolios=listed(who.portfolios), user=who.user,
            email=user.email if user else None, name=user.name if user else None, has_totp=factors.has_totp,
            passkeys=factors.passkeys,
        )  # fmt: skip

    return await services.database.read(read)


@router.get("/sessions")
async def sessions(services: Use, who: Annotated[Principal, require()]) -> list[SessionShown]:
    """The person's sessions of the last months, newest first."""
    user = who.check_person()

    def read(session: Session) -> list[SessionShown]:
        query = select(SessionRow).where(SessionRow.user == user).order_by(col(SessionRow.created_ns).desc()).limit(200)
        return [
            SessionShown(
                id=row.id, organisation=row.organisation, client=row.client, methods=row.methods, address=row.address,
                agent=row.agent, created_at=instant(row.created_ns), refreshed_at=instant(row.refreshed_ns),
                expires_at=instant(row.expires_ns), revoked_at=instant_or_none(row.revoked_ns),
                revoked_why=row.revoked_why, is_current=row.id == who.session,
            )
            for row in session.exec(query)
        ]  # fmt: skip

    return await services.database.read(read)


@router.delete("/sessions/{name}")
async def end_session(
    services: Use,
    who: Annotated[Principal, require()],
    name: Annotated[str, Path(pattern=r"^ses_[a-z2-7]{16}$")],
) -> Ended:
    """End one of the person's sessions."""
    user = who.check_person()

    def write(session: Session) -> None:
        row = session.get(SessionRow, name)
        if row is None or row.user != user:
            raise NotFound(f"no session {name}")
        services.auth.sessions.end(session, name, "ended by the person")

    await services.database.run(write)
    services.auth.standings.forget()
    return Ended(sessions=[name])


@router.post("/password")
async def change_password(
    services: Use, request: Request, who: Annotated[Principal, require(weight=20)], body: PasswordRequest
) -> Ended:
    """Change the person's password, with the old one and a code. Every other session ends.

    Who has passkeys and no app confirms it with one of them instead of a code.
    """
    user, auth = who.check_person(), services.auth

    def read(session: Session) -> tuple[str, bool]:
        factors = factors_of(session, user)
        return session.get_one(UserRow, user).email, factors.any and not factors.has_totp

    email, has_passkeys_only = await services.database.read(read)
    if has_passkeys_only:
        who = await confirm_step_up(request, who)
    await count_attempt(services, email)
    proved, _ = await auth.logins.prove(email, body.current, body.code, is_confirmed=who.stepped_up)
    if proved != user:
        raise Unauthenticated("another person's password", code="invalid_login")
    check_new(body.new, email=email)
    hashed = await auth.passwords.hash(body.new)

    def write(session: Session) -> list[str]:
        row = session.get_one(UserRow, user)
        row.password = hashed
        open_ones = select(SessionRow.id).where(
            SessionRow.user == user, col(SessionRow.revoked_ns).is_(None), SessionRow.id != who.session
        )
        ended = list(session.exec(open_ones))
        auth.sessions.end_all(session, user, "password changed", but=who.session)
        auth.challenges.forget(session, user)
        auth.audit.append(session, "user.password-changed", f"user/{user}", {"actor": who.actor})
        return ended

    ended = await services.database.run(write)
    auth.standings.forget()
    return Ended(sessions=ended)


@router.post("/invitations", status_code=201, dependencies=[public()])
async def accept_invitation(services: Use, request: Request, body: AcceptRequest) -> Member:
    """Become a member. Who is new sets a password; who is known proves itself with the one it has."""
    auth = services.auth
    await auth.gate.spend_by_address(request, "invitations", LOGINS_A_MINUTE)
    digest, now = digest_of(body.invitation), services.clock.now_ns()

    def find(session: Session) -> tuple[str, str | None, bool]:
        row = session.get(InvitationRow, digest)
        if row is None or row.expires_ns <= now or not _is_still_given(session, row):
            raise _no_invitation()
        user = session.exec(select(UserRow).where(UserRow.email == row.email)).first()
        return row.email, user.password if user else None, user is not None

    email, stored, is_known = await services.database.read(find)
    if is_known:
        await count_attempt(services, email)
        if not await auth.passwords.check(body.password, stored):
            raise _no_invitation()
    else:
        check_new(body.password, email=email)
    hashed = "" if is_known else await auth.passwords.hash(body.password)

    def write(session: Session) -> Member:
        row = session.get(InvitationRow, digest, with_for_update=True)
        if row is None or not _is_still_given(session, row):
            raise _no_invitation()
        user = session.exec(select(UserRow).where(UserRow.email == row.email)).first()
        if user is None:
            user = UserRow(id=new_id("usr"), email=row.email, name=row.name, password=hashed, created_ns=now)
            session.add(user)
            session.flush()
        if session.get(MembershipRow, (row.organisation, user.id)) is None:
            session.add(
                MembershipRow(
                    organisation=row.organisation, user=user.id, roles=row.roles, portfolios=row.portfolios,
                    created_ns=now,
                )
            )  # fmt: skip
        session.delete(row)
        detail = {"organisation": row.organisation, "roles": row.roles, "invited_by": row.invited_by}
        auth.audit.append(session, "user.joined", f"user/{user.id}", detail)
        return Member(user=user.id, organisation=row.organisation)

    return await services.database.run(write)


async def origin_of(services: Services, request: Request, person: str) -> From:
    """Count an attempt to log in, by address and by person, and say where it comes from.

    Raises:
        TooManyRequests: Too many of either.
    """
    address = await services.auth.gate.spend_by_address(request, "logins", LOGINS_A_MINUTE)
    await count_attempt(services, person)
    return From(address, request.headers.get("user-agent", "")[:200])


async def count_attempt(services: Services, person: str) -> None:
    """Count an attempt at one person's password, from wherever and by whatever route it is tried.

    Raises:
        TooManyRequests: Too many.
    """
    named = hashlib.sha256(person.strip().lower().encode()).hexdigest()[:32]
    spent = await services.auth.rates.spend(f"login:{named}", 1, ATTEMPTS_A_MINUTE, services.clock.now_ns())
    spent.check(1)


def _is_still_given(session: Session, row: InvitationRow) -> bool:
    """Whether the one who invited might do it now: one who was let go leaves no way back in."""
    giver = member_standing(session, row.organisation, row.invited_by.removeprefix("user:"))
    return (
        giver is not None
        and {Scope.USERS_WRITE, *scopes_of(Role(word) for word in row.roles.split())} <= giver.scopes
        and is_within(read_limit(row.portfolios), giver.portfolios)
    )


def _no_invitation() -> Unauthenticated:
    return Unauthenticated("no such invitation, or not for this password", code="invalid_invitation")
