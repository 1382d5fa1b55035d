"""What waits for people, in words; and their signatures about it, which every signer checks again."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.errors import NotFound
from api.core.pages import CursorText, Limit, Page
from api.custody.approvals import Asked, not_over, shown
from api.custody.names import initiator_of
from api.custody.whose import Whose, whose
from api.services import Services, Use
from custody.approvals import Approval, ApprovalRequest, ApprovalState, Verdict
from custody.approvals.tables import ApprovalRequestRow
from domain import Refused

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])

Reader = Annotated[Principal, require(Scope.APPROVALS_READ)]
Writer = Annotated[Principal, require(Scope.APPROVALS_WRITE)]
IntentId = Annotated[str, Path(pattern=r"^[!-.0-~]{1,128}$")]

_NS: Final = 10**9
_EXAMPLE: Final[JsonDict] = {
    "key": "ed25519:" + "0" * 64, "verdict": "approve", "proof": {"signature": "0" * 128},
}  # fmt: skip


class Signature(BaseModel):
    """A verdict, signed with a key that the policy lists."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    key: str = Field(max_length=1_000, description="`ed25519:…` or `passkey:…`, as the policy lists it.")
    verdict: Verdict
    proof: dict[str, Annotated[str, Field(max_length=8_192)]] = Field(
        max_length=3,
        description="Ed25519: `signature`, hex. Passkey, base64url: `authenticator_data`, `client_data`, `signature`.",
    )


@router.get("")
async def list_approvals(
    services: Use, who: Reader,
    everything: Annotated[bool, Query(alias="all", description="Also what is decided or has ended.")] = False,
    limit: Limit = 50, cursor: CursorText = None,
) -> Page[Asked]:  # fmt: skip
    """What waits for people, about your vaults and your clients' withdrawals, the newest first.

    A page may hold less than its limit and still have a next one: what waits is worked out from signatures.
    """
    approvals, mine = services.custody.approvals, await whose(services.directory, who)
    scope = f"approvals/{who.organisation}/{everything}"
    before = services.cursors.open(scope, cursor, int)
    now_s = services.clock.now_ns() // _NS

    def read(session: Session) -> list[tuple[int, ApprovalRequest]]:
        query = select(ApprovalRequestRow).where(mine.intent(col(ApprovalRequestRow.intent_id)))
        if before is not None:
            query = query.where(col(ApprovalRequestRow.id) < before)
        if not everything:
            query = query.where(not_over(now_s))
        found = session.exec(query.order_by(col(ApprovalRequestRow.id).desc()).limit(limit + 1)).all()
        return [(row.id or 0, approvals.find_in(session, row.intent_id)) for row in found]

    rows, following = services.cursors.page(scope, await services.database.read(read), limit, lambda row: row[0])
    told = [shown(request) for _, request in rows if everything or request.state is ApprovalState.PENDING]
    return Page[Asked](data=told, next=following)


@router.get("/{intent}")
async def get_approval(services: Use, who: Reader, intent: IntentId) -> Asked:
    """One of them, whatever became of it."""
    return await _told(services, await whose(services.directory, who), intent)


@router.post("/{intent}/signatures", status_code=201)
async def sign_approval(services: Use, who: Writer, intent: IntentId, body: Signature) -> Asked:
    """Add a signed yes or no. One no of somebody who is asked ends it. Safe to send again.

    The signature is what counts, and the policy says whose key it is; whoever asked for it may not even bring one.
    """
    mine = await whose(services.directory, who)
    asked = await _told(services, mine, intent)
    caller = await services.database.read(lambda session: initiator_of(session, who))
    if body.verdict is Verdict.APPROVE and caller == asked.initiator:
        raise Refused(f"{intent}: {caller} asked for it and cannot approve it", rule="initiator")
    given = Approval(body.key, body.verdict, body.proof)
    await asyncio.to_thread(services.custody.approvals.add, intent, given)
    await services.custody.wake()
    return await _told(services, mine, intent)


async def _told(services: Services, mine: Whose, intent: str) -> Asked:
    approvals = services.custody.approvals

    def read(session: Session) -> Asked:
        query = select(ApprovalRequestRow.id).where(ApprovalRequestRow.intent_id == intent)
        if session.exec(query.where(mine.intent(col(ApprovalRequestRow.intent_id)))).first() is None:
            raise NotFound(f"nobody was asked about {intent}")
        return shown(approvals.find_in(session, intent))

    return await services.database.read(read)
