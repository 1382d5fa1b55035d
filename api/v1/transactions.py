"""What custody sends from one's vaults, and what an operator wants of it, done by whoever holds the key."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, confirm_step_up, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.core.errors import Conflict, NotFound
from api.core.pages import CursorText, Limit, Page
from api.custody.steps import Step, told
from api.custody.whose import Whose, whose
from api.services import Services, Use
from custody.transactions.lifecycle import FINAL, State
from custody.transactions.operations import Operations
from custody.transactions.records import Wish
from custody.transactions.tables import TransactionEventRow, TransactionRow
from domain import InputError

router = APIRouter(prefix="/v1/transactions", tags=["transactions"])

Reader = Annotated[Principal, require(Scope.TRANSACTIONS_READ)]
Writer = Annotated[Principal, require(Scope.TRANSACTIONS_WRITE)]
IntentId = Annotated[str, Path(pattern=r"^[!-.0-~]{1,128}$")]

_LOOSENING: Final = frozenset({Wish.RELEASE, Wish.SPEED_UP})
_EXAMPLE: Final[JsonDict] = {"wish": "hold"}


class Transaction(BaseModel):
    """A transaction of one of your vaults, or of a withdrawal of your clients."""

    id: str = Field(description="The intent's; of a withdrawal, its id.")
    purpose: str
    state: State
    wish: Wish = Field(description="What was asked of it and is not done yet.")
    chain_id: int
    sender: str
    vault: str
    initiator: str
    nonce: int | None
    tx_hash: str | None
    block_number: int | None


class TransactionDetail(Transaction):
    """With every step it took."""

    history: list[Step]


class Wanted(BaseModel):
    """What is wanted of it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_EXAMPLE]})

    wish: Annotated[Wish, Field(description="`hold` and `release`: while nothing is signed. `speed-up`: within caps.")]


class Asked(BaseModel):
    """Written down: the desk with the key does it when it next looks, and its history says what came of it."""

    id: str
    wish: Wish


@router.get("")
async def list_transactions(
    services: Use, who: Reader,
    everything: Annotated[bool, Query(alias="all", description="Also those that are at their end.")] = False,
    vault: Annotated[str | None, Query(max_length=64)] = None,
    limit: Limit = 100, cursor: CursorText = None,
) -> Page[Transaction]:  # fmt: skip
    """Transactions of your vaults and of your clients' withdrawals, the newest first."""
    mine = await whose(services.directory, who)
    scope = f"transactions/{who.organisation}/{everything}/{vault}"
    before = services.cursors.open(scope, cursor, int)

    def read(session: Session) -> list[tuple[int, Transaction]]:
        query = select(TransactionRow).where(mine.transaction())
        query = query.order_by(col(TransactionRow.id).desc()).limit(limit + 1)
        if not everything:
            query = query.where(col(TransactionRow.state).not_in(FINAL))
        if vault is not None:
            query = query.where(TransactionRow.vault == vault)
        if before is not None:
            query = query.where(col(TransactionRow.id) < before)
        return [(row.id or 0, _shown(row)) for row in session.exec(query)]

    return services.cursors.numbered(scope, await services.database.read(read), limit)


@router.get("/{transaction}")
async def get_transaction(services: Use, who: Reader, transaction: IntentId) -> TransactionDetail:
    """One of them, with every step it took."""
    mine = await whose(services.directory, who)

    def read(session: Session) -> TransactionDetail:
        row = _find(session, mine, transaction)
        events = select(TransactionEventRow).where(TransactionEventRow.transaction_id == row.id)
        steps = session.exec(events.order_by(col(TransactionEventRow.id))).all()
        return TransactionDetail(**_shown(row).model_dump(), history=told(steps))

    return await services.database.read(read)


@router.post("/{transaction}/wishes", status_code=202, response_model=Asked)
async def ask_of_transaction(
    request: Request, services: Use, who: Writer, transaction: IntentId, body: Wanted, key: IdempotencyKeyText
) -> Response:
    """Hold, release, cancel or speed up a transaction of your vaults. Stopping waits for nobody; the rest is confirmed.

    Once signed, a cancellation races it as a transaction of nothing: whichever is mined is told.
    """
    mine = await whose(services.directory, who)
    if body.wish is Wish.NONE:
        raise InputError("say what is wanted", hint="hold, release, cancel or speed-up")
    if body.wish in _LOOSENING:
        who = await confirm_step_up(request, who)

    def work(session: Session) -> Asked:
        row = _find(session, mine, transaction)
        if not mine.owns_vault(session, row.vault):
            raise NotFound(
                f"no transaction {transaction} of a vault of yours", hint="withdrawals have routes of their own"
            )
        try:
            _operations(services).ask_in(session, transaction, body.wish, by=who.actor)
        except InputError as exc:
            raise Conflict(str(exc), code="too_late") from exc
        return Asked(id=transaction, wish=body.wish)

    once = await services.effects.once(request, who.organisation, key, work, status=202)
    if services.counter is not None:
        await services.counter.wake()
    return once.response()


def _operations(services: Services) -> Operations:
    return Operations(services.database, services.clock.now_ns)


def _find(session: Session, mine: Whose, transaction: str) -> TransactionRow:
    query = select(TransactionRow).where(TransactionRow.intent_id == transaction)
    row = session.exec(query.where(mine.transaction())).first()
    if row is None:
        raise NotFound(f"no transaction {transaction}")
    return row


def _shown(row: TransactionRow) -> Transaction:
    return Transaction(
        id=row.intent_id, purpose=row.purpose, state=State(row.state), wish=Wish(row.wish), chain_id=row.chain_id,
        sender=row.sender, vault=row.vault, initiator=row.initiator, nonce=row.nonce, tx_hash=row.tx_hash,
        block_number=row.block_number,
    )  # fmt: skip
