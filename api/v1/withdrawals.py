"""Withdrawals of clients: asked for once, followed, held and cancelled. Whoever holds the vault's key carries them."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.amounts import PositiveText, RawText
from api.core.effects import IdempotencyKeyText
from api.core.errors import Conflict, NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.custody.names import initiator_of
from api.custody.steps import Step, told
from api.custody.whose import Whose, whose
from api.services import Services, Use
from custody.counter import Counter
from custody.transactions.tables import TransactionRow
from custody.withdrawals import ChainDestination, State, VenueDestination, WithdrawalRequest
from custody.withdrawals import Withdrawal as Known
from custody.withdrawals.lifecycle import ENDED, UNSENT
from custody.withdrawals.store import read
from custody.withdrawals.tables import WithdrawalEventRow, WithdrawalRow
from domain import parse_units

router = APIRouter(prefix="/v1/withdrawals", tags=["withdrawals"])

Reader = Annotated[Principal, require(Scope.WITHDRAWALS_READ)]
Writer = Annotated[Principal, require(Scope.WITHDRAWALS_WRITE)]
Confirmed = Annotated[Principal, require(Scope.WITHDRAWALS_WRITE, step_up=True, weight=5)]
WithdrawalId = Annotated[str, Path(pattern=r"^w-[0-9a-f]{24}$")]

_ADDRESS: Final = "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"
_EXAMPLE: Final[JsonDict] = {"client": "ulla", "asset": "USDC", "amount": "250", "to": {"address": _ADDRESS}}


class Recipient(BaseModel):
    """Where it goes: an address on the installation's chain, or one that an exchange sends to."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"address": _ADDRESS}]})

    address: str = Field(min_length=1, max_length=128)
    venue: str = Field(default="", max_length=64, description="Let this exchange pay, out of what is held there.")
    network: str = Field(default="", max_length=32, description="The exchange's name of the network: ETH.")
    memo: str = Field(default="", max_length=128)

    @model_validator(mode="after")
    def _whole(self) -> Recipient:
        if bool(self.venue) != bool(self.network):
            raise ValueError("an exchange is named with its network, and neither without the other")
        if self.memo and not self.venue:
            raise ValueError("a memo is an exchange's")
        return self

    def destination(self, chain_id: int) -> ChainDestination | VenueDestination:
        """The destination that is meant.

        Raises:
            InputError: Not an address.
        """
        if self.venue:
            return VenueDestination(self.venue, self.network, self.address, self.memo)
        return ChainDestination.parse(chain_id, self.address)


class NewWithdrawal(BaseModel):
    """What a client is to be paid."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    client: str = Field(min_length=1, max_length=64, description="Whose balance pays: an `id` of /v1/clients.")
    asset: str = Field(min_length=1, max_length=140, description="A symbol, an exchange's code, or an asset id.")
    amount: PositiveText = Field(description="What the recipient is to get; the fee comes on top.")
    to: Recipient


class Withdrawal(BaseModel):
    """A withdrawal as it stands."""

    id: str = Field(examples=["w-0123456789abcdef01234567"])
    state: State
    has_ended: bool
    client: str
    asset: str = Field(description="Its id.")
    amount: str | None = Field(description="Null where the asset is not known here any more.")
    raw: RawText
    fee_raw: RawText = Field(description="What the client pays for it, in the same asset.")
    to: Recipient
    place: str = Field(description="The chain's id, or the exchange.")
    vault: str
    asked_by: str = Field(description="A person's e-mail, or a program's id; cannot approve it.")
    reason: str
    tx_hash: str | None
    venue_ref: str | None = Field(description="The exchange's own id of it.")
    needs_operator: bool = Field(description="What became of it at the exchange has to be said by a person.")
    created_at: datetime
    updated_at: datetime


class WithdrawalDetail(Withdrawal):
    """With every step it took."""

    wish: str | None = Field(description="What was asked of its transaction and is not done yet: cancel, hold.")
    history: list[Step]


class Hold(BaseModel):
    """Why it is to wait."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "call the client first"}]})

    reason: str = Field(min_length=1, max_length=200)


class Resolution(BaseModel):
    """What a person found at the exchange: its id of the withdrawal there; empty, it is not there and never will be."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"ref": "8f2c1a"}]})

    ref: str = Field(max_length=128)


@router.post("", status_code=201, response_model=Withdrawal)
async def request_withdrawal(
    request: Request, services: Use, who: Confirmed, body: NewWithdrawal, key: IdempotencyKeyText
) -> Response:
    """Ask for a withdrawal, once for each Idempotency-Key, confirmed by a person. Its funds are held at once.

    It is then screened, judged by the policy, approved by whom that names, signed and sent; follow it by its id, on the
    stream's `approvals` or by webhooks.
    """
    custody, mine = services.custody, await whose(services.directory, who)
    asset = custody.assets.find(body.asset, body.to.venue)
    raw, destination = parse_units(body.amount, asset.decimals), body.to.destination(custody.vault.chain_id)
    named = hashlib.sha256(f"{who.organisation}\n{key}".encode()).hexdigest()

    def work(session: Session) -> Withdrawal:
        mine.check_client(session, body.client)
        wanted = WithdrawalRequest(
            client=initiator_of(session, who), key=named, user=body.client, asset=asset, raw=raw,
            destination=destination, vault=custody.vault.name,
        )  # fmt: skip
        return _shown(custody, custody.desk.request_in(session, wanted))

    once = await services.effects.once(request, who.organisation, key, work)
    await custody.wake()
    return once.response()


@router.get("")
async def list_withdrawals(
    services: Use, who: Reader,
    client: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[State | None, Query()] = None,
    is_open: Annotated[bool, Query(alias="open", description="Only those that have not ended.")] = False,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Withdrawal]:  # fmt: skip
    """Withdrawals of your clients, the newest first."""
    custody, mine = services.custody, await whose(services.directory, who)
    scope = f"withdrawals/{who.organisation}/{client}/{state}/{is_open}"
    before = services.cursors.open(scope, cursor, int)

    def read_page(session: Session) -> list[tuple[int, Withdrawal]]:
        query = select(WithdrawalRow).where(mine.client(col(WithdrawalRow.user)))
        query = query.order_by(col(WithdrawalRow.id).desc()).limit(limit + 1)
        if before is not None:
            query = query.where(col(WithdrawalRow.id) < before)
        if client is not None:
            query = query.where(WithdrawalRow.user == client)
        if state is not None:
            query = query.where(WithdrawalRow.state == state)
        if is_open:
            query = query.where(col(WithdrawalRow.state).not_in(ENDED))
        return [(row.id or 0, _shown(custody, read(row))) for row in session.exec(query)]

    return services.cursors.numbered(scope, await services.database.read(read_page), limit)


@router.get("/{withdrawal}")
async def get_withdrawal(services: Use, who: Reader, withdrawal: WithdrawalId) -> WithdrawalDetail:
    """A withdrawal of a client of yours, with every step it took."""
    return await _told(services, await whose(services.directory, who), withdrawal)


@router.delete("/{withdrawal}")
async def cancel_withdrawal(services: Use, who: Writer, withdrawal: WithdrawalId) -> WithdrawalDetail:
    """End a withdrawal before anything is signed; its funds are given back. Safe to send again.

    Where its transaction is recorded already, that is asked to end first: `wish` says so until it has.
    """
    mine = await whose(services.directory, who)
    known = await _find(services, mine, withdrawal)
    if known.state is not State.CANCELLED:
        _check_unsent(known)
        await services.custody.desk.cancel(withdrawal, by=who.actor)
        await services.custody.wake()
    return await _told(services, mine, withdrawal)


@router.put("/{withdrawal}/hold")
async def hold_withdrawal(services: Use, who: Writer, withdrawal: WithdrawalId, body: Hold) -> WithdrawalDetail:
    """Stop a withdrawal before anything is signed, until it is released."""
    mine = await whose(services.directory, who)
    _check_unsent(await _find(services, mine, withdrawal))
    await services.custody.desk.hold(withdrawal, by=who.actor, reason=body.reason)
    await services.custody.wake()
    return await _told(services, mine, withdrawal)


@router.delete("/{withdrawal}/hold")
async def release_withdrawal(services: Use, who: Confirmed, withdrawal: WithdrawalId) -> WithdrawalDetail:
    """Let a held withdrawal go on: it is screened and judged again."""
    mine = await whose(services.directory, who)
    known = await _find(services, mine, withdrawal)
    if known.state is not State.HELD:
        raise Conflict(f"{withdrawal} is {known.state}, not held")
    await services.custody.desk.release(withdrawal, by=who.actor)
    await services.custody.wake()
    return await _told(services, mine, withdrawal)


@router.put("/{withdrawal}/resolution")
async def resolve_withdrawal(
    services: Use, who: Confirmed, withdrawal: WithdrawalId, body: Resolution
) -> WithdrawalDetail:
    """Say what became of an exchange's withdrawal that asking the exchange cannot tell. For the house."""
    await services.directory.check_house(who)
    mine = await whose(services.directory, who)
    known = await _find(services, mine, withdrawal)
    if not known.needs_operator:
        raise Conflict(f"{withdrawal} does not wait for an operator's word")
    await services.custody.desk.resolve(withdrawal, body.ref, by=who.actor)
    await services.custody.wake()
    return await _told(services, mine, withdrawal)


# --- parts


async def _find(services: Services, mine: Whose, withdrawal: str) -> Known:
    services.custody  # noqa: B018 - without custody the answer is that, not that there is no such withdrawal
    return await services.database.read(lambda session: read(_row(session, mine, withdrawal)))


async def _told(services: Services, mine: Whose, withdrawal: str) -> WithdrawalDetail:
    custody = services.custody

    def look(session: Session) -> WithdrawalDetail:
        row = _row(session, mine, withdrawal)
        events = select(WithdrawalEventRow).where(WithdrawalEventRow.withdrawal == row.id)
        wish = session.exec(select(TransactionRow.wish).where(TransactionRow.intent_id == withdrawal)).first()
        steps = session.exec(events.order_by(col(WithdrawalEventRow.id))).all()
        shown = _shown(custody, read(row)).model_dump()
        return WithdrawalDetail(**shown, wish=wish or None, history=told(steps))

    return await services.database.read(look)


def _row(session: Session, mine: Whose, withdrawal: str) -> WithdrawalRow:
    query = select(WithdrawalRow).where(WithdrawalRow.withdrawal_id == withdrawal)
    row = session.exec(query.where(mine.client(col(WithdrawalRow.user)))).first()
    if row is None:
        raise NotFound(f"no withdrawal {withdrawal}")
    return row


def _check_unsent(known: Known) -> None:
    if known.state not in UNSENT:
        raise Conflict(f"{known.id} is {known.state}: it cannot be stopped any more", code="too_late")


def _shown(custody: Counter, known: Known) -> Withdrawal:
    to = known.destination
    is_venue = to.kind == "venue"
    return Withdrawal(
        id=known.id, state=known.state, has_ended=known.state.has_ended, client=known.user, asset=known.asset,
        amount=custody.assets.amount(known.asset, known.raw), raw=str(known.raw), fee_raw=str(known.fee_raw),
        to=Recipient(address=to.address, venue=to.place if is_venue else "", network=to.network, memo=to.memo),
        place=to.place, vault=known.vault, asked_by=known.client, reason=known.reason, tx_hash=known.tx_hash or None,
        venue_ref=known.venue_ref or None, needs_operator=known.needs_operator,
        created_at=instant(known.created_ns), updated_at=instant(known.updated_ns),
    )  # fmt: skip
