"""What an operator sees and asks for, in any process that has the database: no key, no node, no lease.

Nothing is done here. A wish is recorded and audited; the desk that holds the account's lease fulfils it when it next
looks, and what came of it is in the transaction's events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from sqlmodel import Session, col, select

from custody.audit import AuditLog
from custody.ledger import Ledger
from custody.transactions.lifecycle import FINAL, SETTLED
from custody.transactions.outbox import Outbox
from custody.transactions.records import Wish
from custody.transactions.tables import TransactionEventRow, TransactionRow
from domain import Address, ChainId, InputError, InvariantError
from domain.events import SwapSettled
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class Line:
    """One transaction, as a list shows it."""

    intent_id: str
    purpose: str
    state: str
    wish: str
    chain_id: int
    sender: str
    initiator: str
    vault: str
    nonce: int | None
    tx_hash: str | None
    block_number: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """One step a transaction took. `detail` is JSON."""

    time_ns: int
    step: str
    state: str
    detail: str


class Operations:
    """Looks at every account's transactions in a database that `open_books` has brought up to date."""

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns
        self._audit = AuditLog(database, now_ns)

    def transactions(self, *, with_final: bool = False, limit: int = 100) -> list[Line]:
        """Give the newest transactions, newest first; without those that are at their end, unless asked for."""
        query = select(TransactionRow).order_by(col(TransactionRow.id).desc()).limit(limit)
        if not with_final:
            query = query.where(col(TransactionRow.state).not_in(FINAL))
        with self._database.snapshot() as session:
            return [
                Line(
                    row.intent_id,
                    row.purpose,
                    row.state,
                    row.wish,
                    row.chain_id,
                    row.sender,
                    row.initiator,
                    row.vault,
                    row.nonce,
                    row.tx_hash,
                    row.block_number,
                )
                for row in session.exec(query)
            ]

    def events(self, intent_id: str) -> list[Event]:
        """Give every step of a transaction, oldest first.

        Raises:
            InputError: There is no such transaction.
        """
        with self._database.snapshot() as session:
            row = _find(session, intent_id)
            query = (
                select(TransactionEventRow)
                .where(col(TransactionEventRow.transaction_id) == row.id)
                .order_by(col(TransactionEventRow.id))
            )
            return [Event(event.time_ns, event.event, event.state, event.detail) for event in session.exec(query)]

    def outcome(self, intent_id: str) -> SwapSettled | None:
        """Give what became of a transaction as the chain has it now; None while nothing has, or for one unknown."""
        with self._database.snapshot() as session:
            text = session.exec(
                select(TransactionRow.settlement).where(
                    col(TransactionRow.intent_id) == intent_id, col(TransactionRow.state).in_(SETTLED)
                )
            ).first()
            return None if text is None else msgspec.json.decode(text, type=SwapSettled)

    def ask(self, intent_id: str, wish: Wish, *, by: str) -> None:
        """Record what an operator wants done, and who that is.

        Raises:
            InputError: There is no such transaction, or it is too late.
        """
        with self._database.transaction() as session:
            self.ask_in(session, intent_id, wish, by=by)

    def ask_in(self, session: Session, intent_id: str, wish: Wish, *, by: str) -> None:
        """Record what is wanted in a transaction of the caller's; see `ask`."""
        row = _find(session, intent_id)
        outbox = Outbox(
            self._database,
            Ledger(self._database, self._now_ns),
            chain_id=ChainId(row.chain_id),
            sender=Address(row.sender),
            now_ns=self._now_ns,
            fence=_no_lease,
        )
        outbox.wish_in(session, intent_id, wish)
        self._audit.append(session, "transaction.asked", f"transaction/{intent_id}", {"wish": wish, "by": by})


def _find(session: Session, intent_id: str) -> TransactionRow:
    row = session.exec(select(TransactionRow).where(col(TransactionRow.intent_id) == intent_id)).first()
    if row is None:
        raise InputError(f"no transaction {intent_id}", hint="`capstan transactions list --all` names them")
    return row


def _no_lease(_session: Session) -> None:
    raise InvariantError("an operator's process changes no transaction itself")
