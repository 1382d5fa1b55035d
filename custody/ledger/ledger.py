"""Double-entry books in integer units: every movement of value is an entry whose postings sum to zero per asset.

An account holds what was added minus what was taken; `custody.ledger.accounts` says which kinds there are. Nothing is
ever changed or deleted: a mistake is mended by a contra entry.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any, Final

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session, col, select

from custody.ledger.accounts import user_account
from custody.ledger.booking import book
from custody.ledger.entries import Entry
from custody.ledger.group_commit import GroupCommit
from custody.ledger.rows import lock_balances
from custody.ledger.tables import BalanceRow, EntryRow
from custody.ledger.verification import Verification, verify
from domain import InputError
from runtime.database import Database, raw_sum

_PROFIT_ACCOUNTS: Final = ("trading", "fees", "gas")


class Ledger:
    """The books in a database whose schema `open_books` has brought up to date.

    Methods are synchronous and short; from a coroutine, call them through `asyncio.to_thread`.
    """

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns
        self._writer = GroupCommit(database, now_ns)

    def submit(self, entries: Sequence[Entry]) -> Future[tuple[bool, ...]]:
        """Queue entries to be booked, all or none; the future says of each whether it is new, once it is durable.

        What others submit meanwhile is committed with them. The future raises what `post` raises.
        """
        return self._writer.submit(entries)

    def post(self, entry: Entry) -> bool:
        """Book an entry; return False when it was booked before. Callers on other threads share its commit.

        Raises:
            InvariantError: Its key was booked with other content.
            Refused: An account would be overdrawn (rule `funds`).
        """
        return self.post_many([entry])[0]

    def post_many(self, entries: Sequence[Entry]) -> list[bool]:
        """Book entries in one transaction (one sync of the disk): all of them or none."""
        return list(self.submit(entries).result()) if entries else []

    def post_missing(self, entries: Sequence[Entry]) -> None:
        """Book the entries whose keys are not known yet, in one transaction; what stands under a known key stands."""
        with self._database.transaction() as session:
            keys = col(EntryRow.key).in_([entry.key for entry in entries])
            known = set(session.exec(select(EntryRow.key).where(keys)))
            self.post_all_in(session, [entry for entry in entries if entry.key not in known])

    def post_in(self, session: Session, entry: Entry) -> bool:
        """Book an entry inside a transaction of the caller's, so that it stands or falls with it."""
        return self.post_all_in(session, [entry])[0]

    def post_all_in(self, session: Session, entries: Sequence[Entry]) -> list[bool]:
        """Book entries inside a transaction of the caller's: all of them or none.

        Whoever books several entries in a transaction does better to book them here at once: their accounts are
        locked in one order, and two such callers cannot wait for one another in a circle.

        Raises:
            InvariantError: A key was booked with other content.
            Refused: An account would be overdrawn (rule `funds`).
        """
        if not entries:
            return []
        session.flush()
        outcome = book(session, [entries], self._now_ns())[0]
        if outcome.error is not None:
            raise outcome.error
        return list(outcome.booked)

    def available_in(self, session: Session, user: str, asset: str) -> int:
        """What a user may dispose of, as a positive amount; nobody else spends from it until the transaction ends."""
        pair = (user_account(user), asset)
        return -lock_balances(session, [pair])[pair]

    def balance(self, account: str, asset: str) -> int:
        """What an account holds of an asset, in its smallest unit."""
        with self._database.snapshot() as session:
            row = session.get(BalanceRow, (account, asset))
            return 0 if row is None else row.raw

    def balances(self, prefix: str = "") -> dict[str, dict[str, int]]:
        """Balances by account and asset of an account and all beneath it (`chain/1337`); of all, without a prefix.

        Accounts that came back to zero are left out.
        """
        with self._database.snapshot() as session:
            return balances_in(session, prefix)

    def trial_balance(self) -> dict[str, int]:
        """Sum over all accounts by asset: zero everywhere, or the books are broken."""
        query = select(BalanceRow.asset, raw_sum(BalanceRow.raw)).group_by(col(BalanceRow.asset))
        with self._database.snapshot() as session:
            return {asset: int(raw) for asset, raw in session.exec(query)}

    def profit(self, strategy: str) -> dict[str, int]:
        """What a strategy gained (negative: lost) by asset id, after fees and gas, in smallest units.

        Amounts of different assets are not converted: that needs prices, which the books do not know.
        """
        accounts = [f"{kind}/{strategy}" for kind in _PROFIT_ACCOUNTS]
        query = (
            select(BalanceRow.asset, raw_sum(BalanceRow.raw))
            .where(col(BalanceRow.account).in_(accounts))
            .group_by(col(BalanceRow.asset))
        )
        with self._database.snapshot() as session:
            return {asset: -int(raw) for asset, raw in session.exec(query) if raw}

    def strategies(self) -> list[str]:
        """Every strategy that has something booked."""
        with self._database.snapshot() as session:
            query = select(EntryRow.strategy).where(col(EntryRow.strategy) != "").distinct()
            return sorted(session.exec(query))

    def verify(self) -> Verification:
        """Check all the books; see `custody.ledger.verification`."""
        return verify(self._database)


def balances_in(session: Session, prefix: str = "", accounts: Collection[str] = ()) -> dict[str, dict[str, int]]:
    """Balances inside a transaction of the caller's; see `Ledger.balances`. `accounts` narrows them down to these."""
    query = select(BalanceRow).order_by(col(BalanceRow.account), col(BalanceRow.asset))
    if prefix:
        query = query.where(beneath(col(BalanceRow.account), prefix))
    if accounts:
        query = query.where(col(BalanceRow.account).in_(accounts))
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in session.exec(query):
        if row.raw:
            found[row.account][row.asset] = row.raw
    return dict(found)


def beneath(account: Any, prefix: str) -> ColumnElement[bool]:
    """The rows whose account, a column, is `prefix` or lies beneath it.

    Raises:
        InputError: It is no part of an account's name.
    """
    if not re.fullmatch(r"[A-Za-z0-9:._\-/]+", prefix):
        raise InputError(f"not an account prefix: {prefix!r}")
    escaped = prefix.replace("\\", "\\\\").replace("_", "\\_")
    return or_(account == prefix, account.like(f"{escaped}/%", escape="\\"))
