"""Step-up: a person confirms one request before it is sent."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlmodel import Session

from api.auth.names import new_token
from api.auth.principal import Principal, require
from api.auth.second_factor import factors_of, take_code
from api.auth.step_up import LIFETIME_S, Confirmed
from api.auth.tables import UserRow
from api.core.errors import Forbidden, Unauthenticated
from api.services import Use

router = APIRouter(prefix="/v1/auth/step-ups", tags=["auth"])

_KIND = "step-up-challenge"


class StepUpRequest(BaseModel):
    """What is to be confirmed."""

    model_config = ConfigDict(extra="forbid")

    digest: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256, in hex, of method, path?query and the body's SHA-256 in hex, joined by newlines.",
    )


class StepUpChallenge(BaseModel):
    """What the person answers, with a code or a passkey."""

    challenge: str
    methods: list[str] = Field(description="What the person has.", examples=[["totp", "passkey"]])
    public_key: dict[str, Any] | None = Field(description="Options for `navigator.credentials.get`, for a passkey.")
    expires_in: int


class StepUpAnswer(BaseModel):
    """The person's answer."""

    model_config = ConfigDict(extra="forbid")

    challenge: str = Field(max_length=100)
    code: str | None = Field(default=None, max_length=32, examples=["123456"])
    credential: dict[str, Any] | None = Field(
        default=None, max_length=20, description="What the browser gives: `credential.toJSON()`."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.code is None) == (self.credential is None):
            raise ValueError("either a code or a passkey's credential")
        return self


class StepUp(BaseModel):
    """Goes into the header `Step-Up` of exactly the request that was confirmed; good once."""

    step_up: str
    expires_in: int


@router.post("", status_code=201)
async def begin_step_up(
    services: Use, who: Annotated[Principal, require(weight=2)], body: StepUpRequest
) -> StepUpChallenge:
    """Name the request that is to be confirmed. The person is the session's, or the one who made the key."""
    user = _person(who)

    def write(session: Session) -> StepUpChallenge:
        factors = factors_of(session, user)
        if not factors.any:
            raise Forbidden("this person has no second factor", code="no_factor", hint="enrol one: POST /v1/auth/totp")
        content, word = {"digest": body.digest, "organisation": who.organisation}, new_token("suc")
        services.auth.challenges.issue(session, f"{_KIND}/{user}", content, ttl_s=LIFETIME_S, user=user, word=word)
        options = services.auth.passkeys.confirmation(session, user, body.digest, word) if factors.passkeys else None
        methods = ["totp"] * factors.has_totp + ["passkey"] * (factors.passkeys > 0)
        return StepUpChallenge(challenge=word, methods=methods, public_key=options, expires_in=LIFETIME_S)

    return await services.database.run(write)


@router.post("/confirmation", status_code=201)
async def answer_step_up(services: Use, who: Annotated[Principal, require(weight=10)], body: StepUpAnswer) -> StepUp:
    """Confirm with a code or a passkey. A wrong one uses the challenge up."""
    user, auth = _person(who), services.auth

    def write(session: Session) -> str | None:
        found: Any = auth.challenges.take(session, f"{_KIND}/{user}", body.challenge)
        row = session.get(UserRow, user, with_for_update=True)
        if found is None or row is None or found["organisation"] != who.organisation:
            return None
        method: str | None = None
        if body.code is not None:
            method = take_code(session, auth.seal, row, body.code, services.clock.now_ns())
        elif body.credential is not None:
            with suppress(Unauthenticated):
                asserted = auth.passkeys.confirmed(session, body.credential, found["digest"], body.challenge)
                method = "passkey" if asserted.user == user else None
        if method is None:
            return None
        confirmed = Confirmed(user, who.organisation, found["digest"], method)
        auth.audit.append(session, "step-up.confirmed", f"user/{user}", {"digest": found["digest"], "method": method})
        return auth.step_ups.confirm(session, confirmed)

    word = await services.database.run(write)
    if word is None:
        raise Forbidden("wrong code or passkey, or no such challenge", code="invalid_step_up", hint="begin again")
    return StepUp(step_up=word, expires_in=LIFETIME_S)


def _person(who: Principal) -> str:
    if who.user is None or who.client is not None:
        raise Forbidden("no person stands behind this caller", code="person_required")
    return who.user
