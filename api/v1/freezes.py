"""What is frozen: nothing leaves it. One person freezes, two people of the house lift."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from sqlmodel import Session

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.errors import Conflict, Forbidden, NotFound
from api.core.times import instant
from api.custody.names import initiator_of
from api.custody.whose import Whose, whose
from api.services import Use
from custody import freeze
from custody.counter import Counter

router = APIRouter(prefix="/v1/freezes", tags=["freezes"])

Reader = Annotated[Principal, require(Scope.VAULTS_READ)]
Presser = Annotated[Principal, require(Scope.KILL_PRESS)]
Confirmed = Annotated[Principal, require(Scope.KILL_RELEASE, step_up=True, weight=5)]
FreezeId = Annotated[int, Path(ge=1, le=2**62)]

_FREEZE: Final[JsonDict] = {"scope": "vault/default", "reason": "a payment that nobody asked for"}
_WORD: Final[JsonDict] = {"reason": "the payment was ours: ticket 4711"}


class NewFreeze(BaseModel):
    """What is to be frozen, and why."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_FREEZE]})

    scope: str = Field(
        max_length=90,
        pattern=r"^(all|(chain|venue|vault)/[A-Za-z0-9:._\-]{1,80})$",
        description="`all`, `chain/1`, `venue/binance` or `vault/default`.",
    )
    reason: str = Field(min_length=1, max_length=200, pattern=r"\S", description="For whoever has to lift it.")


class Freeze(BaseModel):
    """Nothing leaves the scope until two people have lifted it."""

    id: int
    scope: str
    source: str = Field(description="Who froze it: a person, or the check that found something.")
    reason: str
    since: datetime
    lifted_by: list[str] = Field(description="Who has given their word that it may end; two are needed.")
    stands: bool


class Freezes(BaseModel):
    """Those that stand, oldest first."""

    data: list[Freeze]


class Word(BaseModel):
    """One person's word that a freeze may end. Where operators have keys, it is signed with one of theirs."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_WORD]})

    reason: str = Field(min_length=1, max_length=200, pattern=r"\S")
    operator: str = Field(default="", max_length=80, description="Whose key signed; with `signature` only.")
    signature: str = Field(
        default="",
        pattern=r"^([0-9a-f]{128})?$",
        description="Ed25519, hex, of the lines `capstan/freeze-lift/v1`, id, operator and reason, joined by newlines.",
    )

    @model_validator(mode="after")
    def _signed(self) -> Word:
        if bool(self.operator) != bool(self.signature):
            raise ValueError("an operator's name and signature come together")
        return self


@router.get("")
async def list_freezes(services: Use, who: Reader) -> Freezes:
    """What is frozen: of the house everything; for others what keeps their own vaults."""
    custody, mine = services.custody, await whose(services.directory, who)

    def read(session: Session) -> list[Freeze]:
        seen = None if mine.is_house else _scopes_of(session, custody, mine)
        found = freeze.standing(session, *(seen or ()))
        return [_told(one) for one in found if seen is None or one.scope in seen]

    return Freezes(data=await services.database.read(read))


@router.post("", status_code=201)
async def freeze_scope(services: Use, who: Presser, body: NewFreeze) -> Freeze:
    """Stop everything that would leave a scope, at once. The house freezes anything, others their own vaults.

    Waits for nobody. Sent again by the same person it is the freeze that stands.
    """
    custody, mine = services.custody, await whose(services.directory, who)

    def write(session: Session) -> Freeze:
        _check_known(session, custody, mine, body.scope)
        source = f"operator:{initiator_of(session, who)}"
        return _told(custody.freezes.impose_in(session, body.scope, source=source, reason=body.reason))

    return await services.database.run(write)


@router.post("/{freeze_id}/lifts", status_code=201)
async def lift_freeze(services: Use, who: Confirmed, freeze_id: FreezeId, body: Word) -> Freeze:
    """Give one's word that a freeze may end; the second person's ends it. For the house, confirmed by the person.

    Look at what was found first: a difference that is still there freezes again.
    """
    await services.directory.check_house(who)
    await whose(services.directory, who)  # Of all portfolios.
    custody = services.custody
    if who.user is None:
        raise Forbidden("a person lifts a freeze: log in, or sign with a key that a person made")
    if bool(body.signature) != bool(custody.freezes.operators):
        raise Forbidden(
            "operators have keys here: sign with yours" if custody.freezes.operators else "no operator has a key here",
            code="operator",
            hint="[custody.operators] in capstan.toml; docs/api/custody.md says what is signed",
        )
    standing, person = await services.database.read(lambda session: _found(session, who, freeze_id))
    operator = body.operator or person
    if operator in standing.lifted_by:
        raise Conflict("your word was given; another person's is needed")
    signature = bytes.fromhex(body.signature) if body.signature else None
    left = await asyncio.to_thread(
        custody.freezes.lift, freeze_id, operator=operator, reason=body.reason, signature=signature
    )
    if left is not None:
        return _told(left)
    return _told(standing).model_copy(update={"lifted_by": sorted({*standing.lifted_by, operator}), "stands": False})


def _found(session: Session, who: Principal, freeze_id: int) -> tuple[freeze.Freeze, str]:
    for one in freeze.standing(session):
        if one.id == freeze_id:
            return one, initiator_of(session, who)
    raise NotFound(f"no freeze {freeze_id} stands")


def _scopes_of(session: Session, custody: Counter, mine: Whose) -> frozenset[str]:
    """What keeps an organisation's vaults."""
    vault = custody.vault
    if not mine.owns_vault(session, vault.name):
        return frozenset()
    return frozenset((freeze.ALL, freeze.chain_scope(vault.chain_id), *_vault_scopes(custody)))


def _vault_scopes(custody: Counter) -> tuple[str, str]:
    return freeze.vault_scope(custody.vault.name), freeze.vault_scope(custody.vault.address)


def _check_known(session: Session, custody: Counter, mine: Whose, scope: str) -> None:
    """Stop here unless there is such a thing, and it is the caller's to freeze: a name with a slip keeps nothing."""
    if not mine.is_house:
        if not scope.startswith("vault/"):
            raise Forbidden("the house freezes that; others their own vaults", code="house_only")
        if scope not in _vault_scopes(custody) or not mine.owns_vault(session, custody.vault.name):
            raise NotFound(f"no {scope}")
    known = {freeze.ALL, *_vault_scopes(custody), *map(freeze.chain_scope, custody.chains)}
    if scope not in known | {freeze.venue_scope(venue) for venue in custody.assets.venues}:
        raise NotFound(f"no {scope}", hint=f"there are {', '.join(sorted(known))} and venue/…")


def _told(one: freeze.Freeze) -> Freeze:
    return Freeze(
        id=one.id, scope=one.scope, source=one.source, reason=one.reason, since=instant(one.time_ns),
        lifted_by=list(one.lifted_by), stands=len(one.lifted_by) < freeze.PEOPLE_TO_LIFT,
    )  # fmt: skip
