"""A person's authenticator app and recovery codes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete
from sqlmodel import Session, col

from api.auth.principal import Principal, confirm_step_up, require
from api.auth.second_factor import confirm_seed, factors_of, new_recovery_codes, new_seed
from api.auth.tables import RecoveryCodeRow, SessionRow, TotpRow, UserRow
from api.auth.totp import provisioning_uri, seed_text
from api.core.errors import Conflict, Forbidden, Unauthenticated
from api.services import Services, Use

router = APIRouter(prefix="/v1/auth", tags=["auth"])

_FRESH_NS = 15 * 60 * 10**9


class Seed(BaseModel):
    """A seed for an authenticator app, not in force yet."""

    seed: str = Field(description="base32, for typing in.")
    uri: str = Field(description="For a QR code.")


class CodeRequest(BaseModel):
    """A code of the app."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(max_length=32, examples=["123456"])


class RecoveryCodes(BaseModel):
    """Each logs in, or confirms, once. They are never shown again."""

    codes: list[str]


@router.post("/totp", status_code=201)
async def begin_totp(services: Use, request: Request, who: Annotated[Principal, require(weight=10)]) -> Seed:
    """Make a seed. Who has a second factor already confirms it; a first one wants a login of the last 15 minutes."""
    user = who.check_person()
    await check_is_there(services, request, who)

    def write(session: Session) -> Seed:
        if factors_of(session, user).has_totp:
            raise Conflict("there is a seed in force", hint="DELETE /v1/auth/totp first")
        seed = new_seed(session, services.auth.seal, user, services.clock.now_ns())
        email = session.get_one(UserRow, user).email
        return Seed(seed=seed_text(seed), uri=provisioning_uri(seed, issuer=services.auth.settings.name, account=email))

    return await services.database.run(write)


@router.post("/totp/confirmation")
async def confirm_totp(
    services: Use, who: Annotated[Principal, require(weight=10)], body: CodeRequest
) -> RecoveryCodes:
    """Put the seed in force with its first code, within 15 minutes; recovery codes come with it."""
    user, auth = who.check_person(), services.auth

    def write(session: Session) -> RecoveryCodes | None:
        if not confirm_seed(session, auth.seal, user, body.code, services.clock.now_ns()):
            return None
        auth.audit.append(session, "user.totp-enrolled", f"user/{user}", {"actor": who.actor})
        return RecoveryCodes(codes=new_recovery_codes(session, user))

    codes = await services.database.run(write)
    if codes is None:
        raise Unauthenticated("not a code of the seed that was made", code="invalid_code")
    return codes


@router.delete("/totp")
async def remove_totp(services: Use, who: Annotated[Principal, require(step_up=True)]) -> RecoveryCodes:
    """Take the app and its recovery codes out of force, confirmed with one of them or a passkey."""
    user, auth = who.check_person(), services.auth

    def write(session: Session) -> None:
        session.execute(delete(TotpRow).where(col(TotpRow.user) == user))
        session.execute(delete(RecoveryCodeRow).where(col(RecoveryCodeRow.user) == user))
        auth.audit.append(session, "user.totp-removed", f"user/{user}", {"actor": who.actor})

    await services.database.run(write)
    return RecoveryCodes(codes=[])


@router.post("/recovery-codes", status_code=201)
async def renew_recovery_codes(services: Use, who: Annotated[Principal, require(step_up=True)]) -> RecoveryCodes:
    """Make ten new codes in the place of those before."""
    user, auth = who.check_person(), services.auth

    def write(session: Session) -> RecoveryCodes:
        auth.audit.append(session, "user.recovery-codes-renewed", f"user/{user}", {"actor": who.actor})
        return RecoveryCodes(codes=new_recovery_codes(session, user))

    return await services.database.run(write)


async def check_is_there(services: Services, request: Request, who: Principal) -> None:
    """Stop whoever found a session open: factors and clients are added with a factor, or within 15 minutes of a login.

    Raises:
        Forbidden: `step_up_required`, or `fresh_login_required`.
    """
    user, name = who.check_person(), who.session or ""

    def read(session: Session) -> tuple[bool, int]:
        return factors_of(session, user).any, session.get_one(SessionRow, name).created_ns

    has_any, created_ns = await services.database.read(read)
    if has_any:
        await confirm_step_up(request, who)
    elif services.clock.now_ns() - created_ns > _FRESH_NS:
        raise Forbidden("log in again first", code="fresh_login_required", hint="within the last 15 minutes")
