"""The audit log: what decided over funds and rights, each record holding on to the one before."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.custody.audit import audited
from api.custody.whose import whose
from api.services import Use
from custody.audit import AuditRow, verify_audit

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Reader = Annotated[Principal, require(Scope.AUDIT_READ)]
Checker = Annotated[Principal, require(Scope.AUDIT_READ, weight=50)]


class Record(BaseModel):
    """One record. `hash` is over all of it and over `previous`."""

    sequence: int
    at: datetime
    time_ns: str = Field(description="As it is hashed.")
    kind: str = Field(examples=["withdrawal.state"])
    subject: str
    detail: dict[str, Any]
    previous: str
    hash: str


class Verification(BaseModel):
    """What going over the whole log has found."""

    is_sound: bool
    records: int = Field(description="How many hold, from the first on.")
    checkpoints: int = Field(description="How many signed checkpoints hold.")
    covered: int = Field(description="Records up to the last checkpoint that holds; later ones could be cut off unseen")
    keys: list[str] = Field(description="Whose signatures these are: compare them with those you trust.")
    first_bad: int | None
    problems: list[str]


@router.get("")
async def list_audit_records(
    services: Use, who: Reader,
    kind: Annotated[
        str | None, Query(max_length=64, description="This kind (freeze.imposed), or all that begin with it (freeze.).")
    ] = None,
    subject: Annotated[str | None, Query(max_length=200, examples=["user/ulla"])] = None,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Record]:  # fmt: skip
    """What was recorded about your organisation, its people, keys, clients and withdrawals; of the house everything.

    The newest first.
    """
    mine = await whose(services.directory, who)
    scope = f"audit/{who.organisation}/{kind}/{subject}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[Record]:
        query = select(AuditRow).where(audited(mine)).order_by(col(AuditRow.sequence).desc()).limit(limit + 1)
        if kind is not None and kind.endswith("."):
            query = query.where(col(AuditRow.kind).startswith(kind, autoescape=True))
        elif kind is not None:
            query = query.where(AuditRow.kind == kind)
        if subject is not None:
            query = query.where(AuditRow.subject == subject)
        if before is not None:
            query = query.where(col(AuditRow.sequence) < before)
        return [_shown(row) for row in session.exec(query)]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row.sequence)
    return Page[Record](data=rows, next=following)


@router.get("/verification")
async def verify_audit_log(services: Use, who: Checker) -> Verification:
    """Go over the whole log and say which record is the first that is not as it was recorded; for the house.

    Checkpoints that were exported are compared by `capstan audit verify`, where they are kept: off this host.
    """
    await services.directory.check_house(who)
    found = await asyncio.to_thread(verify_audit, services.database)
    return Verification(
        is_sound=found.is_sound, records=found.records, checkpoints=found.checkpoints, covered=found.covered,
        keys=list(found.keys), first_bad=found.first_bad, problems=list(found.problems),
    )  # fmt: skip


def _shown(row: AuditRow) -> Record:
    return Record(
        sequence=row.sequence, at=instant(row.time_ns), time_ns=str(row.time_ns), kind=row.kind, subject=row.subject,
        detail=json.loads(row.detail), previous=row.previous, hash=row.hash,
    )  # fmt: skip
