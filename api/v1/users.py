"""People of an organisation: invite them, give them roles, let them go."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.auth.api_keys import revoke_keys
from api.auth.bootstrap import read_email
from api.auth.names import digest_of, new_token
from api.auth.oauth import stop_acting_alone
from api.auth.portfolio_limits import listed, read_limit, write_limit
from api.auth.principal import Principal, require
from api.auth.scopes import Role, Scope, scopes_of
from api.auth.tables import InvitationRow, MembershipRow, UserRow
from api.core.errors import Conflict, Forbidden, NotFound
from api.core.times import instant
from api.services import Use

router = APIRouter(prefix="/v1/users", tags=["users"])

INVITATION_DAYS = 7
_DAY_NS = 24 * 3_600 * 10**9

UserId = Annotated[str, Path(pattern=r"^usr_[a-z2-7]{16}$")]
Roles = Annotated[list[Role], Field(min_length=1, max_length=len(Role), examples=[["trader"]])]
Portfolios = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=64)]] | None,
    Field(default=None, max_length=100, description="Null is every portfolio."),
]


class User(BaseModel):
    """A member."""

    id: str
    email: str
    name: str
    roles: list[Role]
    portfolios: list[str] | None
    since: datetime
    is_disabled: bool


class Invite(BaseModel):
    """Somebody who is to become a member."""

    model_config = ConfigDict(extra="forbid")

    email: str = Field(min_length=3, max_length=254, examples=["bob@acme.example"])
    name: str = Field(min_length=1, max_length=120)
    roles: Roles
    portfolios: Portfolios


class Invitation(BaseModel):
    """The word to hand to the person; good once, for a week."""

    invitation: str
    expires_at: datetime


class MembershipRequest(BaseModel):
    """What a member is from now on."""

    model_config = ConfigDict(extra="forbid")

    roles: Roles
    portfolios: Portfolios


@router.get("")
async def list_users(services: Use, who: Annotated[Principal, require(Scope.USERS_READ)]) -> list[User]:
    """Every member of the organisation, by e-mail."""

    def read(session: Session) -> list[User]:
        query = (
            select(UserRow, MembershipRow)
            .join(MembershipRow, col(MembershipRow.user) == col(UserRow.id))
            .where(MembershipRow.organisation == who.organisation)
            .order_by(UserRow.email)
        )
        return [_shown(user, member) for user, member in session.exec(query)]

    return await services.database.read(read)


@router.post("", status_code=201)
async def invite(
    services: Use, who: Annotated[Principal, require(Scope.USERS_WRITE, step_up=True, weight=10)], body: Invite
) -> Invitation:
    """Invite somebody, confirmed by a person. Nobody gives roles or portfolios that reach beyond one's own."""
    portfolios = write_limit(who.check_gives(scopes_of(body.roles), body.portfolios))
    email, now, word = read_email(body.email), services.clock.now_ns(), new_token("inv")
    expires_ns = now + INVITATION_DAYS * _DAY_NS

    def write(session: Session) -> None:
        session.execute(delete(InvitationRow).where(col(InvitationRow.expires_ns) < now))
        session.add(
            InvitationRow(
                digest=digest_of(word), organisation=who.organisation, email=email, name=body.name,
                roles=_words(body.roles), portfolios=portfolios, invited_by=f"user:{who.user}", expires_ns=expires_ns,
            )
        )  # fmt: skip
        services.auth.audit.append(
            session, "user.invited", f"organisation/{who.organisation}",
            {"actor": who.actor, "roles": _words(body.roles), "portfolios": portfolios or "all"},
        )  # fmt: skip

    await services.database.run(write)
    return Invitation(invitation=word, expires_at=instant(expires_ns))


@router.put("/{user}/membership")
async def set_membership(
    services: Use,
    who: Annotated[Principal, require(Scope.USERS_WRITE, step_up=True)],
    user: UserId,
    body: MembershipRequest,
) -> User:
    """Give a member other roles and portfolios, confirmed by a person; they count within a second."""
    portfolios = write_limit(who.check_gives(scopes_of(body.roles), body.portfolios))

    def write(session: Session) -> User:
        person, member = _find(session, who, user)
        before = {"roles": member.roles, "portfolios": member.portfolios or "all"}
        member.roles, member.portfolios = _words(body.roles), portfolios
        _keep_an_owner(session, who)
        after = {"roles": member.roles, "portfolios": portfolios or "all"}
        services.auth.audit.append(
            session, "user.roles-changed", f"user/{user}",
            {"actor": who.actor, "organisation": who.organisation, "before": before, "after": after},
        )  # fmt: skip
        return _shown(person, member)

    changed = await services.database.run(write)
    services.auth.standings.forget()
    return changed


@router.delete("/{user}")
async def remove(services: Use, who: Annotated[Principal, require(Scope.USERS_WRITE)], user: UserId) -> User:
    """Let a member go: sessions and keys in this organisation are over within a second. Never waits for anything.

    They stay over should the person be invited again, and the invitations it gave out are good no more.
    """
    auth, now = services.auth, services.clock.now_ns()

    def write(session: Session) -> User:
        person, member = _find(session, who, user)
        shown = _shown(person, member)
        session.delete(member)
        _keep_an_owner(session, who)
        auth.sessions.end_all(session, user, "no member any more", organisation=who.organisation)
        revoke_keys(session, organisation=who.organisation, user=user, now_ns=now)
        stop_acting_alone(session, organisation=who.organisation, user=user)
        auth.audit.append(
            session, "user.removed", f"user/{user}", {"actor": who.actor, "organisation": who.organisation}
        )
        return shown

    gone = await services.database.run(write)
    auth.standings.forget()
    return gone


def _find(session: Session, who: Principal, user: str) -> tuple[UserRow, MembershipRow]:
    member = session.get(MembershipRow, (who.organisation, user), with_for_update=True)
    if member is None:
        raise NotFound(f"no member {user}")
    # An administrator does not unmake an owner.
    if beyond := sorted(scopes_of(Role(word) for word in member.roles.split()) - who.scopes):
        raise Forbidden(f"this member may do what you may not: {', '.join(beyond[:5])}", code="missing_scope")
    return session.get_one(UserRow, user), member


def _keep_an_owner(session: Session, who: Principal) -> None:
    session.flush()
    query = select(MembershipRow.roles).where(MembershipRow.organisation == who.organisation)
    if not any(Role.OWNER in roles.split() for roles in session.exec(query)):
        raise Conflict("an organisation has an owner", hint="make somebody else one first")


def _words(roles: list[Role]) -> str:
    return " ".join(sorted(set(roles)))


def _shown(user: UserRow, member: MembershipRow) -> User:
    return User(
        id=user.id,
        email=user.email,
        name=user.name,
        roles=[Role(word) for word in member.roles.split()],
        portfolios=listed(read_limit(member.portfolios)),
        since=instant(member.created_ns),
        is_disabled=user.disabled_ns is not None,
    )
